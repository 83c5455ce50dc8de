//! The topics that an SDK follows, as it tells its node.

use bytes::Bytes;
use serde::Deserialize;

use super::channel::MAX_CHANNEL_TOPIC;
use super::json::{self, Topics, Writer};
use super::{AmopError, MAX_TOPIC, MAX_TOPICS};
use crate::mesh::EncodeError;

/// All topics that an SDK follows, in the order sent; any text: escape it before it is shown. At most
/// [`MAX_TOPICS`]; in 2.x of at most [`MAX_CHANNEL_TOPIC`] bytes (a longer one
/// could never be used), in 3.x of at most [`MAX_TOPIC`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription(pub Vec<String>);

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    topics: Option<Topics>,
}

impl Subscription {
    /// The body of 2.x: `["a","b"]`.
    ///
    /// # Errors
    /// When there are more topics, or longer ones, than allowed.
    pub fn to_array(&self) -> Result<Bytes, EncodeError> {
        let topics = json::sendable(&self.0, MAX_TOPICS, MAX_CHANNEL_TOPIC)?;
        Ok(Writer::default().strings(topics).finish())
    }

    /// Reads the body of 2.x. It replaces what the SDK followed before.
    ///
    /// # Errors
    /// When it is no JSON array of strings, or beyond the limits. No more than
    /// [`MAX_TOPICS`] topics are ever in memory.
    pub fn from_array(body: &[u8]) -> Result<Self, AmopError> {
        let topics: Topics = json::read("topic list", body)?;
        topics.checked(MAX_CHANNEL_TOPIC).map(Self)
    }

    /// The payload of 3.x: `{"topics":["a","b"]}` and a newline.
    ///
    /// # Errors
    /// As [`to_array`](Self::to_array).
    pub fn to_json(&self) -> Result<Bytes, EncodeError> {
        let topics = json::sendable(&self.0, MAX_TOPICS, MAX_TOPIC)?;
        Ok(Writer::default().raw("{\"topics\":").strings(topics).raw("}").finish_line())
    }

    /// Reads the payload of 3.x. Missing topics, or `null` for them, are none, as with FISCO.
    ///
    /// # Errors
    /// When it is not that JSON, or beyond the limits.
    pub fn from_json(payload: &[u8]) -> Result<Self, AmopError> {
        let json: Json = json::read_object("topic list", payload)?;
        json.topics.unwrap_or_default().checked(MAX_TOPIC).map(Self)
    }
}
