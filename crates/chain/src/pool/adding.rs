//! Taking transactions: signatures without the lock, the rest with it.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLockWriteGuard};

use alloy_primitives::{Address, B256, keccak256};
use bytes::Bytes;

use super::prepare::{self, Prepared};
use super::rules::BlockRules;
use super::state::{AccountState, StateUnavailable};
use super::{Inner, Mempool, Refusal, TransactionOrigin, lock};

/// Most transactions that are put in while others wait for the lock (go-ethereum's fetcher, too,
/// hands over 128 at a time).
const BATCH: usize = 128;

/// Least number of signatures for which threads are worth their start (about 20 µs each; a
/// signature takes 30 to 50).
const MIN_PER_THREAD: usize = 16;

/// How often accounts are read again without the lock when a new head comes in between.
const MAX_READS: usize = 3;

type Accounts = BTreeMap<Address, Result<AccountState, StateUnavailable>>;

impl Mempool {
    /// Takes a transaction (EIP-2718) of one of our own users, and writes it into the journal if
    /// there is one. `now`: seconds since 1970.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn add_local(&self, raw: &[u8], now: u64) -> Result<B256, Refusal> {
        let prepared = self.prepare(raw)?;
        if prepared.unprotected && !self.config.allow_unprotected {
            return Err(Refusal::Unprotected);
        }
        let mut results = self.insert(vec![prepared], TransactionOrigin::Local, now);
        results.pop().unwrap_or(Err(Refusal::Full))
    }

    /// Takes transactions (EIP-2718) of a peer; one answer for each, in their order. Signatures
    /// are recovered by several threads when there are many. `now`: seconds since 1970.
    pub fn add_remote(&self, raw: &[Bytes], now: u64) -> Vec<Result<B256, Refusal>> {
        let prepared = self.prepare_all(raw);
        let mut places = Vec::new();
        let mut valid = Vec::new();
        let mut results = Vec::with_capacity(raw.len());
        for (place, result) in prepared.into_iter().enumerate() {
            results.push(match result {
                Ok(prepared) => {
                    places.push(place);
                    let hash = prepared.transaction.hash;
                    valid.push(prepared);
                    Ok(hash)
                }
                Err(refusal) => Err(refusal),
            });
        }
        let inserted = self.insert(valid, TransactionOrigin::Remote, now);
        for (place, result) in places.into_iter().zip(inserted) {
            if let Some(slot) = results.get_mut(place) {
                *slot = result;
            }
        }
        results
    }

    /// Checks everything that can be checked without the state, and recovers the signature. The
    /// pool is not locked meanwhile.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn prepare(&self, raw: &[u8]) -> Result<Prepared, Refusal> {
        let rules = self.read().book.rules;
        let hash = self.new_hash(raw, &rules);
        let prepared = hash.clone().and_then(|hash| prepare::prepare(raw, hash, rules));
        if let Err(refusal) = &prepared {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.remember_refused(hash.ok().map(|hash| (hash, refusal)), 0);
        }
        prepared
    }

    /// [`Self::prepare`] for many at once, by several threads. A transaction that occurs twice is
    /// prepared once.
    #[must_use]
    pub fn prepare_all(&self, raw: &[Bytes]) -> Vec<Result<Prepared, Refusal>> {
        let rules = self.read().book.rules;
        let mut seen = HashSet::new();
        let hashes = raw.iter().map(|raw| {
            let hash = self.new_hash(raw, &rules)?;
            if seen.insert(hash) { Ok(hash) } else { Err(Refusal::AlreadyKnown) }
        });
        let hashes: Vec<Result<B256, Refusal>> = hashes.collect();
        let work: Vec<(&Bytes, Result<B256, Refusal>)> =
            raw.iter().zip(hashes.iter().cloned()).collect();
        let results = recover_in_parallel(&work, rules, self.config.recovery_threads);
        let refused = hashes
            .iter()
            .zip(&results)
            .filter_map(|(hash, result)| Some((*hash.as_ref().ok()?, result.as_ref().err()?)));
        self.remember_refused(refused, 0);
        let refused = results.iter().filter(|result| result.is_err()).count();
        self.refused.fetch_add(refused as u64, Ordering::Relaxed);
        results
    }

    /// The hash, of a transaction that may be one and is not known.
    fn new_hash(&self, raw: &[u8], rules: &BlockRules) -> Result<B256, Refusal> {
        prepare::check_size(raw, rules)?;
        let hash = keccak256(raw);
        if self.contains(&hash) {
            return Err(Refusal::AlreadyKnown);
        }
        lock(&self.recent).bad(&hash).map_or(Ok(hash), Err)
    }

    fn remember_refused<'a>(
        &self,
        refused: impl IntoIterator<Item = (B256, &'a Refusal)>,
        now: u64,
    ) {
        let mut recent = lock(&self.recent);
        for (hash, refusal) in refused {
            recent.refused(hash, refusal, now);
        }
    }

    /// Puts prepared transactions in their places; one answer for each, in their order. Accounts
    /// are read before the pool is locked. `now`: seconds since 1970.
    pub fn insert(
        &self,
        prepared: Vec<Prepared>,
        origin: TransactionOrigin,
        now: u64,
    ) -> Vec<Result<B256, Refusal>> {
        let mut results = Vec::with_capacity(prepared.len());
        let mut prepared = prepared.into_iter();
        loop {
            let batch: Vec<Prepared> = prepared.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return results;
            }
            results.extend(self.insert_batch(batch, origin, now));
            self.subscribers.tell();
        }
    }

    fn insert_batch(
        &self,
        batch: Vec<Prepared>,
        origin: TransactionOrigin,
        now: u64,
    ) -> Vec<Result<B256, Refusal>> {
        let senders: Vec<Address> =
            batch.iter().map(|prepared| prepared.transaction.sender).collect();
        let (accounts, mut inner) = self.read_accounts(&senders);
        let mut results = Vec::with_capacity(batch.len());
        let mut kept = Vec::new();
        for prepared in batch {
            let hash = prepared.transaction.hash;
            let raw = prepared.transaction.raw.clone();
            let local = origin == TransactionOrigin::Local
                && inner.book.totals.local < self.config.local_transactions;
            let result = inner.insert_one(prepared, &accounts, local, now);
            if local && result.is_ok() {
                kept.push(raw);
            }
            results.push(result.map(|()| hash).map_err(|refusal| (hash, refusal)));
        }
        self.hand_over(&mut inner, now);
        drop(inner);
        self.write_journal(&kept);
        let refused = results.iter().filter_map(|result| result.as_ref().err());
        self.refused.fetch_add(refused.clone().count() as u64, Ordering::Relaxed);
        self.remember_refused(refused.map(|(hash, refusal)| (*hash, refusal)), now);
        results.into_iter().map(|result| result.map_err(|(_, refusal)| refusal)).collect()
    }

    /// Reads the accounts of which the pool has nothing, and locks the pool; if a new head came in
    /// between, reads them again.
    pub(super) fn read_accounts(
        &self,
        senders: &[Address],
    ) -> (Accounts, RwLockWriteGuard<'_, Inner>) {
        for _ in 0..MAX_READS {
            let inner = self.read();
            let (epoch, state) = (inner.epoch, Arc::clone(&inner.state));
            let unknown =
                senders.iter().filter(|sender| !inner.book.accounts.contains_key(*sender));
            let unknown: Vec<Address> = unknown.copied().collect();
            drop(inner);
            let mut accounts = Accounts::new();
            for sender in unknown {
                accounts.entry(sender).or_insert_with(|| state.account(&sender));
            }
            let inner = self.write();
            if inner.epoch == epoch {
                return (accounts, inner);
            }
        }
        // Heads come faster than accounts are read: those that are missing are read under the
        // lock.
        (Accounts::new(), self.write())
    }
}

