//! `eth_…`: the chain.

use alloy_consensus::Header;
use alloy_primitives::B256;
use chainmesh_chain::{Chain, block};
use chainmesh_net::{BlockBody, SyncState};
use chainmesh_proto::eth::chain::{ChainReader, StorageError};
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::{ErrorObjectOwned, Params};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{RpcContext, internal, quantity, refused};

type RpcResult<T> = Result<T, ErrorObjectOwned>;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_method("eth_blockNumber", |_, context, _| {
        Ok::<_, ErrorObjectOwned>(quantity(context.chain()?.head().number))
    })?;
    module.register_method("eth_chainId", |_, context, _| {
        Ok::<_, ErrorObjectOwned>(quantity(context.chain()?.spec().config().chain_id))
    })?;
    module.register_method("eth_syncing", |_, context, _| syncing(context))?;
    module.register_blocking_method("eth_getBlockByNumber", |params, context, _| {
        let (number, full) = block_params::<BlockTag>(&params)?;
        refuse_full(full)?;
        block_by_tag(context.chain()?, number)
    })?;
    module.register_blocking_method("eth_getBlockByHash", |params, context, _| {
        let (hash, full) = block_params::<B256>(&params)?;
        refuse_full(full)?;
        block_by_hash(context.chain()?, hash)
    })?;
    Ok(())
}

/// `false`, or where synchronisation stands.
fn syncing(context: &RpcContext) -> Value {
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

/// The first two parameters of both methods; go-ethereum asks for the second, too, and most
/// clients leave it out when it is false.
fn block_params<T: serde::de::DeserializeOwned>(params: &Params<'_>) -> RpcResult<(T, bool)> {
    let mut params = params.sequence();
    Ok((params.next()?, params.optional_next()?.unwrap_or(false)))
}

fn refuse_full(full: bool) -> RpcResult<()> {
    if full {
        return Err(refused(
            "whole transactions are not given yet: pass false to get their hashes",
        ));
    }
    Ok(())
}

/// A block by its number, or by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum BlockTag {
    Number(u64),
    Earliest,
    Latest,
    Pending,
    Safe,
    Finalized,
}

/// The text names no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a block is a number such as \"0x1b4\", or \"earliest\", \"latest\", \"pending\", \"safe\" or \
     \"finalized\""
)]
struct NoBlockTag;

impl TryFrom<String> for BlockTag {
    type Error = NoBlockTag;

    fn try_from(text: String) -> Result<Self, NoBlockTag> {
        Ok(match text.as_str() {
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            "pending" => Self::Pending,
            "safe" => Self::Safe,
            "finalized" => Self::Finalized,
            number => {
                let digits = number.strip_prefix("0x").ok_or(NoBlockTag)?;
                // `from_str_radix` takes a sign.
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return Err(NoBlockTag);
                }
                Self::Number(u64::from_str_radix(digits, 16).map_err(|_| NoBlockTag)?)
            }
        })
    }
}

fn block_by_tag(chain: &Chain, tag: BlockTag) -> RpcResult<Value> {
    match tag {
        // Blocks are empty or come from others: there is never another pending block than the head.
        BlockTag::Latest | BlockTag::Pending => block_by_hash(chain, chain.head().hash),
        BlockTag::Earliest => block_by_hash(chain, chain.genesis_hash()),
        // Nobody tells us which these are.
        BlockTag::Safe | BlockTag::Finalized => Ok(Value::Null),
        BlockTag::Number(number) => match chain.canonical_hash(number).map_err(internal)? {
            Some(hash) => block_by_hash(chain, hash),
            None => Ok(Value::Null),
        },
    }
}

fn block_by_hash(chain: &Chain, hash: B256) -> RpcResult<Value> {
    match parts(chain, hash).map_err(internal)? {
        Some((header, header_rlp, body_rlp)) => {
            let body: BlockBody = alloy_rlp::decode_exact(&body_rlp).map_err(internal)?;
            let size = block::encode(&header_rlp, &body_rlp).map_err(internal)?.len();
            block_json(hash, &header, &body, size).map_err(internal)
        }
        None => Ok(Value::Null),
    }
}

type Parts = (Header, bytes::Bytes, bytes::Bytes);

fn parts(chain: &Chain, hash: B256) -> Result<Option<Parts>, StorageError> {
    let Some(header) = chain.header(&hash)? else { return Ok(None) };
    let Some(header_rlp) = chain.header_rlp(&hash)? else { return Ok(None) };
    let Some(body_rlp) = chain.body_rlp(&hash)? else { return Ok(None) };
    Ok(Some((header, header_rlp, body_rlp)))
}

/// A block as go-ethereum shows it, with the hashes of its transactions.
fn block_json(
    hash: B256,
    header: &Header,
    body: &BlockBody,
    size: usize,
) -> Result<Value, serde_json::Error> {
    let mut block = serde_json::to_value(header)?;
    let uncles: Vec<B256> = body.ommers.iter().map(Header::hash_slow).collect();
    let transactions: Vec<_> = body.transactions.iter().map(|tx| *tx.tx_hash()).collect();
    let mut add = |name: &str, value: Value| {
        if let Some(block) = block.as_object_mut() {
            block.insert(name.into(), value);
        }
    };
    add("hash", json!(hash));
    add("size", json!(quantity(size as u64)));
    add("transactions", json!(transactions));
    add("uncles", json!(uncles));
    if let Some(withdrawals) = &body.withdrawals {
        add("withdrawals", json!(withdrawals));
    }
    Ok(block)
}
