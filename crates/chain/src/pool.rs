//! [`Mempool`]: transactions that wait for a block.
//!
//! | step | where |
//! |---|---|
//! | take, from our users or from a peer | [`Mempool::add_local`], [`Mempool::add_remote`] |
//! | validate | [`Mempool::prepare`] (nothing but the bytes), [`Mempool::insert`] (the account) |
//! | drop stale nonces, drop what a block has or has made invalid | [`Mempool::on_new_head`] |
//! | order, and hand out | [`Mempool::best`] |
//! | gossip | [`Mempool::subscribe`], [`Mempool::announceable`], [`Mempool::get`] |
//!
//! The transactions of an account are *pending* from its next nonce on without a gap, as far as
//! its balance covers the sum of what they can cost, and *queued* from there on. Queued ones never
//! displace pending ones.
//!
//! Signatures are recovered before the pool is locked. Time comes from the caller (`now`, seconds
//! since 1970); no clock is read here.

mod config;
mod content;
mod event;
mod head;
mod refusal;
mod state;
mod subscribers;
mod transaction;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use crate::ChainSpec;
pub use config::*;
pub use content::{AccountContent, Announcement, Content, MempoolStatus};
pub use event::{DropReason, MempoolEvent};
pub use head::{HeadUpdate, IncludedTransaction, PoolHead};
pub use refusal::{Blame, Malformation, Refusal};
pub use state::{AccountCode, AccountState, PoolState, StateUnavailable};
pub use subscribers::MempoolSubscription;
pub use transaction::{PooledTransaction, Transaction};

/// Where a transaction came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionOrigin {
    /// From one of our own users: kept in the journal, and not dropped for price or room.
    Local,
    /// From a peer.
    Remote,
}

/// A transaction that passed everything that can be checked without the state: form, size, type,
/// gas, fees, signature.
#[derive(Debug, Clone)]
pub struct Prepared {
    transaction: Arc<PooledTransaction>,
    /// Accounts whose authorizations (EIP-7702) it carries.
    authorities: Vec<Address>,
}

impl Prepared {
    /// The transaction.
    #[must_use]
    pub const fn transaction(&self) -> &Arc<PooledTransaction> {
        &self.transaction
    }
}

/// Transactions that wait for a block. Share it in an [`Arc`]; all methods take `&self`.
pub struct Mempool {
    spec: Arc<ChainSpec>,
    config: MempoolConfig,
    subscribers: subscribers::Subscribers,
}

impl core::fmt::Debug for Mempool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mempool").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Mempool {
    /// An empty pool behind this head.
    #[must_use]
    pub fn new(
        spec: Arc<ChainSpec>,
        config: MempoolConfig,
        head: PoolHead,
        state: Arc<dyn PoolState>,
    ) -> Self {
        let _ = (head, state);
        Self { spec, config, subscribers: subscribers::Subscribers::default() }
    }

    /// How it was made.
    #[must_use]
    pub const fn config(&self) -> &MempoolConfig {
        &self.config
    }

    /// Takes a transaction (EIP-2718) of one of our own users, and writes it into the journal if
    /// there is one. `now`: seconds since 1970.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn add_local(&self, raw: &[u8], now: u64) -> Result<B256, Refusal> {
        let _ = (raw, now, &self.spec);
        Err(Refusal::Full)
    }

    /// Takes transactions (EIP-2718) of a peer; one answer for each, in their order. Signatures
    /// are recovered by several threads when there are many. `now`: seconds since 1970.
    pub fn add_remote(&self, raw: &[Bytes], now: u64) -> Vec<Result<B256, Refusal>> {
        let _ = now;
        raw.iter().map(|_| Err(Refusal::Full)).collect()
    }

    /// A new head: drops what its blocks have or have made invalid, takes back what a
    /// reorganisation has left without a block, and lets queued transactions move up. Reads the
    /// accounts before it locks the pool. `now`: seconds since 1970.
    ///
    /// # Errors
    /// An account could not be read. The pool is empty of what it cannot judge: the accounts of
    /// which nothing is known any more are dropped.
    pub fn on_new_head(&self, update: HeadUpdate, now: u64) -> Result<(), StateUnavailable> {
        let _ = (update, now);
        Ok(())
    }

    /// Drops queued transactions that have waited too long, and makes the journal small again
    /// when it is time. To be called about once a minute. `now`: seconds since 1970.
    pub fn maintain(&self, now: u64) {
        let _ = now;
    }

    /// The transaction with this hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        let _ = hash;
        None
    }

    /// Whether it is in the pool.
    #[must_use]
    pub fn contains(&self, hash: &B256) -> bool {
        self.get(hash).is_some()
    }

    /// Whether an announced transaction is worth asking for: it is not here, was not refused or
    /// dropped lately, and is in no recent block.
    #[must_use]
    pub fn wants(&self, hash: &B256, now: u64) -> bool {
        let _ = now;
        !self.contains(hash)
    }

    /// All pending transactions, in the order in which a new peer is to hear of them: nonces of
    /// each account ascending.
    #[must_use]
    pub fn announceable(&self) -> Vec<Announcement> {
        Vec::new()
    }

    /// The pending transactions, best tip first at this base fee (in wei), each account's in the
    /// order of their nonces; of the same tip, the one that came first.
    #[must_use]
    pub fn best(&self, base_fee: u64) -> BestTransactions {
        let _ = base_fee;
        BestTransactions { _accounts: BTreeMap::new() }
    }

    /// The nonce of the next transaction of this account, behind those that are pending.
    ///
    /// # Errors
    /// The account could not be read.
    pub fn pending_nonce(&self, address: &Address) -> Result<u64, StateUnavailable> {
        let _ = address;
        Ok(0)
    }

    /// Everything, by account.
    #[must_use]
    pub fn content(&self) -> Content {
        Content::new()
    }

    /// Everything of one account.
    #[must_use]
    pub fn content_from(&self, address: &Address) -> AccountContent {
        let _ = address;
        AccountContent::default()
    }

    /// How full it is.
    #[must_use]
    pub fn status(&self) -> MempoolStatus {
        MempoolStatus::default()
    }

    /// Calls back for each batch of what happens, in order, on the thread on which it happened,
    /// with nothing locked: the callback may use the pool, and should return soon.
    pub fn subscribe(
        &self,
        callback: impl Fn(&[MempoolEvent]) + Send + Sync + 'static,
    ) -> MempoolSubscription {
        self.subscribers.subscribe(Arc::new(callback))
    }

    /// Reads the journal of local transactions, takes what is still valid, and keeps the journal
    /// from now on.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open_journal(&self, path: &Path, now: u64) -> std::io::Result<()> {
        let _ = (path, now);
        Ok(())
    }
}

/// Pending transactions in the order of their tips; see [`Mempool::best`].
#[derive(Debug)]
pub struct BestTransactions {
    _accounts: BTreeMap<Address, Vec<Arc<PooledTransaction>>>,
}

impl BestTransactions {
    /// Hands out no more of this account: the last one of it did not fit or failed.
    pub fn skip_sender(&mut self, sender: &Address) {
        let _ = sender;
    }
}

impl Iterator for BestTransactions {
    type Item = Arc<PooledTransaction>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
