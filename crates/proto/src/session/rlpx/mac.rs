//! The running MAC of one direction of an RLPx connection.
//!
//! The MAC is a Keccak-256 sponge that is never finished: each tag is the digest of all that went
//! before. A digest costs one permutation of a copy of the state, and that is most of what RLPx
//! costs, so the sponge is kept bare (the permutation is `sha3-asm`'s) and a digest that is
//! already known is not made again: three for each frame, not four.

use aes_single_block::Aes256Enc;
use aes_single_block::cipher::{BlockEncrypt, KeyInit};
use subtle::ConstantTimeEq;

/// Bytes that Keccak-256 takes up between two permutations.
const RATE: usize = 136;

/// A tag, or the seed of one.
pub(super) type Tag = [u8; 16];

/// A Keccak-256 sponge that can be asked for its digest at any time.
#[derive(Clone)]
struct Sponge {
    lanes: [u64; 25],
    /// Bytes that were taken up since the last permutation, and zeroes behind them.
    pending: [u8; RATE],
    filled: usize,
}

impl Sponge {
    const fn new() -> Self {
        Self { lanes: [0; 25], pending: [0; RATE], filled: 0 }
    }

    fn update(&mut self, mut data: &[u8]) {
        if self.filled > 0 {
            let taken = data.len().min(RATE - self.filled);
            let (now, later) = data.split_at(taken);
            self.keep(now);
            data = later;
            if self.filled < RATE {
                return;
            }
            sha3_asm::sha3_absorb(&mut self.lanes, &self.pending, RATE);
            (self.pending, self.filled) = ([0; RATE], 0);
        }
        let whole = data.len() - data.len() % RATE;
        let (blocks, rest) = data.split_at(whole);
        if !blocks.is_empty() {
            sha3_asm::sha3_absorb(&mut self.lanes, blocks, RATE);
        }
        self.keep(rest);
    }

    /// Puts bytes, for which there is room, behind those that wait.
    fn keep(&mut self, data: &[u8]) {
        let end = self.filled + data.len();
        if let Some(room) = self.pending.get_mut(self.filled..end) {
            room.copy_from_slice(data);
            self.filled = end;
        }
    }

    /// The first 16 bytes of the digest of all that was taken up.
    fn digest(&mut self) -> Tag {
        let mut lanes = self.lanes;
        self.pad();
        sha3_asm::sha3_absorb(&mut lanes, &self.pending, RATE);
        self.pad();
        let [a, b, ..] = lanes;
        (u128::from(a) | (u128::from(b) << 64)).to_le_bytes()
    }

    /// Puts Keccak's padding (a bit at either end, in Ethereum's use the byte 0x01) where it
    /// belongs, or takes it away again.
    fn pad(&mut self) {
        if let Some(first) = self.pending.get_mut(self.filled) {
            *first ^= 0x01;
        }
        self.pending[RATE - 1] ^= 0x80;
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
    pub(super) fn full_digest(&mut self) -> Tag {
        self.sponge.digest()
    }
}

/// Compares tags in constant time.
pub(super) fn tags_match(ours: &Tag, theirs: &Tag) -> bool {
    u128::from_ne_bytes(*ours).ct_eq(&u128::from_ne_bytes(*theirs)).into()
}

#[cfg(test)]
mod tests;
