//! [`Run`]: one block on its way through the EVM, be it one that came or one that is being made.

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxReceipt,
    TxType,
};
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::Requests;
use alloy_evm::eth::{EthEvm, EthEvmBuilder};
use alloy_evm::precompiles::PrecompilesMap;
use alloy_evm::{Evm, ToTxEnv};
use alloy_primitives::{Address, B256, Bloom};
use alloy_trie::KECCAK_EMPTY;
use revm::DatabaseCommit;
use revm::context_interface::result::{EVMError, ExecutionResult, ResultAndState};
use revm::database::states::bundle_state::BundleRetention;
use revm::database::{BundleState, State};
use revm::database_interface::WrapDatabaseRef;
use revm::inspector::NoOpInspector;
use revm::primitives::hardfork::SpecId;

use super::body::SignatureRules;
use super::{ExecutionError, StateError, StateReader, Transaction, TransactionError, environment};
use crate::{ChainSpec, Consensus};

type BlockEvm<S> = EthEvm<State<WrapDatabaseRef<S>>, NoOpInspector, PrecompilesMap>;

/// A transaction that was not executed.
pub(super) enum Refused {
    /// It is not valid here.
    Transaction(TransactionError),
    /// Nothing can be said about it.
    Failed(ExecutionError),
}

/// Says what the state root is after changes to the state that a block is run on.
///
/// Before Byzantium the receipt of a transaction holds the state root behind it (EIP-658 put a
/// status in its place), which only whoever holds the tries can compute.
pub type RootAfter<'a> = &'a dyn Fn(&BundleState) -> Result<B256, StateError>;

/// One block under way.
pub(super) struct Run<'a, S: StateReader> {
    pub(super) spec: &'a ChainSpec,
    pub(super) consensus: Consensus,
    pub(super) id: SpecId,
    pub(super) evm: BlockEvm<S>,
    pub(super) receipts: Vec<ReceiptEnvelope>,
    signatures: SignatureRules,
    gas_limit: u64,
    pub(super) gas_used: u64,
    blob_gas_limit: u64,
    pub(super) blob_gas_used: u64,
    /// There before Byzantium, if somebody can tell.
    root_after: Option<RootAfter<'a>>,
}

/// What is left when a block has been run.
pub(super) struct Ran {
    pub(super) changes: BundleState,
    pub(super) receipts: Vec<ReceiptEnvelope>,
    pub(super) requests: Requests,
    pub(super) logs_bloom: Bloom,
    pub(super) gas_used: u64,
    pub(super) blob_gas_used: u64,
    /// Whether the receipts are those that the fork has: not so before Byzantium when nobody
    /// could tell the state roots in them.
    pub(super) has_true_receipts: bool,
}

impl<'a, S: StateReader> Run<'a, S> {
    /// Begins a block with this header, of which only the fields that are known before the first
    /// transaction are read.
    pub(super) fn start(
        spec: &'a ChainSpec,
        consensus: Consensus,
        state: S,
        header: &Header,
        beneficiary: Address,
        root_after: Option<RootAfter<'a>>,
    ) -> Result<Self, ExecutionError> {
        let environment = environment(spec, consensus, header, beneficiary)?;
        let id = environment.cfg_env.spec;
        let blob_gas_limit = if id.is_enabled_in(SpecId::CANCUN) {
            spec.blob_params(header.number, header.timestamp).max_blob_gas_per_block()
        } else {
            0
        };
        let state =
            State::builder().with_database(WrapDatabaseRef(state)).with_bundle_update().build();
        let mut run = Self {
            spec,
            consensus,
            id,
            evm: EthEvmBuilder::new(state, environment).build(),
            receipts: Vec::new(),
            signatures: SignatureRules::at(spec, header.number),
            gas_limit: header.gas_limit,
            gas_used: 0,
            blob_gas_limit,
            blob_gas_used: 0,
            root_after: root_after.filter(|_| !id.is_enabled_in(SpecId::BYZANTIUM)),
        };
        run.before_transactions(header)?;
        Ok(run)
    }

