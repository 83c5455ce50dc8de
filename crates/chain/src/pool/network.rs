//! [`NetworkPool`]: a pool as the network sees it.

use core::any::Any;
use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::pool::{OnPending, PoolTransaction, TransactionPool, Verdict};
use chainmesh_wire::eth::TransactionAnnouncement;

use super::{Blame, Mempool, MempoolEvent, PooledTransaction, Refusal};

/// Seconds since 1970.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A pool from which transactions are spread, and to which peers bring theirs.
pub struct NetworkPool {
    pool: Arc<Mempool>,
    clock: Clock,
}

impl core::fmt::Debug for NetworkPool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("NetworkPool").field(&self.pool).finish()
    }
}

impl NetworkPool {
    /// This pool; `clock` says what time it is, in seconds since 1970.
    #[must_use]
    pub fn new(pool: Arc<Mempool>, clock: Clock) -> Self {
        Self { pool, clock }
    }
}

impl From<&PooledTransaction> for PoolTransaction {
    fn from(one: &PooledTransaction) -> Self {
        let (hash, sender) = (one.hash(), one.sender());
        Self { hash, sender, kind: one.tx_type(), raw: one.raw().clone() }
    }
}

const fn verdict(result: &Result<B256, Refusal>) -> Verdict {
    match result {
        Ok(_) => Verdict::Added,
        Err(Refusal::AlreadyKnown) => Verdict::Known,
        Err(refusal) => match refusal.blame() {
            Blame::Peer => Verdict::Malformed,
            Blame::Nobody | Blame::Doubtful => Verdict::Refused,
        },
    }
}

impl TransactionPool for NetworkPool {
    fn contains(&self, hash: &B256) -> bool {
        !self.pool.wants(hash, (self.clock)())
    }

    fn get(&self, hash: &B256) -> Option<PoolTransaction> {
        self.pool.get(hash).map(|one| PoolTransaction::from(&*one))
    }

    fn announceable(&self, limit: usize) -> Vec<TransactionAnnouncement> {
        let pending = self.pool.announceable().into_iter().take(limit);
        pending
            .map(|one| TransactionAnnouncement {
                hash: one.hash,
                kind: one.tx_type,
                size: u32::try_from(one.size).unwrap_or(u32::MAX),
            })
            .collect()
    }

    fn add(&self, _peer: PeerId, transactions: &[Bytes]) -> Vec<Verdict> {
        let results = self.pool.add_remote(transactions, (self.clock)());
        results.iter().map(verdict).collect()
    }

    fn on_pending(&self, callback: OnPending) -> Box<dyn Any + Send + Sync> {
        let pool = Arc::downgrade(&self.pool);
        Box::new(self.pool.subscribe(move |events| {
            let Some(pool) = pool.upgrade() else { return };
            let pending = events.iter().filter_map(|event| match event {
                MempoolEvent::Pending { hash } => pool.get(hash),
                _ => None,
            });
            let pending: Vec<_> = pending.map(|one| PoolTransaction::from(&*one)).collect();
            if !pending.is_empty() {
                callback(&pending);
            }
        }))
    }
}
