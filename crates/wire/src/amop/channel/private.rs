//! Private topics of 2.x: the publisher's SDK decides who may subscribe.
//!
//! Names tell what a topic is for, T being the topic that applications speak of:
//!
//! | followed by | topic |
//! |---|---|
//! | the subscriber | `#!$TopicNeedVerify_T`, and `#!$VerifyChannel_#!$TopicNeedVerify_T_` with 32 hex digits |
//! | the publisher | `#!$PushChannel_#!$TopicNeedVerify_T` |

use bytes::Bytes;
use serde::Deserialize;

use super::MAX_CHANNEL_TOPIC;
use crate::amop::AmopError;
use crate::amop::json::{self, Writer};
use crate::mesh::MAX_NODE_ID;

/// Begins a topic that needs a verdict first (`TopicInfo.h` of FISCO 2.x).
pub const NEED_VERIFY: &str = "#!$TopicNeedVerify_";
/// Begins the topic over which one subscriber proves who it is.
pub const VERIFY_CHANNEL: &str = "#!$VerifyChannel_";
/// Begins the topic by which a publisher makes itself known to its node.
pub const PUSH_CHANNEL: &str = "#!$PushChannel_";

/// Whether a topic may be used towards a peer only after the publisher's verdict.
#[must_use]
pub fn needs_verification(topic: &[u8]) -> bool {
    topic.starts_with(NEED_VERIFY.as_bytes())
}

/// The topic that the publisher of a private topic follows. `topic` is the whole name, with
/// [`NEED_VERIFY`] in front.
#[must_use]
pub fn push_channel_of(topic: &str) -> String {
    format!("{PUSH_CHANNEL}{topic}")
}

/// Whether over `channel` a subscriber of the private `topic` (whole name) proves who it is.
#[must_use]
pub fn is_verify_channel_of(channel: &str, topic: &str) -> bool {
    channel
        .strip_prefix(VERIFY_CHANNEL)
        .and_then(|rest| rest.strip_prefix(topic))
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|uuid| uuid.len() == 32 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Body of [`FrameType::VerifyTopic`](super::FrameType::VerifyTopic), without a topic in front: a
/// peer has a subscriber to a private topic; check it. The SDK answers with the same type and seq
/// and no body (Java), or with an [`AmopResponse`](super::FrameType::AmopResponse) (Go); later the
/// [`TopicVerdict`] comes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VerifyTopic {
    /// The peer with the subscriber, as hex text.
    #[serde(rename = "nodeId")]
    pub node_id: String,
    /// The private topic, whole name.
    pub topic: String,
    /// The topic over which the subscriber proves who it is.
    #[serde(rename = "topicForCert")]
    pub topic_for_cert: String,
}

impl VerifyTopic {
    /// The body as FISCO's node writes it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let writer = Writer::default().raw("{\"nodeId\":").string(&self.node_id);
        let writer = writer.raw(",\"topic\":").string(&self.topic);
        writer.raw(",\"topicForCert\":").string(&self.topic_for_cert).raw("}").finish_line()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it is not that JSON, or a topic or the ID is too long to be one.
    pub fn from_json(body: &[u8]) -> Result<Self, AmopError> {
        let read: Self = json::read_object("topic to verify", body)?;
        check("node ID", &read.node_id, MAX_NODE_ID)?;
        check("topic", &read.topic, MAX_CHANNEL_TOPIC)?;
        check("topic", &read.topic_for_cert, MAX_CHANNEL_TOPIC)?;
        Ok(read)
    }
}

/// Body of [`FrameType::UpdateTopicStatus`](super::FrameType::UpdateTopicStatus): whether the
/// subscriber at a peer may have a private topic. Not answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicVerdict {
    /// 0: it may. Anything else: it may not.
    #[serde(rename = "checkResult")]
    pub check_result: i32,
    /// The peer with the subscriber, as hex text.
    #[serde(rename = "nodeId")]
    pub node_id: String,
    /// The private topic, whole name.
    pub topic: String,
}

impl TopicVerdict {
    /// Whether the subscriber may have the topic.
    #[must_use]
    pub const fn is_granted(&self) -> bool {
        self.check_result == 0
    }

    /// The body as SDKs write it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let writer = Writer::default().raw("{\"checkResult\":").number(self.check_result);
        let writer = writer.raw(",\"nodeId\":").string(&self.node_id);
        writer.raw(",\"topic\":").string(&self.topic).raw("}").finish()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it is not that JSON, or the topic or the ID is too long to be one.
    pub fn from_json(body: &[u8]) -> Result<Self, AmopError> {
        let read: Self = json::read_object("topic status", body)?;
        check("node ID", &read.node_id, MAX_NODE_ID)?;
        check("topic", &read.topic, MAX_CHANNEL_TOPIC)?;
        Ok(read)
    }
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<(), AmopError> {
    match text.len() {
        size if size > limit => Err(AmopError::TooLarge { what, size, limit }),
        _ => Ok(()),
    }
}
