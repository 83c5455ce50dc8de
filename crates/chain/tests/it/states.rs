//! The states behind blocks, their receipts, and where their transactions are.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use alloy_consensus::proofs::calculate_receipt_root;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use chainmesh_chain::execute::ExecutionError;
use chainmesh_chain::rules::RuleError;
use chainmesh_chain::{
    Chain, ChainError, ChainOptions, DATABASE_FILE_NAME, StateView, StoreError, clique, file,
};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, ImportError};
use proptest::prelude::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::common::{chain_folder, open, rule};
use crate::living::{HASHER, RICHES, living, pay, rich, somebody};

/// Imports a chain of go-ethereum's test suite, and reads all that its blocks left.
fn each_block(name: &str) -> Option<(tempfile::TempDir, Chain)> {
    let folder = chain_folder(name)?;
    let dir = tempfile::tempdir().expect("directory");
    let chain = open(dir.path(), &folder.join("genesis.json"));
    file::import_path(&chain, &folder.join("chain.rlp"), |_| ControlFlow::Continue(()))
        .expect("import");
    let mut transactions = 0;
    for number in 0..=chain.head().number {
        let hash = chain.canonical_hash(number).expect("read").expect("canonical");
        let header = chain.header(&hash).expect("read").expect("header");
        let state = chain.state(&hash).expect("read").expect("state");
        assert_eq!((state.root(), state.block()), (header.state_root, (number, hash)));
        assert!(state.account(header.beneficiary).is_ok(), "the state of block {number}");
        let receipts = chain.receipts(&hash).expect("read").expect("receipts");
        assert_eq!(calculate_receipt_root(&receipts), header.receipts_root, "block {number}");
        let rlp = chain.receipts_rlp(&hash).expect("read").expect("receipts");
        assert_eq!(alloy_rlp::encode(&receipts), rlp[..]);
        let body = chain.body(&hash).expect("read").expect("body");
        assert_eq!(body.transactions.len(), receipts.len());
        for (index, transaction) in (0_u32..).zip(&body.transactions) {
            let place = chain.transaction(transaction.tx_hash()).expect("read").expect("place");
            assert_eq!((place.block_hash, place.number, place.index), (hash, number, index));
            transactions += 1;
        }
    }
    assert!(transactions >= 300, "only {transactions} transactions");
    Some((dir, chain))
}

#[test]
fn what_the_blocks_of_pow_3000_left() {
    each_block("pow-3000");
}

/// The state behind the last block is go-ethereum's dump of it, account by account.
#[test]
fn what_the_blocks_of_prague_600_left() {
    let Some((_dir, chain)) = each_block("prague-600") else { return };
    let folder = chain_folder("prague-600").expect("it was there");
    let dump = fs::read(folder.join("headstate.json")).expect("file");
    let dump: serde_json::Value = serde_json::from_slice(&dump).expect("JSON");
    let state = chain.head_state().expect("state");
    let root: B256 = dump["root"].as_str().expect("text").parse().expect("root");
    assert_eq!(state.root(), root);
    let accounts = dump["accounts"].as_object().expect("accounts");
    assert!(accounts.len() > 100, "only {} accounts", accounts.len());
    for (address, dumped) in accounts {
        compare(&state, address.parse().expect("an address"), dumped);
    }
}

fn compare(state: &StateView, address: Address, dumped: &serde_json::Value) {
    let account = state.account(address).expect("read").expect("an account");
    let text = |name: &str| dumped[name].as_str().expect("text");
    assert_eq!(account.balance, text("balance").parse::<U256>().expect("number"), "{address}");
    assert_eq!(Some(account.nonce), dumped["nonce"].as_u64(), "{address}");
    assert_eq!(account.code_hash, text("codeHash").parse::<B256>().expect("hash"), "{address}");
    assert_eq!(account.storage_root, text("root").parse::<B256>().expect("root"), "{address}");
    let code = state.code(account.code_hash).expect("code");
    assert_eq!(keccak256(&code), account.code_hash);
    let slots = dumped["storage"].as_object();
    for (slot, value) in slots.into_iter().flatten() {
        let slot: U256 = slot.parse().expect("slot");
        let value = U256::from_str_radix(value.as_str().expect("text"), 16).expect("value");
        assert_eq!(state.storage(address, slot).expect("read"), value, "{slot} of {address}");
    }
}

