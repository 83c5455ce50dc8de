//! `debug_getRaw…`: blocks, headers, receipts and transactions as bytes.

use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{B256, Bytes};
use chainmesh_chain::block;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde_json::json;

use super::blocks::{self, BlockId};
use super::error::{RpcResult, internal, refused};
use super::params::{Args, Hex};
use super::reading::read;
use super::{RpcContext, eth};

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "debug_getRawHeader", 1, |context, args| {
        let (_, header, _) = parts(context, args)?;
        Ok(json!(Bytes::from(header)))
    })?;
    read(module, "debug_getRawBlock", 1, |context, args| {
        let (_, header, body) = parts(context, args)?;
        Ok(json!(Bytes::from(block::encode(&header, &body).map_err(internal)?)))
    })?;
    read(module, "debug_getRawReceipts", 1, |context, args| {
        let (hash, ..) = parts(context, args)?;
        let receipts = context.chain()?.receipts(&hash).map_err(internal)?.unwrap_or_default();
        let raw = |receipt: &alloy_consensus::ReceiptEnvelope| Bytes::from(receipt.encoded_2718());
        Ok(json!(receipts.iter().map(raw).collect::<Vec<_>>()))
    })?;
    read(module, "debug_getRawTransaction", 1, |context, args| {
        let Hex(hash) = args.required()?;
        Ok(json!(eth::raw_transaction(context, hash)?.unwrap_or_default()))
    })
}

/// Hash, header and body of the block that is meant.
fn parts(context: &RpcContext, args: &mut Args) -> RpcResult<(B256, bytes::Bytes, bytes::Bytes)> {
    let id: BlockId = args.required()?;
    let chain = context.chain()?;
    let (hash, _) = blocks::header(chain, id)?;
    let (header, body) = blocks::parts(chain, hash)?.ok_or_else(|| refused("block not found"))?;
    Ok((hash, header, body))
}
