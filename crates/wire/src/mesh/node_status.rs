//! The payload of ResponseNodeStatus: which groups and front nodes a gateway serves, and our own
//! addition to it.

use bytes::Bytes;

use super::tars::{Kind, Reader, TarsError, Writer};
use super::{MeshError, ProtocolInfo};

/// Most groups in a node status that is accepted.
pub const MAX_GROUPS: usize = 1024;
/// Most front nodes of one group in a node status that is accepted.
pub const MAX_GROUP_NODES: usize = 16_384;
/// Tag of [`NodeExtension`]: far above FISCO's own (1 to 3), and skipped by its readers.
const EXTENSION_TAG: u8 = 200;

/// What a gateway says of itself (`GatewayNodeStatus` in FISCO's `GatewayInfo.tars`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeStatus {
    /// Names the gateway; in FISCO's Air edition, and with us, its long node ID.
    pub uuid: Bytes,
    /// Number of this status; a status is taken when it is above the one known. Tars writes it as a
    /// signed integer of the same 32 bits.
    pub seq: u32,
    /// The groups it serves; may be empty.
    pub groups: Vec<GroupNodeInfo>,
    /// What our own nodes say beside it; FISCO's never do.
    pub extension: Option<NodeExtension>,
}

/// The nodes of one group behind a gateway (`GroupNodeInfo`). All fields are optional on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupNodeInfo {
    /// ID of the group, such as `group0`.
    pub group: Bytes,
    /// Front node IDs, as lower-case hex text.
    pub nodes: Vec<Bytes>,
    /// Which kind of nodes they are.
    pub group_type: GroupType,
    /// Versions of each node, in the order of `nodes`.
    pub protocols: Vec<ProtocolInfo>,
    /// Kind of each node, in the order of `nodes`; absent before 2023.
    pub node_types: Vec<NodeType>,
}

/// Which kind of nodes a gateway has in a group. Unknown numbers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GroupType(pub i32);

impl GroupType {
    /// At least one consensus node.
    pub const CONSENSUS: Self = Self(0);
    /// Observers only.
    pub const OBSERVER: Self = Self(1);
    /// Nodes outside the group.
    pub const OUTSIDE: Self = Self(2);
}

/// What a node is in its group; the numbers are those of the broadcast bits in
/// [`Ext`](super::Ext). Unknown numbers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NodeType(pub i32);

impl NodeType {
    /// It takes part in consensus.
    pub const CONSENSUS: Self = Self(2);
    /// It follows the chain.
    pub const OBSERVER: Self = Self(4);
    /// It is outside the group.
    pub const FREE: Self = Self(8);
    /// A light node.
    pub const LIGHT: Self = Self(0x20);
}

/// What our own nodes add to their status: a struct under tag 200, with fields 1 and 2. FISCO's
/// readers pass over tags they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeExtension {
    /// What the node is.
    pub role: NodeType,
    /// Number of the highest block it has. Tars writes it as a signed integer of the same 64 bits.
    pub height: u64,
}

impl NodeStatus {
    /// Writes the payload of ResponseNodeStatus. Optional fields with their default are left out.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.string(1, &self.uuid);
        writer.integer(2, self.seq.cast_signed().into());
        if !self.groups.is_empty() {
            writer.begin_list(3, self.groups.len());
            self.groups.iter().for_each(|group| group.write(&mut writer));
        }
        if let Some(extension) = self.extension {
            writer.begin_struct(EXTENSION_TAG);
            writer.integer(1, extension.role.0.into());
            writer.integer(2, extension.height.cast_signed());
            writer.end_struct();
        }
        writer.finish()
    }

    /// Reads the payload of ResponseNodeStatus, unpacked.
    ///
    /// # Errors
    /// When it is no such structure or has more groups or nodes than are allowed.
    pub fn decode(payload: Bytes) -> Result<Self, MeshError> {
        Self::read(&mut Reader::new(payload))
            .map_err(|error| MeshError::Malformed { message: "ResponseNodeStatus", error })
    }

    fn read(reader: &mut Reader) -> Result<Self, TarsError> {
        let (mut uuid, mut seq) = (None, None);
        let (mut groups, mut extension) = (Vec::new(), None);
        reader.message(|reader, tag, kind| {
            match tag {
                1 => uuid = Some(reader.string(tag, kind)?),
                2 => seq = Some(reader.int(tag, kind)?.cast_unsigned()),
                3 => groups = GroupNodeInfo::read_all(reader, tag, kind)?,
                EXTENSION_TAG => extension = Some(NodeExtension::read(reader, tag, kind)?),
                _ => reader.skip(tag, kind)?,
            }
            Ok(())
        })?;
        Ok(Self {
            uuid: uuid.ok_or(TarsError::Missing("uuid"))?,
            seq: seq.ok_or(TarsError::Missing("seq"))?,
            groups,
            extension,
        })
    }
}

impl GroupNodeInfo {
    fn read_all(reader: &mut Reader, tag: u8, kind: Kind) -> Result<Vec<Self>, TarsError> {
        reader.list((tag, kind), "groups", MAX_GROUPS, Self::read)
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin_struct(0);
        if !self.group.is_empty() {
            writer.string(1, &self.group);
        }
        if !self.nodes.is_empty() {
            writer.begin_list(2, self.nodes.len());
            self.nodes.iter().for_each(|node| writer.string(0, node));
        }
        if self.group_type.0 != 0 {
            writer.integer(3, self.group_type.0.into());
        }
        if !self.protocols.is_empty() {
            writer.begin_list(4, self.protocols.len());
            for protocol in &self.protocols {
                writer.begin_struct(0);
                protocol.write(writer);
                writer.end_struct();
            }
        }
        if !self.node_types.is_empty() {
            writer.begin_list(5, self.node_types.len());
            self.node_types.iter().for_each(|node| writer.integer(0, node.0.into()));
        }
        writer.end_struct();
    }

    fn read(reader: &mut Reader, tag: u8, kind: Kind) -> Result<Self, TarsError> {
        const LIMIT: usize = MAX_GROUP_NODES;
        let mut info = Self::default();
        reader.structure(tag, kind, |reader, tag, kind| {
            let head = (tag, kind);
            match tag {
                1 => info.group = reader.string(tag, kind)?,
                2 => info.nodes = reader.list(head, "nodes", LIMIT, Reader::string)?,
                3 => info.group_type = GroupType(reader.int(tag, kind)?),
                4 => info.protocols = reader.list(head, "versions", LIMIT, ProtocolInfo::read)?,
                5 => {
                    info.node_types =
                        reader.list(head, "node types", LIMIT, |reader, tag, kind| {
                            reader.int(tag, kind).map(NodeType)
                        })?;
                }
                _ => reader.skip(tag, kind)?,
            }
            Ok(())
        })?;
        Ok(info)
    }
}

impl NodeExtension {
    fn read(reader: &mut Reader, tag: u8, kind: Kind) -> Result<Self, TarsError> {
        let (mut role, mut height) = (None, None);
        reader.structure(tag, kind, |reader, tag, kind| {
            match tag {
                1 => role = Some(NodeType(reader.int(tag, kind)?)),
                2 => height = Some(reader.long(tag, kind)?.cast_unsigned()),
                _ => reader.skip(tag, kind)?,
            }
            Ok(())
        })?;
        Ok(Self {
            role: role.ok_or(TarsError::Missing("role"))?,
            height: height.ok_or(TarsError::Missing("height"))?,
        })
    }
}
