//! What is inside of the blocks: states, receipts, transactions and bodies, decoded.

use alloy_consensus::transaction::TxEip4844;
use alloy_consensus::{BlockBody, EthereumTxEnvelope, ReceiptEnvelope};
use alloy_primitives::B256;
use chainmesh_proto::eth::chain::ChainReader;

use super::{Chain, decode_header};
use crate::state::{BlockState, StateView, reader};
use crate::store::{Damage, Reader, StoreError};

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
    pub fn state(&self, block_hash: &B256) -> Result<Option<StateView>, StoreError> {
        let reader = self.store.read()?;
        match reader.index(block_hash)? {
            Some((number, _)) => self.state_in(&reader, number, *block_hash).map(Some),
            None => Ok(None),
        }
    }

    /// The state behind the head.
    ///
    /// # Errors
    /// When the store fails.
    pub fn head_state(&self) -> Result<StateView, StoreError> {
        let head = self.head();
        self.state_in(&self.store.read()?, head.number, head.hash)
    }

    fn state_in(&self, from: &Reader, number: u64, hash: B256) -> Result<StateView, StoreError> {
        let damaged = || StoreError::Inconsistent(Damage::Block(hash));
        let header = decode_header(&from.header(number, &hash)?.ok_or_else(damaged)?, &hash)?;
        let missing = StoreError::Inconsistent(Damage::State(hash));
        let place = from.state(number, &hash)?.ok_or(missing)?;
        let root = reader::root_at(header.state_root, place);
        let tables = from.state_tables()?;
        Ok(BlockState::new(tables, self.states.clone(), root, (number, hash)))
    }

    /// The receipts of a known block, canonical or not, in the order of its transactions.
    ///
    /// # Errors
    /// When the store fails.
    pub fn receipts(&self, block_hash: &B256) -> Result<Option<Vec<ReceiptEnvelope>>, StoreError> {
        let Some(rlp) = self.stored_receipts(block_hash)? else { return Ok(None) };
        let damaged = |_| StoreError::Inconsistent(Damage::Receipts(*block_hash));
        alloy_rlp::decode_exact(&rlp).map(Some).map_err(damaged)
    }

    pub(super) fn stored_receipts(
        &self,
        block_hash: &B256,
    ) -> Result<Option<bytes::Bytes>, StoreError> {
        let reader = self.store.read()?;
        let Some((number, _)) = reader.index(block_hash)? else { return Ok(None) };
        let missing = StoreError::Inconsistent(Damage::Receipts(*block_hash));
        reader.receipts(number, block_hash)?.ok_or(missing).map(Some)
    }

    /// Where a transaction is in the canonical chain; `None` when it is in no canonical block.
    ///
    /// # Errors
    /// When the store fails.
    pub fn transaction(&self, hash: &B256) -> Result<Option<TransactionPlace>, StoreError> {
        let reader = self.store.read()?;
        let Some((number, index)) = reader.transaction(hash)? else { return Ok(None) };
        let missing = StoreError::Inconsistent(Damage::Canonical(number));
        let block_hash = reader.canonical(number)?.ok_or(missing)?;
        Ok(Some(TransactionPlace { block_hash, number, index }))
    }

    /// The body of a known block, canonical or not; `None` for an unknown block.
    ///
    /// # Errors
    /// When the store fails.
    pub fn body(
        &self,
        hash: &B256,
    ) -> Result<Option<BlockBody<EthereumTxEnvelope<TxEip4844>>>, StoreError> {
        let reader = self.store.read()?;
        let Some((number, _)) = reader.index(hash)? else { return Ok(None) };
        let damaged = || StoreError::Inconsistent(Damage::Block(*hash));
        let rlp = reader.body(number, hash)?.ok_or_else(damaged)?;
        alloy_rlp::decode_exact(&rlp).map(Some).map_err(|_| damaged())
    }
}
