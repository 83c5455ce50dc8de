//! `eth_…`: the chain, its blocks and transactions.

use alloy_consensus::Header;
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{B256, Bytes};
use chainmesh_chain::pool::Transaction;
use chainmesh_net::SyncState;
use chainmesh_proto::eth::chain::ChainReader;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::{Value, json};

use super::blocks::{self, Block, BlockId, BlockTag};
use super::error::{RpcResult, internal, refused};
use super::params::{Args, Hex};
use super::reading::{plain, read};
use super::{RpcContext, quantity, shapes};

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    plain(module, "eth_blockNumber", |context| {
        Ok(json!(quantity(context.chain()?.head().number)))
    })?;
    plain(module, "eth_chainId", |context| {
        Ok(json!(quantity(context.chain()?.spec().config().chain_id)))
    })?;
    plain(module, "eth_syncing", |context| Ok(syncing(context)))?;
    // The version of the `eth` protocol; go-ethereum has no such method since v1.10.
    plain(module, "eth_protocolVersion", |_| Ok(json!("0x44")))?;
    // This node keeps no keys of users.
    plain(module, "eth_accounts", |_| Ok(json!([])))?;
    plain(module, "eth_hashrate", |_| Ok(json!(quantity(0))))?;
    plain(module, "eth_mining", |context| Ok(json!(context.signer.is_some())))?;
    plain(module, "eth_coinbase", |context| {
        let signer = context.signer;
        signer.map(|it| json!(it)).ok_or_else(|| refused("etherbase must be explicitly specified"))
    })?;
    blocks(module)?;
    transactions(module)
}

fn blocks(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_getBlockByNumber", 2, |context, args| {
        let (tag, full) = (args.required::<BlockTag>()?, args.optional()?.unwrap_or(false));
        shown(context, by_tag(context, tag)?, full)
    })?;
    read(module, "eth_getBlockByHash", 2, |context, args| {
        let (Hex(hash), full) = (args.required()?, args.optional()?.unwrap_or(false));
        shown(context, by_hash(context, hash)?, full)
    })?;
    read(module, "eth_getHeaderByNumber", 1, |context, args| {
        header_shown(by_tag(context, args.required()?)?)
    })?;
    read(module, "eth_getHeaderByHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        header_shown(by_hash(context, hash)?)
    })?;
    read(module, "eth_getBlockTransactionCountByNumber", 1, |context, args| {
        let block = by_tag_or_none(context, args.required()?)?;
        Ok(count(block.as_ref(), |block| block.body.transactions.len()))
    })?;
    read(module, "eth_getBlockTransactionCountByHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        let block = by_hash(context, hash)?;
        Ok(count(block.as_ref(), |block| block.body.transactions.len()))
    })?;
    read(module, "eth_getUncleCountByBlockNumber", 1, |context, args| {
        let block = by_tag_or_none(context, args.required()?)?;
        Ok(count(block.as_ref(), |block| block.body.ommers.len()))
    })?;
    read(module, "eth_getUncleCountByBlockHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        let block = by_hash(context, hash)?;
        Ok(count(block.as_ref(), |block| block.body.ommers.len()))
    })?;
    read(module, "eth_getUncleByBlockNumberAndIndex", 2, |context, args| {
        let block = by_tag(context, args.required()?)?;
        uncle(block, args)
    })?;
    read(module, "eth_getUncleByBlockHashAndIndex", 2, |context, args| {
        let Hex(hash) = args.required()?;
        uncle(by_hash(context, hash)?, args)
    })
}

fn transactions(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_getTransactionByBlockNumberAndIndex", 2, |context, args| {
        let block = by_tag(context, args.required()?)?;
        transaction_at(context, block, args)
    })?;
    read(module, "eth_getTransactionByBlockHashAndIndex", 2, |context, args| {
        let Hex(hash) = args.required()?;
        transaction_at(context, by_hash(context, hash)?, args)
    })?;
    read(module, "eth_getRawTransactionByBlockNumberAndIndex", 2, |context, args| {
        let block = by_tag(context, args.required()?)?;
        raw_at(block, args)
    })?;
    read(module, "eth_getRawTransactionByBlockHashAndIndex", 2, |context, args| {
        let Hex(hash) = args.required()?;
        raw_at(by_hash(context, hash)?, args)
    })?;
    read(module, "eth_getTransactionByHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        transaction(context, hash)
    })?;
    read(module, "eth_getRawTransactionByHash", 1, |context, args| {
        let Hex(hash) = args.required()?;
        Ok(json!(raw_transaction(context, hash)?.unwrap_or_default()))
    })?;
    read(module, "eth_getTransactionReceipt", 1, |context, args| {
        let Hex(hash) = args.required()?;
        receipt(context, hash)
    })?;
    read(module, "eth_getBlockReceipts", 1, |context, args| {
        let hash = match args.required()? {
            BlockId::Tag(tag) => match blocks::by_tag_or_none(context.chain()?, tag)? {
                Some(hash) => hash,
                None => return Ok(Value::Null),
            },
            BlockId::Hash { hash, .. } => hash,
            BlockId::Neither => return Err(blocks::neither()),
        };
        match by_hash(context, hash)? {
            Some(block) => Ok(json!(receipts(context, &block, None)?)),
            None => Ok(Value::Null),
        }
    })
}

