//! The topics that a node's subscribers follow, as gateways tell each other.

use bytes::Bytes;
use serde::Deserialize;

use super::json::{self, Topics, Writer};
use super::{AmopError, MAX_NODE_TOPICS, MAX_TOPIC};
use crate::mesh::EncodeError;

/// All topics of a node, with the number of the list: data of
/// [`AmopKind::ResponseTopic`](super::AmopKind::ResponseTopic).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicList {
    /// The topics, in the order sent (FISCO sorts them). Any text: escape it before it is shown. At
    /// most [`MAX_NODE_TOPICS`] of at most [`MAX_TOPIC`] bytes.
    pub topics: Vec<String>,
    /// Number of the list: another whenever the list is another. A node begins at 1.
    pub seq: u32,
}

#[derive(Deserialize)]
struct Json {
    #[serde(rename = "topicItems", default)]
    topics: Option<Topics<MAX_NODE_TOPICS>>,
    #[serde(rename = "topicSeq")]
    seq: u32,
}

impl TopicList {
    /// The list as FISCO's gateways write it: `{"topicItems":["a"],"topicSeq":1}` and a newline.
    ///
    /// # Errors
    /// When there are more topics, or longer ones, than a list may have.
    pub fn to_json(&self) -> Result<Bytes, EncodeError> {
        let writer = Writer::default().raw("{\"topicItems\":");
        let writer = writer.strings(json::sendable(&self.topics, MAX_NODE_TOPICS, MAX_TOPIC)?);
        Ok(writer.raw(",\"topicSeq\":").number(self.seq).raw("}").finish_line())
    }

    /// Reads a list. Missing topics, or `null` for them, are an empty list, as with FISCO.
    ///
    /// # Errors
    /// When it is not that JSON, or beyond the limits. No more than
    /// [`MAX_NODE_TOPICS`] topics are ever in memory.
    pub fn from_json(body: &[u8]) -> Result<Self, AmopError> {
        let json: Json = json::read_object("topic list", body)?;
        let topics = json.topics.unwrap_or_default().checked(MAX_TOPIC)?;
        Ok(Self { topics, seq: json.seq })
    }
}
