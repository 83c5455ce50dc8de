//! What a new head means to the pool.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use super::state::PoolState;

/// The head that transactions are judged against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolHead {
    /// Number of the head.
    pub number: u64,
    /// Its timestamp, in seconds since 1970.
    pub timestamp: u64,
    /// Base fee of the **next** block, in wei per gas; 0 before London.
    pub base_fee: u64,
    /// Gas limit of the head.
    pub gas_limit: u64,
}

/// A transaction that a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncludedTransaction {
    /// Its hash.
    pub hash: B256,
    /// Its sender.
    pub sender: Address,
    /// Its nonce.
    pub nonce: u64,
    /// Number of the block.
    pub block: u64,
}

/// A new head, and what has changed since the one before.
#[derive(Clone)]
pub struct HeadUpdate {
    /// The new head.
    pub head: PoolHead,
    /// The state behind it.
    pub state: Arc<dyn PoolState>,
    /// Transactions of the blocks that have become canonical.
    pub included: Vec<IncludedTransaction>,
    /// Accounts whose nonce, balance or code has changed; `None` when this is not known, and all
    /// accounts of the pool are read again. Senders of `included` need not be repeated.
    pub changed: Option<Vec<Address>>,
    /// Transactions (EIP-2718) of the blocks that are no longer canonical, and are in none that
    /// is; they are taken back, in this order.
    pub reverted: Vec<Bytes>,
}

impl core::fmt::Debug for HeadUpdate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HeadUpdate")
            .field("head", &self.head)
            .field("included", &self.included.len())
            .field("changed", &self.changed.as_ref().map(Vec::len))
            .field("reverted", &self.reverted.len())
            .finish_non_exhaustive()
    }
}
