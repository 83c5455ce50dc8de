//! [`ExecutedBlocks`]: blocks with transactions of a pool, executed on the state of the chain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256};

use super::payload::{Payload, PayloadBuilder, PayloadError};
use crate::execute::{BlockTemplate, TransactionSource, build_block};
use crate::store::{Damage, StoreError};
use crate::{Chain, ChainSpec};

/// How long transactions are put into one block by default. Half of the shortest period.
const BUILD_TIME: Duration = Duration::from_millis(500);

/// Where the transactions of blocks come from: a pool.
pub trait TransactionPool: Send + Sync {
    /// Hands out what could be executed behind the block with the hash `parent`, the best paid
    /// first. `base_fee` (wei) is that of the new block; `None` before London.
    fn best(&self, parent: B256, base_fee: Option<u64>) -> Box<dyn TransactionSource + '_>;

    /// Whether there is a transaction that could be in the next block.
    fn has_transactions(&self) -> bool;
}

/// A pool that never has a transaction.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTransactions;

impl TransactionPool for NoTransactions {
    fn best(&self, _: B256, _: Option<u64>) -> Box<dyn TransactionSource + '_> {
        Box::new(crate::execute::InOrder::default())
    }

    fn has_transactions(&self) -> bool {
        false
    }
}

/// Fills blocks with the transactions of a pool.
#[derive(Clone)]
pub struct ExecutedBlocks {
    chain: Arc<Chain>,
    pool: Arc<dyn TransactionPool>,
    build_time: Duration,
}

impl core::fmt::Debug for ExecutedBlocks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ExecutedBlocks")
            .field("build_time", &self.build_time)
            .finish_non_exhaustive()
    }
}

impl ExecutedBlocks {
    /// Blocks on the states of this chain, with transactions of this pool.
    #[must_use]
    pub fn new(chain: Arc<Chain>, pool: Arc<dyn TransactionPool>) -> Self {
        Self { chain, pool, build_time: BUILD_TIME }
    }

    fn fill(&self, header: Header, signer: Address) -> Result<Payload, PayloadError> {
        let parent = header.parent_hash;
        let missing = || StoreError::Inconsistent(Damage::State(parent));
        let state = self.chain.state(&parent).map_err(failed)?.ok_or_else(missing);
        let state = state.map_err(failed)?;
        let mut source = self.pool.best(parent, header.base_fee_per_gas);
        let template = BlockTemplate { header, beneficiary: signer, withdrawals: Vec::new() };
        let begun = Instant::now();
        let spec = self.chain.spec();
        let late = || begun.elapsed() >= self.build_time;
        let built = build_block(spec, spec.consensus(), &state, template, &mut *source, late)
            .map_err(failed)?;
        let state_root = state.root_after(&built.executed.changes).map_err(failed)?;
        Ok(Payload {
            header: Header { state_root, ..built.header },
            body_rlp: built.body_rlp,
            transactions: built.transactions.len(),
        })
    }
}

impl PayloadBuilder for ExecutedBlocks {
    fn build(
        &self,
        _: &ChainSpec,
        _: &Header,
        header: Header,
        signer: Address,
    ) -> Result<Payload, PayloadError> {
        self.fill(header, signer)
    }

    fn has_transactions(&self) -> bool {
        self.pool.has_transactions()
    }
}

fn failed(error: impl core::error::Error + Send + Sync + 'static) -> PayloadError {
    PayloadError(Box::new(error))
}
