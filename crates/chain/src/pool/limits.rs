//! Who makes room for whom.
//!
//! For a pending newcomer, in this order: queued transactions (when it is about bytes); the last
//! ones of the accounts that have most slots, down to those that each account is left; the last
//! ones of the accounts that are worth least to a validator, if the newcomer is worth more, and
//! pays for more gas than all that it displaces together if that is more than one. For a queued
//! newcomer: queued transactions, of the accounts that have most of them first.
//!
//! Everything is planned before anything is removed, so that a newcomer which is refused in the
//! end has displaced nobody.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

use super::account::{Account, Entry, Price};
use super::book::Book;
use super::event::DropReason;
use super::refusal::Refusal;

/// A transaction that wants room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer {
    pub(super) sender: Address,
    pub(super) nonce: u64,
    pub(super) slots: usize,
    /// Bytes that it adds; 0 for one that is in the pool already.
    pub(super) bytes: usize,
    pub(super) gas: u64,
    pub(super) floor: Price,
    pub(super) tip: u128,
    pub(super) local: bool,
}

/// What is to be removed: the last transactions of their accounts.
pub(super) type Victims = Vec<(Address, u64)>;

/// Room that is missing, and who gives it.
struct Plan {
    slots: usize,
    bytes: usize,
    victims: Victims,
    /// How many of the pending ones of an account, from its last on.
    taken: BTreeMap<Address, usize>,
}

impl Plan {
    const fn is_done(&self) -> bool {
        self.slots == 0 && self.bytes == 0
    }

    fn take_pending(&mut self, address: Address, entry: &Entry) {
        self.slots = self.slots.saturating_sub(entry.transaction.slots());
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        self.victims.push((address, entry.transaction.nonce));
        *self.taken.entry(address).or_default() += 1;
    }
}

impl Book {
    /// What must go for a newcomer among the pending ones. `account` is its sender's.
    pub(super) fn room_among_pending(
        &self,
        account: &Account,
        newcomer: &Newcomer,
    ) -> Result<Victims, Refusal> {
        let old = account.get(newcomer.nonce);
        let old_slots = old
            .filter(|_| account.is_pending(newcomer.nonce))
            .map_or(0, |old| old.transaction.slots());
        let own_slots = account.pending_slots() + newcomer.slots - old_slots;
        let slots = self.totals.pending_slots + newcomer.slots - old_slots;
        let bytes = self.totals.bytes + newcomer.bytes - old.map_or(0, Entry::bytes);
        let mut plan = Plan {
            slots: slots.saturating_sub(self.config.global_slots),
            bytes: bytes.saturating_sub(self.config.max_bytes),
            victims: Victims::new(),
            taken: BTreeMap::new(),
        };
        if plan.is_done() {
            return Ok(plan.victims);
        }
        self.take_queued_bytes(&mut plan, newcomer.sender);
        self.take_from_largest(&mut plan, newcomer, own_slots)?;
        self.take_cheapest(&mut plan, newcomer)?;
        Ok(plan.victims)
    }

    /// Memory that waiting transactions have is given to those that need not wait.
    fn take_queued_bytes(&self, plan: &mut Plan, sender: Address) {
        for (_, _, _, address) in self.by_queue.iter().rev() {
            let Some(account) = self.accounts.get(address).filter(|_| *address != sender) else {
                continue;
            };
            for entry in account.queued_remote().rev() {
                if plan.bytes == 0 {
                    return;
                }
                plan.bytes = plan.bytes.saturating_sub(entry.bytes());
                plan.victims.push((*address, entry.transaction.nonce));
            }
        }
    }

