//! The blockchain tests of <https://github.com/ethereum/tests> (and `ethereum/legacytests`), which
//! every Ethereum client runs: networks of all forks, blocks that are valid and blocks that are not.
//!
//! They are too large to be here. Where they are, the environment variable
//! `CHAINMESH_ETHEREUM_TESTS` says: a folder with JSON files, at any depth.

mod network;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256};
use chainmesh_chain::execute::{
    Ancestor, MemoryState, RecoveredBody, beneficiary_of, execute_block_with_roots, verify_ommers,
};
use chainmesh_chain::{ChainSpec, block, body, rules};
use revm::database::BundleState;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// One test: a network, blocks, and the head that comes out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    network: String,
    genesis_block_header: network::GenesisHeader,
    pre: BTreeMap<alloy_primitives::Address, network::Account>,
    blocks: Vec<CaseBlock>,
    lastblockhash: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseBlock {
    rlp: Bytes,
    /// There when the block is not valid, in newer tests.
    expect_exception: Option<String>,
    /// There when the block is valid.
    block_header: Option<IgnoredAny>,
}

/// A block that was taken, and the state behind it.
struct Taken {
    header: Header,
    ommers: Vec<B256>,
    total_difficulty: U256,
    state: MemoryState,
}

struct Network {
    spec: ChainSpec,
    taken: HashMap<B256, Taken>,
    head: B256,
}

impl Network {
    fn new(spec: ChainSpec) -> Self {
        let (header, head) = (spec.genesis_header().clone(), spec.genesis_hash());
        let mut state = MemoryState::of_genesis(spec.genesis());
        state.set_block_hash(0, head);
        let total_difficulty = header.difficulty;
        let genesis = Taken { header, ommers: Vec::new(), total_difficulty, state };
        Self { spec, taken: HashMap::from([(head, genesis)]), head }
    }

    fn import(&mut self, rlp: &[u8]) -> Result<(), Box<dyn core::error::Error>> {
        let spec = &self.spec;
        let block = block::decode(rlp)?;
        let header = &block.header;
        let parent = self.taken.get(&header.parent_hash).ok_or("unknown parent")?;
        let consensus = spec.consensus_after(parent.total_difficulty);
        let now = u64::MAX / 2;
        rules::verify(spec, consensus, header, (&parent.header, header.parent_hash), now)?;
        body::check(header, &block.body_rlp)?;
        let body = RecoveredBody::decode(spec, header.number, &block.body_rlp)?;
        let ancestor = |hash: B256| {
            let found = self.taken.get(&hash);
            Ok::<_, core::convert::Infallible>(found.map(|taken| Ancestor {
                header: taken.header.clone(),
                ommers: taken.ommers.clone(),
            }))
        };
        verify_ommers(spec, consensus, header, &body.ommers, now, ancestor)??;
        let beneficiary = beneficiary_of(consensus, header)?;
        let before = &parent.state;
        let root_after = |changes: &BundleState| {
            let mut after = before.clone();
            after.apply(changes);
            Ok(after.root())
        };
        let executed = execute_block_with_roots(
            spec,
            consensus,
            before,
            header,
            beneficiary,
            &body,
            &root_after,
        )?;
        let mut state = parent.state.clone();
        state.apply(&executed.changes);
        if state.root() != header.state_root {
            return Err("state root".into());
        }
        state.set_block_hash(header.number, block.hash);
        let total_difficulty = parent.total_difficulty + header.difficulty;
        let ommers = body.ommers.iter().map(Header::hash_slow).collect();
        let head = &self.taken[&self.head];
        let longer = header.difficulty.is_zero()
            && total_difficulty == head.total_difficulty
            && header.number > head.header.number;
        if total_difficulty > head.total_difficulty || longer {
            self.head = block.hash;
        }
        let taken = Taken { header: header.clone(), ommers, total_difficulty, state };
        self.taken.insert(block.hash, taken);
        Ok(())
    }
}

fn run(name: &str, case: &Case) -> Result<(), String> {
    let Some(genesis) = network::genesis(&case.network, &case.genesis_block_header, &case.pre)
    else {
        return Err(format!("{name}: unknown network {}", case.network));
    };
    let spec = ChainSpec::new(genesis).map_err(|error| format!("{name}: {error}"))?;
    if spec.genesis_hash() != case.genesis_block_header.hash {
        return Err(format!("{name}: another genesis block"));
    }
    let mut network = Network::new(spec);
    for (index, block) in case.blocks.iter().enumerate() {
        let known = network.taken.len();
        let valid = block.block_header.is_some() && block.expect_exception.is_none();
        match network.import(&block.rlp) {
            // A block that is known already may come again.
            Ok(()) if !valid && known < network.taken.len() => {
                let why = &block.expect_exception;
                return Err(format!("{name}: block {index} was taken, and is not valid: {why:?}"));
            }
            Err(error) if valid => {
                return Err(format!("{name}: block {index} is valid, and was refused: {error}"));
            }
            Ok(()) | Err(_) => {}
        }
    }
    if network.head != case.lastblockhash {
        return Err(format!("{name}: another head"));
    }
    Ok(())
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            into.push(path);
        }
    }
}

#[test]
fn the_blockchain_tests_of_ethereum() {
    let Some(folder) = std::env::var_os("CHAINMESH_ETHEREUM_TESTS") else {
        eprintln!("SKIPPED: no blockchain tests (set CHAINMESH_ETHEREUM_TESTS)");
        return;
    };
    let mut paths = Vec::new();
    files(Path::new(&folder), &mut paths);
    assert!(!paths.is_empty(), "no tests in {}", folder.display());
    paths.sort();
    let (next, ran, left_out) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = thread::scope(|scope| {
        let worker = || {
            let mut failures = Vec::new();
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                let text = fs::read(path).expect("file");
                let cases: Result<BTreeMap<String, Case>, _> = serde_json::from_slice(&text);
                match cases {
                    Ok(cases) => {
                        for (name, case) in cases {
                            // With EIP-1283: refused, as it was taken back before its time came.
                            if case.network == "Constantinople" {
                                left_out.fetch_add(1, Ordering::Relaxed);
                                continue;
                            }
                            ran.fetch_add(1, Ordering::Relaxed);
                            failures.extend(run(&name, &case).err());
                        }
                    }
                    Err(error) => failures.push(format!("{}: {error}", path.display())),
                }
            }
            failures
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let ran = ran.into_inner();
    let left_out = left_out.into_inner();
    eprintln!(
        "{ran} tests in {} files, {} failed, {left_out} of Constantinople left out",
        paths.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
