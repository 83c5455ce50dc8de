//! What a block costs beside so many accounts: `state_growth ACCOUNTS [BLOCKS [TRANSACTIONS]]`.
//!
//! Makes a clique network whose genesis has ACCOUNTS accounts, then BLOCKS blocks of TRANSACTIONS
//! payments each: half of them to accounts of the genesis, half to new ones. Imports them one by
//! one (each made durable), and once more in batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use alloy_consensus::TxEip1559;
use alloy_consensus::transaction::Recovered;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use chainmesh_chain::execute::{
    BlockTemplate, InOrder, Transaction, build_block, sign_transaction,
};
use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_chain::{
    Chain, ChainOptions, ChainSpec, DATABASE_FILE_NAME, Producer, block, clique,
};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableHandle};
use secp256k1::SecretKey;

const CHAIN_ID: u64 = 1515;
const BATCH: usize = 128;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let accounts: u64 = arguments.next().ok_or("how many accounts?")?.parse()?;
    let blocks: u64 = arguments.next().map_or(Ok(256), |blocks| blocks.parse())?;
    let transactions: u64 = arguments.next().map_or(Ok(50), |count| count.parse())?;
    let key = SecretKey::from_secret_bytes([1; 32])?;
    let start = Instant::now();
    let spec = network(&key, accounts)?;
    println!("{accounts} accounts: root in memory in {:?}", start.elapsed());

    let (one, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let start = Instant::now();
    drop(open(one.path(), &spec)?);
    let file = |dir: &Path| dir.join(DATABASE_FILE_NAME);
    let size = |dir: &Path| fs::metadata(file(dir)).map(|data| data.len());
    let empty = size(one.path())?;
    println!("genesis written in {:?}, {empty} bytes", start.elapsed());
    fs::copy(file(one.path()), file(other.path()))?;

    let before = by_table(other.path())?;

    let chain = open(one.path(), &spec)?;
    let (mut all, mut spent, mut root) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    for number in 0..blocks {
        let payments =
            (0..transactions).map(|n| payment(&key, number * transactions + n, accounts));
        let made = make(&chain, &spec, &key, payments.collect::<Result<_, _>>()?, &mut root)?;
        let start = Instant::now();
        chain.import(std::slice::from_ref(&made))?;
        spent += start.elapsed();
        all.push(made);
    }
    drop(chain);
    report("one by one", spent, blocks, size(one.path())? - empty, blocks * transactions);
    println!("state root of a new block: {:?}", root / blocks.try_into()?);

    let chain = open(other.path(), &spec)?;
    let start = Instant::now();
    for batch in all.chunks(BATCH) {
        chain.import(batch)?;
    }
    let spent = start.elapsed();
    drop(chain);
    for (name, bytes) in by_table(other.path())? {
        let grown = bytes.saturating_sub(before.get(&name).copied().unwrap_or(0));
        println!("  {name}: {} bytes a block", grown / blocks);
    }
    report(
        "in batches",
        spent,
        blocks,
        size(other.path())?.saturating_sub(empty),
        blocks * transactions,
    );
    Ok(())
}

/// Bytes that lie in each table; the file itself grows in large steps.
fn by_table(dir: &Path) -> Result<BTreeMap<String, u64>, Failure> {
    let database = Database::open(dir.join(DATABASE_FILE_NAME))?;
    let transaction = database.begin_read()?;
    let mut bytes = BTreeMap::new();
    for table in transaction.list_tables()? {
        let name = table.name().to_owned();
        bytes.insert(name, transaction.open_untyped_table(table)?.stats()?.stored_bytes());
    }
    Ok(bytes)
}

fn report(how: &str, spent: Duration, blocks: u64, bytes: u64, transactions: u64) {
    println!(
        "{how}: {:.0} µs and {} bytes a block, {} bytes a thousand transactions",
        spent.as_micros() as f64 / blocks as f64,
        bytes / blocks,
        bytes * 1_000 / transactions.max(1),
    );
}

fn open(dir: &Path, spec: &ChainSpec) -> Result<Chain, Failure> {
    let options = ChainOptions { check_integrity: false, ..ChainOptions::default() };
    Ok(Chain::open_with(dir, spec.clone(), options)?)
}

fn somebody(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

fn network(key: &SecretKey, accounts: u64) -> Result<ChainSpec, Failure> {
    let signer = clique::address(&key.public_key());
    let mut genesis = dev_clique(&DevNetwork {
        chain_id: CHAIN_ID,
        period: 1,
        timestamp: 1_700_000_000,
        signers: vec![signer],
        balances: vec![(signer, U256::MAX >> 1)],
    });
    let account = GenesisAccount::default().with_balance(U256::from(1_000_000_000_000_000_000_u64));
    genesis.alloc.extend((0..accounts).map(|n| (somebody(n), account.clone())));
    Ok(ChainSpec::new(genesis)?)
}

fn payment(key: &SecretKey, nonce: u64, accounts: u64) -> Result<Recovered<Transaction>, Failure> {
    let known = u64::from_be_bytes(keccak256(nonce.to_be_bytes())[..8].try_into()?) % accounts;
    let to = if nonce.is_multiple_of(2) { somebody(known) } else { somebody(accounts + nonce) };
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(to),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signed = sign_transaction(transaction, key);
    Ok(Recovered::new_unchecked(signed, clique::address(&key.public_key())))
}

fn make(
    chain: &Chain,
    spec: &ChainSpec,
    key: &SecretKey,
    payments: Vec<Recovered<Transaction>>,
    root: &mut Duration,
) -> Result<SyncBlock, Failure> {
    let parent: B256 = chain.head().hash;
    let producer = Producer::new(*key);
    let now = chain.head().timestamp + 1;
    let empty = producer.next_on(chain, now)?;
    let template = BlockTemplate {
        header: empty.header,
        beneficiary: producer.signer(),
        withdrawals: Vec::new(),
    };
    let state = chain.state(&parent)?.ok_or("no state")?;
    let mut source = InOrder::new(payments);
    let built = build_block(spec, spec.consensus(), &state, template, &mut source, || false)?;
    let mut header = built.header;
    let start = Instant::now();
    header.state_root = state.root_after(&built.executed.changes)?;
    *root += start.elapsed();
    clique::seal(&mut header, key)?;
    Ok(block::seal(header, built.body_rlp))
}
