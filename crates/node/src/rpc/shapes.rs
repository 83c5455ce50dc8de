//! Blocks, transactions, receipts and logs as go-ethereum shows them (v1.13, `internal/ethapi`).

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Header, ReceiptEnvelope, Transaction as _, TxReceipt as _, Typed2718 as _};
use alloy_primitives::{Address, B256, Log, TxKind, U256};
use chainmesh_chain::ChainSpec;
use chainmesh_chain::pool::Transaction;
use serde_json::{Map, Value, json};

use super::blocks::Block;
use super::error::{RpcResult, internal};
use super::quantity;

/// A large number as Ethereum's JSON-RPC writes it.
pub(crate) fn quantity_u256(number: U256) -> String {
    format!("{number:#x}")
}

/// The same for 128 bits.
pub(crate) fn quantity_u128(number: u128) -> String {
    format!("{number:#x}")
}

/// A header, as subscribers to new heads see it.
pub(crate) fn header(hash: B256, header: &Header) -> RpcResult<Map<String, Value>> {
    let Value::Object(mut fields) = serde_json::to_value(header).map_err(internal)? else {
        return Err(internal("a header is an object"));
    };
    fields.insert("hash".into(), json!(hash));
    Ok(fields)
}

/// A block with its transactions, or with their hashes.
pub(crate) fn block(spec: &ChainSpec, block: &Block, full: bool) -> RpcResult<Value> {
    let mut fields = header(block.hash, &block.header)?;
    let transactions: Vec<Value> = if full {
        let of = |(index, transaction)| place(spec, block, index, transaction);
        block.body.transactions.iter().enumerate().map(of).collect::<RpcResult<_>>()?
    } else {
        block.body.transactions.iter().map(|transaction| json!(transaction.tx_hash())).collect()
    };
    let uncles: Vec<B256> = block.body.ommers.iter().map(Header::hash_slow).collect();
    fields.insert("size".into(), json!(quantity(block.size as u64)));
    fields.insert("transactions".into(), json!(transactions));
    fields.insert("uncles".into(), json!(uncles));
    if let Some(total) = block.total_difficulty {
        fields.insert("totalDifficulty".into(), json!(quantity_u256(total)));
    }
    if let Some(withdrawals) = &block.body.withdrawals {
        fields.insert("withdrawals".into(), json!(withdrawals));
    }
    Ok(fields.into())
}

/// An ommer, which is a block without a body.
pub(crate) fn ommer(ommer: &Header) -> RpcResult<Value> {
    let mut fields = header(ommer.hash_slow(), ommer)?;
    let size = block_size_of_header(ommer);
    fields.insert("size".into(), json!(quantity(size as u64)));
    fields.insert("uncles".into(), json!([]));
    Ok(fields.into())
}

/// Bytes of a block that has this header, no transactions and no ommers.
fn block_size_of_header(header: &Header) -> usize {
    use alloy_rlp::Encodable as _;
    let payload = header.length() + 2;
    payload + alloy_rlp::length_of_length(payload)
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) block_hash: B256,
    pub(crate) number: u64,
    pub(crate) index: u64,
    pub(crate) base_fee: Option<u64>,
}

/// A transaction of a block.
pub(crate) fn place(
    _spec: &ChainSpec,
    block: &Block,
    index: usize,
    tx: &Transaction,
) -> RpcResult<Value> {
    let place = Place {
        block_hash: block.hash,
        number: block.header.number,
        index: index as u64,
        base_fee: block.header.base_fee_per_gas,
    };
    let from = sender(tx)?;
    Ok(transaction(tx, from, Some(place)))
}

/// Who signed a transaction.
pub(crate) fn sender(tx: &Transaction) -> RpcResult<Address> {
    // Blocks of before Homestead have signatures with a high s.
    tx.recover_signer_unchecked().map_err(internal)
}

