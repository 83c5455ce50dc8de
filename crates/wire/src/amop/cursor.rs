//! Takes fields from the front of a message, as slices of it.

use bytes::{Buf, Bytes};

use super::AmopError;

/// The bytes of a message that are not read yet.
pub(super) struct Cursor(pub(super) Bytes);

impl Cursor {
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, AmopError> {
        self.0.try_get_u8().map_err(|_| AmopError::Truncated(what))
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, AmopError> {
        self.0.try_get_u16().map_err(|_| AmopError::Truncated(what))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, AmopError> {
        self.0.try_get_u32().map_err(|_| AmopError::Truncated(what))
    }

    pub(super) fn i16(&mut self, what: &'static str) -> Result<i16, AmopError> {
        self.0.try_get_i16().map_err(|_| AmopError::Truncated(what))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, AmopError> {
        self.0.try_get_i32().map_err(|_| AmopError::Truncated(what))
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], AmopError> {
        let array = *self.0.first_chunk().ok_or(AmopError::Truncated(what))?;
        self.0.advance(N);
        Ok(array)
    }

    pub(super) fn take(&mut self, count: usize, what: &'static str) -> Result<Bytes, AmopError> {
        if count > self.0.len() {
            return Err(AmopError::Truncated(what));
        }
        Ok(self.0.split_to(count))
    }
}
