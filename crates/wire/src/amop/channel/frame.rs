//! The frame of the channel protocol, 42 bytes of header and a body, and the reader of a stream.

use bytes::{BufMut, Bytes, BytesMut};

use super::{FrameType, ResultCode, Seq};
use crate::amop::AmopError;
use crate::amop::cursor::Cursor;
use crate::mesh::EncodeError;

/// Bytes of the header.
pub const CHANNEL_HEADER: usize = 42;
/// Largest frame that FISCO's nodes read, bytes, header included; nobody may allow more.
pub const MAX_FRAME: usize = 100 * 1024 * 1024;
/// Largest frame that a reader takes unless told otherwise, bytes, header included: what fits into a
/// packet between nodes ([`MAX_PACKET`](crate::mesh::MAX_PACKET)) anyway.
pub const DEFAULT_FRAME_LIMIT: usize = crate::mesh::MAX_PACKET;

/// One frame. The data is a slice of the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub frame_type: FrameType,
    /// Pairs an answer with its request.
    pub seq: Seq,
    /// What became of the request, in an answer.
    pub result: ResultCode,
    /// What it says.
    pub data: Bytes,
}

impl Frame {
    /// A frame with result 0.
    #[must_use]
    pub const fn new(frame_type: FrameType, seq: Seq, data: Bytes) -> Self {
        Self { frame_type, seq, result: ResultCode::SUCCESS, data }
    }

    /// An answer of this type to this frame: same seq, result 0.
    #[must_use]
    pub const fn answer(&self, frame_type: FrameType, data: Bytes) -> Self {
        Self::new(frame_type, self.seq, data)
    }

    /// The [`FrameType::AmopResponse`] that says what went wrong with this frame. FISCO leaves the
    /// data empty, and gives back the request's with
    /// [`NO_AVAILABLE_SESSION`](ResultCode::NO_AVAILABLE_SESSION).
    #[must_use]
    pub fn failure(&self, result: ResultCode) -> Self {
        let data = match result {
            ResultCode::NO_AVAILABLE_SESSION => self.data.clone(),
            _ => Bytes::new(),
        };
        Self { result, ..self.answer(FrameType::AmopResponse, data) }
    }

    /// Bytes of the whole frame on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        CHANNEL_HEADER + self.data.len()
    }

    /// Writes the header behind what `out` holds; the data can be sent from where it is.
    ///
    /// # Errors
    /// When the whole frame is larger than [`MAX_FRAME`]; `out` is then as it was.
    pub fn encode_head(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head_of(self.data.len(), out)
    }

    /// Writes the header for data of so many bytes that comes in pieces.
    pub(super) fn encode_head_of(
        &self,
        data: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let size = CHANNEL_HEADER + data;
        let length = u32::try_from(size).ok().filter(|_| size <= MAX_FRAME);
        let too_large = EncodeError::TooLarge { what: "frame", size, limit: MAX_FRAME };
        out.put_u32(length.ok_or(too_large)?);
        out.put_u16(self.frame_type.number());
        out.put_slice(&self.seq.0);
        out.put_i32(self.result.0);
        Ok(())
    }

    /// Writes the whole frame behind what `out` holds.
    ///
    /// Towards an SDK, let a TLS record hold bytes of one frame only: those for Go, Python and
    /// Node.js read at most one frame from a record, and lose or garble a second.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_head(out)?;
        out.put_slice(&self.data);
        Ok(())
    }

    /// The header in a buffer of its own and the data as it is.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn to_parts(&self) -> Result<[Bytes; 2], EncodeError> {
        let mut head = BytesMut::with_capacity(CHANNEL_HEADER);
        self.encode_head(&mut head)?;
        Ok([head.freeze(), self.data.clone()])
    }

    /// Reads exactly one frame. Its data becomes a slice of `bytes`.
    ///
    /// # Errors
    /// When `bytes` are not one whole frame.
    pub fn decode(bytes: Bytes) -> Result<Self, AmopError> {
        let given = bytes.len();
        let mut cursor = Cursor(bytes);
        let length = usize::try_from(cursor.u32("header")?).unwrap_or(usize::MAX);
        check(length, MAX_FRAME)?;
        if length != given {
            return Err(AmopError::LengthMismatch { length, given });
        }
        Ok(Self {
            frame_type: FrameType::from_number(cursor.u16("header")?),
            seq: Seq(cursor.array("header")?),
            result: ResultCode(cursor.i32("header")?),
            data: cursor.0,
        })
    }
}

fn check(length: usize, limit: usize) -> Result<(), AmopError> {
    if length > limit {
        return Err(AmopError::TooLarge { what: "frame", size: length, limit });
    }
    if length < CHANNEL_HEADER {
        return Err(AmopError::LengthBelowHeader { length, header: CHANNEL_HEADER });
    }
    Ok(())
}

/// Cuts a stream into frames. It holds no bytes itself: give it the buffer that is read into, and let
/// that grow with what really comes, not with what a header claims.
#[derive(Debug, Clone, Copy)]
pub struct FrameReader {
    limit: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self { limit: DEFAULT_FRAME_LIMIT }
    }
}

impl FrameReader {
    /// A reader that refuses frames above `limit` bytes, header included. More than [`MAX_FRAME`] is
    /// never allowed.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { limit: limit.min(MAX_FRAME) }
    }

    /// Takes the next frame from the front of `input`; `None` when it is not complete yet. The frame
    /// is a slice of the buffer: nothing is copied.
    ///
    /// # Errors
    /// When the length is impossible, as soon as it is there. The stream is of no use after that.
    pub fn read(&self, input: &mut BytesMut) -> Result<Option<Frame>, AmopError> {
        match self.length(input)? {
            Some(length) if input.len() >= length => {
                Frame::decode(input.split_to(length).freeze()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Bytes of the frame that `input` begins with, as its header claims; `None` when the length is
    /// not there yet.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn length(&self, input: &[u8]) -> Result<Option<usize>, AmopError> {
        let Some(length) = input.first_chunk() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        check(length, self.limit).map(|()| Some(length))
    }
}
