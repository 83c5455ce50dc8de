//! [`estimate_gas`]: a gas limit with which a transaction succeeds, as go-ethereum finds it
//! (`eth/gasestimator`).

use alloy_primitives::{Bytes, TxKind, U256};
use revm::context_interface::result::{HaltReason, InvalidTransaction};

use super::call::transact;
use super::{
    CallError, CallOutcome, CallRequest, CallResult, Environment, StateError, StateReader,
};

/// Gas of a transfer to an account without code (yellow paper, G_transaction).
const TRANSFER_GAS: u64 = 21_000;

/// Gas that a call with value gives away on top (yellow paper, G_callstipend).
const CALL_STIPEND: u64 = 2_300;

/// An estimate may be too high by so many thousandths, which spares half of the runs
/// (go-ethereum, `estimateGasErrorRatio`).
const ERROR_PER_MILLE: u64 = 15;

/// Why there is no estimate. The texts are go-ethereum's.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// It reverts with any gas.
    #[error("execution reverted")]
    Reverted {
        /// What it reverts with.
        output: Bytes,
    },
    /// It fails with any gas.
    #[error("{0}")]
    Halted(HaltReason),
    /// It needs more gas than the block, the caller's balance or the operator's cap allows.
    #[error("gas required exceeds allowance ({0})")]
    Allowance(u64),
    /// The caller does not own what it would send.
    #[error("insufficient funds for transfer")]
    InsufficientFunds,
    /// It took too long.
    #[error("execution aborted (timeout)")]
    Stopped,
    /// See there.
    #[error(transparent)]
    Call(CallError),
}

impl From<CallError> for EstimateError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Stopped => Self::Stopped,
            other => Self::Call(other),
        }
    }
}

/// A gas limit, at most 1.5 % above the least, with which the call succeeds as a transaction.
/// `gas_cap` is the most that is tried; `should_stop` is as in [`call_until`](super::call_until),
/// for the about ten runs together.
///
/// # Errors
/// See [`EstimateError`].
pub fn estimate_gas<S: StateReader>(
    environment: &Environment,
    state: S,
    request: &CallRequest,
    gas_cap: u64,
    mut should_stop: impl FnMut() -> bool,
) -> Result<u64, EstimateError> {
    let mut most = match request.gas {
        Some(gas) if gas >= TRANSFER_GAS => gas,
        _ => environment.block_env.gas_limit,
    };
    if let Some(affordable) = affordable(&state, request)? {
        most = most.min(affordable);
    }
    most = most.min(gas_cap);
    let mut run = |gas: u64| {
        if should_stop() {
            return Err(EstimateError::Stopped);
        }
        attempt(environment, &state, request, gas, &mut should_stop)
    };
    if most >= TRANSFER_GAS && is_transfer(&state, request)? && run(TRANSFER_GAS)?.succeeded() {
        return Ok(TRANSFER_GAS);
    }
    let outcome = match run(most)? {
        Attempt::Done(outcome) => outcome,
        Attempt::TooLittle => return Err(EstimateError::Allowance(most)),
    };
    match outcome.result {
        CallResult::Success => {}
        CallResult::Reverted => return Err(EstimateError::Reverted { output: outcome.output }),
        CallResult::Halted(HaltReason::OutOfGas(_)) => return Err(EstimateError::Allowance(most)),
        CallResult::Halted(reason) => return Err(EstimateError::Halted(reason)),
    }
    // Too little, and enough.
    let (mut least, mut enough) = (outcome.gas_used.saturating_sub(1), most);
    let likely = outcome.gas_spent.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
    if likely < enough {
        if run(likely)?.succeeded() { enough = likely } else { least = likely }
    }
    while least.saturating_add(1) < enough {
        let between = enough - least;
        if between.saturating_mul(1_000) / enough < ERROR_PER_MILLE {
            break;
        }
        // Most calls need not much more than they use.
        let middle = (least + between / 2).min(least.saturating_mul(2));
        if run(middle)?.succeeded() { enough = middle } else { least = middle }
    }
    Ok(enough)
}

enum Attempt {
    Done(CallOutcome),
    /// Not even enough to begin.
    TooLittle,
}

impl Attempt {
    fn succeeded(&self) -> bool {
        matches!(self, Self::Done(outcome) if outcome.result == CallResult::Success)
    }
}

fn attempt<S: StateReader>(
    environment: &Environment,
    state: &S,
    request: &CallRequest,
    gas: u64,
    should_stop: impl FnMut() -> bool,
) -> Result<Attempt, EstimateError> {
    let request = CallRequest { gas: Some(gas), ..request.clone() };
    match transact(environment, state, &request, gas, should_stop) {
        Ok((outcome, _)) => Ok(Attempt::Done(outcome)),
        Err(CallError::Invalid(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        )) => Ok(Attempt::TooLittle),
        Err(error) => Err(error.into()),
    }
}

/// Gas that the caller can pay; `None` when it pays nothing.
fn affordable<S: StateReader>(
    state: &S,
    request: &CallRequest,
) -> Result<Option<u64>, EstimateError> {
    let price = request.most_for_gas();
    if price == 0 {
        return Ok(None);
    }
    let account = state.basic_ref(request.from).map_err(failed)?;
    let balance = account.map_or(U256::ZERO, |account| account.balance);
    let left = balance.checked_sub(request.value).filter(|left| !left.is_zero());
    let left = left.ok_or(EstimateError::InsufficientFunds)?;
    Ok(Some((left / U256::from(price)).saturating_to()))
}

fn is_transfer<S: StateReader>(state: &S, request: &CallRequest) -> Result<bool, EstimateError> {
    let TxKind::Call(to) = request.to else { return Ok(false) };
    if !request.data.is_empty() {
        return Ok(false);
    }
    let account = state.basic_ref(to).map_err(failed)?;
    Ok(account.is_none_or(|account| account.is_empty_code_hash()))
}

fn failed<E: Into<StateError>>(error: E) -> EstimateError {
    EstimateError::Call(CallError::State(error.into()))
}
