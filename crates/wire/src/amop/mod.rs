//! AMOP, messages on topics between applications ("Advanced Messages Onchain Protocol" of FISCO
//! BCOS): between nodes, and between a node and the SDKs of its applications.
//!
//! | what | where |
//! |---|---|
//! | 3.x, node to node, inside packet type 7 | [`AmopMessage`], [`AmopRequest`], [`TopicList`] |
//! | 3.x, SDK to node, in WebSocket messages | [`ws`]; [`AmopRequest`], [`Subscription`] |
//! | 2.x, SDK to node, and whole between nodes | [`channel`]; [`Subscription`] |
//!
//! All fields are slices of the bytes that came. Nothing that is sent has to be copied first: every
//! type gives the bytes before its data by themselves. The wire is described field by field in the
//! book, `docs/src/wire-amop.md`.

pub mod channel;
mod cursor;
mod error;
mod json;
mod message;
mod request;
mod subscription;
mod topics;
pub mod ws;

#[cfg(test)]
mod tests;

pub use error::{AmopError, JsonFault};
pub use message::{AMOP_HEADER, AmopKind, AmopMessage};
pub use request::{AmopRequest, REQUEST_HEADER};
pub use subscription::Subscription;
pub use topics::TopicList;

/// Most topics of one SDK in a list that is read or written; FISCO has no limit.
pub const MAX_TOPICS: usize = 1_024;
/// Most topics of a node, all its SDKs together, in a list that is read or written; FISCO has no
/// limit. The same in 2.x.
pub const MAX_NODE_TOPICS: usize = crate::mesh::rc2::MAX_TOPICS;
/// Longest topic, bytes: what the two bytes of its length in 3.x can say.
pub const MAX_TOPIC: usize = 65_535;
