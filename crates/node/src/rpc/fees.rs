//! `eth_gasPrice`, `eth_maxPriorityFeePerGas`, `eth_feeHistory`: what others have paid, worked out
//! as go-ethereum does it (v1.13, `eth/gasprice`).

use alloy_consensus::Transaction as _;
use alloy_primitives::B256;
use chainmesh_chain::{Chain, rules};
use chainmesh_proto::eth::chain::ChainReader as _;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocks::{self, Block, BlockTag};
use super::error::{RpcResult, internal, invalid_params, refused};
use super::params::{Args, quantity_u64};
use super::reading::read;
use super::shapes::{quantity_u128, sender};
use super::{RpcContext, quantity};

/// Blocks that are looked at for a tip (go-ethereum, `--gpo.blocks`).
const TIP_BLOCKS: u64 = 20;
/// Which of the tips is taken, per cent (go-ethereum, `--gpo.percentile`).
const TIP_PERCENTILE: usize = 60;
/// Lowest tips of a block that count (go-ethereum, `sampleNumber`).
const TIP_SAMPLES: usize = 3;
/// Tips below this do not count, wei (go-ethereum, `--gpo.ignoreprice`).
const IGNORED_TIP: u128 = 2;
/// What a block without tips counts as, wei (go-ethereum, `--miner.gasprice`).
const DEFAULT_TIP: u128 = 1_000_000_000;
/// Highest tip that is suggested, wei (go-ethereum, `--gpo.maxprice`).
const MAX_TIP: u128 = 500_000_000_000;
/// Blocks of one answer about fees, at most (go-ethereum, `MaxHeaderHistory`).
const MAX_HISTORY: u64 = 1_024;
/// Percentiles that may be asked for at once (go-ethereum, `maxQueryLimit`).
const MAX_PERCENTILES: usize = 100;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    read(module, "eth_maxPriorityFeePerGas", 0, |context, _| {
        Ok(json!(quantity_u128(tip(context.chain()?)?)))
    })?;
    read(module, "eth_gasPrice", 0, |context, _| {
        let chain = context.chain()?;
        let (_, head) = blocks::header(chain, blocks::BlockId::default())?;
        let base_fee = u128::from(head.base_fee_per_gas.unwrap_or(0));
        Ok(json!(quantity_u128(tip(chain)?.saturating_add(base_fee))))
    })?;
    read(module, "eth_feeHistory", 3, history)
}

/// The hash of a canonical block.
fn canonical(chain: &Chain, number: u64) -> RpcResult<B256> {
    let hash = chain.canonical_hash(number).map_err(internal)?;
    hash.ok_or_else(|| refused("header not found"))
}

fn load(chain: &Chain, number: u64) -> RpcResult<Block> {
    let block = blocks::block(chain, canonical(chain, number)?)?;
    block.ok_or_else(|| refused("header not found"))
}

/// The tip with which a transaction will soon be taken, wei.
fn tip(chain: &Chain) -> RpcResult<u128> {
    let mut number = chain.head().number;
    let mut tips: Vec<u128> = Vec::new();
    let mut asked = 0;
    let mut want = TIP_BLOCKS;
    while asked < want && number > 0 {
        let mut found = lowest_tips(&load(chain, number)?)?;
        (asked, number) = (asked + 1, number - 1);
        if found.is_empty() {
            found.push(DEFAULT_TIP);
        }
        // One tip says little: then it goes further back, up to twice as far.
        let open = (want - asked) as usize;
        if found.len() == 1 && tips.len() + 1 + open < 2 * TIP_BLOCKS as usize && number > 0 {
            want += 1;
        }
        tips.extend(found);
    }
    tips.sort_unstable();
    let place = tips.len().saturating_sub(1) * TIP_PERCENTILE / 100;
    Ok(tips.get(place).copied().unwrap_or(DEFAULT_TIP).min(MAX_TIP))
}

/// The lowest tips of a block that count. What its beneficiary paid to itself does not.
fn lowest_tips(block: &Block) -> RpcResult<Vec<u128>> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let mut tips = block
        .body
        .transactions
        .iter()
        .map(|tx| (tx.effective_tip_per_gas(base_fee).unwrap_or(0), tx))
        .collect::<Vec<_>>();
    tips.sort_by_key(|(tip, _)| *tip);
    let mut lowest = Vec::new();
    for (tip, tx) in tips {
        if lowest.len() == TIP_SAMPLES {
            break;
        }
        if tip >= IGNORED_TIP && sender(tx)? != block.header.beneficiary {
            lowest.push(tip);
        }
    }
    Ok(lowest)
}

