//! What the mempool takes at its limits: memory beside what it charges, and time.
//!
//! `cargo run -p chainmesh-chain --example mempool_limits`; the times mean something with
//! `--release` only.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, B256, TxKind, U256};
use bytes::Bytes;
use chainmesh_chain::pool::{
    AccountState, HeadUpdate, MempoolConfig, PoolHead, PoolState, SLOT_BYTES, StateUnavailable,
    TransactionOrigin,
};
use chainmesh_chain::{ChainSpec, Genesis, Mempool};

/// Counts what is allocated and not freed.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all work is the system allocator's; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Everybody is rich.
struct Rich;

impl PoolState for Rich {
    fn account(&self, _: &Address) -> Result<AccountState, StateUnavailable> {
        let balance = U256::from(u128::MAX);
        Ok(AccountState { balance, ..AccountState::default() })
    }
}

const HEAD: PoolHead = PoolHead { number: 1, timestamp: 1, base_fee: 0, gas_limit: 30_000_000 };

fn pool() -> Result<Mempool, Box<dyn std::error::Error>> {
    let config = ChainConfig {
        chain_id: 1,
        homestead_block: Some(0),
        istanbul_block: Some(0),
        ..ChainConfig::default()
    };
    let spec = ChainSpec::new(Genesis { config, ..Genesis::default() })?;
    Ok(Mempool::new(Arc::new(spec), MempoolConfig::default(), HEAD, Arc::new(Rich)))
}

fn transaction(key: u64, nonce: u64, data: usize) -> Result<Bytes, Box<dyn std::error::Error>> {
    let transaction = TxLegacy {
        chain_id: Some(1),
        nonce,
        gas_price: 10,
        gas_limit: 21_000 + 4 * data as u64,
        to: TxKind::Call(Address::ZERO),
        input: vec![0; data].into(),
        ..TxLegacy::default()
    };
    let secret = B256::from(U256::from(key + 1));
    let signature = sign_message(secret, transaction.signature_hash())?;
    Ok(transaction.into_signed(signature).encoded_2718().into())
}

fn rate(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

fn fill(
    name: &str,
    all: impl Iterator<Item = (u64, u64, usize)>,
) -> Result<(), Box<dyn std::error::Error>> {
    let all = all.map(|(key, nonce, data)| transaction(key, nonce, data));
    let all: Vec<Bytes> = all.collect::<Result<_, _>>()?;
    let pool = pool()?;
    let before = LIVE.load(Ordering::Relaxed);

    let start = Instant::now();
    let prepared = pool.prepare_all(&all);
    let recovered = rate(all.len(), start);
    let prepared: Vec<_> = prepared.into_iter().collect::<Result<_, _>>()?;
    let start = Instant::now();
    let results = pool.insert(prepared, TransactionOrigin::Remote, 0);
    let inserted = rate(results.len(), start);
    drop(results);
    let live = LIVE.load(Ordering::Relaxed) - before;

    let status = pool.status();
    let held = status.pending + status.queued;
    println!("{name}");
    println!(
        "  held      {held} of {}; {} accounts, {} bytes charged, {live} allocated: {:.0} %",
        all.len(),
        status.accounts,
        status.bytes,
        100.0 * live as f64 / status.bytes as f64,
    );
    let raw: usize = pool.announceable().iter().map(|announced| announced.size).sum();
    println!("  overhead  {} bytes each", live.saturating_sub(raw) / held.max(1));
    println!("  speed     {recovered:.0} prepared/s, {inserted:.0} inserted/s");

    let start = Instant::now();
    let count = pool.best(0).count();
    println!("  best      all {count} in {:?}", start.elapsed());
    let start = Instant::now();
    let head = PoolHead { base_fee: 1, ..HEAD };
    let update = HeadUpdate {
        head,
        state: Arc::new(Rich),
        included: vec![],
        changed: None,
        reverted: vec![],
    };
    pool.on_new_head(update, 0)?;
    println!("  new head  all accounts, another base fee: {:?}", start.elapsed());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    fill("5,120 accounts with one transfer", (0..5_120).map(|key| (key, 0, 0)))?;
    fill("one account with 5,120 transfers", (0..5_120).map(|nonce| (0, nonce, 0)))?;
    fill(
        "5,120 and 1,024 that wait",
        (0..5_120).map(|key| (key, 0, 0)).chain((0..1_024).map(|key| (key, 9, 0))),
    )?;
    fill("data of 128 KiB", (0..640).map(|key| (key, 0, 4 * SLOT_BYTES - 200)))?;
    // Transactions at the same price come to a full pool: each is refused.
    fill("a flood of 10,240 accounts", (0..10_240).map(|key| (key, 0, 0)))?;
    Ok(())
}
