//! Who is sent a new block whole, and who is told of it (geth v1.13, `eth/handler.go`).
//!
//! A block that has passed the checks which need no execution goes whole to the square root of the
//! peers that do not have it, and once it is imported its hash goes to the rest. On a chain of proof
//! of stake nothing is said at all: whoever finds its blocks there is not a peer, and peers end the
//! session of one that says it.

use chainmesh_identity::PeerId;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Blocks further below the head are not passed on (geth, `maxUncleDist`).
pub const MAX_BELOW_HEAD: u64 = 7;

/// Blocks further above the head are not passed on (geth, `maxQueueDist`).
pub const MAX_ABOVE_HEAD: u64 = 32;

/// Whether a block with this number is news to somebody whose peers stand about where we do.
#[must_use]
pub const fn is_news(number: u64, head: u64) -> bool {
    number.saturating_add(MAX_BELOW_HEAD) >= head && number <= head.saturating_add(MAX_ABOVE_HEAD)
}

/// Draws those of the peers that are sent a block whole.
#[derive(Debug)]
pub struct Few(ChaCha8Rng);

impl Few {
    /// The same seed draws the same peers.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// ⌊√n⌋ of the n peers that do not have the block.
    pub fn draw(&mut self, mut without: Vec<PeerId>) -> Vec<PeerId> {
        let count = without.len().isqrt();
        for place in 0..count {
            let left = (without.len() - place) as u64;
            let chosen = usize::try_from(self.0.next_u64() % left).unwrap_or(0);
            without.swap(place, place + chosen);
        }
        without.truncate(count);
        without
    }
}

#[cfg(test)]
mod tests;