/// A payment is in both branches, another in one only; and both see the hashes of their own
/// ancestors.
#[test]
fn a_reorganisation_takes_its_transactions_with_it() {
    let net = living(3);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let (both, light_only) = (pay(0, somebody(1), 5), pay(1, somebody(2), 7));
    let (hasher, heavy_only) = (pay(1, HASHER, 0), pay(2, somebody(3), 9));
    // Out of turn: block n is the turn of n % 3.
    let genesis = chain.genesis_hash();
    let light_1 = net.with_transactions(&chain, genesis, 2, vec![both.clone(), light_only.clone()]);
    chain.import(std::slice::from_ref(&light_1)).expect("light");
    let light_2 = net.with_transactions(&chain, light_1.hash, 0, vec![pay(2, HASHER, 0)]);
    chain.import(std::slice::from_ref(&light_2)).expect("light");
    let place = |hash: &B256| {
        let place = chain.transaction(hash).expect("read")?;
        Some((place.number, place.block_hash, place.index))
    };
    assert_eq!(place(both.tx_hash()), Some((1, light_1.hash, 0)));
    assert_eq!(place(light_only.tx_hash()), Some((1, light_1.hash, 1)));
    assert_eq!(place(hasher.tx_hash()), None);
    // Out of turn, and in turn: 3 against 2.
    let heavy_1 = net.with_transactions(&chain, genesis, 0, Vec::new());
    let head = chain.import(std::slice::from_ref(&heavy_1)).expect("heavy");
    assert_eq!(head.hash, light_2.hash);
    assert_eq!(place(both.tx_hash()), Some((1, light_1.hash, 0)), "not canonical, no change");
    let payments = vec![both.clone(), hasher.clone(), heavy_only.clone()];
    let heavy_2 = net.with_transactions(&chain, heavy_1.hash, 2, payments);
    let head = chain.import(std::slice::from_ref(&heavy_2)).expect("heavy");
    assert_eq!(head.hash, heavy_2.hash);
    assert_eq!(place(both.tx_hash()), Some((2, heavy_2.hash, 0)));
    assert_eq!(place(hasher.tx_hash()), Some((2, heavy_2.hash, 1)));
    assert_eq!(place(heavy_only.tx_hash()), Some((2, heavy_2.hash, 2)));
    assert_eq!(place(light_only.tx_hash()), None);
    // Both states are there, before and after.
    let balances = |hash: &B256| {
        let state = chain.state(hash).expect("read").expect("state");
        [1, 2, 3].map(|n| {
            let account = state.account(somebody(n)).expect("read");
            account.map(|account| account.balance.to::<u64>())
        })
    };
    assert_eq!(balances(&genesis), [None, None, None]);
    assert_eq!(balances(&light_2.hash), [Some(5), Some(7), None]);
    assert_eq!(balances(&heavy_1.hash), [None, None, None]);
    assert_eq!(balances(&heavy_2.hash), [Some(5), None, Some(9)]);
    assert_eq!(chain.head_state().expect("state").block(), (2, heavy_2.hash));
    assert_eq!(chain.receipts(&light_1.hash).expect("read").expect("receipts").len(), 2);
    // Three blocks further on the branch that lost, and it is as it was.
    let light_3 = net.with_transactions(&chain, light_2.hash, 1, vec![pay(3, HASHER, 0)]);
    chain.import(std::slice::from_ref(&light_3)).expect("light");
    let light_4 = net.with_transactions(&chain, light_3.hash, 2, Vec::new());
    chain.import(std::slice::from_ref(&light_4)).expect("light");
    let light_5 = net.with_transactions(&chain, light_4.hash, 0, Vec::new());
    let head = chain.import(std::slice::from_ref(&light_5)).expect("light");
    assert_eq!(head.hash, light_5.hash);
    assert_eq!(place(both.tx_hash()), Some((1, light_1.hash, 0)));
    assert_eq!(place(light_only.tx_hash()), Some((1, light_1.hash, 1)));
    assert_eq!(place(hasher.tx_hash()), None);
    assert_eq!(place(heavy_only.tx_hash()), None);
    // BLOCKHASH of the block before the last is of the own branch, when it is not canonical, too.
    let hashed = |hash: &B256| {
        let state = chain.state(hash).expect("read").expect("state");
        B256::from(state.storage(HASHER, U256::ZERO).expect("read"))
    };
    assert_eq!(hashed(&light_2.hash), genesis);
    assert_eq!(hashed(&light_3.hash), light_1.hash);
    assert_eq!(hashed(&heavy_2.hash), genesis);
}

