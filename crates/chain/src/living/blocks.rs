//! [`PooledBlocks`]: blocks that are filled from a pool.

use core::time::Duration;
use std::sync::{Arc, Weak};
use std::time::Instant;

use alloy_consensus::Header;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::Address;

use crate::execute::{
    self, BlockTemplate, ExecutionError, Skipped, Transaction, TransactionSource,
};
use crate::pool::{BestTransactions, Mempool};
use crate::producer::{Payload, PayloadBuilder, PayloadError};
use crate::store::{Damage, StoreError};
use crate::{Chain, ChainSpec, Consensus};

/// The longest that a block is filled. What does not fit into it comes with the next one.
const MAX_FILLING: Duration = Duration::from_secs(2);

/// Fills blocks with the transactions of a pool, best tip first.
#[derive(Debug, Clone)]
pub struct PooledBlocks {
    chain: Weak<Chain>,
    pool: Arc<Mempool>,
}

/// The chain was closed while a block was being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chain is closed")]
struct Closed;

impl PooledBlocks {
    /// Fills blocks of this chain from this pool.
    #[must_use]
    pub fn new(chain: &Arc<Chain>, pool: Arc<Mempool>) -> Self {
        Self { chain: Arc::downgrade(chain), pool }
    }
}

/// Half of the time between two blocks, so that the other half is left for the block's way to the
/// other signers; within bounds where that is very short or very long.
fn time_to_fill(spec: &ChainSpec) -> Duration {
    let period = match spec.consensus() {
        Consensus::Clique { period, .. } => Duration::from_secs(period),
        _ => Duration::ZERO,
    };
    (period / 2).clamp(Duration::from_millis(500), MAX_FILLING)
}

impl PayloadBuilder for PooledBlocks {
    fn build(
        &self,
        spec: &ChainSpec,
        parent: &Header,
        header: Header,
        signer: Address,
    ) -> Result<Payload, PayloadError> {
        let failed = |error: StoreError| PayloadError(error.into());
        let chain = self.chain.upgrade().ok_or_else(|| PayloadError(Closed.into()))?;
        let behind = header.parent_hash;
        debug_assert_eq!(parent.number.saturating_add(1), header.number);
        let missing = || failed(StoreError::Inconsistent(Damage::State(behind)));
        let state = chain.state(&behind).map_err(failed)?.ok_or_else(missing)?;
        let base_fee = header.base_fee_per_gas.unwrap_or(0);
        let mut source = Pooled { best: self.pool.best(base_fee) };
        let end = Instant::now() + time_to_fill(spec);
        let consensus = spec.consensus();
        let template = BlockTemplate { header, beneficiary: signer, withdrawals: Vec::new() };
        let stop = || Instant::now() >= end;
        let built = execute::build_block(spec, consensus, &state, template, &mut source, stop)
            .map_err(|error: ExecutionError| PayloadError(error.into()))?;
        let state_root = state.root_after(&built.executed.changes).map_err(failed)?;
        Ok(Payload {
            header: Header { state_root, ..built.header },
            body_rlp: built.body_rlp,
            transactions: built.transactions.len(),
        })
    }

    fn has_transactions(&self) -> bool {
        self.pool.status().pending > 0
    }
}

/// The transactions of a pool, as the executor takes them.
struct Pooled {
    best: BestTransactions,
}

impl TransactionSource for Pooled {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        let next = self.best.next()?;
        Some(Recovered::new_unchecked(next.decode()?, next.sender()))
    }

    fn skip_sender(&mut self, skipped: &Skipped) {
        self.best.skip_sender(&skipped.sender);
    }
}