/// A number in JSON, in hex or not: wallets write both.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Text(String),
}

fn history(context: &RpcContext, args: &mut Args) -> RpcResult<Value> {
    let chain = context.chain()?;
    let count = match args.required()? {
        Count::Number(number) => number,
        Count::Text(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => quantity_u64(&text)
                .map_err(|why| invalid_params(format_args!("invalid argument 0: {why}")))?,
        },
    };
    let last: BlockTag = args.required()?;
    let percentiles: Vec<f64> = args.optional()?.unwrap_or_default();
    check(&percentiles)?;
    if count == 0 {
        return Ok(json!({"oldestBlock": "0x0", "gasUsedRatio": null}));
    }
    let head = chain.head().number;
    let last = blocks::number_of(chain, last)?;
    if last > head {
        let why = format!("request beyond head block: requested {last}, head {head}");
        return Err(refused(why));
    }
    let count = count.min(MAX_HISTORY).min(last + 1);
    let first = last + 1 - count;
    let (mut base_fees, mut ratios, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    let mut next_base_fee = 0;
    for number in first..=last {
        let hash = canonical(chain, number)?;
        let header = chain.header(&hash).map_err(internal)?;
        let header = header.ok_or_else(|| refused("header not found"))?;
        base_fees.push(quantity(header.base_fee_per_gas.unwrap_or(0)));
        next_base_fee = rules::next_base_fee(chain.spec(), &header).unwrap_or(0);
        ratios.push(header.gas_used as f64 / header.gas_limit as f64);
        if !percentiles.is_empty() {
            rewards.push(paid(chain, hash, &percentiles)?);
        }
    }
    base_fees.push(quantity(next_base_fee));
    let mut history = json!({
        "oldestBlock": quantity(first),
        "baseFeePerGas": base_fees,
        "gasUsedRatio": ratios,
    });
    if let (false, Some(history)) = (percentiles.is_empty(), history.as_object_mut()) {
        history.insert("reward".into(), json!(rewards));
    }
    Ok(history)
}

fn check(percentiles: &[f64]) -> RpcResult<()> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(refused(format_args!(
            "invalid reward percentile: over the query limit {MAX_PERCENTILES}"
        )));
    }
    let mut before = None;
    for (place, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return Err(refused(format_args!("invalid reward percentile: {percentile:.6}")));
        }
        if let Some(before) = before.filter(|before| percentile <= before) {
            return Err(refused(format_args!(
                "invalid reward percentile: #{}:{before:.6} >= #{place}:{percentile:.6}",
                place - 1
            )));
        }
        before = Some(*percentile);
    }
    Ok(())
}

/// The tips in a block below which so many per cent of its gas were, wei.
fn paid(chain: &Chain, hash: B256, percentiles: &[f64]) -> RpcResult<Vec<String>> {
    let block = blocks::block(chain, hash)?.ok_or_else(|| refused("block not found"))?;
    let receipts = chain.receipts(&hash).map_err(internal)?.unwrap_or_default();
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let mut gas_before = 0;
    let mut tips: Vec<(u128, u64)> = Vec::new();
    for (tx, receipt) in block.body.transactions.iter().zip(&receipts) {
        let gas = receipt.cumulative_gas_used().saturating_sub(gas_before);
        gas_before = receipt.cumulative_gas_used();
        tips.push((tx.effective_tip_per_gas(base_fee).unwrap_or(0), gas));
    }
    tips.sort_by_key(|(tip, _)| *tip);
    let mut tips = tips.into_iter().peekable();
    let (mut tip, mut gas) = tips.next().unwrap_or_default();
    let mut rewards = Vec::with_capacity(percentiles.len());
    for percentile in percentiles {
        let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
        while gas < threshold
            && let Some((next, more)) = tips.next()
        {
            (tip, gas) = (next, gas.saturating_add(more));
        }
        rewards.push(quantity_u128(tip));
    }
    Ok(rewards)
}
