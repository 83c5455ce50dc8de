//! The channel protocol of FISCO BCOS 2.x: how SDKs speak with their node, over TLS on port 20200.
//!
//! A stream of [`Frame`]s, cut by [`FrameReader`]. What a frame says depends on its [`FrameType`]:
//!
//! | type | body |
//! |---|---|
//! | Rpc | JSON-RPC 2.0, none of this module's business |
//! | Heartbeat | [`Heartbeat`] |
//! | Handshake | [`Handshake`], answered by [`HandshakeReply`] |
//! | SubscribeTopics | [`Subscription`](super::Subscription), as a JSON array |
//! | AmopRequest, AmopResponse, AmopMulticast | [`TopicBody`] |
//! | VerifyTopic, UpdateTopicStatus | [`VerifyTopic`], [`TopicVerdict`] |
//!
//! Between 2.x nodes the same frames travel whole inside packets: [`Carried`].

mod body;
mod carried;
mod frame;
mod kind;
mod private;
mod start;

pub use body::{MAX_CHANNEL_TOPIC, TopicBody};
pub use carried::Carried;
pub use frame::{CHANNEL_HEADER, DEFAULT_FRAME_LIMIT, Frame, FrameReader, MAX_FRAME};
pub use kind::{FrameType, ResultCode, Seq};
pub use private::{
    NEED_VERIFY, PUSH_CHANNEL, TopicVerdict, VERIFY_CHANNEL, VerifyTopic, is_verify_channel_of,
    needs_verification, push_channel_of,
};
pub use start::{ChannelVersion, Handshake, HandshakeReply, Heartbeat};
