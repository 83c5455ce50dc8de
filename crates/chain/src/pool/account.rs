//! The transactions of one account: pending up to a nonce, queued behind it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, U256};

use super::state::{AccountCode, AccountState};
use super::transaction::PooledTransaction;

/// What the pool needs for a transaction besides its bytes, in bytes: the entry, its share of the
/// maps and indexes, and an account of its own at worst. `examples/mempool_limits.rs` measures
/// 1,650 to 1,770 with an account each, 420 without.
pub const TRANSACTION_OVERHEAD: usize = 1_792;

/// What a transaction pays a validator, in wei per gas: its tip at the base fee of the next block,
/// below zero when its fee cap is below the base fee.
pub(super) type Price = i128;

/// The price at a base fee.
pub(super) fn price(transaction: &PooledTransaction, base_fee: u64) -> Price {
    let clamp = |wei: u128| Price::try_from(wei).unwrap_or(Price::MAX);
    let above_base = clamp(transaction.fee_cap).saturating_sub(Price::from(base_fee));
    above_base.min(clamp(transaction.tip_cap))
}

/// A transaction in its place.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) transaction: Arc<PooledTransaction>,
    pub(super) authorities: Box<[Address]>,
    /// Its place in the order in which transactions came.
    pub(super) arrival: u64,
    pub(super) local: bool,
    /// The least price among the account's pending transactions up to this one: what it is worth
    /// to a validator, who must take those first. Of a queued one: its own price.
    pub(super) floor: Price,
}

impl Entry {
    /// Bytes that are charged for it.
    pub(super) fn bytes(&self) -> usize {
        charge(&self.transaction, &self.authorities)
    }
}

/// Bytes that are charged for a transaction.
pub(super) fn charge(transaction: &PooledTransaction, authorities: &[Address]) -> usize {
    transaction.size() + size_of_val(authorities) + TRANSACTION_OVERHEAD
}

/// Where an account stands in the indexes of the book; `None`: it does not stand there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// Pending slots.
    pub(super) slots: Option<usize>,
    /// Floor and arrival of the last pending transaction.
    pub(super) price: Option<(Price, Reverse<u64>)>,
    /// Number of queued transactions that are not ours; price and arrival of the last one.
    pub(super) queue: Option<(usize, Reverse<Price>, u64)>,
}

/// The transactions of one account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) state: AccountState,
    entries: BTreeMap<u64, Entry>,
    /// The nonce behind the last pending one; from `state.nonce` up to here there is no gap.
    pending_end: u64,
    pending_cost: U256,
    pending_slots: usize,
    pending: usize,
    local: usize,
    /// When something last came from it, or moved up, in seconds since 1970.
    pub(super) last_active: u64,
    pub(super) keys: Keys,
}

