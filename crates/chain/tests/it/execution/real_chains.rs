//! The two chains of go-ethereum's test suite.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use alloy_primitives::{Address, B256, U256, keccak256};
use chainmesh_chain::execute::MemoryState;
use chainmesh_chain::{ChainSpec, block};

use super::run;
use crate::common::chain_folder;

/// Executes all blocks of a folder; the state root of every block is compared, too.
fn execute_all(folder: &Path) -> (MemoryState, u64) {
    let spec = ChainSpec::read(&folder.join("genesis.json")).expect("genesis");
    let mut state = MemoryState::of_genesis(spec.genesis());
    assert_eq!(state.root(), spec.genesis_header().state_root);
    state.set_block_hash(0, spec.genesis_hash());
    let bytes = fs::read(folder.join("chain.rlp")).expect("file");
    let mut rest = bytes.as_slice();
    let mut total_difficulty = spec.genesis_header().difficulty;
    let mut transactions = 0;
    while !rest.is_empty() {
        let before = rest;
        let head = alloy_rlp::Header::decode(&mut rest).expect("a list");
        rest = &rest[head.payload_length..];
        let block = block::decode(&before[..before.len() - rest.len()]).expect("a block");
        let number = block.header.number;
        let consensus = spec.consensus_after(total_difficulty);
        let executed = run(&spec, consensus, &state, &block)
            .unwrap_or_else(|error| panic!("block {number}: {error}"));
        transactions += executed.receipts.len() as u64;
        state.apply(&executed.changes);
        assert_eq!(state.root(), block.header.state_root, "state root of block {number}");
        state.set_block_hash(number, block.hash);
        total_difficulty += block.header.difficulty;
    }
    (state, transactions)
}

#[test]
fn pow_3000_is_executed() {
    let Some(folder) = chain_folder("pow-3000") else { return };
    let (_, transactions) = execute_all(&folder);
    assert_eq!(transactions, 300);
}

#[test]
fn prague_600_is_executed() {
    let Some(folder) = chain_folder("prague-600") else { return };
    let (state, transactions) = execute_all(&folder);
    assert_eq!(transactions, 603);
    compare_with_dump(&state, &folder.join("headstate.json"));
}

/// go-ethereum's own dump of the state behind the last block.
fn compare_with_dump(state: &MemoryState, path: &Path) {
    let dump: serde_json::Value =
        serde_json::from_slice(&fs::read(path).expect("file")).expect("JSON");
    let dumped: BTreeMap<Address, &serde_json::Value> = dump["accounts"]
        .as_object()
        .expect("accounts")
        .iter()
        .map(|(address, account)| (address.parse().expect("an address"), account))
        .collect();
    assert_eq!(state.accounts().count(), dumped.len());
    for (address, info, storage) in state.accounts() {
        let dumped = dumped[&address];
        let balance: U256 = dumped["balance"].as_str().expect("text").parse().expect("number");
        assert_eq!((info.balance, Some(info.nonce)), (balance, dumped["nonce"].as_u64()));
        let code_hash: B256 = dumped["codeHash"].as_str().expect("text").parse().expect("hash");
        assert_eq!(info.code_hash, code_hash, "code of {address}");
        if let Some(code) = state.code(info.code_hash) {
            assert_eq!(keccak256(code.original_byte_slice()), code_hash);
        }
        let slots = dumped["storage"].as_object();
        assert_eq!(storage.len(), slots.map_or(0, serde_json::Map::len), "slots of {address}");
        for (slot, value) in slots.into_iter().flatten() {
            let slot: U256 = slot.parse().expect("slot");
            let value = value.as_str().expect("text");
            let value = U256::from_str_radix(value, 16).expect("value");
            assert_eq!(storage.get(&slot), Some(&value), "slot {slot} of {address}");
        }
    }
}
