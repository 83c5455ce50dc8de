//! ECIES as RLPx uses it: one packet, readable only by the holder of a static key.
//!
//! `R ‖ iv ‖ ciphertext ‖ tag`: R is an ephemeral public key (65 bytes, uncompressed), the key
//! material is SHA-256 in the concatenation mode of NIST SP 800-56A over the shared secret, the
//! cipher is AES-128 in counter mode, the tag HMAC-SHA-256 over `iv ‖ ciphertext ‖ shared data`.
//! Source: devp2p `rlpx.md`, "ECIES Encryption".

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use chainmesh_identity::secp256k1::PublicKey;
use chainmesh_identity::{EphemeralKey, NodeKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Length of an uncompressed public key.
const POINT: usize = 65;
/// What an uncompressed public key begins with. (libsecp256k1 reads two "hybrid" forms as well.)
const UNCOMPRESSED: u8 = 4;
/// Length of the initialisation vector.
const IV: usize = 16;
/// Length of the tag.
const TAG: usize = 32;
/// What encryption adds to a message, bytes.
pub(super) const OVERHEAD: usize = POINT + IV + TAG;

/// Why a packet cannot be read. Never told to the peer: it would be an oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EciesError {
    /// Shorter than key, vector and tag.
    #[error("the packet is shorter than an ECIES envelope")]
    TooShort,
    /// The ephemeral key is no point of the curve (an attack on the node key if it were used).
    #[error("the ephemeral key in the packet is no point of the curve")]
    BadPoint,
    /// The tag does not match: damaged, or meant for another node.
    #[error("the packet's tag is wrong: it was damaged, or encrypted to another node's key")]
    BadTag,
}

struct Keys {
    encryption: Zeroizing<[u8; 16]>,
    mac: Zeroizing<[u8; 32]>,
}

fn derive(shared: &[u8; 32]) -> Keys {
    let mut hash = Sha256::new();
    hash.update([0, 0, 0, 1]);
    hash.update(shared);
    let material = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
    let mut encryption = Zeroizing::new([0; 16]);
    let (first, second) = material.split_at(16);
    encryption.copy_from_slice(first);
    let mac = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(second)));
    Keys { encryption, mac }
}

fn cipher(keys: &Keys, iv: &[u8; IV]) -> ctr::Ctr128BE<Aes128> {
    ctr::Ctr128BE::<Aes128>::new((&*keys.encryption).into(), iv.into())
}

fn tag_of(keys: &Keys, iv: &[u8], ciphertext: &[u8], shared_data: &[u8]) -> Hmac<Sha256> {
    // A key shorter than a block (64 bytes) is padded with zeroes.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(keys.mac.iter()) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    mac.update(iv);
    mac.update(ciphertext);
    mac.update(shared_data);
    mac
}

/// Appends the envelope of `message` to `out`.
pub(super) fn encrypt(
    to: &PublicKey,
    ephemeral: &EphemeralKey,
    iv: [u8; IV],
    shared_data: &[u8],
    message: &mut [u8],
    out: &mut Vec<u8>,
) {
    let keys = derive(&ephemeral.agree(to));
    cipher(&keys, &iv).apply_keystream(message);
    let tag = tag_of(&keys, &iv, message, shared_data).finalize().into_bytes();
    out.push(0x04);
    out.extend_from_slice(&ephemeral.public_bytes());
    out.extend_from_slice(&iv);
    out.extend_from_slice(message);
    out.extend_from_slice(&tag);
}

/// Decrypts an envelope in place; the result is the message inside it.
pub(super) fn decrypt<'a>(
    key: &NodeKey,
    shared_data: &[u8],
    packet: &'a mut [u8],
) -> Result<&'a mut [u8], EciesError> {
    if packet.len() < OVERHEAD {
        return Err(EciesError::TooShort);
    }
    let (point, rest) = packet.split_first_chunk_mut::<POINT>().ok_or(EciesError::TooShort)?;
    let (iv, rest) = rest.split_first_chunk_mut::<IV>().ok_or(EciesError::TooShort)?;
    let (message, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(EciesError::TooShort)?;
    if point.first() != Some(&UNCOMPRESSED) {
        return Err(EciesError::BadPoint);
    }
    let point =
        PublicKey::from_byte_array_uncompressed(*point).map_err(|_| EciesError::BadPoint)?;
    let keys = derive(&key.agree(&point));
    tag_of(&keys, iv, message, shared_data)
        .verify((&*tag).into())
        .map_err(|_| EciesError::BadTag)?;
    cipher(&keys, iv).apply_keystream(message);
    Ok(message)
}

#[cfg(test)]
mod tests;
