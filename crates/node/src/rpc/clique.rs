//! `clique_…`: signers, votes, and what the validator of this node is doing. Names and answers are
//! go-ethereum's; `clique_validator` is ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Decodable as _;
use chainmesh_chain::clique::{self, CliqueHandle, Snapshot, ValidatorState};
use chainmesh_proto::eth::chain::ChainReader as _;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::{Value, json};

use super::RpcContext;
use super::blocks::{self, BlockId, BlockTag};
use super::error::{RpcResult, internal, invalid_params, refused};
use super::params::{Args, Hex};
use super::reading::read;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "clique_getSnapshot", 1, |context, args| Ok(shown(&*by_tag(context, args)?)))?;
    read(module, "clique_getSnapshotAtHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        Ok(shown(&*snapshot(context, hash)?))
    })?;
    read(module, "clique_getSigners", 1, |context, args| {
        Ok(json!(by_tag(context, args)?.signers()))
    })?;
    read(module, "clique_getSignersAtHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        Ok(json!(snapshot(context, hash)?.signers()))
    })?;
    read(module, "clique_status", 0, |context, _| {
        let status = handle(context)?.status().map_err(refused)?;
        let sealed = status.sealed.iter().map(|(signer, blocks)| (signer_name(signer), blocks));
        Ok(json!({
            "inturnPercent": status.in_turn_percent,
            "sealerActivity": sealed.collect::<BTreeMap<_, _>>(),
            "numBlocks": status.blocks,
        }))
    })?;
    read(module, "clique_getSigner", 1, signer)?;
    module.register_method("clique_validator", |_, context, _| {
        RpcResult::Ok(validator(&handle(context)?.validator_state()))
    })?;
    read(module, "clique_proposals", 0, |context, _| {
        let proposals = handle(context)?.proposals();
        let proposals = proposals.iter().map(|(address, vote)| (signer_name(address), vote));
        Ok(json!(proposals.collect::<BTreeMap<_, _>>()))
    })?;
    read(module, "clique_propose", 2, |context, args| {
        let (Hex(address), authorize) = (args.required()?, args.required()?);
        handle(context)?.propose(address, authorize).map_err(refused)?;
        Ok(Value::Null)
    })?;
    read(module, "clique_discard", 1, |context, args| {
        let Hex(address) = args.required()?;
        handle(context)?.discard(address);
        Ok(Value::Null)
    })
}

fn handle(context: &RpcContext) -> RpcResult<&CliqueHandle> {
    context.clique.as_ref().ok_or_else(|| refused("this network is no clique network"))
}

fn snapshot(context: &RpcContext, hash: B256) -> RpcResult<Arc<Snapshot>> {
    let chain = context.chain()?;
    if chain.number_of(&hash).map_err(internal)?.is_none() {
        return Err(refused("unknown block"));
    }
    let snapshot = chain.clique_snapshot(&hash).map_err(internal)?;
    snapshot.ok_or_else(|| refused("this network has no clique signers"))
}

fn by_tag(context: &RpcContext, args: &mut Args) -> RpcResult<Arc<Snapshot>> {
    let tag = args.optional::<BlockTag>()?.unwrap_or_default();
    let hash = blocks::by_tag(context.chain()?, tag)?;
    snapshot(context, hash.ok_or_else(|| refused("unknown block"))?)
}

fn shown(snapshot: &Snapshot) -> Value {
    let signers = snapshot.signers().iter().map(|signer| (signer_name(signer), json!({})));
    let recents = snapshot.recents().iter().map(|(number, who)| (number.to_string(), json!(who)));
    let votes = snapshot.votes();
    let vote = |vote: &clique::Vote| {
        json!({
            "signer": vote.signer,
            "block": vote.block,
            "address": vote.address,
            "authorize": vote.authorize,
        })
    };
    let checkpoint = clique::is_checkpoint(snapshot.number(), snapshot.epoch());
    let tally = snapshot.tally().iter().map(|(address, tally)| {
        (signer_name(address), json!({"authorize": tally.authorize, "votes": tally.votes}))
    });
    json!({
        "number": snapshot.number(),
        "hash": snapshot.hash(),
        "signers": signers.collect::<BTreeMap<_, _>>(),
        "recents": recents.collect::<BTreeMap<_, _>>(),
        // Of a checkpoint go-ethereum says `null`.
        "votes": (!checkpoint).then(|| votes.iter().map(vote).collect::<Vec<_>>()),
        "tally": tally.collect::<BTreeMap<_, _>>(),
    })
}

/// An address as a key of an object: without the checksum of its letters.
fn signer_name(address: &Address) -> String {
    format!("{address:#x}")
}

/// Who sealed a block: one of ours by number, name or hash, or any as bytes.
fn signer(context: &RpcContext, args: &mut Args) -> RpcResult<Value> {
    let what: Value = args.optional()?.unwrap_or_else(|| json!("latest"));
    let header = match serde_json::from_value::<BlockId>(what.clone()) {
        Ok(id) => blocks::header(context.chain()?, id)?.1,
        Err(why) => match serde_json::from_value::<Hex<Bytes>>(what) {
            Ok(Hex(rlp)) => decode(&rlp).map_err(refused)?,
            Err(_) => return Err(invalid_params(format_args!("invalid argument 0: {why}"))),
        },
    };
    Ok(json!(clique::signer(&header).map_err(refused)?))
}

/// The header of a block, or a header, as bytes.
fn decode(rlp: &[u8]) -> Result<Header, alloy_rlp::Error> {
    match chainmesh_chain::block::decode(rlp) {
        Ok(block) => Ok(block.header),
        Err(_) => Header::decode(&mut &*rlp),
    }
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
