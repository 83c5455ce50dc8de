//! Calls: the EVM on a state, and nothing of it is kept.

use alloy_consensus::TxType;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::SignedAuthorization;
use alloy_evm::Evm;
use alloy_evm::eth::EthEvmBuilder;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use revm::context_interface::result::{
    EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState,
};
use revm::database_interface::WrapDatabaseRef;
use revm::precompile::{PrecompileSpecId, Precompiles};
use revm::state::EvmState;

use super::error::UsualWords;
use super::watch::Watch;
use super::{Environment, StateError, StateReader};

/// Most gas of one call, unless the operator says otherwise (go-ethereum, `--rpc.gascap`).
pub const DEFAULT_CALL_GAS_CAP: u64 = 50_000_000;

/// What the caller would pay for gas, wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fees {
    /// Nothing: the base fee does not count, and `BASEFEE` is 0 as in go-ethereum.
    #[default]
    Free,
    /// The price of before London.
    GasPrice(u128),
    /// The fees of EIP-1559.
    Dynamic {
        /// Most in all.
        max_fee: u128,
        /// Most for who makes the block.
        max_priority_fee: u128,
    },
}

/// What is called, with what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Who calls.
    pub from: Address,
    /// What is called; `TxKind::Create` for a new contract.
    pub to: TxKind,
    /// Gas that the call may use; `None` for as much as there may be.
    pub gas: Option<u64>,
    /// What gas costs.
    pub fees: Fees,
    /// Wei that go along.
    pub value: U256,
    /// Input.
    pub data: Bytes,
    /// Addresses and slots that are paid for ahead (EIP-2930).
    pub access_list: AccessList,
    /// Authorizations (EIP-7702).
    pub authorizations: Vec<SignedAuthorization>,
    /// Versioned hashes of blobs (EIP-4844).
    pub blob_hashes: Vec<B256>,
    /// Most that a blob's gas may cost, wei.
    pub max_fee_per_blob_gas: Option<u128>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallResult {
    /// It came to its end. For a new contract `output` is its code.
    Success,
    /// It took everything back, with what is in the output.
    Reverted,
    /// It broke off, and all its gas is gone.
    Halted(HaltReason),
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// How it ended.
    pub result: CallResult,
    /// What it returned, or reverted with.
    pub output: Bytes,
    /// Gas that a transaction would pay for, refunds deducted.
    pub gas_used: u64,
    /// Gas that was spent before anything was refunded.
    pub gas_spent: u64,
    /// Its logs; none when it did not succeed.
    pub logs: Vec<Log>,
}

