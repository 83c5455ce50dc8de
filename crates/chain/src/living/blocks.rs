//! A pool as the place where the transactions of blocks come from.

use alloy_consensus::transaction::Recovered;
use alloy_primitives::B256;

use crate::execute::{Skipped, Transaction, TransactionSource};
use crate::pool::{BestTransactions, Mempool};
use crate::producer::BlockTransactions;

impl BlockTransactions for Mempool {
    fn best(&self, _parent: B256, base_fee: Option<u64>) -> Box<dyn TransactionSource + '_> {
        Box::new(Pooled { best: Self::best(self, base_fee.unwrap_or(0)) })
    }

    fn has_transactions(&self) -> bool {
        self.status().pending > 0
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
