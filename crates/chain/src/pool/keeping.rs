//! What happens to the pool as time goes by: new heads, expiry, the journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use bytes::Bytes;

use super::head::HeadUpdate;
use super::journal::{self, Journal, JournalReport};
use super::prepare::{self, Prepared};
use super::rules::BlockRules;
use super::state::StateUnavailable;
use super::{JournalState, Mempool, Refusal, lock};

impl Mempool {
    /// A new head: drops what its blocks have or have made invalid, takes back what a
    /// reorganisation has left without a block, and lets queued transactions move up. Accounts are
    /// read before the pool is locked. `now`: seconds since 1970.
    ///
    /// # Errors
    /// An account could not be read. The pool has followed the head all the same, and has dropped
    /// the accounts of which it knows nothing any more.
    pub fn on_new_head(&self, update: HeadUpdate, now: u64) -> Result<(), StateUnavailable> {
        let _one_at_a_time = lock(&self.heads);
        let rules = BlockRules::behind(&self.spec, &update.head);
        let reverted = self.prepare_reverted(&update.reverted, rules);
        let mined: HashMap<B256, u64> =
            update.included.iter().map(|included| (included.hash, included.block)).collect();
        let mut touched: BTreeSet<Address> = BTreeSet::new();
        touched.extend(update.included.iter().map(|included| included.sender));
        touched.extend(update.changed.iter().flatten());
        touched.extend(reverted.iter().map(|prepared| prepared.transaction.sender));

        let affected = self.affected(&update, &touched);
        let mut accounts = BTreeMap::new();
        for address in affected {
            accounts.insert(address, update.state.account(&address));
        }
        let mut result = Ok(());
        let mut inner = self.write();
        inner.epoch += 1;
        inner.head = update.head;
        inner.state = Arc::clone(&update.state);
        inner.book.set_rules(rules, update.head.base_fee);
        for address in inner.book.addresses() {
            if update.changed.is_some() && !touched.contains(&address) {
                continue;
            }
            // One that came since `affected` was made is read now.
            let state = accounts.entry(address).or_insert_with(|| update.state.account(&address));
            if let Err(error) = state {
                result = Err(error.clone());
            }
            inner.book.set_account(address, state, &mined, now);
        }
        for prepared in reverted {
            // One that is not valid any more is gone, as if it had never been in a block.
            let _ = inner.insert_one(prepared, &accounts, false, now);
        }
        inner.book.trim_queue();
        self.remember_blocks(&update, &mined);
        self.hand_over(&mut inner, now);
        drop(inner);
        self.subscribers.tell();
        result
    }

    /// The accounts to be read: those of the pool that may have changed, and those whose
    /// transactions come back.
    fn affected(&self, update: &HeadUpdate, touched: &BTreeSet<Address>) -> Vec<Address> {
        let inner = self.read();
        let in_pool = |address: &&Address| inner.book.accounts.contains_key(*address);
        if update.changed.is_some() {
            touched.iter().filter(in_pool).copied().collect()
        } else {
            inner.book.addresses()
        }
    }

    fn prepare_reverted(&self, reverted: &[Bytes], rules: BlockRules) -> Vec<Prepared> {
        let prepared = reverted.iter().filter_map(|raw| {
            prepare::check_size(raw, &rules).ok()?;
            let hash = keccak256(raw);
            if self.contains(&hash) {
                return None;
            }
            prepare::prepare(raw, hash, rules).ok()
        });
        prepared.collect()
    }

    fn remember_blocks(&self, update: &HeadUpdate, mined: &HashMap<B256, u64>) {
        let mut recent = lock(&self.recent);
        for raw in &update.reverted {
            recent.reverted(&keccak256(raw));
        }
        for hash in mined.keys() {
            recent.mined(*hash);
        }
    }

    /// Drops queued transactions that have waited too long, and makes the journal small again
    /// when it is time. To be called about once a minute. `now`: seconds since 1970.
    pub fn maintain(&self, now: u64) {
        let mut inner = self.write();
        inner.book.expire(now);
        self.hand_over(&mut inner, now);
        drop(inner);
        self.subscribers.tell();
        let mut state = lock(&self.journal);
        // After an error the journal may lack transactions: it is written whole.
        if state.error.is_some() || state.journal.as_ref().is_some_and(Journal::is_long) {
            self.rotate(&mut state);
        }
    }

    /// Reads the journal of local transactions, takes what is still valid, and keeps the journal
    /// from now on, with what is left. The report is for the log. `now`: seconds since 1970.
    ///
    /// # Errors
    /// The file cannot be read or written; a damaged one is no error.
    pub fn open_journal(&self, path: &Path, now: u64) -> std::io::Result<JournalReport> {
        let (transactions, damaged_at) = journal::read(path)?;
        let mut report = JournalReport { damaged_at, ..JournalReport::default() };
        for raw in &transactions {
            match self.add_local(raw, now) {
                Ok(_) | Err(Refusal::AlreadyKnown) => report.taken += 1,
                Err(_) => report.refused += 1,
            }
        }
        let mut state = lock(&self.journal);
        state.journal = Some(Journal::rotate(path, self.local_transactions())?);
        Ok(report)
    }

    /// Why the journal lacks transactions, if it does. They are in the pool, and are written when
    /// [`Self::maintain`] finds the disk working again.
    #[must_use]
    pub fn journal_error(&self) -> Option<String> {
        lock(&self.journal).error.as_ref().map(ToString::to_string)
    }

    pub(super) fn write_journal(&self, transactions: &[Bytes]) {
        if transactions.is_empty() {
            return;
        }
        let mut state = lock(&self.journal);
        for raw in transactions {
            let Some(journal) = state.journal.as_mut() else { return };
            if let Err(error) = journal.append(raw) {
                state.error = Some(error);
                return;
            }
        }
    }

    fn rotate(&self, state: &mut JournalState) {
        let Some(journal) = &state.journal else { return };
        let path = journal.path().to_owned();
        match Journal::rotate(&path, self.local_transactions()) {
            Ok(journal) => *state = JournalState { journal: Some(journal), error: None },
            Err(error) => state.error = Some(error),
        }
    }

    /// Those of our own users, by account and nonce.
    fn local_transactions(&self) -> Vec<Bytes> {
        let inner = self.read();
        let entries = inner.book.accounts.values().flat_map(super::account::Account::entries);
        entries.filter(|entry| entry.local).map(|entry| entry.transaction.raw.clone()).collect()
    }
}
