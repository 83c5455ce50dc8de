//! What a message of an SDK is, and what became of it.

use core::fmt;

use crate::mesh::ErrorCode;

/// What a message is (`MessageType` of FISCO 3.x). Types that are not known are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WsType {
    /// 0: answers to RPC and failures, which carry no type of their own: the seq says to what.
    Untyped,
    /// 0x100: the versions an SDK speaks, and the answer.
    Handshake,
    /// 0x101: there is a new block.
    BlockNotify,
    /// 0x102: JSON-RPC 2.0; the answer has type 0.
    RpcRequest,
    /// 0x103: something about a group has changed.
    GroupNotify,
    /// 0x110: all topics an SDK follows; not answered.
    AmopSubTopic,
    /// 0x111: a message to one subscriber of a topic.
    AmopRequest,
    /// 0x112: a message to all subscribers of a topic; not answered.
    AmopBroadcast,
    /// 0x113: a subscriber's answer.
    AmopResponse,
    /// 0x120: an SDK wants events.
    EventSubscribe,
    /// 0x121: it wants them no more.
    EventUnsubscribe,
    /// 0x122: there are events.
    EventLogPush,
    /// Any other number.
    Unknown(u16),
}

impl WsType {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Untyped => 0,
            Self::Handshake => 0x100,
            Self::BlockNotify => 0x101,
            Self::RpcRequest => 0x102,
            Self::GroupNotify => 0x103,
            Self::AmopSubTopic => 0x110,
            Self::AmopRequest => 0x111,
            Self::AmopBroadcast => 0x112,
            Self::AmopResponse => 0x113,
            Self::EventSubscribe => 0x120,
            Self::EventUnsubscribe => 0x121,
            Self::EventLogPush => 0x122,
            Self::Unknown(number) => number,
        }
    }

    /// The type with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Untyped,
            0x100 => Self::Handshake,
            0x101 => Self::BlockNotify,
            0x102 => Self::RpcRequest,
            0x103 => Self::GroupNotify,
            0x110 => Self::AmopSubTopic,
            0x111 => Self::AmopRequest,
            0x112 => Self::AmopBroadcast,
            0x113 => Self::AmopResponse,
            0x120 => Self::EventSubscribe,
            0x121 => Self::EventUnsubscribe,
            0x122 => Self::EventLogPush,
            _ => Self::Unknown(number),
        }
    }
}

/// What became of a request: 0, a code of FISCO's `CommonError.h`, or a negative one of its
/// `WsError.h`. Codes that are not known are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WsStatus(pub i16);

impl WsStatus {
    /// Answered.
    pub const SUCCESS: Self = Self(0);
    /// The gateway does not work, or AMOP is switched off.
    pub const UNAVAILABLE: Self = Self(-1);
    /// No answer in time.
    pub const COMMON_TIMEOUT: Self = Self(1000);
    /// No node follows the topic.
    pub const NOT_FOUND_PEER_BY_TOPIC: Self = Self(3001);
    /// The node that should have a subscriber has none.
    pub const NOT_FOUND_CLIENT_BY_TOPIC: Self = Self(3002);
    /// No node with the topic could be reached.
    pub const AMOP_SEND_FAILED: Self = Self(3003);
    /// A connection could not be accepted.
    pub const ACCEPT: Self = Self(-4000);
    /// Reading failed.
    pub const READ: Self = Self(-4001);
    /// Writing failed.
    pub const WRITE: Self = Self(-4002);
    /// A ping failed.
    pub const PING: Self = Self(-4003);
    /// A pong failed.
    pub const PONG: Self = Self(-4004);
    /// What came is no message.
    pub const PACKET: Self = Self(-4005);
    /// The subscriber's session has ended.
    pub const SESSION_DISCONNECT: Self = Self(-4006);
    /// The user has closed the session.
    pub const USER_DISCONNECT: Self = Self(-4007);
    /// The subscriber did not answer in 30 s.
    pub const TIMEOUT: Self = Self(-4008);
    /// There is no connection.
    pub const NO_ACTIVE_CONNECTIONS: Self = Self(-4009);
    /// There is no such endpoint.
    pub const ENDPOINT_NOT_EXIST: Self = Self(-4010);
    /// The message is too large.
    pub const MESSAGE_OVERFLOW: Self = Self(-4011);
    /// Something else.
    pub const UNDEFINED_EXCEPTION: Self = Self(-4012);
    /// The message cannot be written.
    pub const MESSAGE_ENCODE: Self = Self(-4013);

    /// FISCO's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ACCEPT => "AcceptError",
            Self::READ => "ReadError",
            Self::WRITE => "WriteError",
            Self::PING => "PingError",
            Self::PONG => "PongError",
            Self::PACKET => "PacketError",
            Self::SESSION_DISCONNECT => "SessionDisconnect",
            Self::USER_DISCONNECT => "UserDisconnect",
            Self::TIMEOUT => "TimeOut",
            Self::NO_ACTIVE_CONNECTIONS => "NoActiveCons",
            Self::ENDPOINT_NOT_EXIST => "EndPointNotExist",
            Self::MESSAGE_OVERFLOW => "MessageOverflow",
            Self::UNDEFINED_EXCEPTION => "UndefinedException",
            Self::MESSAGE_ENCODE => "MessageEncodeError",
            Self::UNAVAILABLE => "unavailable",
            Self(code) => ErrorCode(code as i32).name(),
        }
    }
}

impl From<ErrorCode> for WsStatus {
    /// The low 16 bits, as FISCO does.
    fn from(code: ErrorCode) -> Self {
        Self(code.0 as i16)
    }
}

impl fmt::Display for WsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
