//! What the tests share.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use alloy_consensus::Header;
use alloy_primitives::B256;
use chainmesh_chain::clique::Snapshot;
use chainmesh_chain::file::{self, FileError, ImportOptions, ImportSummary};
use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_chain::rules::RuleError;
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Consensus, Genesis, Producer, block};
use chainmesh_proto::eth::chain::{ChainHead, ImportError, SyncBlock};
use secp256k1::SecretKey;

/// The folder of a chain that this project did not make; `None`, said aloud, when the shared data
/// are not there. On CI they must be.
pub(crate) fn chain_folder(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("CHAINMESH_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared");
    let folders = [shared, other].map(|shared| shared.join("data/chains").join(name));
    let found = folders.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "the chains in ../shared are missing");
        eprintln!("SKIPPED: no ../shared/data/chains/{name} (set CHAINMESH_SHARED)");
    }
    found
}

pub(crate) fn open(data_dir: &Path, genesis: &Path) -> Chain {
    let spec = ChainSpec::read(genesis).expect("genesis");
    Chain::open_with(data_dir, spec, ChainOptions::default()).expect("open")
}

pub(crate) fn import(chain: &Chain, bytes: &[u8]) -> Result<ImportSummary, FileError> {
    file::import(chain, bytes, ImportOptions::default(), |_| ControlFlow::Continue(()))
}

pub(crate) fn export(chain: &Chain, first: u64, last: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    file::export(chain, first..=last, &mut bytes, |_, _| ControlFlow::Continue(()))
        .expect("export");
    bytes
}

/// Start of the networks that are made here: 2023-11-14.
pub(crate) const START: u64 = 1_700_000_000;

/// A clique network whose signers we all are.
pub(crate) struct Devnet {
    pub(crate) spec: ChainSpec,
    /// In the order of their turns.
    pub(crate) producers: Vec<Producer>,
}

/// The last block of a chain in memory.
#[derive(Clone)]
pub(crate) struct Tip {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) snapshot: Snapshot,
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_secret_bytes([n; 32]).expect("key")
}

pub(crate) fn devnet(signers: u8) -> Devnet {
    devnet_with(signers, 1, |_| {})
}

pub(crate) fn devnet_with(signers: u8, period: u64, change: impl Fn(&mut Genesis)) -> Devnet {
    let mut producers: Vec<Producer> = (1..=signers).map(|n| Producer::new(key(n))).collect();
    producers.sort_by_key(Producer::signer);
    let mut genesis = dev_clique(&DevNetwork {
        chain_id: 1515,
        period,
        timestamp: START,
        signers: producers.iter().map(Producer::signer).collect(),
        balances: Vec::new(),
    });
    change(&mut genesis);
    Devnet { spec: ChainSpec::new(genesis).expect("spec"), producers }
}

impl Devnet {
    pub(crate) fn start(&self) -> Tip {
        let Consensus::Clique { epoch, .. } = self.spec.consensus() else { panic!("clique") };
        let (header, hash) = (self.spec.genesis_header().clone(), self.spec.genesis_hash());
        let snapshot = Snapshot::from_checkpoint(&header, hash, epoch).expect("genesis");
        Tip { header, hash, snapshot }
    }

    /// The child of `tip` by the signer in this place, `seconds` later.
    pub(crate) fn child(&self, tip: &Tip, signer: usize, seconds: u64) -> (SyncBlock, Tip) {
        let parent = (&tip.header, tip.hash);
        let now = tip.header.timestamp + seconds;
        let block = self.producers[signer]
            .next_block(&self.spec, parent, &tip.snapshot, now)
            .expect("block");
        let snapshot = tip.snapshot.apply(&block.header, block.hash).expect("its own block");
        (block.clone(), Tip { header: block.header, hash: block.hash, snapshot })
    }

    /// `count` blocks behind `tip`, each by the signer in turn.
    pub(crate) fn grow(&self, tip: &Tip, count: usize) -> (Vec<SyncBlock>, Tip) {
        let mut tip = tip.clone();
        let blocks = (0..count).map(|_| {
            let turn = (tip.header.number as usize + 1) % self.producers.len();
            let (block, next) = self.child(&tip, turn, 1);
            tip = next;
            block
        });
        (blocks.collect(), tip)
    }

    pub(crate) fn open(&self, data_dir: &Path) -> Chain {
        Chain::open_with(data_dir, self.spec.clone(), ChainOptions::default()).expect("open")
    }
}

pub(crate) fn file_of(blocks: &[SyncBlock]) -> Vec<u8> {
    let encode = |block: &SyncBlock| block::encode(&block.header_rlp, &block.body_rlp);
    blocks.iter().flat_map(|block| encode(block).expect("block")).collect()
}

/// The broken rule in an import error.
pub(crate) fn rule(result: Result<ChainHead, ImportError>) -> RuleError {
    match result {
        Err(ImportError::Invalid { reason, .. }) => *reason.downcast().expect("a rule"),
        other => panic!("no rule is broken: {other:?}"),
    }
}
