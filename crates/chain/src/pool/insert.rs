//! A prepared transaction against its account, and into its place.

use alloy_primitives::{Address, U256};

use super::account::{Account, Entry, charge, price};
use super::book::Book;
use super::event::{DropReason, MempoolEvent};
use super::limits::Newcomer;
use super::prepare::{self, Prepared};
use super::refusal::Refusal;
use super::state::{AccountCode, AccountState};
use super::transaction::PooledTransaction;

impl Book {
    /// Takes a transaction. `state` is of its sender, and is looked at when the pool has nothing
    /// of it yet.
    pub(super) fn insert(
        &mut self,
        prepared: Prepared,
        state: AccountState,
        local: bool,
        now: u64,
    ) -> Result<(), Refusal> {
        let transaction = &prepared.transaction;
        if self.get(&transaction.hash).is_some() {
            return Err(Refusal::AlreadyKnown);
        }
        self.check_rules(&prepared)?;
        if !local && transaction.tip_cap < self.config.min_tip {
            let (tip, minimum) = (transaction.tip_cap, self.config.min_tip);
            return Err(Refusal::Underpriced { tip, minimum });
        }
        let fresh = Account::new(state, now);
        let account = self.accounts.get(&transaction.sender).unwrap_or(&fresh);
        let place = self.check_account(account, &prepared)?;
        let newcomer = Newcomer {
            sender: transaction.sender,
            nonce: transaction.nonce,
            slots: transaction.slots(),
            bytes: charge(transaction, &prepared.authorities),
            gas: transaction.intrinsic_gas,
            floor: floor_of(account, transaction, self.base_fee),
            tip: transaction.tip_cap,
            local,
        };
        let victims = match place {
            Place::Pending => self.room_among_pending(account, &newcomer)?,
            Place::Queued => self.room_in_queue(account, &newcomer)?,
        };
        for (address, nonce) in victims {
            self.remove(address, nonce, DropReason::Evicted);
        }
        self.put(prepared, state, place, local, now);
        Ok(())
    }

    /// Again what [`prepare::prepare`] has checked, if the next block has other rules by now.
    fn check_rules(&self, prepared: &Prepared) -> Result<(), Refusal> {
        if prepared.rules == self.rules {
            return Ok(());
        }
        let transaction = prepare::decode(&prepared.transaction.raw)?;
        self.rules.check(&transaction).map(|_| ())
    }

    /// Nonce, code and balance of the sender; and where the transaction belongs.
    fn check_account(&self, account: &Account, prepared: &Prepared) -> Result<Place, Refusal> {
        let transaction = &prepared.transaction;
        let nonce = transaction.nonce;
        if account.state.code == AccountCode::Contract {
            return Err(Refusal::SenderNotEoa(transaction.sender));
        }
        if nonce < account.state.nonce {
            return Err(Refusal::NonceTooLow { next: account.state.nonce, nonce });
        }
        self.check_delegation(account, transaction)?;
        self.check_authorities(&prepared.authorities)?;
        let old = account.get(nonce);
        if let Some(old) = old {
            check_replacement(&old.transaction, transaction, self.config.price_bump)?;
        }
        // Where it stands among pending ones, all of them must stay covered: whoever could make
        // his own pending transactions worthless would have displaced others for nothing.
        let queued = if account.is_pending(nonce) {
            let replaced = old.map_or(U256::ZERO, |old| old.transaction.cost);
            account.pending_cost().saturating_sub(replaced)
        } else {
            account.cost_before(nonce)
        };
        let (balance, cost) = (account.state.balance, transaction.cost);
        if queued.checked_add(cost).is_none_or(|sum| sum > balance) {
            return Err(Refusal::InsufficientFunds { balance, queued, cost });
        }
        let delegated = account.state.code == AccountCode::Delegation && account.pending_len() > 0;
        let pending = account.is_pending(nonce) || (nonce == account.pending_end() && !delegated);
        Ok(if pending { Place::Pending } else { Place::Queued })
    }

