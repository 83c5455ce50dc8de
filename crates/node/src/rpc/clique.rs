//! `clique_…`: signers, votes, and what the validator of this node is doing. Names and answers are
//! go-ethereum's; `clique_validator` is ours.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256};
use chainmesh_chain::clique::{CliqueHandle, HandleError, Snapshot, ValidatorState};
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::{ErrorObjectOwned, Params};
use serde_json::{Map, Value, json};

use super::{RpcContext, refused};

type RpcResult<T> = Result<T, ErrorObjectOwned>;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_method("clique_propose", |params, context, _| {
        let (address, authorize): (Address, bool) = params.parse()?;
        handle(context)?.propose(address, authorize).map_err(|why| failed(&why))?;
        RpcResult::Ok(Value::Null)
    })?;
    module.register_method("clique_discard", |params, context, _| {
        handle(context)?.discard(params.one::<Address>()?);
        RpcResult::Ok(Value::Null)
    })?;
    module.register_method("clique_proposals", |_, context, _| {
        RpcResult::Ok(json!(handle(context)?.proposals()))
    })?;
    module.register_method("clique_validator", |_, context, _| {
        RpcResult::Ok(validator(&handle(context)?.validator_state()))
    })?;
    module.register_blocking_method("clique_status", |_, context, _| {
        let status = handle(&context)?.status().map_err(|why| failed(&why))?;
        RpcResult::Ok(json!({
            "inturnPercent": status.in_turn_percent,
            "sealerActivity": status.sealed,
            "numBlocks": status.blocks,
        }))
    })?;
    module.register_blocking_method("clique_getSigners", |params, context, _| {
        let snapshot = handle(&context)?.snapshot(number(&params)?).map_err(|why| failed(&why))?;
        RpcResult::Ok(json!(snapshot.signers()))
    })?;
    module.register_blocking_method("clique_getSignersAtHash", |params, context, _| {
        let signers = handle(&context)?.signers_at(&params.one::<B256>()?);
        RpcResult::Ok(json!(signers.map_err(|why| failed(&why))?))
    })?;
    module.register_blocking_method("clique_getSnapshot", |params, context, _| {
        let snapshot = handle(&context)?.snapshot(number(&params)?).map_err(|why| failed(&why))?;
        RpcResult::Ok(shown(&snapshot))
    })?;
    module.register_blocking_method("clique_getSnapshotAtHash", |params, context, _| {
        let snapshot = handle(&context)?.snapshot_at(&params.one::<B256>()?);
        RpcResult::Ok(shown(&*snapshot.map_err(|why| failed(&why))?))
    })?;
    module.register_blocking_method("clique_getSigner", |params, context, _| {
        let clique = handle(&context)?;
        let hash = match params.one::<BlockId>()? {
            BlockId::Hash(hash) => hash.block_hash,
            BlockId::Number(tag) => {
                clique.snapshot(of_tag(tag)).map_err(|why| failed(&why))?.hash()
            }
        };
        RpcResult::Ok(json!(clique.signer_of(&hash).map_err(|why| failed(&why))?))
    })?;
    Ok(())
}

fn handle(context: &RpcContext) -> RpcResult<&CliqueHandle> {
    context.clique.as_ref().ok_or_else(|| refused("this network is no clique network"))
}

fn failed(why: &HandleError) -> ErrorObjectOwned {
    refused(why)
}

/// The block that a question is about; the head if it does not say, or says a tag that a chain
/// without finality has only one answer to.
fn number(params: &Params<'_>) -> RpcResult<Option<u64>> {
    let tag = params.sequence().optional_next::<Option<BlockNumberOrTag>>()?;
    Ok(tag.flatten().and_then(of_tag))
}

const fn of_tag(tag: BlockNumberOrTag) -> Option<u64> {
    match tag {
        BlockNumberOrTag::Number(number) => Some(number),
        BlockNumberOrTag::Earliest => Some(0),
        _ => None,
    }
}

/// A snapshot as go-ethereum writes it.
fn shown(snapshot: &Snapshot) -> Value {
    let signers: Map<String, Value> =
        snapshot.signers().iter().map(|who| (format!("{who:#x}"), json!({}))).collect();
    let recents: Map<String, Value> =
        snapshot.recents().iter().map(|(number, who)| (number.to_string(), json!(who))).collect();
    let vote = |vote: &chainmesh_chain::clique::Vote| {
        json!({
            "signer": vote.signer,
            "block": vote.block,
            "address": vote.address,
            "authorize": vote.authorize,
        })
    };
    let votes: Vec<Value> = snapshot.votes().iter().map(vote).collect();
    let tally = snapshot.tally().iter();
    let tally: Map<String, Value> = tally
        .map(|(who, tally)| {
            (format!("{who:#x}"), json!({ "authorize": tally.authorize, "votes": tally.votes }))
        })
        .collect();
    json!({
        "number": snapshot.number(),
        "hash": snapshot.hash(),
        "signers": signers,
        "recents": recents,
        "votes": votes,
        "tally": tally,
    })
}

/// What the validator is doing: a word for programs, a sentence for people, and since when.
fn validator(state: &ValidatorState) -> Value {
    let (word, since) = match state {
        ValidatorState::Off => ("off", None),
        ValidatorState::Sealing { .. } => ("sealing", None),
        ValidatorState::NotASigner => ("notASigner", None),
        ValidatorState::SignedRecently { .. } => ("signedRecently", None),
        ValidatorState::Synchronising => ("synchronising", None),
        ValidatorState::WaitingForTransactions => ("waitingForTransactions", None),
        ValidatorState::ClockBehind { .. } => ("clockBehind", None),
        ValidatorState::StoreFailed { since, .. } => ("storeFailed", Some(since)),
        ValidatorState::Failed { since, .. } => ("failed", Some(since)),
        ValidatorState::Ended => ("ended", None),
    };
    json!({ "state": word, "text": state.to_string(), "since": since })
}