impl Inner {
    pub(super) fn insert_one(
        &mut self,
        prepared: Prepared,
        accounts: &Accounts,
        local: bool,
        now: u64,
    ) -> Result<(), Refusal> {
        let sender = prepared.transaction.sender;
        let state = match self.book.accounts.get(&sender) {
            Some(account) => account.state,
            None => match accounts.get(&sender) {
                Some(state) => state.clone()?,
                None => self.state.account(&sender)?,
            },
        };
        self.book.insert(prepared, state, local, now)
    }
}

/// Prepares what has a hash; the order is that of the work, however many threads there are.
fn recover_in_parallel(
    work: &[(&Bytes, Result<B256, Refusal>)],
    rules: BlockRules,
    threads: usize,
) -> Vec<Result<Prepared, Refusal>> {
    let one = |(raw, hash): &(&Bytes, Result<B256, Refusal>)| {
        hash.clone().and_then(|hash| prepare::prepare(raw, hash, rules))
    };
    let threads = threads.min(work.len() / MIN_PER_THREAD).max(1);
    if threads == 1 {
        return work.iter().map(one).collect();
    }
    let share = work.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let others: Vec<_> = work
            .chunks(share)
            .skip(1)
            .map(|chunk| (chunk, scope.spawn(move || chunk.iter().map(one).collect::<Vec<_>>())))
            .collect();
        let mut results: Vec<_> = work.chunks(share).take(1).flatten().map(one).collect();
        for (chunk, other) in others {
            // A thread that could not do it has panicked; then this one does it.
            results.extend(other.join().unwrap_or_else(|_| chunk.iter().map(one).collect()));
        }
        results
    })
}
