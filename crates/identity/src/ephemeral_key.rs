//! [`EphemeralKey`]: a key pair for one exchange, thrown away after it.

use alloy_primitives::B256;
use secp256k1::ecdh::shared_secret_point;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey, constants};
use zeroize::Zeroizing;

use crate::NodeKey;
use crate::node_key::agree;

/// A secret key that lives for one handshake. Unlike a [`NodeKey`] it does not know its public half
/// before somebody asks: half of a handshake's ephemeral keys are never asked.
pub struct EphemeralKey {
    secret: SecretKey,
}

impl EphemeralKey {
    /// A key made of 32 random bytes, which the caller brings.
    #[must_use]
    pub fn from_entropy(mut entropy: [u8; 32]) -> Self {
        loop {
            if let Ok(secret) = SecretKey::from_secret_bytes(entropy) {
                return Self { secret };
            }
            entropy = alloy_primitives::keccak256(entropy).0;
        }
    }

    /// The 64 bytes `x ‖ y` of the public key.
    ///
    /// They are made as an exchange with the curve's generator, in constant time. libsecp256k1's
    /// own way is faster, but after each key its Rust binding makes the tables of all later ones
    /// anew, against an observer who measures many uses of one key. This key is used once.
    #[must_use]
    pub fn public_bytes(&self) -> [u8; 64] {
        let mut generator = [4; 65];
        let (_, point) = generator.split_at_mut(1);
        let (x, y) = point.split_at_mut(32);
        x.copy_from_slice(&constants::GENERATOR_X);
        y.copy_from_slice(&constants::GENERATOR_Y);
        match PublicKey::from_byte_array_uncompressed(generator) {
            Ok(generator) => shared_secret_point(&generator, &self.secret),
            // The generator is a point of the curve; the slow way gives the same.
            Err(_) => *crate::PeerId::from_public_key(&self.secret.public_key()).as_bytes(),
        }
    }

    /// As [`NodeKey::agree`].
    #[must_use]
    pub fn agree(&self, point: &PublicKey) -> Zeroizing<[u8; 32]> {
        agree(&self.secret, point)
    }

    /// As [`NodeKey::sign_recoverable`].
    #[must_use]
    pub fn sign_recoverable(&self, hash: B256) -> [u8; 65] {
        let message = Message::from_digest(hash.0);
        let signature = RecoverableSignature::sign_ecdsa_recoverable(message, &self.secret);
        crate::node_key::recoverable_bytes(&signature)
    }
}

impl From<&NodeKey> for EphemeralKey {
    fn from(key: &NodeKey) -> Self {
        Self { secret: *key.secret() }
    }
}

impl Drop for EphemeralKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

#[cfg(test)]
mod tests;
