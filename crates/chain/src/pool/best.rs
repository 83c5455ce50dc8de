//! [`BestTransactions`]: what a validator should take next.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use alloy_primitives::Address;

use super::book::Book;
use super::transaction::PooledTransaction;

/// The next transaction of an account.
#[derive(Debug, Clone)]
struct Candidate {
    tip: u128,
    arrival: u64,
    transaction: Arc<PooledTransaction>,
}

impl Candidate {
    const fn key(&self) -> (u128, Reverse<u64>) {
        (self.tip, Reverse(self.arrival))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Pending transactions as they were when this was made: the best tip first, each account's in the
/// order of their nonces; of the same tip, the one that came first. An account ends at the first
/// transaction whose fee cap is below the base fee.
#[derive(Debug, Clone)]
pub struct BestTransactions {
    heads: BinaryHeap<Candidate>,
    /// What the accounts have behind their heads.
    rest: BTreeMap<Address, VecDeque<Candidate>>,
    /// The account whose next one follows, unless it is skipped.
    last: Option<Address>,
}

impl BestTransactions {
    pub(super) fn new(book: &Book, base_fee: u64) -> Self {
        let mut heads = BinaryHeap::new();
        let mut rest = BTreeMap::new();
        for (address, account) in &book.accounts {
            let candidates = account.pending().map_while(|entry| {
                Some(Candidate {
                    tip: entry.transaction.effective_tip(base_fee)?,
                    arrival: entry.arrival,
                    transaction: Arc::clone(&entry.transaction),
                })
            });
            let mut candidates: VecDeque<_> = candidates.collect();
            heads.extend(candidates.pop_front());
            if !candidates.is_empty() {
                rest.insert(*address, candidates);
            }
        }
        Self { heads, rest, last: None }
    }

    /// Hands out no more of this account: the last one of it did not fit, or failed, and those
    /// behind it are worth nothing without it.
    pub fn skip_sender(&mut self, sender: &Address) {
        self.rest.remove(sender);
        if self.last == Some(*sender) {
            self.last = None;
        } else {
            self.heads.retain(|head| head.transaction.sender != *sender);
        }
    }
}

impl Iterator for BestTransactions {
    type Item = Arc<PooledTransaction>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(next) = self.last.take().and_then(|last| self.rest.get_mut(&last)?.pop_front())
        {
            self.heads.push(next);
        }
        let best = self.heads.pop()?;
        self.last = Some(best.transaction.sender);
        Some(best.transaction)
    }
}
