//! A node ID as it stands in headers and tables.

use core::fmt;

use alloy_primitives::keccak256;
use bytes::Bytes;

use super::EncodeError;

/// Longest node ID that is accepted, bytes. An RSA-2048 key has 540, RSA-8192 2,076; the field
/// itself could hold 65,535.
pub const MAX_NODE_ID: usize = 4096;
/// FISCO takes IDs up to this length for short ones (`HASH_NODEID_MAX_SIZE`).
const SHORT_AT_MOST: usize = 33;

/// The P2P node ID of a gateway, in whichever form it came: **long** (`rawP2pID`: the certificate's
/// public key as lower-case hex text), **short** (`p2pID`: the 32 bytes of keccak256 over that text)
/// or empty. A slice of the packet it came in: copy it to keep it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct P2pId(Bytes);

impl P2pId {
    /// No ID: the session itself tells who it is.
    pub const EMPTY: Self = Self(Bytes::new());

    /// An ID of these bytes.
    ///
    /// # Errors
    /// When it is longer than [`MAX_NODE_ID`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, EncodeError> {
        let bytes = bytes.into();
        if bytes.len() > MAX_NODE_ID {
            return Err(EncodeError::TooLarge {
                what: "node ID",
                size: bytes.len(),
                limit: MAX_NODE_ID,
            });
        }
        Ok(Self(bytes))
    }

    /// The bytes on the wire: ASCII hex of a long ID, 32 raw bytes of a short one.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether FISCO would take it for a short ID: at most 33 bytes, and not empty.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.0.is_empty() && self.0.len() <= SHORT_AT_MOST
    }

    /// The short form: keccak256 over the text of a long ID; a short or empty one is itself.
    #[must_use]
    pub fn to_short(&self) -> Self {
        if self.0.len() <= SHORT_AT_MOST {
            return self.clone();
        }
        Self(Bytes::copy_from_slice(keccak256(&self.0).as_slice()))
    }

    /// The same ID in memory of its own, so that the packet it came in can be freed.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

/// Short IDs as hex; of long ones the beginning and the end, escaped.
impl fmt::Display for P2pId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("(none)");
        }
        if self.is_short() {
            return self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        }
        // The first bytes of a long ID are the same for every RSA key: the last ones tell apart.
        let start = self.0.get(..12).unwrap_or_default().escape_ascii();
        let tail = self.0.len().saturating_sub(24);
        write!(f, "{start}..{}", self.0.get(tail..).unwrap_or_default().escape_ascii())
    }
}

impl fmt::Debug for P2pId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