    /// A delegated account, or one whose delegation is in the pool, has one transaction here:
    /// anybody could take its money and make the others worthless.
    fn check_delegation(
        &self,
        account: &Account,
        transaction: &PooledTransaction,
    ) -> Result<(), Refusal> {
        let delegated = account.state.code == AccountCode::Delegation
            || self.authorities.contains_key(&transaction.sender);
        if !delegated {
            return Ok(());
        }
        if account.get(transaction.nonce).is_some() {
            return Ok(());
        }
        if !account.is_empty() {
            return Err(Refusal::DelegatedInFlight);
        }
        if transaction.nonce != account.state.nonce {
            return Err(Refusal::DelegatedNonceGap);
        }
        Ok(())
    }

    /// An account that has several transactions here is not to become a delegated one.
    fn check_authorities(&self, authorities: &[Address]) -> Result<(), Refusal> {
        let crowded = authorities.iter().any(|authority| {
            let account = self.accounts.get(authority);
            account.is_some_and(|account| account.entries().count() > 1)
        });
        if crowded { Err(Refusal::AuthorityReserved) } else { Ok(()) }
    }

    /// Everything is checked, and there is room.
    fn put(
        &mut self,
        prepared: Prepared,
        state: AccountState,
        place: Place,
        local: bool,
        now: u64,
    ) {
        let base_fee = self.base_fee;
        let Prepared { transaction, authorities, .. } = prepared;
        let (address, hash) = (transaction.sender, transaction.hash);
        let entry = Entry {
            floor: price(&transaction, base_fee),
            arrival: self.next_arrival(),
            transaction,
            authorities,
            local,
        };
        self.accounts.entry(address).or_insert_with(|| Account::new(state, now));
        self.entered(&entry);
        let replaced = self.change(address, |account| {
            account.last_active = now;
            let new = place == Place::Pending && !account.is_pending(entry.transaction.nonce);
            let replaced = account.put(entry, base_fee);
            if new {
                account.promote(base_fee);
            }
            replaced
        });
        if let Some(old) = replaced.flatten() {
            self.left(&old);
            self.tell(MempoolEvent::Replaced { old: old.transaction.hash, new: hash });
        }
        match place {
            Place::Pending => {
                self.tell(MempoolEvent::Pending { hash });
                self.promote(address, now);
            }
            Place::Queued => self.tell(MempoolEvent::Queued { hash }),
        }
    }

    /// Lets the queued transactions of an account move up as far as there is no gap, money and
    /// room.
    pub(super) fn promote(&mut self, address: Address, now: u64) {
        let base_fee = self.base_fee;
        loop {
            let Some(account) = self.accounts.get(&address) else { return };
            let Some(next) = account.next_executable() else { return };
            let transaction = &next.transaction;
            let hash = transaction.hash;
            let newcomer = Newcomer {
                sender: address,
                nonce: transaction.nonce,
                slots: transaction.slots(),
                bytes: 0,
                gas: transaction.intrinsic_gas,
                floor: floor_of(account, transaction, base_fee),
                tip: transaction.tip_cap,
                local: next.local,
            };
            let Ok(victims) = self.room_among_pending(account, &newcomer) else { return };
            for (victim, nonce) in victims {
                self.remove(victim, nonce, DropReason::Evicted);
            }
            self.change(address, |account| {
                account.last_active = account.last_active.max(now);
                account.promote(base_fee);
            });
            self.tell(MempoolEvent::Pending { hash });
        }
    }
}

/// The subpool of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Pending,
    Queued,
}

/// What a validator gets for it, who must take what the account has pending before it.
fn floor_of(
    account: &Account,
    transaction: &PooledTransaction,
    base_fee: u64,
) -> super::account::Price {
    let own = price(transaction, base_fee);
    let before = transaction.nonce.checked_sub(1).filter(|nonce| account.is_pending(*nonce));
    let before = before.and_then(|nonce| account.get(nonce));
    before.map_or(own, |entry| entry.floor.min(own))
}

/// Both prices must rise, by so many per cent.
fn check_replacement(
    old: &PooledTransaction,
    new: &PooledTransaction,
    bump: u8,
) -> Result<(), Refusal> {
    let enough = |old: u128, new: u128| {
        let threshold = U256::from(old) * U256::from(100 + u16::from(bump)) / U256::from(100);
        new > old && U256::from(new) >= threshold
    };
    if enough(old.fee_cap, new.fee_cap) && enough(old.tip_cap, new.tip_cap) {
        Ok(())
    } else {
        Err(Refusal::ReplacementUnderpriced { bump })
    }
}
