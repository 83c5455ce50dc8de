//! A new head: what it has mined, made invalid, or given back.

use std::collections::HashMap;

use alloy_primitives::{Address, B256};

use super::account::Account;
use super::book::Book;
use super::event::{DropReason, MempoolEvent};
use super::prepare;
use super::refusal::Refusal;
use super::rules::BlockRules;
use super::state::{AccountCode, AccountState, StateUnavailable};

impl Book {
    /// The next block has other rules and another base fee.
    pub(super) fn set_rules(&mut self, rules: BlockRules, base_fee: u64) {
        let old = core::mem::replace(&mut self.rules, rules);
        if base_fee != self.base_fee {
            self.base_fee = base_fee;
            for address in self.addresses() {
                self.change(address, |account| account.reprice(base_fee));
            }
        }
        if rules.other_forks(&old) || rules.gas_limit < old.gas_limit {
            self.check_all_again(rules.other_forks(&old));
        }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.accounts.keys().copied().collect()
    }

    /// Drops what the rules do not allow any more.
    fn check_all_again(&mut self, forks: bool) {
        let rules = self.rules;
        let mut invalid: Vec<(Address, u64, Refusal)> = Vec::new();
        for (address, account) in &self.accounts {
            for entry in account.entries() {
                let transaction = &entry.transaction;
                let gas = transaction.gas_limit;
                let result = if forks {
                    prepare::decode(&transaction.raw).and_then(|decoded| rules.check(&decoded))
                } else if gas > rules.gas_limit {
                    Err(Refusal::ExceedsBlockGasLimit { gas, limit: rules.gas_limit })
                } else {
                    continue;
                };
                if let Err(refusal) = result {
                    invalid.push((*address, transaction.nonce, refusal));
                }
            }
        }
        // The last ones first: what is behind one that goes is moved once.
        for (address, nonce, refusal) in invalid.into_iter().rev() {
            self.remove(address, nonce, DropReason::Invalid(refusal));
        }
    }

    /// The state of an account behind the new head: stale nonces go, and what its balance covers
    /// is pending.
    pub(super) fn set_account(
        &mut self,
        address: Address,
        state: &Result<AccountState, StateUnavailable>,
        mined: &HashMap<B256, u64>,
        now: u64,
    ) {
        let Some(account) = self.accounts.get(&address) else { return };
        let state = match state {
            Ok(state) => *state,
            Err(error) => {
                return self.drop_account(address, &Refusal::State(error.clone()));
            }
        };
        if state.code == AccountCode::Contract {
            return self.drop_account(address, &Refusal::SenderNotEoa(address));
        }
        let old_end = account.pending_end();
        let base_fee = self.base_fee;
        let stale = self.change(address, |account| {
            let stale = account.set_state(state, base_fee);
            // Those that were pending stay so as far as they are covered; they have their room.
            while account.next_executable().is_some_and(|next| next.transaction.nonce < old_end) {
                account.promote(base_fee);
            }
            stale
        });
        for entry in stale.into_iter().flatten() {
            self.left(&entry);
            let hash = entry.transaction.hash;
            match mined.get(&hash) {
                Some(block) => self.tell(MempoolEvent::Mined { hash, block: *block }),
                None => self.tell_dropped(hash, DropReason::NonceUsed),
            }
        }
        self.drop_unaffordable(address, &state);
        let account = self.accounts.get(&address);
        let demoted = account.into_iter().flat_map(Account::queued);
        let demoted = demoted.take_while(|entry| entry.transaction.nonce < old_end);
        for hash in demoted.map(|entry| entry.transaction.hash).collect::<Vec<_>>() {
            self.tell(MempoolEvent::Queued { hash });
        }
        self.promote(address, now);
    }

    /// Drops what the whole balance of the account could not pay alone.
    fn drop_unaffordable(&mut self, address: Address, state: &AccountState) {
        let Some(account) = self.accounts.get(&address) else { return };
        let unaffordable = account.queued().rev().filter_map(|entry| {
            let (nonce, cost) = (entry.transaction.nonce, entry.transaction.cost);
            (cost > state.balance).then_some((nonce, cost))
        });
        let (balance, queued) = (state.balance, account.pending_cost());
        for (nonce, cost) in unaffordable.collect::<Vec<_>>() {
            let refusal = Refusal::InsufficientFunds { balance, queued, cost };
            self.remove(address, nonce, DropReason::Invalid(refusal));
        }
    }

    fn drop_account(&mut self, address: Address, refusal: &Refusal) {
        let Some(account) = self.accounts.get(&address) else { return };
        let nonces = account.entries().rev().map(|entry| entry.transaction.nonce);
        for nonce in nonces.collect::<Vec<_>>() {
            self.remove(address, nonce, DropReason::Invalid(refusal.clone()));
        }
    }
}
