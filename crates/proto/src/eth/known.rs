//! What a peer is known to have, so that it is not told again.

use std::collections::{HashSet, VecDeque};

use alloy_primitives::B256;

/// Blocks that are remembered for each peer (geth, `maxKnownBlocks`).
pub const MAX_KNOWN_BLOCKS: usize = 1024;

/// Transactions that are remembered for each peer (geth, `maxKnownTxs`).
pub const MAX_KNOWN_TRANSACTIONS: usize = 32_768;

/// The last hashes that a peer announced, sent, or was told of.
///
/// Of each hash its first 64 bits are kept. Two hashes that share them are taken for one: somebody
/// who makes such a pair, which takes about 2^32 tries, keeps one of them from being sent to the
/// peers that have the other, and nothing else.
#[derive(Debug)]
pub struct KnownHashes {
    set: HashSet<u64>,
    order: VecDeque<u64>,
    limit: usize,
}

impl KnownHashes {
    /// Remembers at most `limit` hashes, the oldest is forgotten first.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { set: HashSet::new(), order: VecDeque::new(), limit }
    }

    /// Remembers a hash; says whether it is new.
    pub fn insert(&mut self, hash: &B256) -> bool {
        let short = shorten(hash);
        if !self.set.insert(short) {
            return false;
        }
        self.order.push_back(short);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }

    /// Whether the peer is known to have it.
    #[must_use]
    pub fn contains(&self, hash: &B256) -> bool {
        self.set.contains(&shorten(hash))
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

fn shorten(hash: &B256) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
