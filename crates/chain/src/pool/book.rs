//! All accounts with their transactions, and the indexes that say who makes room for whom.
//!
//! Nothing here locks, reads the state or recovers a signature.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alloy_primitives::{Address, B256};

use super::account::{Account, Entry, Keys, Price};
use super::config::MempoolConfig;
use super::event::{DropReason, MempoolEvent};
use super::rules::BlockRules;
use super::transaction::PooledTransaction;

/// See the module.
pub(super) struct Book {
    pub(super) config: MempoolConfig,
    pub(super) rules: BlockRules,
    /// Of the next block, in wei.
    pub(super) base_fee: u64,
    pub(super) accounts: BTreeMap<Address, Account>,
    by_hash: HashMap<B256, Arc<PooledTransaction>>,
    /// How many transactions carry an authorization of this account (EIP-7702).
    pub(super) authorities: HashMap<Address, usize>,
    pub(super) by_slots: BTreeSet<(usize, Address)>,
    pub(super) by_price: BTreeSet<(Price, Reverse<u64>, Address)>,
    pub(super) by_queue: BTreeSet<(usize, Reverse<Price>, u64, Address)>,
    pub(super) totals: Totals,
    pub(super) evicted: u64,
    arrivals: u64,
    events: Vec<MempoolEvent>,
}

/// Sums over all accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) pending: usize,
    pub(super) queued: usize,
    /// Of those, the ones that are not of our own users.
    pub(super) queued_remote: usize,
    pub(super) pending_slots: usize,
    pub(super) local: usize,
    pub(super) bytes: usize,
}

impl Book {
    pub(super) fn new(config: MempoolConfig, rules: BlockRules, base_fee: u64) -> Self {
        Self {
            config,
            rules,
            base_fee,
            accounts: BTreeMap::new(),
            by_hash: HashMap::new(),
            authorities: HashMap::new(),
            by_slots: BTreeSet::new(),
            by_price: BTreeSet::new(),
            by_queue: BTreeSet::new(),
            totals: Totals::default(),
            evicted: 0,
            arrivals: 0,
            events: Vec::new(),
        }
    }

    pub(super) fn get(&self, hash: &B256) -> Option<&Arc<PooledTransaction>> {
        self.by_hash.get(hash)
    }

    pub(super) const fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    pub(super) fn tell(&mut self, event: MempoolEvent) {
        self.events.push(event);
    }

    pub(super) fn tell_dropped(&mut self, hash: B256, reason: DropReason) {
        if reason == DropReason::Evicted {
            self.evicted += 1;
        }
        self.tell(MempoolEvent::Dropped { hash, reason });
    }

    pub(super) fn take_events(&mut self) -> Vec<MempoolEvent> {
        core::mem::take(&mut self.events)
    }

    /// Changes an account and keeps the sums and indexes right; an account that is empty
    /// afterwards is forgotten.
    pub(super) fn change<R>(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut Account) -> R,
    ) -> Option<R> {
        let account = self.accounts.get_mut(&address)?;
        let before = sums(account);
        let result = change(account);
        let after = sums(account);
        let wanted = if account.is_empty() { Keys::default() } else { account.wanted_keys() };
        let old = core::mem::replace(&mut account.keys, wanted);
        if account.is_empty() {
            self.accounts.remove(&address);
        }
        let totals = &mut self.totals;
        totals.pending = totals.pending + after.pending - before.pending;
        totals.queued = totals.queued + after.queued - before.queued;
        totals.queued_remote = totals.queued_remote + after.queued_remote - before.queued_remote;
        totals.pending_slots = totals.pending_slots + after.pending_slots - before.pending_slots;
        totals.local = totals.local + after.local - before.local;
        self.reindex(address, old, wanted);
        Some(result)
    }

    fn reindex(&mut self, address: Address, old: Keys, new: Keys) {
        if old.slots != new.slots {
            old.slots.map(|slots| self.by_slots.remove(&(slots, address)));
            new.slots.map(|slots| self.by_slots.insert((slots, address)));
        }
        if old.price != new.price {
            old.price.map(|(price, at)| self.by_price.remove(&(price, at, address)));
            new.price.map(|(price, at)| self.by_price.insert((price, at, address)));
        }
        if old.queue != new.queue {
            old.queue.map(|(count, price, at)| self.by_queue.remove(&(count, price, at, address)));
            new.queue.map(|(count, price, at)| self.by_queue.insert((count, price, at, address)));
        }
    }

    /// An entry has come into an account.
    pub(super) fn entered(&mut self, entry: &Entry) {
        self.totals.bytes += entry.bytes();
        self.by_hash.insert(entry.transaction.hash, Arc::clone(&entry.transaction));
        for authority in &entry.authorities {
            *self.authorities.entry(*authority).or_default() += 1;
        }
    }

    /// An entry has left its account.
    pub(super) fn left(&mut self, entry: &Entry) {
        self.totals.bytes -= entry.bytes();
        self.by_hash.remove(&entry.transaction.hash);
        for authority in &entry.authorities {
            if let Some(count) = self.authorities.get_mut(authority) {
                *count -= 1;
                if *count == 0 {
                    self.authorities.remove(authority);
                }
            }
        }
    }

    /// Takes one transaction out; pending ones behind it become queued, which is told.
    pub(super) fn remove(&mut self, address: Address, nonce: u64, reason: DropReason) {
        let base_fee = self.base_fee;
        let Some(account) = self.accounts.get(&address) else { return };
        let demoted: Vec<B256> = if account.is_pending(nonce) {
            let behind = account.pending().filter(|entry| entry.transaction.nonce > nonce);
            behind.map(|entry| entry.transaction.hash).collect()
        } else {
            Vec::new()
        };
        let removed = self.change(address, |account| account.remove(nonce, base_fee)).flatten();
        if let Some(entry) = removed {
            self.left(&entry);
            self.tell_dropped(entry.transaction.hash, reason);
        }
        for hash in demoted {
            self.tell(MempoolEvent::Queued { hash });
        }
    }
}

fn sums(account: &Account) -> Totals {
    Totals {
        pending: account.pending_len(),
        queued: account.queued_len(),
        queued_remote: account.queued_remote().count(),
        pending_slots: account.pending_slots(),
        local: account.local_len(),
        bytes: 0,
    }
}
