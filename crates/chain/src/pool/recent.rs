//! Hashes of which the pool wants to hear no more for a while.

use std::collections::{HashMap, VecDeque};

use alloy_primitives::B256;

use super::refusal::{Blame, Refusal};

/// Most hashes of each kind (go-ethereum's fetcher, `maxTxUnderpricedSetSize` and
/// `txOnChainCacheLimit`).
const MAX_HASHES: usize = 32_768;

/// How long a transaction that was too cheap, or for which there was no room, is not asked for
/// again, in seconds (go-ethereum, `maxTxUnderpricedTimeout`).
const UNDERPRICED_SECONDS: u64 = 5 * 60;

/// A bounded map, which forgets what came first.
struct Remembered<V> {
    values: HashMap<B256, V>,
    order: VecDeque<B256>,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V> Remembered<V> {
    fn insert(&mut self, hash: B256, value: V) {
        if self.values.insert(hash, value).is_some() {
            return;
        }
        self.order.push_back(hash);
        while self.order.len() > MAX_HASHES {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }
}

/// What was refused, dropped or mined lately.
#[derive(Default)]
pub(super) struct Recent {
    /// Valid on no chain of this network, with the reason: refused again without recovering the
    /// signature.
    bad: Remembered<Refusal>,
    /// Too cheap, or no room: when.
    underpriced: Remembered<u64>,
    mined: Remembered<()>,
}

impl Recent {
    /// Why this one is refused whatever happens.
    pub(super) fn bad(&self, hash: &B256) -> Option<Refusal> {
        self.bad.values.get(hash).cloned()
    }

    pub(super) fn refused(&mut self, hash: B256, refusal: &Refusal, now: u64) {
        match refusal {
            _ if refusal.blame() == Blame::Peer => self.bad.insert(hash, refusal.clone()),
            Refusal::Underpriced { .. }
            | Refusal::ReplacementUnderpriced { .. }
            | Refusal::Full
            | Refusal::AccountQueueFull { .. } => self.underpriced.insert(hash, now),
            _ => {}
        }
    }

    pub(super) fn evicted(&mut self, hash: B256, now: u64) {
        self.underpriced.insert(hash, now);
    }

    pub(super) fn mined(&mut self, hash: B256) {
        self.mined.insert(hash, ());
    }

    /// A reorganisation has taken it out of its block.
    pub(super) fn reverted(&mut self, hash: &B256) {
        // Its place in the order stays, and is forgotten in turn.
        self.mined.values.remove(hash);
    }

    /// Whether there is no point in asking for it.
    pub(super) fn is_unwanted(&self, hash: &B256, now: u64) -> bool {
        let underpriced = self.underpriced.values.get(hash);
        underpriced.is_some_and(|at| now < at.saturating_add(UNDERPRICED_SECONDS))
            || self.mined.values.contains_key(hash)
            || self.bad.values.contains_key(hash)
    }
}

#[cfg(test)]
mod tests;
