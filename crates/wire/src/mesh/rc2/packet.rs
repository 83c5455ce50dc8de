//! The 16-byte header (`P2PMessageRC2`) and the reader of a stream of such packets.

use bytes::{BufMut, Bytes, BytesMut};

use crate::mesh::compress::{COMPRESS_ABOVE, MAX_UNPACKED, compress_snappy, decompress_snappy};
use crate::mesh::cursor::{Cursor, claimed_length};
use crate::mesh::packet::MAX_PACKET;
use crate::mesh::{EncodeError, MeshError};

/// Bytes of the header.
pub const RC2_HEADER: usize = 16;
/// Largest packet that is read or written, bytes, header included. FISCO 2.x allows 100 MiB; topics
/// and AMOP messages stay far below what we allow.
pub const MAX_RC2_PACKET: usize = MAX_PACKET;
/// Bit of `version`: the payload is a raw snappy block.
pub const COMPRESSED: u16 = 0x8000;

/// Modules of 2.x (`libethcore/Protocol.h`), the lower half of a [`ProtocolId`].
pub mod module {
    /// AMOP between nodes; group 0.
    pub const AMOP: u16 = 1;
    /// Topic lists, and the heartbeat; group 0.
    pub const TOPIC: u16 = 2;
    /// PBFT consensus.
    pub const PBFT: u16 = 8;
    /// Block sync.
    pub const BLOCK_SYNC: u16 = 9;
    /// Transaction pool.
    pub const TX_POOL: u16 = 10;
    /// Raft consensus.
    pub const RAFT: u16 = 11;
}

/// Group and module of a packet, and whether it answers: `group << 16 | module`, and the negative of
/// it in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolId(pub i32);

impl ProtocolId {
    /// AMOP between nodes.
    pub const AMOP: Self = Self(module::AMOP as i32);
    /// Topic lists, and the heartbeat.
    pub const TOPIC: Self = Self(module::TOPIC as i32);

    /// The ID of requests to a module of a group.
    ///
    /// # Errors
    /// When the group is above 32,767 (the number would be negative), or both are 0 (which would be
    /// its own negative).
    pub const fn new(group: u16, module: u16) -> Result<Self, EncodeError> {
        let number = (group as i32) << 16 | module as i32;
        if number <= 0 {
            return Err(EncodeError::Invalid("no 2.x protocol ID has this group and module"));
        }
        Ok(Self(number))
    }

    /// Whether a packet with it is an answer: zero or negative.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.0 <= 0
    }

    /// The ID of the answers to requests with this one, and the other way round.
    #[must_use]
    pub const fn opposite(self) -> Self {
        Self(self.0.wrapping_neg())
    }

    /// The group, of a request or an answer.
    #[must_use]
    pub const fn group(self) -> u16 {
        (self.0.unsigned_abs() >> 16) as u16
    }

    /// The module, of a request or an answer.
    #[must_use]
    pub const fn module(self) -> u16 {
        (self.0.unsigned_abs() & 0xffff) as u16
    }
}

/// One 2.x packet. The payload is a slice of the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rc2Packet {
    /// Bit [`COMPRESSED`]; the others are 0, and kept when they are not.
    pub version: u16,
    /// Group, module, and whether it is an answer.
    pub protocol: ProtocolId,
    /// What it is, within the module.
    pub packet_type: u16,
    /// Pairs an answer with its request; 0 in heartbeats.
    pub seq: u32,
    /// What it says.
    pub payload: Bytes,
}

impl Rc2Packet {
    /// A packet, not packed.
    #[must_use]
    pub const fn new(protocol: ProtocolId, packet_type: u16, seq: u32, payload: Bytes) -> Self {
        Self { version: 0, protocol, packet_type, seq, payload }
    }

