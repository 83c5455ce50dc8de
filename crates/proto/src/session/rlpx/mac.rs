//! The running MAC of one direction of an RLPx connection.
//!
//! The MAC is a Keccak-256 sponge that is never finished: each tag is the digest of all that went
//! before. A digest costs one permutation of a copy of the state, and that is most of what RLPx
//! costs, so the sponge is kept bare (the permutation is `sha3-asm`'s) and a digest that is
//! already known is not made again: three for each frame, not four.

use aes::Aes256Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use subtle::ConstantTimeEq;

/// Bytes that Keccak-256 takes up between two permutations.
const RATE: usize = 136;

/// A tag, or the seed of one.
pub(super) type Tag = [u8; 16];

/// A Keccak-256 sponge that can be asked for its digest at any time.
#[derive(Clone)]
struct Sponge {
    lanes: [u64; 25],
    /// Bytes that were taken up since the last permutation.
    pending: [u8; RATE],
    filled: usize,
}

impl Sponge {
    const fn new() -> Self {
        Self { lanes: [0; 25], pending: [0; RATE], filled: 0 }
    }

    fn update(&mut self, mut data: &[u8]) {
        if self.filled > 0 {
            let (_, free) = self.pending.split_at_mut(self.filled);
            let taken = free.len().min(data.len());
            let (now, later) = data.split_at(taken);
            for (to, from) in free.iter_mut().zip(now) {
                *to = *from;
            }
            self.filled += taken;
            data = later;
            if self.filled < RATE {
                return;
            }
            sha3_asm::sha3_absorb(&mut self.lanes, &self.pending, RATE);
            self.filled = 0;
        }
        let left = sha3_asm::sha3_absorb(&mut self.lanes, data, RATE);
        let (_, rest) = data.split_at(data.len().saturating_sub(left));
        for (to, from) in self.pending.iter_mut().zip(rest) {
            *to = *from;
        }
        self.filled = rest.len();
    }

    /// The first 16 bytes of the digest of all that was taken up.
    fn digest(&self) -> Tag {
        let mut lanes = self.lanes;
        let mut block = self.pending;
        let (_, padding) = block.split_at_mut(self.filled);
        padding.fill(0);
        // Keccak's padding is one bit at either end, in Ethereum's use the byte 0x01.
        if let Some(first) = padding.first_mut() {
            *first = 0x01;
        }
        if let Some(last) = padding.last_mut() {
            *last |= 0x80;
        }
        sha3_asm::sha3_absorb(&mut lanes, &block, RATE);
        let [a, b, ..] = lanes;
        (u128::from(a) | (u128::from(b) << 64)).to_le_bytes()
    }
}

/// The MAC of one direction.
pub(super) struct FrameMac {
    sponge: Sponge,
    cipher: Aes256Enc,
    /// Digest of the sponge as it is now, when it is known.
    digest: Option<Tag>,
}

impl FrameMac {
    /// A MAC that has taken up `(mac secret ^ nonce) ‖ handshake packet`.
    pub(super) fn new(mac_secret: &[u8; 32], nonce: &[u8; 32], packet: &[u8]) -> Self {
        let mut sponge = Sponge::new();
        let mut mixed = *mac_secret;
        for (byte, nonce) in mixed.iter_mut().zip(nonce) {
            *byte ^= nonce;
        }
        sponge.update(&mixed);
        sponge.update(packet);
        Self { sponge, cipher: Aes256Enc::new(mac_secret.into()), digest: None }
    }

    /// The tag of a frame header.
    pub(super) fn header_tag(&mut self, ciphertext: &Tag) -> Tag {
        let digest = self.digest.take().unwrap_or_else(|| self.sponge.digest());
        self.mix(digest, ciphertext)
    }

    /// Takes up a part of a frame's body.
    pub(super) fn update(&mut self, ciphertext: &[u8]) {
        self.digest = None;
        self.sponge.update(ciphertext);
    }

    /// The tag of the frame whose body was taken up.
    pub(super) fn body_tag(&mut self) -> Tag {
        let digest = self.sponge.digest();
        let tag = self.mix(digest, &digest);
        // The next header begins with the digest of this very state.
        self.digest = Some(tag);
        tag
    }

    fn mix(&mut self, digest: Tag, with: &Tag) -> Tag {
        let mut seed = digest.into();
        self.cipher.encrypt_block(&mut seed);
        for (byte, with) in seed.iter_mut().zip(with) {
            *byte ^= with;
        }
        self.sponge.update(&seed);
        self.sponge.digest()
    }

    /// The digest as it is now, for tests against published vectors.
    #[cfg(test)]
    pub(super) fn full_digest(&self) -> Tag {
        self.sponge.digest()
    }
}

/// Compares tags in constant time.
pub(super) fn tags_match(ours: &Tag, theirs: &Tag) -> bool {
    u128::from_ne_bytes(*ours).ct_eq(&u128::from_ne_bytes(*theirs)).into()
}

#[cfg(test)]
mod tests;
