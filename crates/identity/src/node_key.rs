//! [`NodeKey`]: the secret half of an identity.

use core::fmt;

use alloy_primitives::{B256, hex};
use secp256k1::ecdh::shared_secret_point;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use zeroize::{Zeroize, Zeroizing};

use crate::PeerId;

/// The secret key of a node, a scalar of secp256k1. It is wiped when dropped, cannot be printed,
/// and is copied only by an explicit [`NodeKey::duplicate`].
pub struct NodeKey {
    secret: SecretKey,
    public: PublicKey,
}

/// Why bytes or text are no [`NodeKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeKeyError {
    /// Not 64 hex digits.
    #[error("a node key is 64 hex digits (32 bytes), this has {0} characters")]
    Length(usize),
    /// A character is no hex digit.
    #[error("a node key is written in hex digits, there is another character in it")]
    NotHex,
    /// Zero, or not below the order of the curve.
    #[error("the number is not a valid secp256k1 key (zero, or not below the curve's order)")]
    OutOfRange,
}

impl NodeKey {
    /// The key in `bytes`.
    ///
    /// # Errors
    /// [`NodeKeyError::OutOfRange`] for the one in 2^128 values that is no key.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NodeKeyError> {
        let secret = SecretKey::from_secret_bytes(bytes).map_err(|_| NodeKeyError::OutOfRange)?;
        Ok(Self { public: secret.public_key(), secret })
    }

    /// A key made of 32 random bytes. The caller brings the randomness; the few values that are no
    /// key are hashed until they are one.
    #[must_use]
    pub fn from_entropy(mut entropy: [u8; 32]) -> Self {
        loop {
            if let Ok(key) = Self::from_bytes(entropy) {
                entropy.zeroize();
                return key;
            }
            entropy = alloy_primitives::keccak256(entropy).0;
        }
    }

    /// Reads 64 hex digits, with or without `0x`; white space around them is passed over.
    ///
    /// # Errors
    /// See [`NodeKeyError`].
    pub fn from_hex(text: &str) -> Result<Self, NodeKeyError> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() != 64 {
            return Err(NodeKeyError::Length(digits.chars().count()));
        }
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, bytes.as_mut()).map_err(|_| NodeKeyError::NotHex)?;
        Self::from_bytes(*bytes)
    }

    /// The 64 hex digits of the key. Handle with care.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(const_hex::encode(self.secret.as_secret_bytes()))
    }

    /// A second copy of the secret.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret, public: self.public }
    }

    pub(crate) const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The public key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The ID by which others know the holder of this key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_public_key(&self.public)
    }

    /// The x coordinate of the product of this key and `point`: the shared secret of an
    /// elliptic-curve Diffie-Hellman exchange, as RLPx uses it (no hash).
    #[must_use]
    pub fn agree(&self, point: &PublicKey) -> Zeroizing<[u8; 32]> {
        agree(&self.secret, point)
    }

    /// Signs a hash; the signer can be recovered from `r ‖ s ‖ recovery id` (65 bytes).
    #[must_use]
    pub fn sign_recoverable(&self, hash: B256) -> [u8; 65] {
        let message = Message::from_digest(hash.0);
        recoverable_bytes(&RecoverableSignature::sign_ecdsa_recoverable(message, &self.secret))
    }

    /// Signs a hash: `r ‖ s`, 64 bytes.
    #[must_use]
    pub fn sign(&self, hash: B256) -> [u8; 64] {
        self.secret.sign_ecdsa(Message::from_digest(hash.0)).serialize_compact()
    }
}

impl Drop for NodeKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey(of {:?})", self.peer_id())
    }
}

/// The x coordinate of the product of a secret and a point.
pub(crate) fn agree(secret: &SecretKey, point: &PublicKey) -> Zeroizing<[u8; 32]> {
    let product = Zeroizing::new(shared_secret_point(point, secret));
    let mut x = Zeroizing::new([0; 32]);
    for (to, from) in x.iter_mut().zip(product.iter()) {
        *to = *from;
    }
    x
}

/// `r ‖ s ‖ recovery id`.
pub(crate) fn recoverable_bytes(signature: &RecoverableSignature) -> [u8; 65] {
    let (id, compact) = signature.serialize_compact();
    let mut out = [0; 65];
    let (signature, recovery) = out.split_at_mut(64);
    signature.copy_from_slice(&compact);
    recovery.fill(u8::from(id));
    out
}

/// The public key that made a recoverable signature (`r ‖ s ‖ recovery id`) over `hash`.
#[must_use]
pub fn recover(signature: &[u8; 65], hash: B256) -> Option<PublicKey> {
    let (compact, recovery) = signature.split_at(64);
    let id = i32::from(*recovery.first()?);
    let id = secp256k1::ecdsa::RecoveryId::try_from(id).ok()?;
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    signature.recover(Message::from_digest(hash.0)).ok()
}

#[cfg(test)]
mod tests;