/// A transaction; one that is in no block has no place.
pub(crate) fn transaction(tx: &Transaction, from: Address, place: Option<Place>) -> Value {
    let signature = tx.signature();
    let parity = u64::from(signature.v());
    let legacy = tx.ty() == 0;
    let v = match (legacy, tx.chain_id()) {
        (true, Some(chain_id)) => U256::from(chain_id) * U256::from(2) + U256::from(35 + parity),
        (true, None) => U256::from(27 + parity),
        (false, _) => U256::from(parity),
    };
    let price = match (tx.is_dynamic_fee(), place) {
        (true, Some(place)) => tx.effective_gas_price(place.base_fee),
        _ => tx.max_fee_per_gas(),
    };
    let mut fields = json!({
        "blockHash": place.map(|place| place.block_hash),
        "blockNumber": place.map(|place| quantity(place.number)),
        "from": from,
        "gas": quantity(tx.gas_limit()),
        "gasPrice": quantity_u128(price),
        "hash": tx.tx_hash(),
        "input": tx.input(),
        "nonce": quantity(tx.nonce()),
        "to": tx.to(),
        "transactionIndex": place.map(|place| quantity(place.index)),
        "value": quantity_u256(tx.value()),
        "type": quantity(u64::from(tx.ty())),
        "v": quantity_u256(v),
        "r": quantity_u256(signature.r()),
        "s": quantity_u256(signature.s()),
    });
    let mut add = |name: &str, value: Value| {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(name.into(), value);
        }
    };
    if let Some(chain_id) = tx.chain_id().filter(|id| !legacy || *id != 0) {
        add("chainId", json!(quantity(chain_id)));
    }
    if !legacy {
        add("accessList", json!(tx.access_list().cloned().unwrap_or_default()));
        add("yParity", json!(quantity(parity)));
    }
    if let Some(tip) = tx.max_priority_fee_per_gas() {
        add("maxFeePerGas", json!(quantity_u128(tx.max_fee_per_gas())));
        add("maxPriorityFeePerGas", json!(quantity_u128(tip)));
    }
    if let Some(fee) = tx.max_fee_per_blob_gas() {
        add("maxFeePerBlobGas", json!(quantity_u128(fee)));
    }
    if let Some(hashes) = tx.blob_versioned_hashes() {
        add("blobVersionedHashes", json!(hashes));
    }
    if let Some(list) = tx.authorization_list() {
        add("authorizationList", json!(list));
    }
    fields
}

/// A log, and where it is.
pub(crate) fn log(log: &Log, place: &LogPlace, removed: bool) -> Value {
    json!({
        "address": log.address,
        "topics": log.topics(),
        "data": log.data.data,
        "blockNumber": quantity(place.number),
        "transactionHash": place.transaction_hash,
        "transactionIndex": quantity(place.transaction_index),
        "blockHash": place.block_hash,
        "logIndex": quantity(place.log_index),
        "removed": removed,
    })
}

/// Where a log is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogPlace {
    pub(crate) block_hash: B256,
    pub(crate) number: u64,
    pub(crate) transaction_hash: B256,
    pub(crate) transaction_index: u64,
    pub(crate) log_index: u64,
}

/// The receipts of a block, in the order of its transactions; or only the one at this place.
pub(crate) fn receipts(
    spec: &ChainSpec,
    block: &Block,
    receipts: &[ReceiptEnvelope],
    only: Option<usize>,
) -> RpcResult<Vec<Value>> {
    let (mut gas_before, mut log_index) = (0, 0);
    let mut shown = Vec::with_capacity(receipts.len());
    for (index, (tx, receipt)) in block.body.transactions.iter().zip(receipts).enumerate() {
        let place = LogPlace {
            block_hash: block.hash,
            number: block.header.number,
            transaction_hash: *tx.tx_hash(),
            transaction_index: index as u64,
            log_index,
        };
        let gas_used = receipt.cumulative_gas_used().saturating_sub(gas_before);
        // Who has signed a transaction takes longer to find out than all the rest.
        if only.is_none_or(|only| only == index) {
            shown.push(self::receipt(spec, &block.header, tx, receipt, place, gas_used)?);
        }
        gas_before = receipt.cumulative_gas_used();
        log_index += receipt.logs().len() as u64;
    }
    Ok(shown)
}

/// `place.log_index` is that of its first log.
fn receipt(
    spec: &ChainSpec,
    header: &Header,
    tx: &Transaction,
    receipt: &ReceiptEnvelope,
    place: LogPlace,
    gas_used: u64,
) -> RpcResult<Value> {
    let from = sender(tx)?;
    let created = matches!(tx.kind(), TxKind::Create).then(|| from.create(tx.nonce()));
    let at = |offset: usize| LogPlace { log_index: place.log_index + offset as u64, ..place };
    let logs = receipt.logs().iter().enumerate();
    let logs: Vec<Value> = logs.map(|(offset, it)| log(it, &at(offset), false)).collect();
    let mut fields = json!({
        "blockHash": place.block_hash,
        "blockNumber": quantity(place.number),
        "transactionHash": place.transaction_hash,
        "transactionIndex": quantity(place.transaction_index),
        "from": from,
        "to": tx.to(),
        "gasUsed": quantity(gas_used),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used()),
        "contractAddress": created,
        "logs": logs,
        "logsBloom": receipt.bloom(),
        "type": quantity(u64::from(tx.ty())),
        "effectiveGasPrice": quantity_u128(tx.effective_gas_price(header.base_fee_per_gas)),
    });
    let mut add = |name: &str, value: Value| {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(name.into(), value);
        }
    };
    match receipt.status_or_post_state().as_post_state() {
        Some(root) => add("root", json!(root)),
        None => add("status", json!(quantity(u64::from(receipt.status())))),
    }
    if let Some(blob_gas) = tx.blob_gas_used() {
        let params = spec.blob_params(header.number, header.timestamp);
        add("blobGasUsed", json!(quantity(blob_gas)));
        let price = header.blob_fee(params).unwrap_or_default();
        add("blobGasPrice", json!(quantity_u128(price)));
    }
    Ok(fields)
}
