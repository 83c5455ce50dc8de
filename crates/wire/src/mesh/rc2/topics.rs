//! The Topic protocol of 2.x: its first message is also the heartbeat.

use bytes::{Bytes, BytesMut};

use super::{ProtocolId, Rc2Packet};
use crate::mesh::{EncodeError, MeshError};

/// Most topics in a list that is accepted.
pub const MAX_TOPICS: usize = 16_384;

const SEND_TOPIC_SEQ: u16 = 1;
const REQUEST_TOPICS: u16 = 2;
const SEND_TOPICS: u16 = 3;

/// What 2.x nodes tell each other about topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicMessage {
    /// Number of the sender's topic list, at the start and every 5 s: the heartbeat of 2.x. 0 when
    /// nobody ever followed a topic there; the packet's seq is 0 too.
    SendTopicSeq(u32),
    /// Asks for the list, when its number is not the one known.
    RequestTopics,
    /// The list, as the answer (negative protocol ID) with the request's seq.
    SendTopics {
        /// Number of the list.
        seq: u32,
        /// The topics, in the order sent; slices of the packet. Any bytes but tabs, none empty:
        /// escape them before they are shown.
        topics: Vec<Bytes>,
    },
}

impl TopicMessage {
    /// The packet of the message. `seq` is the packet's own: 0 for the heartbeat, the request's
    /// for an answer.
    ///
    /// # Errors
    /// When a topic is empty or has a tab in it, or there are more than [`MAX_TOPICS`].
    pub fn to_packet(&self, seq: u32) -> Result<Rc2Packet, EncodeError> {
        Ok(match self {
            Self::SendTopicSeq(number) => {
                let payload = number.to_string().into();
                Rc2Packet::new(ProtocolId::TOPIC, SEND_TOPIC_SEQ, seq, payload)
            }
            Self::RequestTopics => {
                Rc2Packet::new(ProtocolId::TOPIC, REQUEST_TOPICS, seq, Bytes::new())
            }
            Self::SendTopics { seq: number, topics } => {
                let payload = encode_topics(*number, topics)?;
                Rc2Packet::new(ProtocolId::TOPIC.opposite(), SEND_TOPICS, seq, payload)
            }
        })
    }

    /// Reads the message of an unpacked packet; `None` when it is none of the Topic protocol.
    ///
    /// # Errors
    /// When the payload is not what the type says, or the list is too long.
    pub fn decode(packet: &Rc2Packet) -> Result<Option<Self>, MeshError> {
        let request = packet.protocol == ProtocolId::TOPIC;
        let response = packet.protocol == ProtocolId::TOPIC.opposite();
        Ok(match packet.packet_type {
            SEND_TOPIC_SEQ if request => Some(Self::SendTopicSeq(decimal(&packet.payload)?)),
            REQUEST_TOPICS if request => Some(Self::RequestTopics),
            SEND_TOPICS if response => Some(decode_topics(&packet.payload)?),
            _ => None,
        })
    }
}

fn encode_topics(seq: u32, topics: &[Bytes]) -> Result<Bytes, EncodeError> {
    let (count, limit) = (topics.len(), MAX_TOPICS);
    if count > limit {
        return Err(EncodeError::TooMany { what: "topics", count, limit });
    }
    if topics.iter().any(|topic| topic.is_empty() || topic.contains(&b'\t')) {
        return Err(EncodeError::Invalid("a topic is not empty and has no tab in it"));
    }
    let mut payload = BytesMut::from(seq.to_string().as_bytes());
    for topic in topics {
        payload.extend_from_slice(b"\t");
        payload.extend_from_slice(topic);
    }
    Ok(payload.freeze())
}

fn decode_topics(payload: &Bytes) -> Result<TopicMessage, MeshError> {
    let mut parts = payload.split(|byte| *byte == b'\t');
    let seq = decimal(parts.next().unwrap_or_default())?;
    let mut topics = Vec::new();
    for topic in parts.filter(|topic| !topic.is_empty()) {
        if topics.len() == MAX_TOPICS {
            let (count, limit) = (MAX_TOPICS + 1, MAX_TOPICS);
            return Err(MeshError::TooMany { what: "topics", count, limit });
        }
        topics.push(payload.slice_ref(topic));
    }
    Ok(TopicMessage::SendTopics { seq, topics })
}

/// A decimal number of 32 bits, digits only, at most ten of them.
fn decimal(text: &[u8]) -> Result<u32, MeshError> {
    let digits = text.len() <= 10 && text.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(text)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or(MeshError::Invalid("the number of a topic list is no decimal number of 32 bits"))
}
