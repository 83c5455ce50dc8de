//! What an SDK and its node say first.

use core::fmt;
use core::ops::RangeInclusive;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::amop::AmopError;
use crate::amop::json::{self, Writer};
use crate::mesh::MAX_GROUPS;

/// The versions of the SDK protocol that we speak (`RpcService` of FISCO: 0 to 1 until 3.5, 0 to 2
/// since). 0 is left out: SDKs take it for "no handshake yet" and hear nothing from then on.
pub const WS_VERSIONS: RangeInclusive<i32> = 1..=2;
/// Highest module ID that FISCO's node accepts in a handshake.
pub const MAX_WS_MODULE: i32 = 3;

/// What an SDK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Handshake {
    /// Highest version it speaks.
    #[serde(rename = "maxVersion")]
    pub max_version: i32,
    /// Lowest version it speaks.
    #[serde(rename = "minVersion")]
    pub min_version: i32,
    /// Which service it wants: 2, RPC.
    #[serde(rename = "moduleID")]
    pub module: i32,
}

impl Handshake {
    /// The payload as FISCO's SDKs write it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let writer = Writer::default().raw("{\"maxVersion\":").number(self.max_version);
        let writer = writer.raw(",\"minVersion\":").number(self.min_version);
        writer.raw(",\"moduleID\":").number(self.module).raw("}").finish_line()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it is not that JSON, or the module is above [`MAX_WS_MODULE`] or negative.
    pub fn from_json(payload: &[u8]) -> Result<Self, AmopError> {
        let read: Self = json::read_object("handshake", payload)?;
        if !(0..=MAX_WS_MODULE).contains(&read.module) {
            return Err(AmopError::Invalid("modules of a handshake are 0 to 3"));
        }
        Ok(read)
    }

    /// The version both will speak: the highest that the SDK and we know, never 0.
    ///
    /// # Errors
    /// When there is none, or the SDK's range is upside down. FISCO's node then ends the session.
    pub fn negotiate(&self) -> Result<i32, AmopError> {
        let (min, max) = (self.min_version, self.max_version);
        if min > max || min > *WS_VERSIONS.end() || max < *WS_VERSIONS.start() {
            return Err(AmopError::NoCommonVersion { min, max });
        }
        Ok(max.min(*WS_VERSIONS.end()))
    }
}

/// Height of the ledger of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupHeight {
    /// Name of the group, such as `group0`. Any text: escape it before it is shown.
    pub group: String,
    /// Number of its highest block.
    pub height: i64,
}

/// What the node answers to a [`Handshake`], in a message of the same type and seq. An SDK that only
/// uses AMOP needs the version alone. Descriptions of groups (`groupInfoList`) are passed over when
/// read, and written as none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeReply {
    /// Heights of the groups; at most [`MAX_GROUPS`].
    pub heights: Vec<GroupHeight>,
    /// The version both speak from now on; an SDK takes 0 for none.
    pub protocol_version: i32,
}

#[derive(Deserialize)]
struct ReplyJson {
    #[serde(rename = "groupBlockNumber", default)]
    heights: Option<Heights>,
    #[serde(rename = "protocolVersion")]
    protocol_version: i32,
}

impl HandshakeReply {
    /// The payload as FISCO's node writes it.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let mut writer = Writer::default().raw("{\"groupBlockNumber\":[");
        for (at, one) in self.heights.iter().enumerate() {
            let open = if at == 0 { "{" } else { ",{" };
            writer = writer.raw(open).string(&one.group).raw(":").number(one.height).raw("}");
        }
        let writer = writer.raw("],\"groupInfoList\":[],\"protocolVersion\":");
        writer.number(self.protocol_version).raw("}").finish_line()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When it is not that JSON, or has too many groups.
    pub fn from_json(payload: &[u8]) -> Result<Self, AmopError> {
        let json: ReplyJson = json::read_object("handshake answer", payload)?;
        let heights = json.heights.unwrap_or_default().0;
        if heights.len() > MAX_GROUPS {
            let (count, limit) = (heights.len(), MAX_GROUPS);
            return Err(AmopError::TooMany { what: "groups", count, limit });
        }
        Ok(Self { heights, protocol_version: json.protocol_version })
    }
}

/// `[{"group0":N},…]`: no more than one above the limit are kept.
#[derive(Default)]
struct Heights(Vec<GroupHeight>);

impl<'de> Deserialize<'de> for Heights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Heights;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of heights by group")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Heights, A::Error> {
                let mut heights = Vec::new();
                while let Some(OneGroup(found)) = list.next_element()? {
                    if heights.len() <= MAX_GROUPS {
                        heights.extend(found);
                    }
                }
                Ok(Heights(heights))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// `{"group0":N}`, of which FISCO writes one group into each object.
struct OneGroup(Option<GroupHeight>);

impl<'de> Deserialize<'de> for OneGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = OneGroup;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with the height of one group")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OneGroup, A::Error> {
                let mut found = None;
                while let Some((group, height)) = map.next_entry()? {
                    found = Some(GroupHeight { group, height });
                }
                Ok(OneGroup(found))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
