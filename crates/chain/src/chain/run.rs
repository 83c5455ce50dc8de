//! A block on its way into the store is executed on the state behind its parent.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use alloy_rlp::Decodable;
use chainmesh_proto::eth::chain::SyncBlock;
use revm::database::BundleState;

use super::decode_header;
use super::import::{Batch, Parent, Refusal};
use crate::Consensus;
use crate::execute::{self, Ancestor, Executed, ExecutionError, RecoveredBody};
use crate::rules::RuleError;
use crate::state::apply::{self, NewState};
use crate::state::{BlockState, reader};
use crate::store::{Damage, StoreError, Tables};

/// A block that was executed, and the state behind it.
pub(super) struct Done {
    executed: Executed,
    state: NewState,
}

impl Batch<'_, '_> {
    /// Executes a block, and compares what comes out with its header. Nothing is written.
    pub(super) fn execute(
        &self,
        consensus: Consensus,
        parent: &Parent,
        block: &SyncBlock,
        body: &RecoveredBody,
    ) -> Result<Done, Refusal> {
        let header = &block.header;
        let ancestor = |hash| self.ancestor(hash);
        execute::verify_ommers(self.spec, consensus, header, &body.ommers, self.now, ancestor)?
            .map_err(ExecutionError::from)?;
        let beneficiary = execute::beneficiary_of(consensus, header).map_err(RuleError::from)?;
        let state = self.state_behind(parent)?;
        let root_after =
            |changes: &BundleState| state.root_after(changes).map_err(|error| error.into());
        let executed = execute::execute_block_with_roots(
            self.spec,
            consensus,
            &state,
            header,
            beneficiary,
            body,
            &root_after,
        )?;
        self.state_after(parent, block, executed)
    }

    /// The state behind a block, which must have the root that the header says. Nothing is
    /// written.
    pub(super) fn state_after(
        &self,
        parent: &Parent,
        block: &SyncBlock,
        executed: Executed,
    ) -> Result<Done, Refusal> {
        let state = self.state_behind(parent)?;
        let state = state.apply(apply::of_bundle(&executed.changes))?;
        let (found, expected) = (state.root.hash, block.header.state_root);
        if found != expected {
            return Err(RuleError::StateRoot { found, expected }.into());
        }
        Ok(Done { executed, state })
    }

    fn state_behind(&self, parent: &Parent) -> Result<BlockState<&Tables<'_>>, StoreError> {
        let behind = (parent.header.number, parent.hash);
        let missing = StoreError::Inconsistent(Damage::State(parent.hash));
        let place = self.tables.state(behind.0, &behind.1)?.ok_or(missing)?;
        let root = reader::root_at(parent.header.state_root, place);
        Ok(BlockState::new(&self.tables, Arc::clone(self.states), root, behind))
    }

    /// Writes down what came out of a block.
    pub(super) fn put_done(&mut self, key: (u64, B256), done: &Done) -> Result<(), StoreError> {
        self.tables.put_chunks(&done.state.chunks)?;
        self.tables.put_state(key, done.state.root.place.raw())?;
        for (hash, code) in apply::codes_of(&done.executed.changes) {
            self.tables.put_code(hash, &code)?;
        }
        self.tables.put_receipts(key, &alloy_rlp::encode(&done.executed.receipts))
    }

    fn ancestor(&self, hash: B256) -> Result<Option<Ancestor>, StoreError> {
        let Some((number, _)) = self.tables.index(&hash)? else { return Ok(None) };
        let damaged = || StoreError::Inconsistent(Damage::Block(hash));
        let header = self.tables.header(number, &hash)?.ok_or_else(damaged)?;
        let body = self.tables.body(number, &hash)?.ok_or_else(damaged)?;
        let ommers = ommer_hashes(&body).map_err(|_| damaged())?;
        Ok(Some(Ancestor { header: decode_header(&header, &hash)?, ommers }))
    }

    /// Says where the transactions of a block are that is canonical from now on.
    pub(super) fn place_transactions(
        &mut self,
        (number, hash): (u64, B256),
    ) -> Result<(), StoreError> {
        for (index, transaction) in (0..).zip(transactions(&self.tables, number, hash)?) {
            self.tables.put_transaction(transaction, number, index)?;
        }
        Ok(())
    }

    /// Forgets where the transactions of a block are that is no longer canonical.
    pub(super) fn forget_transactions(
        &mut self,
        (number, hash): (u64, B256),
    ) -> Result<(), StoreError> {
        for transaction in transactions(&self.tables, number, hash)? {
            self.tables.clear_transaction(transaction)?;
        }
        Ok(())
    }
}

/// The hashes of the transactions of a stored block.
fn transactions(tables: &Tables<'_>, number: u64, hash: B256) -> Result<Vec<B256>, StoreError> {
    let damaged = || StoreError::Inconsistent(Damage::Block(hash));
    let body = tables.body(number, &hash)?.ok_or_else(damaged)?;
    transaction_hashes(&body).map_err(|_| damaged())
}

fn transaction_hashes(mut body: &[u8]) -> Result<Vec<B256>, alloy_rlp::Error> {
    let mut parts = alloy_rlp::Header::decode_bytes(&mut body, true)?;
    let mut items = alloy_rlp::Header::decode_bytes(&mut parts, true)?;
    let mut hashes = Vec::new();
    while !items.is_empty() {
        let before = items;
        let head = alloy_rlp::Header::decode(&mut items)?;
        let (payload, behind) =
            items.split_at_checked(head.payload_length).ok_or(alloy_rlp::Error::InputTooShort)?;
        items = behind;
        let whole = before.get(..before.len() - behind.len()).unwrap_or_default();
        // EIP-2718: a typed transaction stands in a string, which is not part of it.
        hashes.push(keccak256(if head.list { whole } else { payload }));
    }
    Ok(hashes)
}

fn ommer_hashes(mut body: &[u8]) -> Result<Vec<B256>, alloy_rlp::Error> {
    let mut parts = alloy_rlp::Header::decode_bytes(&mut body, true)?;
    alloy_rlp::Header::decode_bytes(&mut parts, true)?;
    let mut items = alloy_rlp::Header::decode_bytes(&mut parts, true)?;
    let mut hashes = Vec::new();
    while !items.is_empty() {
        let before = items;
        alloy_consensus::Header::decode(&mut items)?;
        hashes.push(keccak256(before.get(..before.len() - items.len()).unwrap_or_default()));
    }
    Ok(hashes)
}
