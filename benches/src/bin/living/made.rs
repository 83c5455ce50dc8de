//! The networks that are measured, and a chain of one of them, which our own producer makes once.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use alloy_consensus::Header;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, B256, Bytes, U256};
use chainmesh_chain::execute::{BlockTemplate, InOrder, Transaction, build_block};
use chainmesh_chain::producer::{Payload, PayloadBuilder, PayloadError};
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Producer, file};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::accounts::{Account, CHAIN_ID, COUNTER, COUNTER_CODE};

/// Accounts that send in the chain.
const SENDERS: u64 = 200;
/// Transfers in a block; two of three go to somebody new.
const TRANSFERS: u64 = 30;
/// Calls in a block; half of them write a slot that is new.
const CALLS: u64 = 10;

/// Time of block 0, seconds since 1970: long ago, so that no block is of the future.
const FIRST_TIMESTAMP: u64 = 1_700_000_000;
/// To be changed when what is made changes, so that no chain of before is used.
const VERSION: u32 = 1;

/// A clique network of one signer, London from its first block on, in which these have money.
pub(crate) fn genesis(signer: &Account, rich: &[Account], gas_limit: u64, timestamp: u64) -> Value {
    let forks = [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "berlin",
        "london",
    ];
    let mut config = Map::new();
    config.insert("chainId".into(), CHAIN_ID.into());
    config.insert("clique".into(), json!({"period": 1, "epoch": 30_000}));
    config.extend(forks.iter().map(|fork| (format!("{fork}Block"), 0.into())));
    let money = json!({"balance": "0x3635c9adc5dea00000"});
    let mut alloc: Map<String, Value> =
        rich.iter().map(|account| (account.address.to_string(), money.clone())).collect();
    let code = Bytes::from_static(COUNTER_CODE).to_string();
    alloc.insert(COUNTER.to_string(), json!({"balance": "0x0", "code": code}));
    let address = signer.address.to_string();
    let signer = address.trim_start_matches("0x");
    json!({
        "config": config, "difficulty": "0x1", "gasLimit": format!("{gas_limit:#x}"),
        "timestamp": format!("{timestamp:#x}"), "alloc": alloc,
        "extraData": format!("0x{}{signer}{}", "00".repeat(32), "00".repeat(65)),
    })
}

/// A chain in a file.
pub(crate) struct Made {
    pub(crate) genesis: PathBuf,
    pub(crate) chain: PathBuf,
    pub(crate) blocks: u64,
    pub(crate) transactions: u64,
    pub(crate) head: B256,
    pub(crate) bytes: u64,
}

/// Fills a block with these transactions.
struct Given<'a> {
    chain: &'a Chain,
    transactions: Mutex<Vec<Recovered<Transaction>>>,
}

fn failed(error: impl Into<Failure>) -> PayloadError {
    PayloadError(error.into())
}

impl PayloadBuilder for Given<'_> {
    fn build(
        &self,
        spec: &ChainSpec,
        parent: &Header,
        header: Header,
        signer: Address,
    ) -> Result<Payload, PayloadError> {
        let parent = (parent, header.parent_hash);
        let state = self.chain.state(&parent.1).map_err(failed)?;
        let state = state.ok_or_else(|| failed("the parent has no state"))?;
        let transactions =
            core::mem::take(&mut *self.transactions.lock().map_err(|_| failed("poisoned"))?);
        let wanted = transactions.len();
        let template = BlockTemplate { header, beneficiary: signer, withdrawals: Vec::new() };
        let mut source = InOrder::new(transactions);
        let built = build_block(spec, spec.consensus(), &state, template, &mut source, || false)
            .map_err(failed)?;
        if built.transactions.len() != wanted {
            return Err(failed(format!("left out of a block: {:?}", built.skipped)));
        }
        let state_root = state.root_after(&built.executed.changes).map_err(failed)?;
        let header = Header { state_root, ..built.header };
        Ok(Payload { header, body_rlp: built.body_rlp, transactions: wanted })
    }

    fn has_transactions(&self) -> bool {
        true
    }
}

/// The chain of so many blocks, from a directory of earlier runs or made now.
pub(crate) fn chain(directory: &Path, blocks: u64) -> Result<Made, Failure> {
    let directory = directory.join(format!("chain-{VERSION}-{blocks}"));
    let (genesis_path, path) = (directory.join("genesis.json"), directory.join("chain.rlp"));
    let head_path = directory.join("head");
    if !head_path.exists() {
        eprintln!("making a chain of {blocks} blocks in {}", directory.display());
        std::fs::create_dir_all(&directory)?;
        let (signer, senders) = (Account::new(u64::MAX)?, Account::first(SENDERS)?);
        let genesis = genesis(&signer, &senders, 30_000_000, FIRST_TIMESTAMP);
        std::fs::write(&genesis_path, serde_json::to_vec_pretty(&genesis)?)?;
        let head = make(&genesis_path, &path, blocks, &signer, &senders)?;
        // Written last: without it, the rest is not looked at.
        std::fs::write(&head_path, head.to_string())?;
    }
    let head = std::fs::read_to_string(&head_path)?.trim().parse()?;
    let bytes = std::fs::metadata(&path)?.len();
    let transactions = blocks * (TRANSFERS + CALLS);
    Ok(Made { genesis: genesis_path, chain: path, blocks, transactions, head, bytes })
}

fn make(
    genesis: &Path,
    out: &Path,
    blocks: u64,
    signer: &Account,
    senders: &[Account],
) -> Result<B256, Failure> {
    let data = tempfile::tempdir()?;
    let chain = Chain::open_with(data.path(), ChainSpec::read(genesis)?, ChainOptions::default())?;
    let producer = Producer::new(signer.key);
    let mut nonces = vec![0; senders.len()];
    let mut sent = 0_u64;
    for number in 1..=blocks {
        let mut transactions = Vec::new();
        for place in 0..TRANSFERS + CALLS {
            let from = sent % SENDERS;
            let (Some(sender), Some(nonce)) =
                (senders.get(from as usize), nonces.get_mut(from as usize))
            else {
                return Err("no such sender".into());
            };
            let transaction = if place < TRANSFERS {
                let new = Address::from_word(alloy_primitives::keccak256(sent.to_be_bytes()));
                let old = senders.get((sent * 7 % SENDERS) as usize).map(|account| account.address);
                sender.pay(*nonce, if place % 3 == 0 { old.unwrap_or(new) } else { new })
            } else {
                let slot = if place % 2 == 0 { sent } else { place };
                let input = U256::from(slot).to_be_bytes_vec().into();
                sender.sign(*nonce, COUNTER, 0, 100_000, input)
            };
            transactions.push(Recovered::new_unchecked(transaction, sender.address));
            *nonce += 1;
            sent += 1;
        }
        let given = Given { chain: &chain, transactions: Mutex::new(transactions) };
        let block = producer.build_on(&chain, &given, FIRST_TIMESTAMP + number)?;
        chain.import(&[block])?;
    }
    let output = std::io::BufWriter::new(std::fs::File::create(out)?);
    file::export(&chain, 1..=blocks, output, |_, _| ControlFlow::Continue(()))?;
    Ok(chain.head().hash)
}
