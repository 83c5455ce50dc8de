//! [`PoolBlocks`]: blocks with the transactions of a pool, executed on the states of a chain.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::Header;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, B256};

use super::payload::{Payload, PayloadBuilder, PayloadError};
use crate::execute::{BlockTemplate, Skipped, Transaction, TransactionSource, build_block};
use crate::pool::{BestTransactions, Mempool};
use crate::{Chain, ChainSpec, Consensus};

/// Most time that one block is filled for, unless something else is said. go-ethereum's is the
/// same (`newPayloadTimeout`).
pub const DEFAULT_BUILD_TIME: Duration = Duration::from_secs(2);

/// The block cannot be filled on a block that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {0} is not known, so that nothing can be executed on it")]
pub struct UnknownParent(pub B256);

/// Fills blocks with the best transactions of a pool.
#[derive(Debug, Clone)]
pub struct PoolBlocks {
    chain: Arc<Chain>,
    pool: Arc<Mempool>,
    build_time: Duration,
}

impl PoolBlocks {
    /// Fills blocks on the states of this chain, from this pool. A block is filled for half of the
    /// network's period at most, and never for longer than [`DEFAULT_BUILD_TIME`].
    #[must_use]
    pub fn new(chain: Arc<Chain>, pool: Arc<Mempool>) -> Self {
        let build_time = match chain.spec().consensus() {
            Consensus::Clique { period, .. } if period > 0 => {
                DEFAULT_BUILD_TIME.min(Duration::from_secs(period) / 2)
            }
            _ => DEFAULT_BUILD_TIME,
        };
        Self { chain, pool, build_time }
    }

    /// Fills a block for so long at most.
    #[must_use]
    pub const fn with_build_time(mut self, build_time: Duration) -> Self {
        self.build_time = build_time;
        self
    }
}

impl PayloadBuilder for PoolBlocks {
    fn build(
        &self,
        spec: &ChainSpec,
        _: &Header,
        header: Header,
        signer: Address,
    ) -> Result<Payload, PayloadError> {
        let start = Instant::now();
        let parent = header.parent_hash;
        let state = self.chain.state(&parent).map_err(failed)?;
        let state = state.ok_or_else(|| failed(UnknownParent(parent)))?;
        let base_fee = header.base_fee_per_gas.unwrap_or(0);
        let mut source = FromPool(self.pool.best(base_fee));
        let template = BlockTemplate { header, beneficiary: signer, withdrawals: Vec::new() };
        let is_late = || start.elapsed() >= self.build_time;
        let built = build_block(spec, spec.consensus(), &state, template, &mut source, is_late)
            .map_err(failed)?;
        let state_root = state.root_after(&built.executed.changes).map_err(failed)?;
        let header = Header { state_root, ..built.header };
        let (body_rlp, transactions) = (built.body_rlp, built.transactions.len());
        self.chain.remember_made(&header, signer, body_rlp.clone(), built.executed);
        Ok(Payload { header, body_rlp, transactions })
    }

    fn has_transactions(&self) -> bool {
        self.pool.status().pending > 0
    }
}

fn failed(error: impl core::error::Error + Send + Sync + 'static) -> PayloadError {
    PayloadError(Box::new(error))
}

/// The best transactions of a pool, decoded one after the other.
struct FromPool(BestTransactions);

impl TransactionSource for FromPool {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        loop {
            let next = self.0.next()?;
            let sender = next.sender();
            match next.decode() {
                Some(transaction) => return Some(Recovered::new_unchecked(transaction, sender)),
                None => self.0.skip_sender(&sender),
            }
        }
    }

    fn skip_sender(&mut self, skipped: &Skipped) {
        self.0.skip_sender(&skipped.sender);
    }
}