#[test]
fn a_block_with_another_result_is_refused_and_leaves_nothing() {
    let net = living(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let genesis = chain.genesis_hash();
    let good = net.with_transactions(&chain, genesis, 0, vec![pay(0, somebody(1), 5)]);
    let expected = B256::repeat_byte(1);
    let mut header = good.header.clone();
    header.state_root = expected;
    let wrong = net.sealed(header, 0, good.body_rlp.clone());
    let found = good.header.state_root;
    let refused = rule(chain.import(std::slice::from_ref(&wrong)));
    assert_eq!(refused, RuleError::StateRoot { found, expected });
    assert_eq!(chain.number_of(&wrong.hash).expect("read"), None);
    assert!(chain.state(&wrong.hash).expect("read").is_none());
    assert!(chain.receipts(&wrong.hash).expect("read").is_none());
    let mut header = good.header.clone();
    header.gas_used += 1;
    let wrong = net.sealed(header, 0, good.body_rlp.clone());
    let refused = chain.import(&[wrong]);
    let Err(ImportError::Invalid { reason, .. }) = refused else { panic!("{refused:?}") };
    let reason = reason.downcast_ref::<ExecutionError>().expect("of the execution");
    assert!(matches!(reason, ExecutionError::GasUsed { .. }), "{reason}");
    // What the sender does not have.
    let rich = clique::address(&rich().public_key());
    let state = chain.head_state().expect("state");
    assert_eq!(state.account(rich).expect("read").expect("rich").balance, U256::from(RICHES));
    // The good one, behind which the wrong ones would have been.
    chain.import(std::slice::from_ref(&good)).expect("good");
    assert_eq!(chain.head_state().expect("state").root(), found);
}

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const NODES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("nodes");

fn alter(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(dir.join(DATABASE_FILE_NAME)).expect("database");
    let transaction = database.begin_write().expect("transaction");
    change(&transaction);
    transaction.commit().expect("commit");
}

#[test]
fn a_store_of_an_older_layout_is_refused_with_advice() {
    let net = living(1);
    let dir = tempfile::tempdir().expect("directory");
    drop(net.open(dir.path()));
    alter(dir.path(), |transaction| {
        let mut meta = transaction.open_table(META).expect("table");
        meta.insert("schema", 1_u64.to_be_bytes().as_slice()).expect("insert");
    });
    let again = Chain::open_with(dir.path(), net.spec, ChainOptions::default());
    let refused = again.expect_err("another layout");
    assert!(
        matches!(&refused, ChainError::Store(StoreError::Schema { found: 1, .. })),
        "{refused}"
    );
    let told = refused.to_string();
    assert!(told.contains("layout 1") && told.contains("export") && told.contains("sync again"));
    assert!(!told.contains('\n'), "{told}");
}

/// Somebody has altered a node in the file, checksums and all.
#[test]
fn a_damaged_node_is_named() {
    let net = living(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let block = net.with_transactions(&chain, chain.genesis_hash(), 0, vec![pay(0, HASHER, 0)]);
    let root = chain.head_state().expect("state").root();
    drop(chain);
    alter(dir.path(), |transaction| {
        let mut nodes = transaction.open_table(NODES).expect("table");
        let chunks: BTreeMap<u64, Vec<u8>> = nodes
            .iter()
            .expect("nodes")
            .map(|entry| entry.map(|(key, chunk)| (key.value(), chunk.value().to_vec())))
            .collect::<Result<_, _>>()
            .expect("nodes");
        for (number, mut chunk) in chunks {
            chunk.iter_mut().for_each(|byte| *byte ^= 0x20);
            nodes.insert(number, chunk.as_slice()).expect("insert");
        }
    });
    let chain = net.open(dir.path());
    let head = chain.head();
    let named = format!("state node {root} is missing or malformed");
    let state = chain.head_state().expect("it is not looked at yet");
    let error = state.account(HASHER).expect_err("damaged");
    assert!(error.to_string().contains(&named), "{error}");
    let refused = chain.import(&[block]);
    let Err(ImportError::Storage(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(&named), "{error}");
    assert_eq!(chain.head(), head);
}

#[test]
fn an_unknown_block_has_nothing() {
    let net = living(1);
    let dir = tempfile::tempdir().expect("directory");
    let chain = net.open(dir.path());
    let nobody = B256::repeat_byte(9);
    assert!(chain.state(&nobody).expect("read").is_none());
    assert!(chain.receipts(&nobody).expect("read").is_none());
    assert!(chain.receipts_rlp(&nobody).expect("read").is_none());
    assert!(chain.body(&nobody).expect("read").is_none());
    assert!(chain.transaction(&nobody).expect("read").is_none());
    let genesis = chain.genesis_hash();
    assert_eq!(chain.receipts(&genesis).expect("read"), Some(Vec::new()));
    let hasher = chain.head_state().expect("state").account(HASHER).expect("read").expect("code");
    assert_eq!(hasher.storage_root, EMPTY_ROOT_HASH);
    let database = dir.path().join(DATABASE_FILE_NAME);
    drop(chain);
    let database = Database::open(database).expect("database");
    let read = database.begin_read().expect("read");
    let nodes = read.open_table(NODES).expect("nodes");
    assert!(nodes.last().expect("last").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any tree of blocks, imported in any order in which parents come first: what is known about
    /// transactions is what is in the canonical chain, and each block has its own state.
    #[test]
    fn any_tree_of_blocks_knows_the_transactions_of_its_best_branch(
        tree in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..3, 0_u64..3), 1..14),
        order in prop::collection::vec(any::<prop::sample::Index>(), 14),
    ) {
        let net = living(1);
        let (made, taken) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let (maker, chain) = (net.open(made.path()), net.open(taken.path()));
        let mut blocks = Vec::new();
        for (parent, payments, to) in tree {
            let known = blocks.len() + 1;
            let parent = match parent.index(known).checked_sub(1) {
                Some(index) => {
                    let block: &chainmesh_proto::eth::chain::SyncBlock = &blocks[index];
                    block.hash
                }
                None => maker.genesis_hash(),
            };
            let rich = clique::address(&rich().public_key());
            let state = maker.state(&parent).expect("read").expect("state");
            let nonce = state.account(rich).expect("read").expect("rich").nonce;
            let pay = |n| pay(nonce + n, somebody(to + n), 5);
            let block = net.with_transactions(&maker, parent, 0, (0..payments).map(pay).collect());
            maker.import(std::slice::from_ref(&block)).expect("import");
            blocks.push(block);
        }
        let mut left = blocks.clone();
        for pick in order.iter().cycle() {
            let ready: Vec<usize> = (0..left.len())
                .filter(|n| chain.number_of(&left[*n].header.parent_hash).expect("read").is_some())
                .collect();
            if ready.is_empty() {
                break;
            }
            let block = left.remove(ready[pick.index(ready.len())]);
            chain.import(std::slice::from_ref(&block)).expect("import");
            let mut expected = BTreeMap::new();
            let mut at = chain.head().hash;
            while let Some(block) = blocks.iter().find(|block| block.hash == at) {
                let body = chain.body(&at).expect("read").expect("body");
                for (index, transaction) in (0_u32..).zip(&body.transactions) {
                    expected.insert(*transaction.tx_hash(), (block.header.number, at, index));
                }
                at = block.header.parent_hash;
            }
            for block in &blocks {
                let body = maker.body(&block.hash).expect("read").expect("body");
                for transaction in &body.transactions {
                    let hash = transaction.tx_hash();
                    let place = chain.transaction(hash).expect("read");
                    let place = place.map(|place| (place.number, place.block_hash, place.index));
                    prop_assert_eq!(place, expected.get(hash).copied());
                }
            }
        }
        prop_assert!(left.is_empty());
        for block in &blocks {
            let state = chain.state(&block.hash).expect("read").expect("state");
            prop_assert_eq!(state.root(), block.header.state_root);
            for n in 0..6 {
                let other = maker.state(&block.hash).expect("read").expect("state");
                let (ours, theirs) = (state.account(somebody(n)), other.account(somebody(n)));
                prop_assert_eq!(ours.expect("read"), theirs.expect("read"));
            }
        }
    }
}
