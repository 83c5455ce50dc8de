//! Versions of the packet and how two nodes agree on one.

use core::fmt;

use super::{MeshError, ProtocolInfo};

/// Version of a packet, and of a session after negotiation (`ProtocolVersion` in FISCO's
/// `Protocol.h`). Each packet is read by its own version field, whatever the session agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// No addresses in the header. Heartbeats and handshakes always, and group broadcasts of FISCO
    /// 3.13 and later.
    #[default]
    V0,
    /// With TTL and long node IDs (FISCO 3.0).
    V1,
    /// As V1; payloads may be compressed (FISCO 3.1 to 3.13).
    V2,
    /// As V2, with short node IDs (FISCO 3.14 and later).
    V3,
}

impl Version {
    /// All versions, lowest first.
    pub const ALL: [Self; 4] = [Self::V0, Self::V1, Self::V2, Self::V3];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version with this number.
    ///
    /// # Errors
    /// When the number is above 3.
    pub const fn from_number(number: u16) -> Result<Self, MeshError> {
        match number {
            0 => Ok(Self::V0),
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            other => Err(MeshError::UnknownVersion(other)),
        }
    }

    /// Whether the header carries TTL and node IDs.
    #[must_use]
    pub const fn has_route(self) -> bool {
        !matches!(self, Self::V0)
    }

    /// Whether a sender may compress the payload. Receivers unpack in every version.
    #[must_use]
    pub const fn may_compress(self) -> bool {
        matches!(self, Self::V2 | Self::V3)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}", self.number())
    }
}

/// The versions that a node speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The lowest.
    pub min: Version,
    /// The highest.
    pub max: Version,
}

impl VersionRange {
    /// All versions this crate knows: what FISCO 3.14 to 3.17 announce, 0 to 3.
    pub const ALL: Self = Self { min: Version::V0, max: Version::V3 };

    /// The version that two nodes speak after their handshakes: the lower of both maxima.
    ///
    /// # Errors
    /// When the peer's range is upside down or has no version in common with ours.
    pub fn negotiate(self, peer: &ProtocolInfo) -> Result<Version, NegotiationError> {
        let error = NegotiationError {
            our_min: self.min.number(),
            our_max: self.max.number(),
            peer_min: peer.min_version,
            peer_max: peer.max_version,
        };
        if peer.min_version > peer.max_version
            || peer.min_version > i32::from(self.max.number())
            || peer.max_version < i32::from(self.min.number())
        {
            return Err(error);
        }
        let highest = peer.max_version.min(i32::from(self.max.number()));
        let number = u16::try_from(highest).map_err(|_| error)?;
        Version::from_number(number).map_err(|_| error)
    }
}

/// Two nodes have no version in common. The session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no common version: ours {our_min} to {our_max}, the peer's {peer_min} to {peer_max}")]
pub struct NegotiationError {
    /// Our lowest version.
    pub our_min: u16,
    /// Our highest version.
    pub our_max: u16,
    /// The peer's lowest version, as it wrote it.
    pub peer_min: i32,
    /// The peer's highest version, as it wrote it.
    pub peer_max: i32,
}