/// Why a call could not even begin, or was given up.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The call is none that a transaction could make.
    #[error("{}", UsualWords(.0))]
    Invalid(#[from] InvalidTransaction),
    /// It took too long.
    #[error("execution aborted (timeout)")]
    Stopped,
    /// The EVM itself failed: a bug.
    #[error("the EVM failed")]
    Evm,
    /// The state could not be read.
    #[error("the state could not be read: {0}")]
    State(#[source] StateError),
}

/// Makes a call in a block with this environment, on this state; nothing is kept. `gas_cap` is the
/// most gas that it may use, whatever the request says: that ends a call that would go on for
/// ever. It may be seconds until then; [`call_until`] has a bound on time.
///
/// As in go-ethereum, the caller may be a contract, its nonce does not matter, nor do the gas
/// limit of the block and, when the call is free, the base fee. What it sends it must have.
///
/// To call with another state than the chain's, hand in a `revm::database::CacheDB` around it.
///
/// # Errors
/// See [`CallError`]. A call that reverts or runs out of gas is no error: see [`CallResult`].
pub fn call<S: StateReader>(
    environment: &Environment,
    state: S,
    request: &CallRequest,
    gas_cap: u64,
) -> Result<CallOutcome, CallError> {
    call_until(environment, state, request, gas_cap, || false)
}

/// [`call`], broken off when `should_stop` says so. It is asked about every 10 µs, and at each
/// call inside; a precompiled contract at work is not broken off.
///
/// # Errors
/// See [`call`]; [`CallError::Stopped`].
pub fn call_until<S: StateReader>(
    environment: &Environment,
    state: S,
    request: &CallRequest,
    gas_cap: u64,
    should_stop: impl FnMut() -> bool,
) -> Result<CallOutcome, CallError> {
    Ok(transact(environment, state, request, gas_cap, should_stop)?.0)
}

/// What a call touches, as the access list with which it would be cheaper (or not), and how the
/// call with that list ends. The caller, what is called and the precompiled contracts are warm
/// without a list; they are in it only with their slots.
///
/// # Errors
/// See [`CallError`].
pub fn create_access_list<S: StateReader>(
    environment: &Environment,
    state: S,
    request: &CallRequest,
    gas_cap: u64,
) -> Result<(AccessList, CallOutcome), CallError> {
    create_access_list_until(environment, state, request, gas_cap, || false)
}

/// [`create_access_list`], broken off when `should_stop` says so, as in [`call_until`].
///
/// # Errors
/// See [`CallError`].
pub fn create_access_list_until<S: StateReader>(
    environment: &Environment,
    state: S,
    request: &CallRequest,
    gas_cap: u64,
    mut should_stop: impl FnMut() -> bool,
) -> Result<(AccessList, CallOutcome), CallError> {
    let mut request = request.clone();
    for _ in 0..MAX_ACCESS_LIST_ROUNDS {
        let (outcome, touched) =
            transact(environment, &state, &request, gas_cap, &mut should_stop)?;
        let list = touched_list(environment, &request, &touched);
        if list == request.access_list {
            return Ok((list, outcome));
        }
        request.access_list = list;
    }
    let outcome = call_until(environment, state, &request, gas_cap, should_stop)?;
    Ok((request.access_list, outcome))
}

/// A list may change the course of a call (by the gas that is left), and so the list.
const MAX_ACCESS_LIST_ROUNDS: usize = 8;

fn touched_list(
    environment: &Environment,
    request: &CallRequest,
    touched: &EvmState,
) -> AccessList {
    let id = environment.cfg_env.spec;
    let warm = |address: &Address| {
        *address == request.from
            || request.to == TxKind::Call(*address)
            || *address == environment.block_env.beneficiary
            || Precompiles::new(PrecompileSpecId::from_spec_id(id)).contains(address)
    };
    let mut items: Vec<AccessListItem> = touched
        .iter()
        .filter(|(address, account)| !account.storage.is_empty() || !warm(address))
        .map(|(address, account)| {
            let mut storage_keys: Vec<B256> =
                account.storage.keys().map(|slot| B256::from(*slot)).collect();
            storage_keys.sort_unstable();
            AccessListItem { address: *address, storage_keys }
        })
        .collect();
    items.sort_unstable_by_key(|item| item.address);
    AccessList(items)
}

pub(super) fn transact<S: StateReader>(
    environment: &Environment,
    state: S,
    request: &CallRequest,
    gas_cap: u64,
    should_stop: impl FnMut() -> bool,
) -> Result<(CallOutcome, EvmState), CallError> {
    let mut environment = environment.clone();
    let cfg = &mut environment.cfg_env;
    cfg.disable_nonce_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_block_gas_limit = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    if request.is_free() {
        environment.block_env.basefee = 0;
    }
    if request.max_fee_per_blob_gas.is_none_or(|fee| fee == 0)
        && let Some(blob) = &mut environment.block_env.blob_excess_gas_and_price
    {
        blob.blob_gasprice = 0;
    }
    let transaction = request.to_env(environment.cfg_env.chain_id, gas_cap);
    let watch = Watch::new(should_stop);
    let mut evm =
        EthEvmBuilder::new(WrapDatabaseRef(state), environment).activate_inspector(watch).build();
    let ResultAndState { result, state } =
        evm.transact_raw(transaction).map_err(|error| match error {
            EVMError::Transaction(error) => CallError::Invalid(error),
            EVMError::Database(error) => CallError::State(error.into()),
            EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_) => CallError::Evm,
        })?;
    if evm.inspector().has_stopped() {
        return Err(CallError::Stopped);
    }
    let (gas_used, gas_spent) = (result.gas().tx_gas_used(), result.gas().total_gas_spent());
    let (result, output, logs) = match result {
        ExecutionResult::Success { output, logs, .. } => {
            (CallResult::Success, output.into_data(), logs)
        }
        ExecutionResult::Revert { output, .. } => (CallResult::Reverted, output, Vec::new()),
        ExecutionResult::Halt { reason, .. } => {
            (CallResult::Halted(reason), Bytes::new(), Vec::new())
        }
    };
    Ok((CallOutcome { result, output, gas_used, gas_spent, logs }, state))
}

impl CallRequest {
    /// Whether the caller pays nothing for gas.
    pub(super) const fn is_free(&self) -> bool {
        self.most_for_gas() == 0
    }

    /// Most wei that a unit of gas may cost.
    pub(super) const fn most_for_gas(&self) -> u128 {
        match self.fees {
            Fees::Free => 0,
            Fees::GasPrice(price) => price,
            Fees::Dynamic { max_fee, .. } => max_fee,
        }
    }

    fn to_env(&self, chain_id: u64, gas_cap: u64) -> TxEnv {
        let (gas_price, gas_priority_fee) = match self.fees {
            Fees::Free => (0, None),
            Fees::GasPrice(price) => (price, None),
            Fees::Dynamic { max_fee, max_priority_fee } => (max_fee, Some(max_priority_fee)),
        };
        let kind = if !self.blob_hashes.is_empty() {
            TxType::Eip4844
        } else if !self.authorizations.is_empty() {
            TxType::Eip7702
        } else if gas_priority_fee.is_some() {
            TxType::Eip1559
        } else if !self.access_list.is_empty() {
            TxType::Eip2930
        } else {
            TxType::Legacy
        };
        TxEnv {
            tx_type: kind as u8,
            caller: self.from,
            gas_limit: self.gas.unwrap_or(gas_cap).min(gas_cap),
            gas_price,
            kind: self.to,
            value: self.value,
            data: self.data.clone(),
            nonce: 0,
            chain_id: Some(chain_id),
            access_list: self.access_list.clone(),
            gas_priority_fee,
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.unwrap_or(0),
            authorization_list: self.authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }
}
