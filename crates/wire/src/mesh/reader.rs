//! Cuts a stream of bytes into packets.

use bytes::BytesMut;

use super::cursor::claimed_length;
use super::packet::{HEADER, MAX_PACKET, ROUTED_HEADER};
use super::{MeshError, Packet, Version};

/// Cuts a stream into 3.x packets. It holds no bytes itself: give it the buffer that is read into.
///
/// It takes no memory by a length that a peer claims, and the reader of the socket should not
/// either: let the buffer grow with what really comes.
#[derive(Debug, Clone, Copy)]
pub struct PacketReader {
    limit: usize,
}

impl Default for PacketReader {
    fn default() -> Self {
        Self { limit: MAX_PACKET }
    }
}

impl PacketReader {
    /// A reader that refuses packets above `limit` bytes (`p2p.allow_max_msg_size` of FISCO), header
    /// included. More than [`MAX_PACKET`] is never allowed.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { limit: limit.min(MAX_PACKET) }
    }

    /// Takes the next packet from the front of `input`; `None` when it is not complete yet. The
    /// packet is a slice of the buffer: nothing is copied.
    ///
    /// # Errors
    /// When what is there can be no packet. Length and version are checked as soon as their bytes
    /// are there. The stream is of no use after an error.
    pub fn read(&self, input: &mut BytesMut) -> Result<Option<Packet>, MeshError> {
        match self.length(input)? {
            Some(length) if input.len() >= length => {
                Packet::decode(input.split_to(length).freeze()).map(Some)
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
        let mut header = HEADER;
        if let Some([.., high, low]) = input.first_chunk::<6>() {
            let version = Version::from_number(u16::from_be_bytes([*high, *low]))?;
            header = if version.has_route() { ROUTED_HEADER } else { HEADER };
        }
        if length < header {
            return Err(MeshError::LengthBelowHeader { length, header });
        }
        Ok(Some(length))
    }
}
