//! The payload of RouterTableResponse: whom a gateway can reach, and over how many hops.

use bytes::Bytes;

use super::node_id::MAX_NODE_ID;
use super::tars::{Kind, Reader, TarsError, Writer};
use super::{MeshError, P2pId};

/// Most routes in a table that is accepted.
pub const MAX_ROUTES: usize = 16_384;
/// Distance from which a node counts as unreachable.
pub const UNREACHABLE: i32 = 10;

/// The routes of a gateway (`RouterTable.tars`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterTable {
    /// One for each node it knows.
    pub entries: Vec<RouterTableEntry>,
}

/// The way to one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterTableEntry {
    /// Long ID of the node.
    pub destination: P2pId,
    /// Long ID of the neighbour on the way; empty when the node itself is a neighbour.
    pub next_hop: P2pId,
    /// Hops; from [`UNREACHABLE`] on there is no way. As the peer wrote it: may be negative.
    pub distance: i32,
    /// Other forms of `destination`. FISCO writes it since 3.14, and learns the short IDs of nodes
    /// beyond its neighbours only from here: always send it.
    pub info: Option<NodeIdInfo>,
}

/// The forms of a node's ID (`NodeIDInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeIdInfo {
    /// The short ID, 32 raw bytes.
    pub short: P2pId,
    /// The long ID; FISCO never fills it.
    pub long: P2pId,
}

impl RouterTableEntry {
    /// The way to a node by its long ID, with the short one beside it.
    #[must_use]
    pub fn new(destination: P2pId, next_hop: P2pId, distance: i32) -> Self {
        let info = NodeIdInfo { short: destination.to_short(), long: P2pId::EMPTY };
        Self { destination, next_hop, distance, info: Some(info) }
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin_struct(0);
        writer.string(1, self.destination.as_bytes());
        write_id(writer, 2, &self.next_hop);
        writer.integer(3, self.distance.into());
        if let Some(info) = &self.info {
            writer.begin_struct(4);
            write_id(writer, 1, &info.short);
            write_id(writer, 2, &info.long);
            writer.end_struct();
        }
        writer.end_struct();
    }

    fn read(reader: &mut Reader, tag: u8, kind: Kind) -> Result<Self, TarsError> {
        let (mut destination, mut distance) = (None, None);
        let (mut next_hop, mut info) = (P2pId::EMPTY, None);
        reader.structure(tag, kind, |reader, tag, kind| {
            match tag {
                1 => destination = Some(read_id(reader, tag, kind)?),
                2 => next_hop = read_id(reader, tag, kind)?,
                3 => distance = Some(reader.int(tag, kind)?),
                4 => info = Some(NodeIdInfo::read(reader, tag, kind)?),
                _ => reader.skip(tag, kind)?,
            }
            Ok(())
        })?;
        Ok(Self {
            destination: destination.ok_or(TarsError::Missing("dstNode"))?,
            next_hop,
            distance: distance.ok_or(TarsError::Missing("distance"))?,
            info,
        })
    }
}

impl NodeIdInfo {
    fn read(reader: &mut Reader, tag: u8, kind: Kind) -> Result<Self, TarsError> {
        let mut info = Self::default();
        reader.structure(tag, kind, |reader, tag, kind| {
            match tag {
                1 => info.short = read_id(reader, tag, kind)?,
                2 => info.long = read_id(reader, tag, kind)?,
                _ => reader.skip(tag, kind)?,
            }
            Ok(())
        })?;
        Ok(info)
    }
}

impl RouterTable {
    /// Writes the payload of RouterTableResponse.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        if !self.entries.is_empty() {
            writer.begin_list(1, self.entries.len());
            self.entries.iter().for_each(|entry| entry.write(&mut writer));
        }
        writer.finish()
    }

    /// Reads the payload of RouterTableResponse, unpacked.
    ///
    /// # Errors
    /// When it is no such structure or has more than [`MAX_ROUTES`] entries.
    pub fn decode(payload: Bytes) -> Result<Self, MeshError> {
        let mut entries = Vec::new();
        Reader::new(payload)
            .message(|reader, tag, kind| {
                match tag {
                    1 => {
                        entries = reader.list(
                            (tag, kind),
                            "routes",
                            MAX_ROUTES,
                            RouterTableEntry::read,
                        )?;
                    }
                    _ => reader.skip(tag, kind)?,
                }
                Ok(())
            })
            .map_err(|error| MeshError::Malformed { message: "RouterTableResponse", error })?;
        Ok(Self { entries })
    }
}

fn write_id(writer: &mut Writer, tag: u8, id: &P2pId) {
    if !id.is_empty() {
        writer.string(tag, id.as_bytes());
    }
}

fn read_id(reader: &mut Reader, tag: u8, kind: Kind) -> Result<P2pId, TarsError> {
    let bytes = reader.string(tag, kind)?;
    let size = bytes.len();
    P2pId::new(bytes).map_err(|_| TarsError::TooLarge { what: "node ID", size, limit: MAX_NODE_ID })
}
