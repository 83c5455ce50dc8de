//! What has happened since somebody looked last: new heads, and transactions that wait for a block.
//!
//! Nothing is queued for anybody. Whoever follows the chain remembers one block and reads from
//! there; whoever follows the pool remembers a number, and the last hashes are kept once for all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use chainmesh_chain::pool::{Mempool, MempoolEvent, MempoolSubscription};
use chainmesh_chain::{Chain, Subscription};
use chainmesh_proto::eth::chain::ChainReader as _;
use tokio::sync::watch;

use super::error::{RpcResult, internal};

/// Blocks that are told at once, at most: who was away for longer misses those before.
const MAX_STEPS: u64 = 1_024;

/// Hashes of pending transactions that are kept, at most: who was away for longer misses those
/// before. More than a pool holds.
const MAX_PENDING: usize = 8_192;

/// A block that has become canonical, or is no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Removed(B256),
    Added(B256),
}

/// Somebody who follows the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Follower {
    last: B256,
}

impl Follower {
    /// Somebody who has seen everything up to the head of now.
    pub(crate) fn at_head(chain: &Chain) -> Self {
        Self { last: chain.head().hash }
    }

    /// What has happened since the last time: first the blocks that are gone, then the new ones,
    /// each from the lowest to the highest.
    pub(crate) fn steps(&mut self, chain: &Chain) -> RpcResult<Vec<Step>> {
        let head = chain.head();
        if head.hash == self.last {
            return Ok(Vec::new());
        }
        let (mut removed, mut at) = (Vec::new(), self.last);
        let ancestor = loop {
            let Some(header) = chain.header(&at).map_err(internal)? else { break None };
            if chain.canonical_hash(header.number).map_err(internal)? == Some(at) {
                break Some(header.number);
            }
            if removed.len() as u64 >= MAX_STEPS {
                break None;
            }
            removed.push(at);
            at = header.parent_hash;
        };
        let first = ancestor.map_or(head.number, |ancestor| ancestor + 1);
        let first = first.max(head.number.saturating_sub(MAX_STEPS - 1));
        removed.reverse();
        let mut steps: Vec<Step> = removed.into_iter().map(Step::Removed).collect();
        let mut before: Option<B256> = None;
        for number in first..=head.number {
            let Some(hash) = chain.canonical_hash(number).map_err(internal)? else { break };
            let Some(header) = chain.header(&hash).map_err(internal)? else { break };
            if before.is_some_and(|before| before != header.parent_hash) {
                // The chain has changed while it was read. The next time shows how.
                break;
            }
            steps.push(Step::Added(hash));
            before = Some(hash);
        }
        self.last = before.unwrap_or(at);
        Ok(steps)
    }
}

/// The last transactions that have become pending.
#[derive(Debug, Default)]
struct Pending {
    hashes: VecDeque<B256>,
    /// Number of the next one.
    next: u64,
}

/// What wakes those who follow chain and pool.
#[derive(Debug)]
pub(crate) struct Events {
    heads: watch::Sender<()>,
    pending: Arc<PendingLog>,
    _chain: Option<Subscription>,
    _pool: Option<MempoolSubscription>,
}

#[derive(Debug)]
struct PendingLog {
    log: Mutex<Pending>,
    woken: watch::Sender<()>,
}

impl PendingLog {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, events: &[MempoolEvent]) {
        let mut any = false;
        let mut log = self.lock();
        for event in events {
            if let MempoolEvent::Pending { hash } = event {
                log.hashes.push_back(*hash);
                log.next += 1;
                any = true;
            }
        }
        let surplus = log.hashes.len().saturating_sub(MAX_PENDING);
        log.hashes.drain(..surplus);
        drop(log);
        if any {
            self.woken.send_replace(());
        }
    }
}

impl Events {
    /// Begins to listen.
    pub(crate) fn new(chain: Option<&Arc<Chain>>, pool: Option<&Arc<Mempool>>) -> Self {
        let heads = watch::Sender::new(());
        let pending = PendingLog { log: Mutex::default(), woken: watch::Sender::new(()) };
        let pending = Arc::new(pending);
        let chain = chain.map(|chain| {
            let heads = heads.clone();
            chain.subscribe(move |_| {
                heads.send_replace(());
            })
        });
        let pool = pool.map(|pool| {
            let pending = Arc::clone(&pending);
            pool.subscribe(move |events| pending.note(events))
        });
        Self { heads, pending, _chain: chain, _pool: pool }
    }

    /// Changes at each new head.
    pub(crate) fn heads(&self) -> watch::Receiver<()> {
        self.heads.subscribe()
    }

    /// Changes when transactions become pending.
    pub(crate) fn pending(&self) -> watch::Receiver<()> {
        self.pending.woken.subscribe()
    }

    /// The number of the transaction that becomes pending next.
    pub(crate) fn next_pending(&self) -> u64 {
        self.pending.lock().next
    }

    /// The transactions that have become pending since this number, as far as they are kept, and
    /// the number of the next one.
    pub(crate) fn pending_since(&self, number: u64) -> (Vec<B256>, u64) {
        let log = self.pending.lock();
        let wanted = usize::try_from(log.next.saturating_sub(number)).unwrap_or(usize::MAX);
        let skip = log.hashes.len().saturating_sub(wanted);
        (log.hashes.iter().skip(skip).copied().collect(), log.next)
    }
}

#[cfg(test)]
mod tests;
