//! The clear session of the simulator and of tests: `length | msgHash | msg`, nothing hidden.
//!
//! Either side begins by saying its ID, which nobody proves. It is the second kind of session
//! beside RLPx: it shows that nothing above knows which kind it is on.

use alloy_primitives::{B256, keccak256};
use bytes::{Buf, BufMut, BytesMut};
use chainmesh_identity::PeerId;

use super::{Message, SessionError};

/// Length of the ID that either side begins with.
const ID: usize = 64;
/// Length field and hash.
const HEADER: usize = 4 + 32;
/// Bytes of a message's code.
const CODE: usize = 8;
/// Largest message, bytes: the same as RLPx has.
pub(super) const MAX_PAYLOAD: usize = super::rlpx::MAX_PAYLOAD;

/// Says who we are.
pub(super) fn introduce(id: &PeerId, out: &mut BytesMut) {
    out.extend_from_slice(id.as_bytes());
}

/// Reads who the peer says that it is.
pub(super) fn introduced(input: &mut BytesMut) -> Option<PeerId> {
    if input.len() < ID {
        return None;
    }
    PeerId::from_slice(&input.split_to(ID)).ok()
}

/// An open clear session. It has no state: each message stands for itself.
#[derive(Debug, Default)]
pub struct ClearSession;

impl ClearSession {
    pub(super) fn write(code: u64, payload: &[u8], out: &mut BytesMut) {
        let mut message = Vec::with_capacity(CODE + payload.len());
        message.put_u64(code);
        message.put_slice(payload);
        out.reserve(HEADER + message.len());
        out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        out.put_slice(keccak256(&message).as_slice());
        out.put_slice(&message);
    }

    pub(super) fn read(
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Message>, SessionError> {
        let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length < CODE {
            return Err(SessionError::BadCode);
        }
        if length > limit.saturating_add(CODE) {
            return Err(SessionError::MessageTooLarge { size: length, limit });
        }
        if input.len() < HEADER + length {
            return Ok(None);
        }
        let mut frame = input.split_to(HEADER + length).freeze();
        frame.advance(4);
        let hash = B256::from_slice(&frame.split_to(32));
        if keccak256(&frame) != hash {
            return Err(SessionError::BadHash);
        }
        let code = frame.get_u64();
        Ok(Some(Message { code, payload: frame }))
    }
}
