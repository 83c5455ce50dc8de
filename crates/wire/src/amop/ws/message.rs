//! The message of an SDK's WebSocket (`WsMessage` of FISCO 3.x).

use bytes::{BufMut, Bytes, BytesMut};

use super::{WsStatus, WsType};
use crate::amop::AmopError;
use crate::amop::cursor::Cursor;
use crate::mesh::EncodeError;

/// Bytes of a message with empty seq and payload.
pub const WS_HEADER: usize = 10;
/// Largest message, bytes, header included: what FISCO's WebSocket reads.
pub const MAX_WS_MESSAGE: usize = 32 * 1024 * 1024;
/// Longest seq that is read or written, bytes. FISCO's are 32 or none; two bytes of length could say
/// more.
pub const MAX_WS_SEQ: usize = 255;

/// One message. Seq and payload are slices of the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsMessage {
    /// 0; what a peer wrote is kept.
    pub version: u16,
    /// What it is.
    pub kind: WsType,
    /// What became of the request, in an answer.
    pub status: WsStatus,
    /// Pairs an answer with its request, whatever the type: 32 hex digits, or empty when no answer is
    /// wanted. Any bytes: escape them before they are shown.
    pub seq: Bytes,
    /// 0; bit 0 would mark an answer, but nobody relies on it.
    pub ext: u16,
    /// What it says.
    pub payload: Bytes,
}

impl WsMessage {
    /// A message with status 0.
    #[must_use]
    pub fn new(kind: WsType, seq: impl Into<Bytes>, payload: Bytes) -> Self {
        let (status, seq) = (WsStatus::SUCCESS, seq.into());
        Self { version: 0, kind, status, seq, ext: 0, payload }
    }

    /// An answer of this type to this message: same seq, status 0.
    #[must_use]
    pub fn answer(&self, kind: WsType, payload: Bytes) -> Self {
        Self::new(kind, self.seq.clone(), payload)
    }

    /// The answer that says what went wrong with this message: no type, same seq, and text.
    #[must_use]
    pub fn failure(&self, status: WsStatus, text: impl Into<Bytes>) -> Self {
        Self { status, ..self.answer(WsType::Untyped, text.into()) }
    }

    /// Bytes of the whole message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        WS_HEADER + self.seq.len() + self.payload.len()
    }

    /// Writes all before the payload behind what `out` holds.
    ///
    /// # Errors
    /// When the seq is longer than [`MAX_WS_SEQ`] or the whole message larger than
    /// [`MAX_WS_MESSAGE`]; `out` is then as it was.
    pub fn encode_head(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let size = self.encoded_len();
        if size > MAX_WS_MESSAGE {
            return Err(EncodeError::TooLarge { what: "message", size, limit: MAX_WS_MESSAGE });
        }
        let (size, limit) = (self.seq.len(), MAX_WS_SEQ);
        let length = u16::try_from(size).ok().filter(|_| size <= limit);
        let length = length.ok_or(EncodeError::TooLarge { what: "seq", size, limit })?;
        out.put_u16(self.version);
        out.put_u16(self.kind.number());
        out.put_i16(self.status.0);
        out.put_u16(length);
        out.put_slice(&self.seq);
        out.put_u16(self.ext);
        Ok(())
    }

    /// Writes the whole message behind what `out` holds.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head(out)?;
        out.put_slice(&self.payload);
        Ok(())
    }

    /// All before the payload in a buffer of its own, and the payload as it is. Both are one WebSocket
    /// message.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn to_parts(&self) -> Result<[Bytes; 2], EncodeError> {
        let mut head = BytesMut::with_capacity(WS_HEADER + self.seq.len());
        self.encode_head(&mut head)?;
        Ok([head.freeze(), self.payload.clone()])
    }

    /// Reads a whole binary WebSocket message, or the payload of a packet of type 8.
    ///
    /// # Errors
    /// When it is too large, its seq is too long, or it ends before its header does.
    pub fn decode(bytes: Bytes) -> Result<Self, AmopError> {
        let (size, limit) = (bytes.len(), MAX_WS_MESSAGE);
        if size > limit {
            return Err(AmopError::TooLarge { what: "message", size, limit });
        }
        let mut cursor = Cursor(bytes);
        let version = cursor.u16("header")?;
        let kind = WsType::from_number(cursor.u16("header")?);
        let status = WsStatus(cursor.i16("header")?);
        let size = usize::from(cursor.u16("header")?);
        if size > MAX_WS_SEQ {
            return Err(AmopError::TooLarge { what: "seq", size, limit: MAX_WS_SEQ });
        }
        let seq = cursor.take(size, "seq")?;
        let ext = cursor.u16("ext")?;
        Ok(Self { version, kind, status, seq, ext, payload: cursor.0 })
    }
}
