//! How SDKs of FISCO BCOS 3.x speak with their node: one [`WsMessage`] in each binary WebSocket
//! message.
//!
//! | type | payload |
//! |---|---|
//! | Handshake | [`Handshake`], answered by [`HandshakeReply`] |
//! | AmopSubTopic | [`Subscription`](super::Subscription), as a JSON object |
//! | AmopRequest, AmopBroadcast | [`AmopRequest`](super::AmopRequest) |
//! | AmopResponse | what the subscriber answers, bare |

mod handshake;
mod kind;
mod message;

pub use handshake::{GroupHeight, Handshake, HandshakeReply, MAX_WS_MODULE, WS_VERSIONS};
pub use kind::{WsStatus, WsType};
pub use message::{MAX_WS_MESSAGE, MAX_WS_SEQ, WS_HEADER, WsMessage};
