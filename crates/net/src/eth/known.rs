//! Blocks that a peer is known to have, so that it is not told of them.

use std::collections::{HashSet, VecDeque};

use alloy_primitives::B256;

/// Blocks that are remembered for each peer (geth: 1,024).
const MAX_KNOWN: usize = 1024;

/// The last blocks that a peer announced, sent, or was told of.
#[derive(Debug, Default)]
pub(super) struct KnownBlocks {
    set: HashSet<B256>,
    order: VecDeque<B256>,
}

impl KnownBlocks {
    pub(super) fn insert(&mut self, hash: B256) {
        if !self.set.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, hash: &B256) -> bool {
        self.set.contains(hash)
    }
}
