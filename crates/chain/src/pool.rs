//! [`Mempool`]: transactions that wait for a block.
//!
//! | step | where |
//! |---|---|
//! | take, from our users or from a peer | [`Mempool::add_local`], [`Mempool::add_remote`] |
//! | validate | [`Mempool::prepare`] (nothing but the bytes), [`Mempool::insert`] (the account) |
//! | drop stale nonces, drop what a block has or has made invalid | [`Mempool::on_new_head`] |
//! | order, and hand out | [`Mempool::best`] |
//! | gossip | [`NetworkPool`], by [`Mempool::subscribe`], [`Mempool::announceable`] and [`Mempool::get`] |
//!
//! The transactions of an account are *pending* from its next nonce on without a gap, as far as
//! its balance covers the sum of what they can cost, and *queued* from there on. Queued ones never
//! displace pending ones.
//!
//! Signatures are recovered before the pool is locked. Time comes from the caller (`now`, seconds
//! since 1970); no clock is read here.

mod account;
mod adding;
mod best;
mod book;
mod config;
mod content;
mod event;
mod follow;
mod head;
mod insert;
mod journal;
mod keeping;
mod limits;
mod network;
mod new_head;
mod prepare;
mod recent;
mod refusal;
mod rules;
mod showing;
mod state;
mod subscribers;
mod transaction;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::ChainSpec;
use book::Book;
use journal::Journal;
use recent::Recent;
use rules::BlockRules;
use subscribers::Subscribers;

pub use account::TRANSACTION_OVERHEAD;
pub use best::BestTransactions;
pub use config::*;
pub use content::{AccountContent, Announcement, Content, MempoolStatus};
pub use event::{DropReason, MempoolEvent};
pub use follow::FollowError;
pub use head::{HeadUpdate, IncludedTransaction, PoolHead};
pub use journal::{JOURNAL_FILE_NAME, JournalReport, MAX_JOURNAL_BYTES};
pub use network::NetworkPool;
pub use prepare::Prepared;
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

/// Transactions that wait for a block. Share it in an [`Arc`]; all methods take `&self`.
///
/// Locks, in the order in which they are taken: `heads`, `journal`, `inner`, `recent`.
pub struct Mempool {
    spec: Arc<ChainSpec>,
    config: MempoolConfig,
    /// One new head after the other.
    heads: Mutex<()>,
    inner: RwLock<Inner>,
    recent: Mutex<Recent>,
    journal: Mutex<JournalState>,
    subscribers: Subscribers,
    refused: AtomicU64,
}

/// What is read and changed together.
struct Inner {
    book: Book,
    head: PoolHead,
    state: Arc<dyn PoolState>,
    /// Counts new heads: what was read of an older state is not used.
    epoch: u64,
}

#[derive(Default)]
struct JournalState {
    journal: Option<Journal>,
    error: Option<std::io::Error>,
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
        let rules = BlockRules::behind(&spec, &head);
        let book = Book::new(config.clone(), rules, head.base_fee);
        Self {
            spec,
            config,
            heads: Mutex::default(),
            inner: RwLock::new(Inner { book, head, state, epoch: 0 }),
            recent: Mutex::default(),
            journal: Mutex::default(),
            subscribers: Subscribers::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// How it was made.
    #[must_use]
    pub const fn config(&self) -> &MempoolConfig {
        &self.config
    }

    /// The head that transactions are judged against.
    #[must_use]
    pub fn head(&self) -> PoolHead {
        self.read().head
    }

    /// Calls back for each batch of what happens, in order, on the thread on which it happened,
    /// with nothing locked: the callback may use the pool, and should return soon.
    pub fn subscribe(
        &self,
        callback: impl Fn(&[MempoolEvent]) + Send + Sync + 'static,
    ) -> MempoolSubscription {
        self.subscribers.subscribe(Arc::new(callback))
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the events over while the pool is still locked, and remembers what they mean.
    fn hand_over(&self, inner: &mut Inner, now: u64) {
        let events = inner.book.take_events();
        if events.is_empty() {
            return;
        }
        let mut recent = lock(&self.recent);
        for event in &events {
            match event {
                MempoolEvent::Mined { hash, .. } => recent.mined(*hash),
                MempoolEvent::Dropped { hash, reason: DropReason::Evicted } => {
                    recent.evicted(*hash, now);
                }
                _ => {}
            }
        }
        drop(recent);
        self.subscribers.push(events);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
