//! The Hello message and the capabilities in it.

use core::fmt;

use alloy_rlp::{Decodable, Encodable, Header};
use bytes::{Bytes, BytesMut};
use chainmesh_identity::PeerId;

use super::MAX_BASE_MESSAGE;
use crate::DecodeError;

/// Version of the base protocol that this crate speaks: 5, with snappy compression.
pub const P2P_VERSION: u64 = 5;

/// Most capabilities in a Hello that is accepted. The 2 KiB of a base message hold about 200;
/// real clients send fewer than ten.
const MAX_CAPABILITIES: usize = 64;
/// Longest client name that is kept, bytes.
const MAX_CLIENT_NAME: usize = 256;

/// Name of a capability: 1 to 8 bytes of ASCII letters, digits and a few signs. geth cuts nothing
/// and asks only for eight bytes at most.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CapabilityName {
    bytes: [u8; 8],
    length: u8,
}

impl CapabilityName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, longer than eight bytes, or has a byte that is no printable ASCII.
    pub fn new(name: &str) -> Result<Self, DecodeError> {
        let source = name.as_bytes();
        let mut bytes = [0; 8];
        let Some(target) = bytes.get_mut(..source.len()) else {
            return Err(DecodeError::TooLarge {
                what: "capability name",
                size: source.len(),
                limit: 8,
            });
        };
        if source.is_empty() || !source.iter().all(u8::is_ascii_graphic) {
            return Err(DecodeError::Invalid("a capability name is 1 to 8 printable characters"));
        }
        target.copy_from_slice(source);
        #[expect(clippy::cast_possible_truncation, reason = "at most 8, checked above")]
        Ok(Self { bytes, length: source.len() as u8 })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.length))
            .and_then(|name| core::str::from_utf8(name).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A protocol that a node speaks beside the base protocol, such as `eth/68`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capability {
    /// Its name.
    pub name: CapabilityName,
    /// Its version.
    pub version: u32,
}

impl Capability {
    /// A capability of this name and version.
    ///
    /// # Errors
    /// As [`CapabilityName::new`].
    pub fn new(name: &str, version: u32) -> Result<Self, DecodeError> {
        Ok(Self { name: CapabilityName::new(name)?, version })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// The first message of either side: who I am and what I speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Version of the base protocol; snappy is used when both say 5 or more.
    pub protocol_version: u64,
    /// Name of the software, for people. As the peer sent it: escape it before it is shown.
    pub client_name: String,
    /// What the node speaks.
    pub capabilities: Vec<Capability>,
    /// Port the node listens on, 0 when it does not say. Legacy: nobody relies on it.
    pub listen_port: u16,
    /// The node's public key; it must be the one that the handshake proved.
    pub id: PeerId,
}

impl Hello {
    /// The payload of the message.
    #[must_use]
    pub fn encode_payload(&self) -> Bytes {
        let mut capabilities = Vec::with_capacity(self.capabilities.len() * 12);
        for capability in &self.capabilities {
            let name = capability.name.as_str();
            let payload_length = name.length() + capability.version.length();
            Header { list: true, payload_length }.encode(&mut capabilities);
            name.encode(&mut capabilities);
            capability.version.encode(&mut capabilities);
        }
        let capabilities_header = Header { list: true, payload_length: capabilities.len() };
        let id: &[u8] = self.id.as_bytes();
        let payload_length = self.protocol_version.length()
            + self.client_name.length()
            + capabilities_header.length_with_payload()
            + self.listen_port.length()
            + id.length();
        let mut out = BytesMut::with_capacity(payload_length + 3);
        Header { list: true, payload_length }.encode(&mut out);
        self.protocol_version.encode(&mut out);
        self.client_name.as_str().encode(&mut out);
        capabilities_header.encode(&mut out);
        out.extend_from_slice(&capabilities);
        self.listen_port.encode(&mut out);
        id.encode(&mut out);
        out.freeze()
    }

    /// Reads the payload of a Hello message. More elements than are known are passed over, as
    /// EIP-8 asks; a capability whose name nobody could have (empty, more than eight bytes) is
    /// passed over too, since it cannot be shared.
    ///
    /// # Errors
    /// When the payload is larger than [`MAX_BASE_MESSAGE`] or malformed.
    pub fn decode_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() > MAX_BASE_MESSAGE {
            return Err(DecodeError::TooLarge {
                what: "Hello",
                size: payload.len(),
                limit: MAX_BASE_MESSAGE,
            });
        }
        let mut rest = payload;
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        let protocol_version = u64::decode(&mut fields)?;
        let client_name = decode_text(&mut fields)?;
        let capabilities = decode_capabilities(&mut fields)?;
        // Some clients write ports above 16 bits or zero; nobody uses the value.
        let listen_port = u16::try_from(u64::decode(&mut fields)?).unwrap_or(0);
        let id = Header::decode_bytes(&mut fields, false)?;
        let id = PeerId::from_slice(id)
            .map_err(|_| DecodeError::Invalid("the node ID in Hello is not 64 bytes"))?;
        Ok(Self { protocol_version, client_name, capabilities, listen_port, id })
    }
}

fn decode_text(fields: &mut &[u8]) -> Result<String, DecodeError> {
    let bytes = Header::decode_bytes(fields, false)?;
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if text.len() > MAX_CLIENT_NAME {
        let cut = (0..=MAX_CLIENT_NAME).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    Ok(text)
}

fn decode_capabilities(fields: &mut &[u8]) -> Result<Vec<Capability>, DecodeError> {
    let mut list = Header::decode_bytes(fields, true)?;
    let mut capabilities = Vec::new();
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        if count > MAX_CAPABILITIES {
            return Err(DecodeError::TooMany {
                what: "capabilities in Hello",
                count,
                limit: MAX_CAPABILITIES,
            });
        }
        let mut entry = Header::decode_bytes(&mut list, true)?;
        let name = Header::decode_bytes(&mut entry, false)?;
        let version = u64::decode(&mut entry)?;
        let name = core::str::from_utf8(name).ok().and_then(|name| CapabilityName::new(name).ok());
        if let (Some(name), Ok(version)) = (name, u32::try_from(version)) {
            capabilities.push(Capability { name, version });
        }
    }
    Ok(capabilities)
}
