//! Takes fields from the front of a packet, as slices of it.

use bytes::{Buf, Bytes};

use super::MeshError;

/// The bytes of a packet that are not read yet.
pub(super) struct Cursor(pub(super) Bytes);

impl Cursor {
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
