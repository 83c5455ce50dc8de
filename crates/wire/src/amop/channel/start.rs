//! How an SDK and its node begin, and stay in touch: handshake and heartbeat.

use bytes::Bytes;
use serde::Deserialize;

use crate::amop::AmopError;
use crate::amop::json::{self, Writer};

/// Version of the channel protocol. Both sides speak 1 until the handshake says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ChannelVersion {
    /// Text heartbeats, block notices as text.
    #[default]
    V1,
    /// Both in JSON.
    V2,
    /// As 2 for what is read here.
    V3,
}

impl ChannelVersion {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version with this number.
    ///
    /// # Errors
    /// When nobody has defined it.
    pub const fn from_number(number: i32) -> Result<Self, AmopError> {
        match number {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            _ => Err(AmopError::Invalid("channel protocol versions are 1 to 3")),
        }
    }
}

/// What an SDK says in its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Highest version it speaks.
    pub maximum: i32,
    /// Lowest version it speaks.
    pub minimum: i32,
    /// What it is, such as `java-sdk`. Any text: escape it before it is shown.
    pub client_type: String,
}

const fn one() -> i32 {
    1
}

#[derive(Deserialize)]
struct HandshakeJson {
    #[serde(rename = "maximumSupport", default = "one")]
    maximum: i32,
    #[serde(rename = "minimumSupport", default = "one")]
    minimum: i32,
    #[serde(rename = "clientType", default)]
    client_type: String,
}

impl Handshake {
    /// The body as the Java SDK writes it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let writer = Writer::default().raw("{\"maximumSupport\":").number(self.maximum);
        let writer = writer.raw(",\"minimumSupport\":").number(self.minimum);
        writer.raw(",\"clientType\":").string(&self.client_type).raw("}").finish()
    }

    /// Reads the body. Versions that are missing are 1, as with FISCO.
    ///
    /// # Errors
    /// When it is not that JSON.
    pub fn from_json(body: &[u8]) -> Result<Self, AmopError> {
        let json: HandshakeJson = json::read_object("handshake", body)?;
        let HandshakeJson { maximum, minimum, client_type } = json;
        Ok(Self { maximum, minimum, client_type })
    }

    /// The version both will speak: the highest that the SDK and we know.
    ///
    /// # Errors
    /// When there is none, or the SDK's range is upside down. FISCO's node then ends the connection.
    pub fn negotiate(&self) -> Result<ChannelVersion, AmopError> {
        let (min, max) = (self.minimum, self.maximum);
        let ours = (ChannelVersion::V1.number(), ChannelVersion::V3.number());
        if min > max || min > ours.1 || max < ours.0 {
            return Err(AmopError::NoCommonVersion { min, max });
        }
        ChannelVersion::from_number(max.min(ours.1))
    }
}

/// What the node answers to a [`Handshake`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeReply {
    /// FISCO's `supported_version`. The Java SDK wants 2.1.0 or higher.
    pub node_version: String,
    /// The version both speak from now on.
    pub protocol: ChannelVersion,
}

#[derive(Deserialize)]
struct HandshakeReplyJson {
    #[serde(rename = "nodeVersion", default)]
    node_version: String,
    protocol: i32,
}

impl HandshakeReply {
    /// The body as FISCO's node writes it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let writer = Writer::default().raw("{\"nodeVersion\":").string(&self.node_version);
        writer.raw(",\"protocol\":").number(self.protocol.number()).raw("}").finish_line()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it is not that JSON, or the version is none that is known.
    pub fn from_json(body: &[u8]) -> Result<Self, AmopError> {
        let json: HandshakeReplyJson = json::read_object("handshake answer", body)?;
        let protocol = ChannelVersion::from_number(json.protocol)?;
        Ok(Self { node_version: json.node_version, protocol })
    }
}

/// Sign of life, and its answer. The Java SDK drops a node that does not answer for 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// From the SDK.
    Request,
    /// From the node.
    Reply,
}

#[derive(Deserialize)]
struct HeartbeatJson {
    #[serde(rename = "heartBeat")]
    number: u32,
}

impl Heartbeat {
    /// The body in this version.
    #[must_use]
    pub const fn to_body(self, version: ChannelVersion) -> Bytes {
        Bytes::from_static(match (self, version) {
            (Self::Request, ChannelVersion::V1) => b"0",
            (Self::Reply, ChannelVersion::V1) => b"1",
            (Self::Request, _) => b"{\"heartBeat\":0}",
            (Self::Reply, _) => b"{\"heartBeat\":1}\n",
        })
    }

    /// Reads a body of any version; an empty one is a request (Go and Python SDKs). A node need not
    /// read at all: FISCO's answers every heartbeat, whatever its body.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn from_body(body: &[u8]) -> Result<Self, AmopError> {
        let number = match body {
            b"" | b"0" => 0,
            b"1" => 1,
            _ => json::read_object::<HeartbeatJson>("heartbeat", body)?.number,
        };
        match number {
            0 => Ok(Self::Request),
            1 => Ok(Self::Reply),
            _ => Err(AmopError::Invalid("a heartbeat says 0 or 1")),
        }
    }
}
