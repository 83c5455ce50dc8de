//! `clique_…`: the signers of a proof-of-authority network, and our votes about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Decodable as _;
use chainmesh_chain::clique::{self, Snapshot};
use chainmesh_proto::eth::chain::ChainReader as _;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::{Value, json};

use super::RpcContext;
use super::blocks::{self, BlockId, BlockTag};
use super::error::{RpcResult, internal, invalid_params, refused};
use super::params::{Args, Hex};
use super::reading::read;

/// Blocks whose signers `clique_status` counts (go-ethereum has the same).
const STATUS_BLOCKS: u64 = 64;

/// The votes of a validator, as its operator sees them.
pub trait CliqueVotes: core::fmt::Debug + Send + Sync {
    /// For whom it seals.
    fn signer(&self) -> Address;

    /// Votes to add (`authorize`) or to drop a signer, in the blocks that it seals, until the vote
    /// is decided or discarded.
    fn propose(&self, address: Address, authorize: bool);

    /// Votes about this address no more.
    fn discard(&self, address: Address);

    /// What it votes for.
    fn proposals(&self) -> BTreeMap<Address, bool>;
}

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "clique_getSnapshot", 1, |context, args| {
        Ok(shown(&*by_tag(context, args)?))
    })?;
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
    read(module, "clique_status", 0, |context, _| status(context))?;
    read(module, "clique_getSigner", 1, signer)?;
    read(module, "clique_proposals", 0, |context, _| {
        Ok(json!(context.clique.as_ref().map(|votes| votes.proposals()).unwrap_or_default()))
    })?;
    read(module, "clique_propose", 2, |context, args| {
        let (Hex(address), authorize) = (args.required()?, args.required()?);
        votes(context)?.propose(address, authorize);
        Ok(Value::Null)
    })?;
    read(module, "clique_discard", 1, |context, args| {
        let Hex(address) = args.required()?;
        votes(context)?.discard(address);
        Ok(Value::Null)
    })
}

fn votes(context: &RpcContext) -> RpcResult<&Arc<dyn CliqueVotes>> {
    context.clique.as_ref().ok_or_else(|| refused("this node seals no blocks, so it has no vote"))
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
    let tally = snapshot.tally().iter().map(|(address, tally)| {
        (signer_name(address), json!({"authorize": tally.authorize, "votes": tally.votes}))
    });
    json!({
        "number": snapshot.number(),
        "hash": snapshot.hash(),
        "signers": signers.collect::<BTreeMap<_, _>>(),
        "recents": recents.collect::<BTreeMap<_, _>>(),
        "votes": votes.iter().map(vote).collect::<Vec<_>>(),
        "tally": tally.collect::<BTreeMap<_, _>>(),
    })
}

/// An address as a key of an object: without the checksum of its letters.
fn signer_name(address: &Address) -> String {
    format!("{address:#x}")
}

/// How the last blocks were sealed.
fn status(context: &RpcContext) -> RpcResult<Value> {
    let chain = context.chain()?;
    let head = chain.head();
    let signers = snapshot(context, head.hash)?;
    let blocks = STATUS_BLOCKS.min(head.number);
    let first = match head.number <= STATUS_BLOCKS {
        // The genesis block has no seal.
        true => 1,
        false => head.number - STATUS_BLOCKS,
    };
    let mut activity: BTreeMap<String, u64> =
        signers.signers().iter().map(|signer| (signer_name(signer), 0)).collect();
    let (mut sealed, mut in_turn) = (0_u64, 0_u64);
    for number in first..first + blocks {
        let (_, header) = blocks::header(chain, BlockId::Tag(BlockTag::Number(number)))?;
        let signer = clique::signer(&header).map_err(refused)?;
        *activity.entry(signer_name(&signer)).or_default() += 1;
        in_turn += u64::from(header.difficulty == clique::DIFFICULTY_IN_TURN);
        sealed += 1;
    }
    let percent = if sealed == 0 { 0.0 } else { 100.0 * in_turn as f64 / sealed as f64 };
    Ok(json!({"inturnPercent": percent, "sealingActivity": activity, "numBlocks": sealed}))
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
