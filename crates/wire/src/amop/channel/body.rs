//! A topic and what is said on it, as 2.x writes it.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CHANNEL_HEADER, Frame, FrameType, Seq};
use crate::amop::AmopError;
use crate::amop::cursor::Cursor;
use crate::mesh::EncodeError;

/// Longest topic of 2.x, bytes: its length and one more are in one byte.
pub const MAX_CHANNEL_TOPIC: usize = 254;

/// The body of requests, multicasts and good answers: one byte with the topic's length **plus one**,
/// the topic, the data. Both are slices of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicBody {
    /// The topic, any bytes: escape them before they are shown. At most [`MAX_CHANNEL_TOPIC`]. Empty
    /// only in the answers to event log requests.
    pub topic: Bytes,
    /// What is said.
    pub data: Bytes,
}

impl TopicBody {
    /// A body.
    #[must_use]
    pub fn new(topic: impl Into<Bytes>, data: Bytes) -> Self {
        Self { topic: topic.into(), data }
    }

    /// All before the data.
    ///
    /// # Errors
    /// When the topic is longer than [`MAX_CHANNEL_TOPIC`].
    pub fn encode_head(&self) -> Result<Bytes, EncodeError> {
        self.head_with_room(0).map(BytesMut::freeze)
    }

    /// The whole body. Copies the data; what comes from one SDK and goes to another needs no
    /// encoding, its frame's data is the body already.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = self.head_with_room(self.data.len())?;
        out.put_slice(&self.data);
        Ok(out.freeze())
    }

    /// A frame with result 0 and this body, as all before the data and the data itself, which is not
    /// copied.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head), and when the frame is larger than
    /// [`MAX_FRAME`](super::MAX_FRAME).
    pub fn to_frame_parts(
        &self,
        frame_type: FrameType,
        seq: Seq,
    ) -> Result<[Bytes; 2], EncodeError> {
        let prefix = self.head_with_room(0)?;
        let mut head = BytesMut::with_capacity(CHANNEL_HEADER + prefix.len());
        let frame = Frame::new(frame_type, seq, Bytes::new());
        frame.encode_head_of(prefix.len() + self.data.len(), &mut head)?;
        head.put_slice(&prefix);
        Ok([head.freeze(), self.data.clone()])
    }

    fn head_with_room(&self, room: usize) -> Result<BytesMut, EncodeError> {
        let (size, limit) = (self.topic.len(), MAX_CHANNEL_TOPIC);
        let too_large = EncodeError::TooLarge { what: "topic", size, limit };
        let prefix = u8::try_from(size + 1).map_err(|_| too_large)?;
        let mut out = BytesMut::with_capacity(1 + size + room);
        out.put_u8(prefix);
        out.put_slice(&self.topic);
        Ok(out)
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// When its first byte is 0, or it ends before the topic does.
    pub fn decode(body: Bytes) -> Result<Self, AmopError> {
        let mut cursor = Cursor(body);
        let length = usize::from(cursor.u8("topic length")?)
            .checked_sub(1)
            .ok_or(AmopError::Invalid("the length of a topic counts its own byte, 0 is none"))?;
        let topic = cursor.take(length, "topic")?;
        Ok(Self { topic, data: cursor.0 })
    }
}
