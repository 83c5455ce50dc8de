//! What 3.x gateways say to each other about topics: the payload of packet type 7.

use bytes::{BufMut, Bytes, BytesMut};

use super::cursor::Cursor;
use super::{AmopError, TopicList};
use crate::mesh::{EncodeError, ErrorCode};

/// Bytes of an [`AmopMessage`] before its data.
pub const AMOP_HEADER: usize = 6;

/// What an [`AmopMessage`] is (`AMOPMessage::Type` of FISCO 3.x).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AmopKind {
    /// 1: number of the sender's topic list, decimal text; every 2 s to all nodes that can be
    /// reached.
    TopicSeq,
    /// 2: asks for the topic list, when its number is another than the one known. No data.
    RequestTopic,
    /// 3: the topic list, as JSON ([`TopicList`]). A packet of its own, without the response bit.
    ResponseTopic,
    /// 4: a request to one subscriber of a topic ([`AmopRequest`](super::AmopRequest)).
    Request,
    /// 5: in a packet with the response bit the failure of a request, `status` says which and the
    /// data is text. In a packet without it a broadcast ([`AmopRequest`](super::AmopRequest)).
    /// Success is no AMOP message but a packet of type 8.
    ResponseOrBroadcast,
    /// Any other number.
    Unknown(u16),
}

impl AmopKind {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::TopicSeq => 1,
            Self::RequestTopic => 2,
            Self::ResponseTopic => 3,
            Self::Request => 4,
            Self::ResponseOrBroadcast => 5,
            Self::Unknown(number) => number,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::TopicSeq,
            2 => Self::RequestTopic,
            3 => Self::ResponseTopic,
            4 => Self::Request,
            5 => Self::ResponseOrBroadcast,
            _ => Self::Unknown(number),
        }
    }
}

/// One AMOP message between 3.x gateways. The data is a slice of the payload it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmopMessage {
    /// 0; what a peer wrote is kept.
    pub version: u16,
    /// What it is.
    pub kind: AmopKind,
    /// 0, or the low 16 bits of an error code (3002: no subscriber here).
    pub status: u16,
    /// What it says, by kind.
    pub data: Bytes,
}

impl AmopMessage {
    /// A message of version 0 and status 0.
    #[must_use]
    pub const fn new(kind: AmopKind, data: Bytes) -> Self {
        Self { version: 0, kind, status: 0, data }
    }

    /// Tells the number of our topic list.
    #[must_use]
    pub fn topic_seq(seq: u32) -> Self {
        Self::new(AmopKind::TopicSeq, seq.to_string().into())
    }

    /// Asks for a topic list.
    #[must_use]
    pub const fn request_topic() -> Self {
        Self::new(AmopKind::RequestTopic, Bytes::new())
    }

    /// Tells our topic list.
    ///
    /// # Errors
    /// As [`TopicList::to_json`].
    pub fn response_topic(topics: &TopicList) -> Result<Self, EncodeError> {
        Ok(Self::new(AmopKind::ResponseTopic, topics.to_json()?))
    }

    /// Answers a request that could not be delivered; goes in a packet of type 7 with the response
    /// bit and the request's seq. Of the code the low 16 bits are sent, as by FISCO.
    #[must_use]
    pub fn failure(code: ErrorCode, text: impl Into<Bytes>) -> Self {
        let status = (code.0 & 0xffff) as u16;
        Self { status, ..Self::new(AmopKind::ResponseOrBroadcast, text.into()) }
    }

    /// The number that a [`AmopKind::TopicSeq`] tells.
    ///
    /// # Errors
    /// When the data is no decimal number of 32 bits: digits only, at most ten.
    pub fn read_topic_seq(&self) -> Result<u32, AmopError> {
        let digits = self.data.len() <= 10 && self.data.iter().all(u8::is_ascii_digit);
        core::str::from_utf8(&self.data)
            .ok()
            .filter(|_| digits)
            .and_then(|text| text.parse().ok())
            .ok_or(AmopError::Invalid("topicSeq is no decimal number of 32 bits"))
    }

    /// All before the data, so that the data can be sent from where it is.
    #[must_use]
    pub fn encode_head(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(AMOP_HEADER);
        self.put_head(&mut out);
        out.freeze()
    }

    pub(super) fn put_head(&self, out: &mut BytesMut) {
        out.put_u16(self.version);
        out.put_u16(self.kind.number());
        out.put_u16(self.status);
    }

    /// The whole message. Copies the data: for large ones send [`encode_head`](Self::encode_head)
    /// and then the data.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(AMOP_HEADER + self.data.len());
        self.put_head(&mut out);
        out.put_slice(&self.data);
        out.freeze()
    }

    /// Reads a whole, unpacked payload of packet type 7. Kinds that are not known are kept.
    ///
    /// # Errors
    /// When it is shorter than the header.
    pub fn decode(payload: Bytes) -> Result<Self, AmopError> {
        let mut cursor = Cursor(payload);
        Ok(Self {
            version: cursor.u16("header")?,
            kind: AmopKind::from_number(cursor.u16("header")?),
            status: cursor.u16("header")?,
            data: cursor.0,
        })
    }
}