    /// Spreads the slots: the account that has most gives its last one, again and again.
    fn take_from_largest(
        &self,
        plan: &mut Plan,
        newcomer: &Newcomer,
        own_slots: usize,
    ) -> Result<(), Refusal> {
        let guaranteed = self.config.account_slots;
        // Accounts that have given already, with what they have left.
        let mut givers: BTreeMap<Address, usize> = BTreeMap::new();
        while !plan.is_done() {
            let untouched = self.by_slots.iter().rev().find(|(slots, address)| {
                *slots > guaranteed && *address != newcomer.sender && !givers.contains_key(address)
            });
            let touched = givers.iter().max_by_key(|(_, left)| **left);
            let largest = untouched
                .map(|(slots, address)| (*slots, *address))
                .into_iter()
                .chain(touched.map(|(address, left)| (*left, *address)))
                .max()
                .filter(|(left, _)| *left > guaranteed);
            let Some((left, address)) = largest else { break };
            if !newcomer.local && own_slots >= left {
                return Err(Refusal::Full);
            }
            let already = plan.taken.get(&address).copied().unwrap_or(0);
            let account = self.accounts.get(&address);
            let last = account.and_then(|account| account.pending_tail().nth(already));
            // One that would leave the account with less than is guaranteed stays.
            let last = last.filter(|entry| left - entry.transaction.slots() >= guaranteed);
            match last {
                Some(entry) => {
                    givers.insert(address, left - entry.transaction.slots());
                    plan.take_pending(address, entry);
                }
                None => {
                    givers.insert(address, 0);
                }
            }
        }
        if !plan.is_done() && own_slots > guaranteed && !newcomer.local {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// What is worth least goes, if the newcomer is worth more.
    fn take_cheapest(&self, plan: &mut Plan, newcomer: &Newcomer) -> Result<(), Refusal> {
        let mut displaced = U256::ZERO;
        let mut count = 0;
        for (floor, _, address) in &self.by_price {
            if plan.is_done() {
                break;
            }
            if *address == newcomer.sender {
                continue;
            }
            if !newcomer.local && *floor >= newcomer.floor {
                let minimum = u128::try_from(floor.saturating_add(1)).unwrap_or(0);
                return Err(Refusal::Underpriced { tip: newcomer.tip, minimum });
            }
            let already = plan.taken.get(address).copied().unwrap_or(0);
            let Some(account) = self.accounts.get(address) else { continue };
            for entry in account.pending_tail().skip(already) {
                let dearer = !newcomer.local && entry.floor >= newcomer.floor;
                if plan.is_done() || dearer {
                    break;
                }
                displaced += fees(entry.floor, entry.transaction.intrinsic_gas);
                count += 1;
                plan.take_pending(*address, entry);
            }
        }
        // One for one is a matter of price. Who displaces several (being larger than they) must
        // be worth it, or one cheap transaction could clear the pool of many.
        let cheap = count > 1 && fees(newcomer.floor, newcomer.gas) < displaced;
        if !plan.is_done() || (cheap && !newcomer.local) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// What must go for a newcomer among the queued ones: nothing that is pending.
    pub(super) fn room_in_queue(
        &self,
        account: &Account,
        newcomer: &Newcomer,
    ) -> Result<Victims, Refusal> {
        let old = account.get(newcomer.nonce);
        let replaces = usize::from(old.is_some_and(|old| !old.local));
        let queued = account.queued_remote().count() - replaces;
        let mut total = self.totals.queued_remote + 1 - replaces;
        let mut bytes = self.totals.bytes + newcomer.bytes - old.map_or(0, Entry::bytes);
        let mut victims = Victims::new();
        let limit = self.config.account_queue;
        if queued >= limit && !newcomer.local {
            let last = account.queued_remote().next_back();
            let Some(last) = last.filter(|last| last.transaction.nonce > newcomer.nonce) else {
                return Err(Refusal::AccountQueueFull { limit });
            };
            victims.push((newcomer.sender, last.transaction.nonce));
            total -= 1;
            bytes -= last.bytes();
        }
        let mut count =
            if newcomer.local { 0 } else { total.saturating_sub(self.config.global_queue) };
        let mut bytes = bytes.saturating_sub(self.config.max_bytes);
        let own = (queued + 1, Reverse(newcomer.floor), u64::MAX);
        for (_, _, _, address) in self.by_queue.iter().rev() {
            let Some(other) = self.accounts.get(address).filter(|_| *address != newcomer.sender)
            else {
                continue;
            };
            let mut left = other.queued_remote().count();
            for entry in other.queued_remote().rev() {
                let key = (left, Reverse(entry.floor), entry.arrival);
                if (count == 0 && bytes == 0) || (own >= key && !newcomer.local) {
                    break;
                }
                victims.push((*address, entry.transaction.nonce));
                count = count.saturating_sub(1);
                bytes = bytes.saturating_sub(entry.bytes());
                left -= 1;
            }
        }
        if count > 0 || bytes > 0 { Err(Refusal::Full) } else { Ok(victims) }
    }

    /// Brings the queue back to its limits, after a new head has sent pending ones there.
    pub(super) fn trim_queue(&mut self) {
        let limit = self.config.account_queue;
        let crowded = self.by_queue.iter().rev().take_while(|(count, ..)| *count > limit);
        let crowded: Vec<Address> = crowded.map(|(_, _, _, address)| *address).collect();
        for address in crowded {
            let Some(account) = self.accounts.get(&address) else { continue };
            let excess = account.queued_remote().skip(limit).map(|entry| entry.transaction.nonce);
            for nonce in excess.collect::<Vec<_>>().into_iter().rev() {
                self.remove(address, nonce, DropReason::Evicted);
            }
        }
        while self.totals.queued_remote > self.config.global_queue {
            let Some((_, _, _, address)) = self.by_queue.last().copied() else { return };
            let account = self.accounts.get(&address);
            let Some(last) = account.and_then(|account| account.queued_remote().next_back()) else {
                return;
            };
            let nonce = last.transaction.nonce;
            self.remove(address, nonce, DropReason::Evicted);
        }
    }

    /// Drops what waits in accounts that have not been heard of for too long.
    pub(super) fn expire(&mut self, now: u64) {
        let lifetime = self.config.queue_lifetime;
        let expired = self.by_queue.iter().filter(|(_, _, _, address)| {
            let account = self.accounts.get(address);
            account.is_some_and(|account| account.last_active.saturating_add(lifetime) <= now)
        });
        let expired: Vec<Address> = expired.map(|(_, _, _, address)| *address).collect();
        for address in expired {
            let Some(account) = self.accounts.get(&address) else { continue };
            let nonces = account.queued_remote().rev().map(|entry| entry.transaction.nonce);
            for nonce in nonces.collect::<Vec<_>>() {
                self.remove(address, nonce, DropReason::Expired);
            }
        }
    }
}

/// What a validator gets for sure: the price of the gas that every transaction of this shape uses.
fn fees(price: Price, gas: u64) -> U256 {
    U256::from(price.max(0).unsigned_abs()) * U256::from(gas)
}