impl Account {
    pub(super) const fn new(state: AccountState, now: u64) -> Self {
        Self {
            state,
            entries: BTreeMap::new(),
            pending_end: state.nonce,
            pending_cost: U256::ZERO,
            pending_slots: 0,
            pending: 0,
            local: 0,
            last_active: now,
            keys: Keys { slots: None, price: None, queue: None },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) const fn pending_len(&self) -> usize {
        self.pending
    }

    pub(super) fn queued_len(&self) -> usize {
        self.entries.len() - self.pending
    }

    pub(super) const fn pending_slots(&self) -> usize {
        self.pending_slots
    }

    pub(super) const fn pending_cost(&self) -> U256 {
        self.pending_cost
    }

    pub(super) const fn pending_end(&self) -> u64 {
        self.pending_end
    }

    pub(super) const fn local_len(&self) -> usize {
        self.local
    }

    pub(super) fn get(&self, nonce: u64) -> Option<&Entry> {
        self.entries.get(&nonce)
    }

    pub(super) const fn is_pending(&self, nonce: u64) -> bool {
        nonce < self.pending_end
    }

    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn pending(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range(..self.pending_end).map(|(_, entry)| entry)
    }

    pub(super) fn queued(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range(self.pending_end..).map(|(_, entry)| entry)
    }

    /// The queued transactions that may have to make room: all but those of our own users.
    pub(super) fn queued_remote(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.queued().filter(|entry| !entry.local)
    }

    /// The last pending transactions, from the end, that may have to make room: up to the first of
    /// our own users.
    pub(super) fn pending_tail(&self) -> impl Iterator<Item = &Entry> {
        self.pending().rev().take_while(|entry| !entry.local)
    }

    /// What all transactions before this nonce can cost together.
    pub(super) fn cost_before(&self, nonce: u64) -> U256 {
        let queued = self.entries.range(self.pending_end..nonce.max(self.pending_end));
        queued.fold(self.pending_cost, |sum, (_, entry)| sum.saturating_add(entry.transaction.cost))
    }

    /// Puts a transaction in its place, as a queued one or in the place of a pending one, and
    /// returns what was there.
    pub(super) fn put(&mut self, entry: Entry, base_fee: u64) -> Option<Entry> {
        let nonce = entry.transaction.nonce;
        self.local += usize::from(entry.local);
        let pending = self.is_pending(nonce);
        if pending {
            self.pending_cost = self.pending_cost.saturating_add(entry.transaction.cost);
            self.pending_slots += entry.transaction.slots();
        }
        let old = self.entries.insert(nonce, entry);
        if let Some(old) = &old {
            self.local -= usize::from(old.local);
            if pending {
                self.pending_cost = self.pending_cost.saturating_sub(old.transaction.cost);
                self.pending_slots -= old.transaction.slots();
            }
        }
        if pending {
            self.reprice_from(nonce, base_fee);
        }
        old
    }

    /// The queued transaction that would be pending if there is room: the next nonce, and covered.
    pub(super) fn next_executable(&self) -> Option<&Entry> {
        let limit = if self.state.code == AccountCode::Delegation { 1 } else { usize::MAX };
        if self.pending >= limit || self.state.code == AccountCode::Contract {
            return None;
        }
        let next = self.entries.get(&self.pending_end)?;
        let cost = self.pending_cost.checked_add(next.transaction.cost)?;
        (cost <= self.state.balance).then_some(next)
    }

    /// Makes the next queued transaction a pending one.
    pub(super) fn promote(&mut self, base_fee: u64) {
        let nonce = self.pending_end;
        let Some(entry) = self.entries.get(&nonce) else { return };
        self.pending_cost = self.pending_cost.saturating_add(entry.transaction.cost);
        self.pending_slots += entry.transaction.slots();
        self.pending += 1;
        // The nonce 2^64-1 is refused, so there is always one behind.
        self.pending_end = nonce.saturating_add(1);
        self.reprice_from(nonce, base_fee);
    }

    /// Makes the pending transactions from this nonce on queued ones.
    pub(super) fn demote_from(&mut self, nonce: u64, base_fee: u64) {
        let nonce = nonce.max(self.state.nonce);
        if nonce >= self.pending_end {
            return;
        }
        for (_, entry) in self.entries.range_mut(nonce..self.pending_end) {
            entry.floor = price(&entry.transaction, base_fee);
            self.pending_cost = self.pending_cost.saturating_sub(entry.transaction.cost);
            self.pending_slots -= entry.transaction.slots();
            self.pending -= 1;
        }
        self.pending_end = nonce;
    }

    /// Takes a transaction out; pending ones behind it become queued.
    pub(super) fn remove(&mut self, nonce: u64, base_fee: u64) -> Option<Entry> {
        self.demote_from(nonce, base_fee);
        let entry = self.entries.remove(&nonce)?;
        self.local -= usize::from(entry.local);
        Some(entry)
    }

    /// Another state: all become queued, and those with a used nonce are taken out.
    pub(super) fn set_state(&mut self, state: AccountState, base_fee: u64) -> Vec<Entry> {
        self.demote_from(self.state.nonce, base_fee);
        self.state = state;
        self.pending_end = state.nonce;
        let left = self.entries.split_off(&state.nonce);
        let stale: Vec<Entry> = core::mem::replace(&mut self.entries, left).into_values().collect();
        self.local -= stale.iter().filter(|entry| entry.local).count();
        stale
    }

    /// Another base fee, or another price at this nonce: what the pending ones from there on are
    /// worth.
    pub(super) fn reprice_from(&mut self, nonce: u64, base_fee: u64) {
        let before = self.entries.range(..nonce.min(self.pending_end)).next_back();
        let mut floor = before.map_or(Price::MAX, |(_, entry)| entry.floor);
        for (_, entry) in self.entries.range_mut(nonce.min(self.pending_end)..self.pending_end) {
            floor = floor.min(price(&entry.transaction, base_fee));
            entry.floor = floor;
        }
    }

    /// Another base fee: what all are worth.
    pub(super) fn reprice(&mut self, base_fee: u64) {
        self.reprice_from(0, base_fee);
        for (_, entry) in self.entries.range_mut(self.pending_end..) {
            entry.floor = price(&entry.transaction, base_fee);
        }
    }

    /// Where it belongs in the indexes: nowhere if the transaction that would go is of our own
    /// users.
    pub(super) fn wanted_keys(&self) -> Keys {
        let last = self.pending_tail().next();
        let last_queued = self.queued_remote().next_back();
        Keys {
            slots: last.map(|_| self.pending_slots),
            price: last.map(|last| (last.floor, Reverse(last.arrival))),
            queue: last_queued
                .map(|last| (self.queued_remote().count(), Reverse(last.floor), last.arrival)),
        }
    }
}