/// `false`, or where synchronisation stands.
pub(crate) fn syncing(context: &RpcContext) -> Value {
    match context.net.sync_report() {
        Some(report) if report.state != SyncState::Following => {
            let head = context.chain.as_ref().map_or(0, |chain| chain.head().number);
            json!({
                "startingBlock": quantity(head.saturating_sub(report.imported)),
                "currentBlock": quantity(head),
                "highestBlock": quantity(report.target.max(head)),
            })
        }
        _ => Value::Bool(false),
    }
}

fn by_hash(context: &RpcContext, hash: B256) -> RpcResult<Option<Block>> {
    blocks::block(context.chain()?, hash)
}

fn by_tag(context: &RpcContext, tag: BlockTag) -> RpcResult<Option<Block>> {
    match blocks::by_tag(context.chain()?, tag)? {
        Some(hash) => by_hash(context, hash),
        None => Ok(None),
    }
}

fn by_tag_or_none(context: &RpcContext, tag: BlockTag) -> RpcResult<Option<Block>> {
    match blocks::by_tag_or_none(context.chain()?, tag)? {
        Some(hash) => by_hash(context, hash),
        None => Ok(None),
    }
}

fn shown(context: &RpcContext, block: Option<Block>, full: bool) -> RpcResult<Value> {
    let spec = context.chain()?.spec();
    block.map_or(Ok(Value::Null), |block| shapes::block(spec, &block, full))
}

fn header_shown(block: Option<Block>) -> RpcResult<Value> {
    let Some(block) = block else { return Ok(Value::Null) };
    let mut fields = shapes::header(block.hash, &block.header)?;
    if let Some(total) = block.total_difficulty {
        fields.insert("totalDifficulty".into(), json!(shapes::quantity_u256(total)));
    }
    Ok(fields.into())
}

fn count(block: Option<&Block>, of: fn(&Block) -> usize) -> Value {
    block.map_or(Value::Null, |block| json!(quantity(of(block) as u64)))
}

/// The place in a list that comes next among the parameters.
fn index(args: &mut Args) -> RpcResult<usize> {
    let Hex(index) = args.required::<Hex<u64>>()?;
    Ok(usize::try_from(index).unwrap_or(usize::MAX))
}

fn uncle(block: Option<Block>, args: &mut Args) -> RpcResult<Value> {
    let index = index(args)?;
    let found: Option<Header> = block.and_then(|block| block.body.ommers.get(index).cloned());
    found.map_or(Ok(Value::Null), |found| shapes::ommer(&found))
}

fn transaction_at(context: &RpcContext, block: Option<Block>, args: &mut Args) -> RpcResult<Value> {
    let index = index(args)?;
    let Some(block) = block else { return Ok(Value::Null) };
    let spec = context.chain()?.spec();
    let found = block.body.transactions.get(index);
    found.map_or(Ok(Value::Null), |found| shapes::place(spec, &block, index, found))
}

fn raw_at(block: Option<Block>, args: &mut Args) -> RpcResult<Value> {
    let index = index(args)?;
    let found = block.as_ref().and_then(|block| block.body.transactions.get(index));
    Ok(json!(found.map(raw).unwrap_or_default()))
}

pub(super) fn raw(transaction: &Transaction) -> Bytes {
    transaction.encoded_2718().into()
}

/// A transaction of the canonical chain, with its block and its place in it.
pub(super) fn find(context: &RpcContext, hash: B256) -> RpcResult<Option<(Block, usize)>> {
    let Some(place) = context.chain()?.transaction(&hash).map_err(internal)? else {
        return Ok(None);
    };
    let block = by_hash(context, place.block_hash)?;
    Ok(block.map(|block| (block, place.index as usize)))
}

fn transaction(context: &RpcContext, hash: B256) -> RpcResult<Value> {
    if let Some((block, index)) = find(context, hash)?
        && let Some(found) = block.body.transactions.get(index)
    {
        return shapes::place(context.chain()?.spec(), &block, index, found);
    }
    let waiting = context.pool.as_ref().and_then(|pool| pool.get(&hash));
    let shown = waiting
        .and_then(|waiting| Some(shapes::transaction(&waiting.decode()?, waiting.sender(), None)));
    Ok(shown.unwrap_or(Value::Null))
}

/// A transaction as bytes (EIP-2718), from the chain or from the pool.
pub(super) fn raw_transaction(context: &RpcContext, hash: B256) -> RpcResult<Option<Bytes>> {
    if let Some((block, index)) = find(context, hash)? {
        return Ok(block.body.transactions.get(index).map(raw));
    }
    let waiting = context.pool.as_ref().and_then(|pool| pool.get(&hash));
    Ok(waiting.map(|waiting| waiting.raw().clone().into()))
}

/// The receipts of a block; or only the one at this place.
fn receipts(context: &RpcContext, block: &Block, only: Option<usize>) -> RpcResult<Vec<Value>> {
    let chain = context.chain()?;
    let receipts = chain.receipts(&block.hash).map_err(internal)?.unwrap_or_default();
    shapes::receipts(chain.spec(), block, &receipts, only)
}

/// The receipt of a transaction of the canonical chain.
pub(super) fn receipt(context: &RpcContext, hash: B256) -> RpcResult<Value> {
    let Some((block, index)) = find(context, hash)? else { return Ok(Value::Null) };
    Ok(receipts(context, &block, Some(index))?.pop().unwrap_or_default())
}
