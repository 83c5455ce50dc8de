//! Takes fields from the front of a packet, as slices of it.

use bytes::{Buf, Bytes};

use super::MeshError;
use super::packet::MAX_PACKET;

/// The bytes of a packet that are not read yet.
pub(super) struct Cursor(pub(super) Bytes);

/// The length that a packet of any form begins with; `None` when it is not there yet.
///
/// # Errors
/// When it is above `limit`.
pub(super) fn claimed_length(input: &[u8], limit: usize) -> Result<Option<usize>, MeshError> {
    let Some(length) = input.first_chunk() else { return Ok(None) };
    let size = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if size > limit {
        return Err(MeshError::TooLarge { what: "packet", size, limit });
    }
    Ok(Some(size))
}

impl Cursor {
    /// What follows the length of `frame`, which must be that of all of it.
    pub(super) fn of_packet(frame: Bytes) -> Result<Self, MeshError> {
        let given = frame.len();
        let mut cursor = Self(frame);
        let length = usize::try_from(cursor.u32("header")?).unwrap_or(usize::MAX);
        if length != given {
            return Err(MeshError::LengthMismatch { length, given });
        }
        if length > MAX_PACKET {
            return Err(MeshError::TooLarge { what: "packet", size: length, limit: MAX_PACKET });
        }
        Ok(cursor)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, MeshError> {
        self.0.try_get_u8().map_err(|_| MeshError::Truncated(what))
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, MeshError> {
        self.0.try_get_u16().map_err(|_| MeshError::Truncated(what))
    }

    pub(super) fn i16(&mut self, what: &'static str) -> Result<i16, MeshError> {
        self.0.try_get_i16().map_err(|_| MeshError::Truncated(what))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, MeshError> {
        self.0.try_get_u32().map_err(|_| MeshError::Truncated(what))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, MeshError> {
        self.0.try_get_i32().map_err(|_| MeshError::Truncated(what))
    }

    pub(super) fn take(&mut self, count: usize, what: &'static str) -> Result<Bytes, MeshError> {
        if count > self.0.len() {
            return Err(MeshError::Truncated(what));
        }
        Ok(self.0.split_to(count))
    }
}
