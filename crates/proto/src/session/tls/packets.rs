//! Packets in the plaintext of a TLS session, and the messages that they are.
//!
//! A packet that lies in one record is a slice of the buffer it was read into. A longer one is put
//! together in memory of its own, into which its records are opened directly.

use bytes::{BufMut, Bytes, BytesMut};
use chainmesh_wire::mesh::rc2::Rc2Reader;
use chainmesh_wire::mesh::{HEADER, MAX_PACKET, MeshError, PacketReader, PacketType};

use crate::module::PeerKind;
use crate::session::{MAX_UNPACKED, Message};

/// Type of the packets that carry the base protocol and modules between our own nodes: V0, with the
/// message's code in the `seq`. FISCO gives out types up to 0xd; a node of it that got one would
/// ignore it.
pub const MODULE_PACKET: u16 = 0xe0;
/// The code of a packet that is not for this node's modules, but for the mesh: the payload is all
/// of the packet. Above every code that a `seq` can hold.
pub const RAW_PACKET: u64 = 1 << 32;
/// The heartbeat packet, the same in all versions (`fisco-wire` section 9).
pub(super) const HEARTBEAT: [u8; HEADER] = [0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/// Memory that is taken for a packet because its header says that it is so long: more comes with
/// its bytes. The peer is known by its certificate by then.
const TRUSTED_LENGTH: usize = 1024 * 1024;
/// Bytes in which a packet says how long it is, of which version it is, and of which type.
const START: usize = 8;

/// The header of a packet that carries a message of `length` bytes.
pub(super) fn module_header(code: u64, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let mut place = header.as_mut_slice();
    place.put_u32(u32::try_from(HEADER + length).unwrap_or(u32::MAX));
    place.put_u16(0);
    place.put_u16(MODULE_PACKET);
    place.put_u32(u32::try_from(code).unwrap_or(u32::MAX));
    place.put_u16(0);
    header
}

/// Cuts the plaintext into packets.
pub(super) struct Packets {
    kind: PeerKind,
    /// Plaintext of one record that is not used up.
    plain: BytesMut,
    /// A packet that came in part, and how long it will be (0: not known yet).
    parts: BytesMut,
    need: usize,
}

impl Packets {
    pub(super) fn new(kind: PeerKind) -> Self {
        Self { kind, plain: BytesMut::new(), parts: BytesMut::new(), need: 0 }
    }

    /// The next message, if a packet is there whole.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Message>, MeshError> {
        loop {
            let packet =
                if self.parts.is_empty() { self.cut(limit)? } else { self.complete(limit)? };
            let Some(packet) = packet else { return Ok(None) };
            if let Some(message) = self.message(packet) {
                return Ok(Some(message));
            }
        }
    }

    /// A packet that lies in the plaintext whole. A part of one is moved away.
    fn cut(&mut self, limit: usize) -> Result<Option<Bytes>, MeshError> {
        if self.plain.is_empty() {
            return Ok(None);
        }
        match self.length(&self.plain, limit)? {
            Some(length) if self.plain.len() >= length => {
                let packet = self.plain.split_to(length).freeze();
                if self.plain.is_empty() {
                    self.plain = BytesMut::new();
                }
                return Ok(Some(packet));
            }
            Some(length) if self.plain.len() >= START => {
                self.need = length;
                self.parts.reserve(length.min(TRUSTED_LENGTH));
            }
            _ => {}
        }
        self.parts.extend_from_slice(&self.plain);
        self.plain = BytesMut::new();
        Ok(None)
    }

    /// The packet that came in parts, when its last part is there.
    fn complete(&mut self, limit: usize) -> Result<Option<Bytes>, MeshError> {
        if self.need == 0 {
            self.move_parts(START);
            if self.parts.len() < START {
                return Ok(None);
            }
            self.need = self.length(&self.parts, limit)?.unwrap_or_default();
            self.parts.reserve(self.need.min(TRUSTED_LENGTH));
        }
        if self.parts.len() > self.need {
            self.plain = self.parts.split_off(self.need);
        }
        self.move_parts(self.need);
        if self.parts.len() < self.need {
            return Ok(None);
        }
        self.need = 0;
        Ok(Some(core::mem::take(&mut self.parts).freeze()))
    }

    /// Fills `parts` up to `length` from the plaintext.
    fn move_parts(&mut self, length: usize) {
        let missing = length.saturating_sub(self.parts.len());
        let now = self.plain.split_to(missing.min(self.plain.len()));
        self.parts.extend_from_slice(&now);
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
    }

    fn length(&self, start: &[u8], limit: usize) -> Result<Option<usize>, MeshError> {
        // Before Hello only the base protocol's small messages come, after it everything may.
        let limit = if limit >= MAX_UNPACKED { MAX_PACKET } else { limit + HEADER };
        match self.kind {
            PeerKind::Fisco2 => Rc2Reader::with_limit(limit).length(start),
            PeerKind::Own | PeerKind::Fisco3 => PacketReader::with_limit(limit).length(start),
        }
    }

    /// What a packet says; `None` for the heartbeat.
    fn message(&self, mut packet: Bytes) -> Option<Message> {
        let raw = |payload| Some(Message { code: RAW_PACKET, payload });
        let start = packet.first_chunk::<12>().copied();
        let (PeerKind::Own | PeerKind::Fisco3, Some([.., v1, v0, t1, t0, s3, s2, s1, s0])) =
            (self.kind, start)
        else {
            return raw(packet);
        };
        let (version, kind) = (u16::from_be_bytes([v1, v0]), u16::from_be_bytes([t1, t0]));
        if kind == PacketType::Heartbeat.number() {
            return None;
        }
        if version == 0 && kind == MODULE_PACKET && self.kind == PeerKind::Own {
            let payload = packet.split_off(HEADER);
            return Some(Message { code: u32::from_be_bytes([s3, s2, s1, s0]).into(), payload });
        }
        raw(packet)
    }

    /// Where a record that opens to at most `most` bytes can be opened into: a packet of which it
    /// is a part.
    pub(super) fn place_for(&mut self, most: usize) -> Option<&mut BytesMut> {
        let missing = self.need.checked_sub(self.parts.len()).filter(|missing| *missing > 0)?;
        // TLS 1.3 hides the content's type in the plaintext: one byte more.
        (self.plain.is_empty() && most <= missing + 1).then_some(&mut self.parts)
    }

    /// Takes the plaintext of a record.
    pub(super) fn take(&mut self, plain: BytesMut) {
        debug_assert!(self.plain.is_empty(), "a record is opened when the last one is used up");
        // Even an empty part of it would keep the buffer that was read into.
        if !plain.is_empty() {
            self.plain = plain;
        }
    }

    /// Bytes that a packet lacks.
    pub(super) fn missing(&self) -> usize {
        self.need.saturating_sub(self.parts.len())
    }
}