    /// Whether it answers a request.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.protocol.is_response()
    }

    /// Bytes of the whole packet on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        RC2_HEADER + self.payload.len()
    }

    /// Writes the header; the payload can be sent from where it is.
    ///
    /// # Errors
    /// When the whole packet is larger than [`MAX_RC2_PACKET`].
    pub fn encode_head(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head_of(self.payload.len(), out)
    }

    /// Writes the header for a payload of so many bytes that comes in pieces.
    pub(crate) fn encode_head_of(
        &self,
        payload: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let size = RC2_HEADER + payload;
        let length = u32::try_from(size).ok().filter(|_| size <= MAX_RC2_PACKET);
        let too_large = EncodeError::TooLarge { what: "packet", size, limit: MAX_RC2_PACKET };
        out.put_u32(length.ok_or(too_large)?);
        out.put_u16(self.version);
        out.put_i32(self.protocol.0);
        out.put_u16(self.packet_type);
        out.put_u32(self.seq);
        Ok(())
    }

    /// Writes the whole packet behind what `out` holds.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head(out)?;
        out.put_slice(&self.payload);
        Ok(())
    }

    /// Reads exactly one packet. Its payload becomes a slice of `frame`.
    ///
    /// # Errors
    /// When `frame` is not one whole packet.
    pub fn decode(frame: Bytes) -> Result<Self, MeshError> {
        let mut cursor = Cursor::of_packet(frame)?;
        Ok(Self {
            version: cursor.u16("header")?,
            protocol: ProtocolId(cursor.i32("header")?),
            packet_type: cursor.u16("header")?,
            seq: cursor.u32("header")?,
            payload: cursor.0,
        })
    }

    /// Packs the payload if it is above [`COMPRESS_ABOVE`] bytes, not packed yet and becomes
    /// smaller. Only for peers known to have compression on: others do not unpack.
    ///
    /// # Errors
    /// As [`compress_snappy`].
    pub fn pack(&mut self) -> Result<(), EncodeError> {
        if self.version & COMPRESSED != 0 || self.payload.len() <= COMPRESS_ABOVE {
            return Ok(());
        }
        let smaller = compress_snappy(&self.payload)?;
        if smaller.len() < self.payload.len() {
            self.payload = smaller;
            self.version |= COMPRESSED;
        }
        Ok(())
    }

    /// Unpacks the payload if it is packed, and clears the bit.
    ///
    /// # Errors
    /// As [`decompress_snappy`]; the packet is then as it was.
    pub fn unpack(&mut self) -> Result<(), MeshError> {
        if self.version & COMPRESSED != 0 {
            self.payload = decompress_snappy(&self.payload, MAX_UNPACKED)?;
            self.version &= !COMPRESSED;
        }
        Ok(())
    }
}

/// Cuts a stream into 2.x packets; as [`PacketReader`](crate::mesh::PacketReader).
#[derive(Debug, Clone, Copy)]
pub struct Rc2Reader {
    limit: usize,
}

impl Default for Rc2Reader {
    fn default() -> Self {
        Self { limit: MAX_RC2_PACKET }
    }
}

impl Rc2Reader {
    /// A reader that refuses packets above `limit` bytes, header included. More than
    /// [`MAX_RC2_PACKET`] is never allowed.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { limit: limit.min(MAX_RC2_PACKET) }
    }

    /// Takes the next packet from the front of `input`; `None` when it is not complete yet. Nothing
    /// is copied.
    ///
    /// # Errors
    /// When the length is impossible, as soon as it is there. The stream is of no use after that.
    pub fn read(&self, input: &mut BytesMut) -> Result<Option<Rc2Packet>, MeshError> {
        match self.length(input)? {
            Some(length) if input.len() >= length => {
                Rc2Packet::decode(input.split_to(length).freeze()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Bytes of the packet that `input` begins with, as its header claims; `None` when the length
    /// is not there yet.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn length(&self, input: &[u8]) -> Result<Option<usize>, MeshError> {
        let Some(length) = claimed_length(input, self.limit)? else { return Ok(None) };
        if length < RC2_HEADER {
            return Err(MeshError::LengthBelowHeader { length, header: RC2_HEADER });
        }
        Ok(Some(length))
    }
}
