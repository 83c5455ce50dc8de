//! A message on a topic, in words that fit both generations, and how it ends.

use bytes::Bytes;
use chainmesh_wire::amop::channel::{Frame, FrameType, ResultCode, Seq, TopicBody};
use chainmesh_wire::amop::ws::{WsMessage, WsStatus, WsType};
use chainmesh_wire::amop::{AmopError, AmopRequest};
use chainmesh_wire::mesh::{EncodeError, ErrorCode};

use super::SdkKind;

/// What is said on a topic. All parts are slices of what came; none is copied on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The publisher's name for it, any bytes: 32 in the channel protocol. Empty where there is
    /// none.
    pub seq: Bytes,
    /// The topic, any bytes: escape them before they are shown.
    pub topic: Bytes,
    /// What is said.
    pub data: Bytes,
    /// Topic and data as 2.x writes them, where the message came so.
    body: Option<Bytes>,
}

impl Message {
    /// A message that did not come in the form of 2.x.
    #[must_use]
    pub const fn new(seq: Bytes, topic: Bytes, data: Bytes) -> Self {
        Self { seq, topic, data, body: None }
    }

    /// The message in a frame of 2.x.
    ///
    /// # Errors
    /// When the frame's body has no topic, or an empty one, in front.
    pub fn of_frame(frame: &Frame) -> Result<Self, AmopError> {
        let TopicBody { topic, data } = TopicBody::decode(frame.data.clone())?;
        if topic.is_empty() {
            return Err(AmopError::Invalid("the topic is empty"));
        }
        let seq = Bytes::copy_from_slice(&frame.seq.0);
        Ok(Self { seq, topic, data, body: Some(frame.data.clone()) })
    }

    /// The message in a payload of 3.x.
    ///
    /// # Errors
    /// When the payload has no topic, or an empty one, in front.
    pub fn of_request(seq: Bytes, payload: Bytes) -> Result<Self, AmopError> {
        let AmopRequest { topic, data, .. } = AmopRequest::decode(payload)?;
        if topic.is_empty() {
            return Err(AmopError::Invalid("the topic is empty"));
        }
        Ok(Self::new(seq, topic, data))
    }

    /// Whether the topic is text. Any bytes are a topic, but no list of ours or of 3.x has one that is
    /// not: a publisher is told that nobody follows it.
    ///
    /// # Errors
    /// [`AmopError::NotText`].
    pub fn topic_is_text(&self) -> Result<(), AmopError> {
        match core::str::from_utf8(&self.topic) {
            Ok(_) => Ok(()),
            Err(_) => Err(AmopError::NotText("topic")),
        }
    }

    /// The same under another seq.
    #[must_use]
    pub fn with_seq(&self, seq: Bytes) -> Self {
        Self { seq, ..self.clone() }
    }

    /// Bytes of topic and data.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.topic.len() + self.data.len()
    }

    /// As 3.x writes it.
    #[must_use]
    pub fn to_request(&self) -> AmopRequest {
        AmopRequest::new(self.topic.clone(), self.data.clone())
    }

    /// The body of 2.x; copied only if the message did not come so.
    ///
    /// # Errors
    /// When the topic is longer than 254 bytes.
    pub fn to_body(&self) -> Result<Bytes, EncodeError> {
        match &self.body {
            Some(body) => Ok(body.clone()),
            None => TopicBody::new(self.topic.clone(), self.data.clone()).encode(),
        }
    }

    /// The frame of 2.x. A seq of another length than 32 bytes is cut, or filled up with `0`.
    ///
    /// # Errors
    /// As [`to_body`](Self::to_body).
    pub fn to_frame(&self, frame_type: FrameType) -> Result<Frame, EncodeError> {
        Ok(Frame::new(frame_type, frame_seq(&self.seq), self.to_body()?))
    }

    /// The same as all before the data and the data, which is not copied: one write.
    ///
    /// # Errors
    /// As [`to_body`](Self::to_body).
    pub fn to_frame_parts(&self, frame_type: FrameType) -> Result<[Bytes; 2], EncodeError> {
        let seq = frame_seq(&self.seq);
        match &self.body {
            Some(body) => Frame::new(frame_type, seq, body.clone()).to_parts(),
            None => {
                let body = TopicBody::new(self.topic.clone(), self.data.clone());
                body.to_frame_parts(frame_type, seq)
            }
        }
    }
}

/// A seq as 2.x has it: cut or filled up with `0` to its 32 bytes.
#[must_use]
pub fn frame_seq(seq: &[u8]) -> Seq {
    let mut fixed = Seq::ZERO;
    for (to, from) in fixed.0.iter_mut().zip(seq) {
        *to = *from;
    }
    fixed
}

/// Why a message did not reach a subscriber, or not that anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmopFailure {
    /// No node has a subscriber: 100, 3001.
    #[error("nobody follows the topic")]
    NoSubscriber,
    /// A node that should have a subscriber has none that answers: 104, 3002.
    #[error("the node that should have a subscriber has none that answers")]
    NoSession,
    /// Whoever should get it cannot be reached: 100, 3003.
    #[error("nobody who follows the topic could be reached")]
    Unreachable,
    /// Nobody answered in time; it may have arrived all the same: 100, -4008.
    #[error("no subscriber answered in time")]
    Silent,
    /// Above a limit of this node or the next: 103, 1004.
    #[error("above the limit of messages or bytes")]
    OverLimit,
    /// The topic is empty or cannot be read: 105, -4005.
    #[error("the message has no topic that can be read")]
    BadTopic,
    /// The subscriber, or its node, answered with a code of its own kind.
    #[error("refused with code {code}")]
    Refused {
        /// Whose code it is.
        kind: SdkKind,
        /// The code, not 0.
        code: i32,
    },
}

