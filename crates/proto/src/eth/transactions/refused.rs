//! What the pool refused, for a while.

use std::collections::{HashSet, VecDeque};

use alloy_primitives::B256;

use super::limits::{MAX_REFUSED, REFUSED_FOR};
use crate::time::Instant;

/// Hashes of transactions that the pool refused, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Refused {
    set: HashSet<B256>,
    order: VecDeque<(Instant, B256)>,
}

impl Refused {
    pub(super) fn insert(&mut self, now: Instant, hash: B256) {
        if !self.set.insert(hash) {
            return;
        }
        self.order.push_back((now + REFUSED_FOR, hash));
        if self.order.len() > MAX_REFUSED
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    /// Forgets those whose time has come.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((until, hash)) = self.order.front()
            && *until <= now
        {
            self.set.remove(hash);
            self.order.pop_front();
        }
    }

    pub(super) fn contains(&self, hash: &B256) -> bool {
        self.set.contains(hash)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}
