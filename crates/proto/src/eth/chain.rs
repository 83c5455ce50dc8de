//! The seam between the network and whoever keeps the blocks: what is read from a chain, and
//! what is given to it.

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use bytes::Bytes;

/// The head of the local chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Block number.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Timestamp of the head block, seconds since 1970.
    pub timestamp: u64,
    /// Sum of the difficulties from the genesis block to this one.
    pub total_difficulty: U256,
}

/// A block on its way from a peer or a file into the chain: decoded header, and the RLP of both
/// parts as it was received, so that nothing has to be encoded again to be stored or served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncBlock {
    /// keccak256 of `header_rlp`.
    pub hash: B256,
    /// The decoded header.
    pub header: Header,
    /// The RLP of the header.
    pub header_rlp: Bytes,
    /// The RLP list `[transactions, ommers]` or `[transactions, ommers, withdrawals]`, as in a
    /// `BlockBodies` message. Its roots have been checked against the header.
    pub body_rlp: Bytes,
}

/// Why the chain did not take a block.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The block breaks a rule: whoever sent it is to blame.
    #[error("block {number} ({hash}) is invalid: {reason}")]
    Invalid {
        /// Number in the block's header.
        number: u64,
        /// Hash of the block.
        hash: B256,
        /// The broken rule.
        reason: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The parent of the block is not in the chain.
    #[error("block {number} ({hash}) has an unknown parent {parent}")]
    UnknownParent {
        /// Number in the block's header.
        number: u64,
        /// Hash of the block.
        hash: B256,
        /// The missing block.
        parent: B256,
    },
    /// The store failed: no peer is to blame.
    #[error("the block store failed")]
    Storage(#[from] StorageError),
}

/// The store below a chain failed (disk full, damaged file, …).
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StorageError(pub Box<dyn core::error::Error + Send + Sync>);

/// Read access to a chain, from any thread. Everything but [`head`](Self::head) may touch the
/// disk, so the tokio driver calls it on a blocking thread.
pub trait ChainReader: Send + Sync {
    /// Hash of the genesis block.
    fn genesis_hash(&self) -> B256;

    /// The head of the canonical chain. Cheap: kept in memory.
    fn head(&self) -> ChainHead;

    /// Hash of the canonical block with this number.
    ///
    /// # Errors
    /// When the store fails.
    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError>;

    /// Number of a known block, canonical or not.
    ///
    /// # Errors
    /// When the store fails.
    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError>;

    /// RLP of a known header, canonical or not.
    ///
    /// # Errors
    /// When the store fails.
    fn header_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError>;

    /// RLP of a known body, in the form of [`SyncBlock::body_rlp`].
    ///
    /// # Errors
    /// When the store fails.
    fn body_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError>;

    /// The receipts of a known block: an RLP list of receipts with their blooms, each in its form
    /// of `Receipts` messages up to eth/68 (a list, or a string of type byte and list). A chain
    /// that keeps none says so.
    ///
    /// # Errors
    /// When the store fails.
    fn receipts_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        let _ = hash;
        Ok(None)
    }
}

/// Write access to a chain.
pub trait ChainWriter: ChainReader {
    /// Takes blocks in ascending order, each the child of the one before, and stores those that
    /// are valid in one transaction; blocks that are known already are passed over. Returns the
    /// new head. On an error the blocks before the faulty one are stored all the same.
    ///
    /// # Errors
    /// See [`ImportError`]; it names the first block that was not taken.
    fn import(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError>;

    /// Checks the header of a block that a peer sent, seal included and without executing anything:
    /// such a block may be passed on. Returns the total difficulty with this block, by our own
    /// count; `None` when that cannot be said, because its parent is unknown.
    ///
    /// # Errors
    /// See [`ImportError`].
    fn check_header(&self, header: &Header, hash: &B256) -> Result<Option<U256>, ImportError> {
        let _ = (header, hash);
        Ok(None)
    }
}
