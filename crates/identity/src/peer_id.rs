//! [`PeerId`]: the one name of a peer, in every world it is met in.

use core::fmt;
use core::str::FromStr;

use alloy_primitives::{B256, keccak256};
use secp256k1::PublicKey;

use crate::certificate::ShortId;

/// The public key of a node: 64 bytes, `x ‖ y`, as in an enode URL and as FISCO BCOS 2.x's node ID.
///
/// A value that came through [`PeerId::from_slice`] or [`str::parse`] is 64 bytes and no more is
/// known of it; [`PeerId::public_key`] says whether it is a point of the curve.
///
/// A peer whose certificate holds another kind of key (FISCO BCOS 3.x issues RSA) is named by the
/// 32 bytes of its [`ShortId`], followed by 32 zero bytes. No point of secp256k1 has y = 0, so the
/// two sorts of names never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 64]);

/// Why a text or a slice is not a [`PeerId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdError {
    /// The number of bytes is not 64.
    #[error("a node ID is 64 bytes (128 hex digits), this one has {0} bytes")]
    Length(usize),
    /// The text has a character that is no hex digit.
    #[error("a node ID is written in hex digits only")]
    NotHex,
    /// The bytes are no point of the curve secp256k1.
    #[error("the node ID is not a public key: no such point on secp256k1")]
    NotOnCurve,
}

impl PeerId {
    /// The ID that belongs to a public key.
    #[must_use]
    pub fn from_public_key(key: &PublicKey) -> Self {
        let uncompressed = key.serialize_uncompressed();
        let mut id = [0; 64];
        id.copy_from_slice(&uncompressed[1..]);
        Self(id)
    }

    /// The ID in `bytes`, which must be 64 of them.
    ///
    /// # Errors
    /// [`PeerIdError::Length`] when there are more or fewer.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, PeerIdError> {
        <[u8; 64]>::try_from(bytes).map(Self).map_err(|_| PeerIdError::Length(bytes.len()))
    }

    /// The public key, if the bytes are a point of the curve.
    ///
    /// # Errors
    /// [`PeerIdError::NotOnCurve`]: nobody can hold the key of such an ID.
    pub fn public_key(&self) -> Result<PublicKey, PeerIdError> {
        let mut uncompressed = [4; 65];
        uncompressed[1..].copy_from_slice(&self.0);
        PublicKey::from_byte_array_uncompressed(uncompressed).map_err(|_| PeerIdError::NotOnCurve)
    }

    /// The name of a peer whose certificate holds another kind of key than one of secp256k1.
    #[must_use]
    pub fn of_certificate(short: ShortId) -> Self {
        let mut id = [0; 64];
        id[..32].copy_from_slice(short.as_bytes());
        Self(id)
    }

    /// The short ID in a name that [`PeerId::of_certificate`] made; `None` if it is a public key.
    #[must_use]
    pub fn certificate(&self) -> Option<ShortId> {
        let (short, rest) = self.0.split_at(32);
        let short = <[u8; 32]>::try_from(short).ok()?;
        (rest.iter().all(|byte| *byte == 0)).then(|| short.into())
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// keccak256 of the 64 bytes: the node's place in the discovery table, and the `id` that
    /// `admin_nodeInfo` and `admin_peers` show.
    #[must_use]
    pub fn node_hash(&self) -> B256 {
        keccak256(self.0)
    }

    /// The first eight hex digits, for logs and tables.
    #[must_use]
    pub fn short(&self) -> String {
        const_hex::encode(&self.0[..4])
    }
}

impl From<[u8; 64]> for PeerId {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for PeerId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut id = [0; 64];
        if digits.len() != 128 {
            return Err(PeerIdError::Length(digits.len() / 2));
        }
        const_hex::decode_to_slice(digits, &mut id).map_err(|_| PeerIdError::NotHex)?;
        Ok(Self(id))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({}…)", self.short())
    }
}
