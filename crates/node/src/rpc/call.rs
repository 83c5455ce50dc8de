//! `eth_call`, `eth_estimateGas`, `eth_createAccessList`: the EVM on the state behind a block.

use std::time::{Duration, Instant};

use alloy_primitives::{Bytes, U256};
use chainmesh_chain::execute::{
    self, CallError, CallOutcome, CallRequest, CallResult, Environment, EstimateError,
    create_access_list_until, estimate_gas,
};
use chainmesh_chain::{Chain, StateView};
use chainmesh_proto::eth::chain::ChainReader as _;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::ErrorObjectOwned;
use revm::context_interface::result::InvalidTransaction;
use revm::database::CacheDB;
use serde_json::json;

use super::blocks::{self, BlockId};
use super::error::{REVERTED_CODE, RpcResult, internal, refused, with_data};
use super::halt;
use super::overrides::{BlockOverrides, StateOverrides};
use super::params::Args;
use super::reading::execute;
use super::transaction_args::TransactionArgs;
use super::{RpcContext, quantity};

/// How long a call or an estimate may take (go-ethereum, `--rpc.evmtimeout`).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Says from when on it has taken too long.
fn stop() -> impl FnMut() -> bool {
    let began = Instant::now();
    move || began.elapsed() > TIMEOUT
}

/// go-ethereum's words.
fn aborted() -> ErrorObjectOwned {
    refused(format_args!("execution aborted (timeout = {}s)", TIMEOUT.as_secs()))
}

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    execute(module, "eth_call", 4, |context, args| {
        let call = Call::new(context, args)?;
        let Call { environment, state, request, gas_cap } = &call;
        let outcome = execute::call_until(environment, state, request, *gas_cap, stop());
        let outcome = outcome.map_err(|why| call.failed(&why))?;
        match outcome.result {
            CallResult::Success => Ok(json!(outcome.output)),
            CallResult::Reverted => Err(reverted(&outcome.output)),
            CallResult::Halted(reason) => Err(refused(halt::text(&reason))),
        }
    })?;
    execute(module, "eth_estimateGas", 4, |context, args| {
        let call = Call::new(context, args)?;
        let Call { environment, state, request, gas_cap } = &call;
        let estimate = estimate_gas(environment, state, request, *gas_cap, stop());
        estimate.map(|gas| json!(quantity(gas))).map_err(|why| match why {
            EstimateError::Reverted { output } => reverted(&output),
            EstimateError::Halted(reason) => refused(halt::text(&reason)),
            EstimateError::Call(why) => call.failed(&why),
            EstimateError::Stopped => aborted(),
            other => refused(other),
        })
    })?;
    execute(module, "eth_createAccessList", 2, |context, args| {
        let call = Call::new(context, args)?;
        let Call { environment, state, request, gas_cap } = &call;
        let made = create_access_list_until(environment, state, request, *gas_cap, stop());
        let (list, outcome) = made.map_err(|why| call.failed(&why))?;
        let mut answer = json!({"accessList": list, "gasUsed": quantity(outcome.gas_used)});
        if let (Some(why), Some(answer)) = (failure(&outcome), answer.as_object_mut()) {
            answer.insert("error".into(), json!(why));
        }
        Ok(answer)
    })
}

/// A call, and what it is made on.
struct Call {
    environment: Environment,
    state: CacheDB<StateView>,
    request: CallRequest,
    gas_cap: u64,
}

impl Call {
    fn new(context: &RpcContext, args: &mut Args) -> RpcResult<Self> {
        let chain = context.chain()?;
        let request: TransactionArgs = args.required()?;
        let id: BlockId = args.optional()?.unwrap_or_default();
        let state_overrides: Option<StateOverrides> = args.optional()?;
        let block_overrides: Option<BlockOverrides> = args.optional()?;
        let request = request.into_call().map_err(refused)?;
        let (mut environment, view) = environment(chain, id)?;
        let mut state = CacheDB::new(view);
        if let Some(overrides) = state_overrides {
            overrides.apply(&mut state)?;
        }
        if let Some(overrides) = block_overrides {
            overrides.apply(&mut environment);
        }
        Ok(Self { environment, state, request, gas_cap: context.gas_cap })
    }

    /// Why the call could not begin, in go-ethereum's words where tools know them.
    fn failed(&self, why: &CallError) -> ErrorObjectOwned {
        match why {
            CallError::State(why) => internal(why),
            CallError::Stopped => aborted(),
            CallError::Evm => internal(why),
            CallError::Invalid(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
                refused(format_args!(
                    "err: insufficient funds for gas * price + value: address {} have {balance} \
                     want {fee} (supplied gas {})",
                    self.request.from,
                    self.request.gas.unwrap_or(self.gas_cap).min(self.gas_cap)
                ))
            }
            CallError::Invalid(InvalidTransaction::CallGasCostMoreThanGasLimit {
                initial_gas,
                gas_limit,
            }) => refused(format_args!(
                "err: intrinsic gas too low: have {gas_limit}, want {initial_gas} (supplied gas \
                 {gas_limit})"
            )),
            other => refused(format_args!("err: {other}")),
        }
    }
}

/// What the EVM sees of a block, and the state behind it.
fn environment(chain: &Chain, id: BlockId) -> RpcResult<(Environment, StateView)> {
    let (hash, header) = blocks::header(chain, id)?;
    let spec = chain.spec();
    let parent = chain.total_difficulty(&header.parent_hash).map_err(internal)?;
    let consensus = spec.consensus_after(parent.unwrap_or(U256::ZERO));
    // The genesis block has no seal.
    let beneficiary = match hash == chain.genesis_hash() {
        true => header.beneficiary,
        false => execute::beneficiary_of(consensus, &header).map_err(internal)?,
    };
    let environment =
        execute::environment(spec, consensus, &header, beneficiary).map_err(refused)?;
    let state = chain.state(&hash).map_err(internal)?;
    let missing = || refused(format_args!("missing trie node {} (path )", header.state_root));
    Ok((environment, state.ok_or_else(missing)?))
}

/// The error with what the call has reverted with.
fn reverted(output: &Bytes) -> ErrorObjectOwned {
    if output.is_empty() {
        return refused("execution reverted");
    }
    let why = match halt::revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".into(),
    };
    with_data(REVERTED_CODE, why, output)
}

/// How a call failed, if it did.
fn failure(outcome: &CallOutcome) -> Option<String> {
    match &outcome.result {
        CallResult::Success => None,
        CallResult::Reverted => Some("execution reverted".into()),
        CallResult::Halted(reason) => Some(halt::text(reason)),
    }
}