impl AmopFailure {
    /// What a channel SDK is told (decision 13: 3001 is 100, 3002 is 104, 3003 and time-outs are
    /// 100).
    #[must_use]
    pub const fn channel_code(self) -> ResultCode {
        match self {
            Self::NoSubscriber | Self::Unreachable | Self::Silent => {
                ResultCode::REMOTE_PEER_UNAVAILABLE
            }
            Self::NoSession => ResultCode::NO_AVAILABLE_SESSION,
            Self::OverLimit => ResultCode::REJECT_OVER_BANDWIDTH_LIMIT,
            Self::BadTopic => ResultCode::DECODE_ERROR,
            Self::Refused { kind: SdkKind::Channel, code } => ResultCode(code),
            Self::Refused { kind: SdkKind::WebSocket, code } => match code {
                3002 => ResultCode::NO_AVAILABLE_SESSION,
                _ => ResultCode::REMOTE_PEER_UNAVAILABLE,
            },
        }
    }

    /// What a WebSocket SDK is told (decision 13: 100 is 3001, 104 is 3002, all else 3003).
    #[must_use]
    pub const fn ws_status(self) -> WsStatus {
        match self {
            Self::NoSubscriber => WsStatus::NOT_FOUND_PEER_BY_TOPIC,
            Self::NoSession => WsStatus::NOT_FOUND_CLIENT_BY_TOPIC,
            Self::Unreachable => WsStatus::AMOP_SEND_FAILED,
            Self::Silent => WsStatus::TIMEOUT,
            Self::OverLimit => WsStatus(ErrorCode::GATEWAY_BANDWIDTH_OVERFLOW.0 as i16),
            Self::BadTopic => WsStatus::PACKET,
            Self::Refused { kind: SdkKind::WebSocket, code } => WsStatus(code as i16),
            Self::Refused { kind: SdkKind::Channel, code } => match ResultCode(code) {
                ResultCode::REMOTE_PEER_UNAVAILABLE => WsStatus::NOT_FOUND_PEER_BY_TOPIC,
                ResultCode::NO_AVAILABLE_SESSION => WsStatus::NOT_FOUND_CLIENT_BY_TOPIC,
                _ => WsStatus::AMOP_SEND_FAILED,
            },
        }
    }

    /// What a channel code says; `None` is success.
    #[must_use]
    pub const fn of_channel(code: ResultCode) -> Option<Self> {
        Some(match code {
            ResultCode::SUCCESS => return None,
            ResultCode::REMOTE_PEER_UNAVAILABLE => Self::NoSubscriber,
            ResultCode::REJECT_OVER_BANDWIDTH_LIMIT => Self::OverLimit,
            ResultCode::NO_AVAILABLE_SESSION => Self::NoSession,
            ResultCode(code) => Self::Refused { kind: SdkKind::Channel, code },
        })
    }

    /// What a WebSocket status says; `None` is success.
    #[must_use]
    pub const fn of_ws(status: WsStatus) -> Option<Self> {
        Some(match status {
            WsStatus::SUCCESS => return None,
            WsStatus::NOT_FOUND_PEER_BY_TOPIC => Self::NoSubscriber,
            WsStatus::NOT_FOUND_CLIENT_BY_TOPIC => Self::NoSession,
            WsStatus::AMOP_SEND_FAILED => Self::Unreachable,
            WsStatus::TIMEOUT => Self::Silent,
            WsStatus(1004) => Self::OverLimit,
            WsStatus(code) => Self::Refused { kind: SdkKind::WebSocket, code: code as i32 },
        })
    }
}

/// Bit of [`WsMessage::ext`] in an answer between our own nodes: the status is a channel code. FISCO's
/// nodes do not look at the field (decision 13).
pub const CHANNEL_STATUS: u16 = 0x4000;

/// The answer of a subscriber as it travels between gateways of 3.x and our own nodes.
#[must_use]
pub(super) fn answer_message(seq: Bytes, result: Result<Bytes, AmopFailure>) -> WsMessage {
    match result {
        Ok(data) => WsMessage::new(WsType::AmopResponse, seq, data),
        Err(AmopFailure::Refused { kind: SdkKind::Channel, code }) => {
            let mut message = WsMessage::new(WsType::AmopResponse, seq, Bytes::new());
            // FISCO's nodes pass the status on to their SDK.
            message.status = WsStatus(i16::try_from(code).unwrap_or(i16::MAX));
            message.ext = CHANNEL_STATUS;
            message
        }
        Err(failure) => {
            let mut message = WsMessage::new(WsType::AmopResponse, seq, Bytes::new());
            message.status = failure.ws_status();
            message
        }
    }
}

/// The same, read.
pub(super) fn result_of_message(message: WsMessage) -> Result<Bytes, AmopFailure> {
    let failure = match message.ext & CHANNEL_STATUS {
        0 => AmopFailure::of_ws(message.status),
        _ => AmopFailure::of_channel(ResultCode(message.status.0.into())),
    };
    failure.map_or(Ok(message.payload), Err)
}
