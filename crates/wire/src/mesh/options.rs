//! The Options block of group messages, and the message of the front service in their payload.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::{EncodeError, MeshError, PacketType};

/// Most destinations of a group message: their number is one byte.
pub const MAX_DESTINATIONS: usize = 255;
/// Longest `uuid` of a [`FrontMessage`], bytes: its length is one byte.
pub const MAX_FRONT_UUID: usize = 255;

/// Number of the module that a group message is for (`ModuleID` in FISCO's `Protocol.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ModuleId(pub u16);

impl ModuleId {
    /// PBFT consensus.
    pub const PBFT: Self = Self(1000);
    /// Raft consensus.
    pub const RAFT: Self = Self(1001);
    /// Block sync.
    pub const BLOCK_SYNC: Self = Self(2000);
    /// Transaction sync.
    pub const TXS_SYNC: Self = Self(2001);
    /// Transactions that consensus asks for.
    pub const CONS_TXS_SYNC: Self = Self(2002);
    /// AMOP.
    pub const AMOP: Self = Self(3000);
    /// Pushed transactions.
    pub const SYNC_PUSH_TRANSACTION: Self = Self(5000);
    /// Fetched transactions.
    pub const SYNC_GET_TRANSACTIONS: Self = Self(5001);
    /// Transactions along a tree.
    pub const TREE_PUSH_TRANSACTION: Self = Self(6000);
}

/// `P2PMessageOptions`: who of a group a message is for. Packets of types 5 and 6 have it.
/// The IDs are slices of the packet they came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupOptions {
    /// ID of the group, such as `group0`. As the peer sent it: escape it before it is shown.
    pub group: Bytes,
    /// ID of the front node that sends: the 64 bytes of its public key, raw. Never empty.
    pub source: Bytes,
    /// IDs of the front nodes it is for, each as long as `source`. At least one in a message to a
    /// node, where FISCO reads the first without looking; none in a broadcast.
    pub destinations: Vec<Bytes>,
    /// The module it is for; 0 from old senders, see [`Packet::module`](super::Packet::module).
    pub module: ModuleId,
}

impl GroupOptions {
    pub(super) fn encoded_len(&self) -> usize {
        7 + self.group.len() + self.source.len() * (1 + self.destinations.len())
    }

    pub(super) fn encode(&self, out: &mut BytesMut, kind: PacketType) -> Result<(), EncodeError> {
        let group = short_length(&self.group, "group ID")?;
        let length = short_length(&self.source, "front node ID")?;
        let count = u8::try_from(self.destinations.len()).map_err(|_| EncodeError::TooMany {
            what: "destinations",
            count: self.destinations.len(),
            limit: MAX_DESTINATIONS,
        })?;
        if length == 0 || self.destinations.iter().any(|id| id.len() != self.source.len()) {
            return Err(EncodeError::Invalid("front node IDs are of one length, and not empty"));
        }
        if kind == PacketType::PeerToPeerMessage && count == 0 {
            return Err(EncodeError::Invalid("a message to a front node names none"));
        }
        out.put_u16(group);
        out.put_slice(&self.group);
        out.put_u16(length);
        out.put_slice(&self.source);
        out.put_u8(count);
        self.destinations.iter().for_each(|id| out.put_slice(id));
        out.put_u16(self.module.0);
        Ok(())
    }

    pub(super) fn decode(cursor: &mut Cursor, kind: PacketType) -> Result<Self, MeshError> {
        let group = cursor.u16("group ID")?;
        let group = cursor.take(usize::from(group), "group ID")?;
        let length = usize::from(cursor.u16("front node ID")?);
        if length == 0 {
            return Err(MeshError::Invalid("the front node IDs have no length"));
        }
        let source = cursor.take(length, "front node ID")?;
        let count = usize::from(cursor.u8("destinations")?);
        if kind == PacketType::PeerToPeerMessage && count == 0 {
            return Err(MeshError::Invalid("a message to a front node names none"));
        }
        let mut all = cursor.take(count * length, "destinations")?;
        let destinations = (0..count).map(|_| all.split_to(length.min(all.len()))).collect();
        let module = ModuleId(cursor.u16("module ID")?);
        Ok(Self { group, source, destinations, module })
    }
}

fn short_length(field: &Bytes, what: &'static str) -> Result<u16, EncodeError> {
    u16::try_from(field.len()).map_err(|_| EncodeError::TooLarge {
        what,
        size: field.len(),
        limit: usize::from(u16::MAX),
    })
}

/// Payload of a group message: what one front service says to another (FISCO's `FrontMessage`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontMessage {
    /// The module it is for.
    pub module: ModuleId,
    /// Names a request: 36 characters of UUID; empty in a broadcast. At most 255 bytes, as the peer
    /// sent them: escape them before they are shown.
    pub uuid: Bytes,
    /// Bit 0: it answers the request with this uuid.
    pub ext: u16,
    /// What the module says.
    pub payload: Bytes,
}

impl FrontMessage {
    /// Bit of `ext` that marks an answer.
    pub const RESPONSE: u16 = 1;

    /// Writes it into one buffer.
    ///
    /// # Errors
    /// When the uuid is longer than [`MAX_FRONT_UUID`].
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let length = u8::try_from(self.uuid.len()).map_err(|_| EncodeError::TooLarge {
            what: "front message uuid",
            size: self.uuid.len(),
            limit: MAX_FRONT_UUID,
        })?;
        let mut out = BytesMut::with_capacity(5 + self.uuid.len() + self.payload.len());
        out.put_u16(self.module.0);
        out.put_u8(length);
        out.put_slice(&self.uuid);
        out.put_u16(self.ext);
        out.put_slice(&self.payload);
        Ok(out.freeze())
    }

    /// Reads the payload of a packet of type 5 or 6, unpacked.
    ///
    /// # Errors
    /// When it ends too early.
    pub fn decode(payload: Bytes) -> Result<Self, MeshError> {
        let mut cursor = Cursor(payload);
        let module = ModuleId(cursor.u16("front message")?);
        let length = cursor.u8("front message")?;
        let uuid = cursor.take(usize::from(length), "front message")?;
        let ext = cursor.u16("front message")?;
        Ok(Self { module, uuid, ext, payload: cursor.0 })
    }
}