    /// Gas that the next transaction may use.
    pub(super) const fn gas_left(&self) -> u64 {
        self.gas_limit.saturating_sub(self.gas_used)
    }

    /// Executes the next transaction. One that is refused leaves nothing behind.
    pub(super) fn transact(&mut self, transaction: &Recovered<Transaction>) -> Result<(), Refused> {
        let refused = |error| Err(Refused::Transaction(error));
        if let Err(error) = self.signatures.check_protection(transaction.inner()) {
            return refused(error);
        }
        let (gas_limit, left) = (transaction.gas_limit(), self.gas_left());
        if gas_limit > left {
            return refused(TransactionError::BlockGas { gas_limit, left });
        }
        let blob_gas = transaction.blob_gas_used().unwrap_or(0);
        let left = self.blob_gas_limit.saturating_sub(self.blob_gas_used);
        if self.id.is_enabled_in(SpecId::CANCUN) && blob_gas > left {
            return refused(TransactionError::BlockBlobGas { blob_gas, left });
        }
        let ResultAndState { result, state } =
            self.evm.transact_raw(transaction.to_tx_env()).map_err(|error| match error {
                EVMError::Transaction(error) => Refused::Transaction(error.into()),
                EVMError::Database(error) => Refused::Failed(state_error(error)),
                EVMError::Header(_) => Refused::Failed(ExecutionError::HeaderField),
                EVMError::Custom(_) | EVMError::CustomAny(_) => {
                    Refused::Failed(ExecutionError::Evm)
                }
            })?;
        self.gas_used = self.gas_used.saturating_add(result.gas().tx_gas_used());
        self.blob_gas_used = self.blob_gas_used.saturating_add(blob_gas);
        self.evm.db_mut().commit(state);
        let outcome = match self.root_after {
            Some(root_after) => Eip658Value::PostState(self.root(root_after)?),
            None => Eip658Value::Eip658(result.is_success()),
        };
        self.receipts.push(receipt(transaction.tx_type(), outcome, result, self.gas_used));
        Ok(())
    }

    /// The state root behind what has been executed.
    fn root(&mut self, root_after: RootAfter<'_>) -> Result<B256, Refused> {
        let db = self.evm.db_mut();
        db.merge_transitions(BundleRetention::PlainState);
        root_after(&db.bundle_state).map_err(|error| Refused::Failed(ExecutionError::State(error)))
    }

    /// Ends the block.
    pub(super) fn finish(
        mut self,
        number: u64,
        ommers: &[Header],
        withdrawals: Option<&[Withdrawal]>,
    ) -> Result<Ran, ExecutionError> {
        let requests = self.after_transactions(number, ommers, withdrawals)?;
        let mut logs_bloom = Bloom::ZERO;
        for receipt in &self.receipts {
            logs_bloom |= *receipt.logs_bloom();
        }
        let db = self.evm.db_mut();
        db.merge_transitions(BundleRetention::PlainState);
        let mut changes = db.take_bundle();
        // The code of a contract without code is nothing to be kept.
        changes.contracts.remove(&KECCAK_EMPTY);
        Ok(Ran {
            changes,
            receipts: self.receipts,
            requests,
            logs_bloom,
            gas_used: self.gas_used,
            blob_gas_used: self.blob_gas_used,
            has_true_receipts: self.root_after.is_some()
                || self.id.is_enabled_in(SpecId::BYZANTIUM),
        })
    }
}

/// What the state said becomes an error of the block's execution.
pub(super) fn state_error<E>(error: E) -> ExecutionError
where
    E: Into<StateError>,
{
    ExecutionError::State(error.into())
}

fn receipt(
    kind: TxType,
    status: Eip658Value,
    result: ExecutionResult,
    cumulative_gas_used: u64,
) -> ReceiptEnvelope {
    let receipt = Receipt { status, cumulative_gas_used, logs: result.into_logs() };
    let logs_bloom = receipt.bloom();
    let receipt = ReceiptWithBloom { receipt, logs_bloom };
    match kind {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}
