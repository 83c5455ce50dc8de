//! `txpool_…`: what waits for a block; and how transactions get there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use chainmesh_chain::pool::{Mempool, PooledTransaction, Transaction};
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::ErrorObjectOwned;
use serde_json::{Value, json};

use super::error::{RpcResult, refused, with_data};
use super::params::{Args, Hex};
use super::reading::read;
use super::{RpcContext, eth, quantity, shapes};

/// Most that a transaction may pay for gas when it is sent through us, wei (go-ethereum,
/// `--rpc.txfeecap`: 1 ether).
const FEE_CAP: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// How long `eth_sendRawTransactionSync` waits for the receipt, unless it is told (go-ethereum,
/// `RPCTxSyncDefaultTimeout`).
const SYNC_DEFAULT: Duration = Duration::from_secs(20);
/// The same at most (go-ethereum, `RPCTxSyncMaxTimeout`).
const SYNC_MOST: Duration = Duration::from_secs(60);
/// The error when the receipt did not come in time (EIP-7966).
const SYNC_TIMEOUT_CODE: i32 = 4;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_sendRawTransaction", 1, |context, args| {
        let Hex::<Bytes>(raw) = args.required()?;
        Ok(json!(send(context, &raw)?))
    })?;
    module.register_async_method(
        "eth_sendRawTransactionSync",
        |params, context, _| async move {
            let mut args = Args::new(&params, 2)?;
            send_and_wait(&context, &mut args).await
        },
    )?;
    read(module, "eth_pendingTransactions", 0, |context, _| {
        let content = pool(context)?.content();
        let pending = content.values().flat_map(|account| &account.pending);
        Ok(pending.filter_map(|waiting| shown(waiting)).collect())
    })?;
    read(module, "txpool_status", 0, |context, _| {
        let status = pool(context)?.status();
        let (pending, queued) = (status.pending as u64, status.queued as u64);
        Ok(json!({"pending": quantity(pending), "queued": quantity(queued)}))
    })?;
    read(module, "txpool_content", 0, |context, _| all(context, shown))?;
    read(module, "txpool_inspect", 0, |context, _| all(context, summary))?;
    read(module, "txpool_contentFrom", 1, |context, args| {
        let Hex(address) = args.required()?;
        let content = pool(context)?.content_from(&address);
        let pending = by_nonce(&content.pending, shown);
        Ok(json!({"pending": pending, "queued": by_nonce(&content.queued, shown)}))
    })
}

fn pool(context: &RpcContext) -> RpcResult<&Arc<Mempool>> {
    context.pool.as_ref().ok_or_else(|| refused("this node has no transaction pool"))
}

fn send(context: &RpcContext, raw: &[u8]) -> RpcResult<B256> {
    let pool = pool(context)?;
    if let Ok(transaction) = alloy_eips::eip2718::Decodable2718::decode_2718_exact(raw) {
        check_fee(&transaction)?;
    }
    pool.add_local(raw, crate::unix_time()).map_err(refused)
}

/// Somebody who pays so much has most likely mistaken a unit.
fn check_fee(transaction: &Transaction) -> RpcResult<()> {
    let price = U256::from(transaction.max_fee_per_gas());
    let fee = price.saturating_mul(U256::from(transaction.gas_limit()));
    if fee <= FEE_CAP {
        return Ok(());
    }
    let ether = |wei: U256| f64::from(wei) / 1e18;
    Err(refused(format_args!(
        "tx fee ({:.2} ether) exceeds the configured cap ({:.2} ether)",
        ether(fee),
        ether(FEE_CAP)
    )))
}

/// Sends a transaction, and answers with its receipt (EIP-7966).
async fn send_and_wait(context: &Arc<RpcContext>, args: &mut Args) -> RpcResult<Value> {
    let Hex::<Bytes>(raw) = args.required()?;
    let patience = args.optional::<u64>()?.map_or(SYNC_DEFAULT, Duration::from_millis);
    let patience = patience.min(SYNC_MOST);
    let mut heads = context.events.heads();
    let sender = Arc::clone(context);
    let hash = context.readers.work(move || send(&sender, &raw)).await?;
    let receipt = async {
        loop {
            let reader = Arc::clone(context);
            let found = context.readers.work(move || eth::receipt(&reader, hash)).await?;
            if !found.is_null() {
                return Ok::<_, ErrorObjectOwned>(found);
            }
            heads.changed().await.map_err(refused)?;
        }
    };
    match tokio::time::timeout(patience, receipt).await {
        Ok(found) => found,
        Err(_) => Err(with_data(
            SYNC_TIMEOUT_CODE,
            "the transaction was added to the transaction pool but wasn't processed in time",
            hash,
        )),
    }
}

fn shown(waiting: &PooledTransaction) -> Option<Value> {
    Some(shapes::transaction(&waiting.decode()?, waiting.sender(), None))
}

/// A transaction in one line, as go-ethereum writes it.
fn summary(waiting: &PooledTransaction) -> Option<Value> {
    let transaction = waiting.decode()?;
    let (value, gas, price) =
        (transaction.value(), transaction.gas_limit(), transaction.max_fee_per_gas());
    let to = transaction.to().map_or_else(|| "contract creation".into(), |to| to.to_string());
    Some(json!(format!("{to}: {value} wei + {gas} gas × {price} wei")))
}

type Shape = fn(&PooledTransaction) -> Option<Value>;

fn by_nonce(list: &[Arc<PooledTransaction>], shape: Shape) -> BTreeMap<String, Value> {
    list.iter().filter_map(|it| Some((it.nonce().to_string(), shape(it)?))).collect()
}

fn all(context: &RpcContext, shape: Shape) -> RpcResult<Value> {
    let content = pool(context)?.content();
    let mut pending: BTreeMap<String, _> = BTreeMap::new();
    let mut queued: BTreeMap<String, _> = BTreeMap::new();
    let name = |address: &Address| address.to_checksum(None);
    for (address, account) in &content {
        if !account.pending.is_empty() {
            pending.insert(name(address), by_nonce(&account.pending, shape));
        }
        if !account.queued.is_empty() {
            queued.insert(name(address), by_nonce(&account.queued, shape));
        }
    }
    Ok(json!({"pending": pending, "queued": queued}))
}
