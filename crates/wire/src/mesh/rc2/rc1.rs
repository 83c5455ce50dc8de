//! The 12-byte header of 2.0.0-rc1, which a 2.x node also speaks when its `supported_version` is
//! missing. It says less than that of RC2 and is read into, and written from, the same packet.

use bytes::{BufMut, Bytes, BytesMut};

use super::{MAX_RC2_PACKET, ProtocolId, Rc2Packet};
use crate::mesh::cursor::Cursor;
use crate::mesh::{EncodeError, MeshError};

/// Bytes of the header.
pub const RC1_HEADER: usize = 12;

impl Rc2Packet {
    /// Writes the header of RC1; the payload can be sent from where it is.
    ///
    /// # Errors
    /// When the packet is larger than [`MAX_RC2_PACKET`], its payload is packed, or its group is
    /// above 127 or module above 255, which RC1 cannot say.
    pub fn encode_rc1_head(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let (size, limit) = (RC1_HEADER + self.payload.len(), MAX_RC2_PACKET);
        let length = u32::try_from(size).ok().filter(|_| size <= limit);
        let length = length.ok_or(EncodeError::TooLarge { what: "packet", size, limit })?;
        if self.version != 0 {
            return Err(EncodeError::Invalid("RC1 packets have no version and are not packed"));
        }
        let protocol = to_rc1(self.protocol);
        let unknown = EncodeError::Invalid("no RC1 protocol ID has this group and module");
        out.put_u32(length);
        out.put_i16(protocol.ok_or(unknown)?);
        out.put_u16(self.packet_type);
        out.put_u32(self.seq);
        Ok(())
    }

    /// Reads exactly one packet of RC1. Its payload becomes a slice of `frame`.
    ///
    /// # Errors
    /// When `frame` is not one whole packet.
    pub fn decode_rc1(frame: Bytes) -> Result<Self, MeshError> {
        let mut cursor = Cursor::of_packet(frame)?;
        let protocol = from_rc1(cursor.i16("header")?);
        let packet_type = cursor.u16("header")?;
        Ok(Self {
            version: 0,
            protocol,
            packet_type,
            seq: cursor.u32("header")?,
            payload: cursor.0,
        })
    }
}

/// `group << 8 | module`, negative in an answer.
fn to_rc1(protocol: ProtocolId) -> Option<i16> {
    let module = i32::from(u8::try_from(protocol.module()).ok()?);
    let number = i32::from(protocol.group()) << 8 | module;
    i16::try_from(if protocol.0 < 0 { -number } else { number }).ok()
}

fn from_rc1(number: i16) -> ProtocolId {
    let [group, module] = number.unsigned_abs().to_be_bytes();
    let request = ProtocolId(i32::from(group) << 16 | i32::from(module));
    if number < 0 { request.opposite() } else { request }
}
