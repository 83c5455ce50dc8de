//! The seam between the network and whoever keeps the transactions that wait for a block.

use core::any::Any;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::TransactionAnnouncement;

/// A transaction that may be sent to peers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolTransaction {
    /// Its hash.
    pub hash: B256,
    /// Who signed it: the transactions of one sender take the same way through the network, so that
    /// they come in order.
    pub sender: Address,
    /// EIP-2718 type, 0 for a legacy transaction.
    pub kind: u8,
    /// The EIP-2718 form.
    pub raw: Bytes,
}

impl PoolTransaction {
    /// How it is announced.
    #[must_use]
    pub fn announcement(&self) -> TransactionAnnouncement {
        let size = u32::try_from(self.raw.len()).unwrap_or(u32::MAX);
        TransactionAnnouncement { hash: self.hash, kind: self.kind, size }
    }
}

/// What became of a transaction that a peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the pool.
    Added,
    /// It was there before.
    Known,
    /// It is not taken now, and the peer need not have known: too cheap, an old nonce, no room.
    Refused,
    /// It is no transaction: an honest peer would not have passed it on.
    Malformed,
}

/// Called with transactions that are in the pool from now on and may be included in a block.
pub type OnPending = Box<dyn Fn(&[PoolTransaction]) + Send + Sync>;

/// A pool of transactions, as the network sees it. Used from any thread.
pub trait TransactionPool: Send + Sync {
    /// Whether the transaction is in the pool. From memory.
    fn contains(&self, hash: &B256) -> bool;

    /// A transaction of the pool. From memory.
    fn get(&self, hash: &B256) -> Option<PoolTransaction>;

    /// What may be announced to a peer that has just come, at most `limit`.
    fn announceable(&self, limit: usize) -> Vec<TransactionAnnouncement>;

    /// Takes transactions from a peer, each in its EIP-2718 form; one verdict for each. Recovers
    /// signatures and reads the state: to be called where that may wait.
    fn add(&self, peer: PeerId, transactions: &[Bytes]) -> Vec<Verdict>;

    /// Calls `callback` for whatever becomes pending, wherever it came from, until the guard is
    /// dropped. The callback must not wait and must not call the pool.
    fn on_pending(&self, callback: OnPending) -> Box<dyn Any + Send + Sync>;
}
