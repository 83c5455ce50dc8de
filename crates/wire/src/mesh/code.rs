//! The codes of FISCO's `CommonError.h`, and how they travel in the answer to a group message.

use core::fmt;

use bytes::Bytes;

use super::MeshError;

/// What became of a message. Unknown codes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// Delivered.
    pub const SUCCESS: Self = Self(0);
    /// No answer in time.
    pub const TIMEOUT: Self = Self(1000);
    /// The sender's gateway knows no such front node.
    pub const NOT_FOUND_FRONT_SERVICE_SEND: Self = Self(1001);
    /// The receiver's gateway has no such front node.
    pub const NOT_FOUND_FRONT_SERVICE_DISPATCH: Self = Self(1002);
    /// The gateway could not send.
    pub const GATEWAY_SEND_FAILED: Self = Self(1003);
    /// Over the limit of bytes.
    pub const GATEWAY_BANDWIDTH_OVERFLOW: Self = Self(1004);
    /// Over the limit of messages.
    pub const GATEWAY_QPS_OVERFLOW: Self = Self(1005);
    /// AMOP: no node follows the topic.
    pub const NOT_FOUND_PEER_BY_TOPIC: Self = Self(3001);
    /// AMOP: the node has no client that follows the topic.
    pub const NOT_FOUND_CLIENT_BY_TOPIC: Self = Self(3002);
    /// AMOP: no node with the topic could be reached.
    pub const AMOP_SEND_FAILED: Self = Self(3003);
    /// AMOP: a message of an unknown type.
    pub const UNSUPPORTED_PACKET_TYPE: Self = Self(3004);

    /// FISCO's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SUCCESS => "SUCCESS",
            Self::TIMEOUT => "TIMEOUT",
            Self::NOT_FOUND_FRONT_SERVICE_SEND => "NotFoundFrontServiceSendMsg",
            Self::NOT_FOUND_FRONT_SERVICE_DISPATCH => "NotFoundFrontServiceDispatchMsg",
            Self::GATEWAY_SEND_FAILED => "GatewaySendMsgFailed",
            Self::GATEWAY_BANDWIDTH_OVERFLOW => "GatewayBandwidthOverFlow",
            Self::GATEWAY_QPS_OVERFLOW => "GatewayQPSOverFlow",
            Self::NOT_FOUND_PEER_BY_TOPIC => "NotFoundPeerByTopicSendMsg",
            Self::NOT_FOUND_CLIENT_BY_TOPIC => "NotFoundClientByTopicDispatchMsg",
            Self::AMOP_SEND_FAILED => "AMOPSendMsgFailed",
            Self::UNSUPPORTED_PACKET_TYPE => "UnSupportedPacketType",
            Self(_) => "unknown code",
        }
    }

    /// The payload of an answer to a PeerToPeerMessage: the code as decimal text.
    #[must_use]
    pub fn to_payload(self) -> Bytes {
        Bytes::from(self.0.to_string())
    }

    /// Reads the payload of an answer to a PeerToPeerMessage.
    ///
    /// # Errors
    /// When it is no decimal number of 32 bits.
    pub fn from_payload(payload: &[u8]) -> Result<Self, MeshError> {
        core::str::from_utf8(payload)
            .ok()
            .filter(|text| !text.starts_with('+'))
            .and_then(|text| text.parse().ok())
            .map(Self)
            .ok_or(MeshError::Invalid("the answer is no decimal code"))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
