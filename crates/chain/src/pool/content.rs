//! What the pool shows of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};

use super::transaction::PooledTransaction;

/// A transaction in the words of an announcement (`NewPooledTransactionHashes`, `eth/68`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// Its hash.
    pub hash: B256,
    /// EIP-2718 type.
    pub tx_type: u8,
    /// Length of its EIP-2718 form, in bytes.
    pub size: usize,
}

/// The transactions of one account, by nonce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountContent {
    /// The next block may have these.
    pub pending: Vec<Arc<PooledTransaction>>,
    /// These wait for an earlier nonce or for money.
    pub queued: Vec<Arc<PooledTransaction>>,
}

/// The whole pool, by sender.
pub type Content = BTreeMap<Address, AccountContent>;

/// How full the pool is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MempoolStatus {
    /// Transactions that the next block may have.
    pub pending: usize,
    /// Transactions that wait for an earlier nonce or for money.
    pub queued: usize,
    /// Slots of the pending ones.
    pub pending_slots: usize,
    /// Of both, those that are ours.
    pub local: usize,
    /// Bytes of all, with what the pool needs for each.
    pub bytes: usize,
    /// Accounts that have transactions here.
    pub accounts: usize,
    /// Transactions that were refused since the start.
    pub refused: u64,
    /// Transactions that made room for others since the start.
    pub evicted: u64,
}
