//! What the pool tells: [`MempoolEvent`], and who wants to know.

use alloy_primitives::B256;

use super::refusal::Refusal;

/// Something happened to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MempoolEvent {
    /// The next block may contain it; it is to be announced. Also said of one that was queued.
    Pending {
        /// Its hash.
        hash: B256,
    },
    /// It waits for an earlier nonce or for money. Also said of one that was pending.
    Queued {
        /// Its hash.
        hash: B256,
    },
    /// Another with the same sender and nonce has taken its place. `Pending` or `Queued` of the
    /// new one comes next.
    Replaced {
        /// The hash that is gone.
        old: B256,
        /// The hash that is there now.
        new: B256,
    },
    /// A block has it.
    Mined {
        /// Its hash.
        hash: B256,
        /// Number of the block.
        block: u64,
    },
    /// It is gone.
    Dropped {
        /// Its hash.
        hash: B256,
        /// Why.
        reason: DropReason,
    },
    /// Subscribers were so slow that the oldest events were thrown away.
    Missed {
        /// How many.
        events: u64,
    },
}

/// Why a transaction that was in the pool is gone without being mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropReason {
    /// A new head made it invalid.
    Invalid(Refusal),
    /// Another transaction with its nonce was mined.
    NonceUsed,
    /// It made room for others.
    Evicted,
    /// It waited too long for an earlier nonce.
    Expired,
}
