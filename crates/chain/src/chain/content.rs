//! What is inside of the blocks: states, receipts, transactions and bodies, decoded.

use alloy_consensus::transaction::TxEip4844;
use alloy_consensus::{BlockBody, EthereumTxEnvelope, ReceiptEnvelope};
use alloy_primitives::B256;

use super::Chain;
use crate::state::StateView;
use crate::store::StoreError;

/// Where a transaction is in the canonical chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPlace {
    /// Hash of its block.
    pub block_hash: B256,
    /// Number of its block.
    pub number: u64,
    /// Its place in the block, from 0.
    pub index: u32,
}

impl Chain {
    /// The state behind a known block, canonical or not; `None` for an unknown block.
    ///
    /// # Errors
    /// When the store fails.
    pub fn state(&self, _block_hash: &B256) -> Result<Option<StateView>, StoreError> {
        todo!()
    }

    /// The state behind the head.
    ///
    /// # Errors
    /// When the store fails.
    pub fn head_state(&self) -> Result<StateView, StoreError> {
        todo!()
    }

    /// The receipts of a known block, canonical or not, in the order of its transactions.
    ///
    /// # Errors
    /// When the store fails.
    pub fn receipts(&self, _block_hash: &B256) -> Result<Option<Vec<ReceiptEnvelope>>, StoreError> {
        todo!()
    }

    /// Where a transaction is in the canonical chain; `None` when it is in no canonical block.
    ///
    /// # Errors
    /// When the store fails.
    pub fn transaction(&self, _hash: &B256) -> Result<Option<TransactionPlace>, StoreError> {
        todo!()
    }

    /// The body of a known block, canonical or not.
    ///
    /// # Errors
    /// When the store fails.
    pub fn body(
        &self,
        _hash: &B256,
    ) -> Result<Option<BlockBody<EthereumTxEnvelope<TxEip4844>>>, StoreError> {
        todo!()
    }
}
