//! The fields of a channel header: what a frame is, which one it belongs to, what became of it.

use core::fmt;

/// What a frame is (`ChannelMessageType` of FISCO 2.x). Types that are not known are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameType {
    /// 0x12: JSON-RPC 2.0, and its answer.
    Rpc,
    /// 0x13: sign of life, answered by the node.
    Heartbeat,
    /// 0x14: the versions an SDK speaks, and the answer with one of them. Before it both speak
    /// version 1.
    Handshake,
    /// 0x15: an SDK wants event logs.
    RegisterEventLog,
    /// 0x16: an SDK wants them no more.
    UnregisterEventLog,
    /// 0x30: a message to one subscriber of a topic.
    AmopRequest,
    /// 0x31: what became of a request or a multicast, good or bad.
    AmopResponse,
    /// 0x32: all topics an SDK follows. Must not be answered: some SDKs fail at an answer.
    SubscribeTopics,
    /// 0x35: a message to all subscribers of a topic. The node answers it at once with 0x31.
    AmopMulticast,
    /// 0x37: a node asks a publisher's SDK whether a subscriber may have a private topic.
    VerifyTopic,
    /// 0x38: the SDK's verdict.
    UpdateTopicStatus,
    /// 0x1000: a transaction was executed.
    TransactionNotify,
    /// 0x1001: there is a new block.
    BlockNotify,
    /// 0x1002: there are event logs.
    EventLogPush,
    /// Any other number.
    Unknown(u16),
}

impl FrameType {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Rpc => 0x12,
            Self::Heartbeat => 0x13,
            Self::Handshake => 0x14,
            Self::RegisterEventLog => 0x15,
            Self::UnregisterEventLog => 0x16,
            Self::AmopRequest => 0x30,
            Self::AmopResponse => 0x31,
            Self::SubscribeTopics => 0x32,
            Self::AmopMulticast => 0x35,
            Self::VerifyTopic => 0x37,
            Self::UpdateTopicStatus => 0x38,
            Self::TransactionNotify => 0x1000,
            Self::BlockNotify => 0x1001,
            Self::EventLogPush => 0x1002,
            Self::Unknown(number) => number,
        }
    }

    /// The type with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            0x12 => Self::Rpc,
            0x13 => Self::Heartbeat,
            0x14 => Self::Handshake,
            0x15 => Self::RegisterEventLog,
            0x16 => Self::UnregisterEventLog,
            0x30 => Self::AmopRequest,
            0x31 => Self::AmopResponse,
            0x32 => Self::SubscribeTopics,
            0x35 => Self::AmopMulticast,
            0x37 => Self::VerifyTopic,
            0x38 => Self::UpdateTopicStatus,
            0x1000 => Self::TransactionNotify,
            0x1001 => Self::BlockNotify,
            0x1002 => Self::EventLogPush,
            _ => Self::Unknown(number),
        }
    }
}

/// Pairs an answer with its request, in both directions: 32 bytes, normally a uuid as hex text
/// without dashes. Any bytes; they are compared and sent back as they came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub [u8; Self::LENGTH]);

impl Seq {
    /// Its bytes.
    pub const LENGTH: usize = 32;
    /// What FISCO's node writes into frames that nobody answers: 32 digits 0.
    pub const ZERO: Self = Self([b'0'; Self::LENGTH]);

    /// The hex text of 16 bytes, which should be random.
    #[must_use]
    pub fn from_uuid(uuid: [u8; 16]) -> Self {
        let mut text = [0; Self::LENGTH];
        let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' - 10 + half };
        for (two, byte) in text.as_chunks_mut().0.iter_mut().zip(uuid) {
            *two = [digit(byte >> 4), digit(byte & 15)];
        }
        Self(text)
    }
}

impl fmt::Display for Seq {
    /// Escaped: a stranger chose the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({self})")
    }
}

/// What became of a request (`result` of the header). Codes that are not known are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResultCode(pub i32);

impl ResultCode {
    /// Delivered and answered; also in everything that is no answer.
    pub const SUCCESS: Self = Self(0);
    /// In the SDK only: no node can be reached.
    pub const NODES_UNREACHABLE: Self = Self(99);
    /// No node has a subscriber, or none answered. The body is empty.
    pub const REMOTE_PEER_UNAVAILABLE: Self = Self(100);
    /// The subscriber's node failed in itself. Publishers do not see it in practice.
    pub const REMOTE_CLIENT_PEER_UNAVAILABLE: Self = Self(101);
    /// In the SDK only: no answer in time.
    pub const TIMEOUT: Self = Self(102);
    /// Over the node's limit of bytes. The body is empty.
    pub const REJECT_OVER_BANDWIDTH_LIMIT: Self = Self(103);
    /// The subscriber's node has no session that answers. The body is that of the request.
    pub const NO_AVAILABLE_SESSION: Self = Self(104);
    /// The body has no topic in front. SDKs use it for what they cannot read; we answer with it.
    pub const DECODE_ERROR: Self = Self(105);

    /// What it means, in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SUCCESS => "success",
            Self::NODES_UNREACHABLE => "nodes unreachable",
            Self::REMOTE_PEER_UNAVAILABLE => "remote peer unavailable",
            Self::REMOTE_CLIENT_PEER_UNAVAILABLE => "remote client peer unavailable",
            Self::TIMEOUT => "timeout",
            Self::REJECT_OVER_BANDWIDTH_LIMIT => "over the bandwidth limit",
            Self::NO_AVAILABLE_SESSION => "no available session",
            Self::DECODE_ERROR => "decode error",
            Self(_) => "unknown code",
        }
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
