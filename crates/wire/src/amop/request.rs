//! A topic and what is said on it: the same bytes between 3.x nodes and between a node and its SDKs.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::message::AMOP_HEADER;
use super::{AmopError, AmopKind, AmopMessage, MAX_TOPIC};
use crate::mesh::EncodeError;

/// Bytes of an [`AmopRequest`] before its topic.
pub const REQUEST_HEADER: usize = 6;

/// What is said on a topic (`AMOPRequest` of FISCO 3.x): data of [`AmopKind::Request`] and of a
/// broadcast, payload of an SDK's requests and broadcasts. Topic and data are slices of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AmopRequest {
    /// 0; what a peer wrote is kept.
    pub version: u32,
    /// The topic, any bytes: escape them before they are shown. At most [`MAX_TOPIC`].
    pub topic: Bytes,
    /// What is said.
    pub data: Bytes,
}

impl AmopRequest {
    /// A request of version 0.
    #[must_use]
    pub fn new(topic: impl Into<Bytes>, data: Bytes) -> Self {
        Self { version: 0, topic: topic.into(), data }
    }

    /// All before the data, so that the data can be sent from where it is.
    ///
    /// # Errors
    /// When the topic is longer than [`MAX_TOPIC`].
    pub fn encode_head(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::with_capacity(self.head_len());
        self.put_head(&mut out)?;
        Ok(out.freeze())
    }

    /// The message of this kind around the request, as the bytes before the data and the data
    /// itself, which is not copied: one payload of packet type 7 for a gather write.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn to_message_parts(&self, kind: AmopKind) -> Result<[Bytes; 2], EncodeError> {
        let mut out = BytesMut::with_capacity(AMOP_HEADER + self.head_len());
        AmopMessage::new(kind, Bytes::new()).put_head(&mut out);
        self.put_head(&mut out)?;
        Ok([out.freeze(), self.data.clone()])
    }

    /// The whole request. Copies the data: for large ones send
    /// [`encode_head`](Self::encode_head) and then the data.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::with_capacity(self.head_len() + self.data.len());
        self.put_head(&mut out)?;
        out.put_slice(&self.data);
        Ok(out.freeze())
    }

    fn head_len(&self) -> usize {
        REQUEST_HEADER + self.topic.len()
    }

    fn put_head(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let size = self.topic.len();
        let too_large = EncodeError::TooLarge { what: "topic", size, limit: MAX_TOPIC };
        let length = u16::try_from(size).map_err(|_| too_large)?;
        out.put_u32(self.version);
        out.put_u16(length);
        out.put_slice(&self.topic);
        Ok(())
    }

    /// Reads a whole request.
    ///
    /// # Errors
    /// When it ends before its topic does.
    pub fn decode(bytes: Bytes) -> Result<Self, AmopError> {
        let mut cursor = Cursor(bytes);
        let version = cursor.u32("header")?;
        let length = usize::from(cursor.u16("header")?);
        let topic = cursor.take(length, "topic")?;
        Ok(Self { version, topic, data: cursor.0 })
    }
}
