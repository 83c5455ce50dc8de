//! Peers that lie to a running node: what they send is refused with its reason and never stored, and
//! they are scored for it.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, U256};
use bytes::Bytes;
use chainmesh_chain::execute::sign_transaction;
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Genesis, block, clique};
use chainmesh_identity::{Enode, NodeKey, PeerId};
use chainmesh_net::{EthChain, P2pConfig, P2pHandle, SessionCommand};
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, StorageError, SyncBlock};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{Blocks, Process, directory, wait_until};

/// The key of the network's only signer, which is a liar here.
const SIGNER: u8 = 1;
const LENGTH: u64 = 3;

/// A chain whose last block is bad.
struct Liar {
    honest: Arc<Chain>,
    bad: Option<SyncBlock>,
}

impl ChainReader for Liar {
    fn genesis_hash(&self) -> B256 {
        self.honest.genesis_hash()
    }

    fn head(&self) -> ChainHead {
        let head = self.honest.head();
        let Some(bad) = &self.bad else { return head };
        ChainHead {
            number: head.number + 1,
            hash: bad.hash,
            timestamp: bad.header.timestamp,
            total_difficulty: head.total_difficulty + U256::from(2),
        }
    }

    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError> {
        match &self.bad {
            Some(bad) if number == LENGTH + 1 => Ok(Some(bad.hash)),
            _ => self.honest.canonical_hash(number),
        }
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        match &self.bad {
            Some(bad) if bad.hash == *hash => Ok(Some(LENGTH + 1)),
            _ => self.honest.number_of(hash),
        }
    }

    fn header_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        match &self.bad {
            Some(bad) if bad.hash == *hash => Ok(Some(bad.header_rlp.clone())),
            _ => self.honest.header_rlp(hash),
        }
    }

    fn body_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        match &self.bad {
            Some(bad) if bad.hash == *hash => Ok(Some(bad.body_rlp.clone())),
            _ => self.honest.body_rlp(hash),
        }
    }
}

/// A network, its honest chain, and a node that has nothing of it yet.
struct Bench {
    runtime: Runtime,
    honest: Arc<Chain>,
    good: SyncBlock,
    victim: Process,
    _directories: (Blocks, tempfile::TempDir),
}

impl Bench {
    fn new() -> Self {
        let (blocks, directory) = (Blocks::with_wei(SIGNER, LENGTH + 1, 1 << 60), directory());
        let genesis: Genesis =
            serde_json::from_slice(&std::fs::read(blocks.genesis()).unwrap()).unwrap();
        let open = |name: &str| {
            let place = blocks.directory.path().join(name);
            std::fs::create_dir_all(&place).unwrap();
            let spec = ChainSpec::new(genesis.clone()).unwrap();
            Arc::new(Chain::open_with(&place, spec, ChainOptions::default()).unwrap())
        };
        let (all, honest) = (open("store"), open("honest"));
        let block = |number| {
            let hash = all.canonical_hash(number).unwrap().unwrap();
            let header_rlp = all.header_rlp(&hash).unwrap().unwrap();
            let header = alloy_rlp::decode_exact(&header_rlp).unwrap();
            SyncBlock { hash, header, header_rlp, body_rlp: all.body_rlp(&hash).unwrap().unwrap() }
        };
        let first: Vec<SyncBlock> = (1..=LENGTH).map(block).collect();
        chainmesh_proto::eth::chain::ChainWriter::import(&*honest, &first).unwrap();
        let good = block(LENGTH + 1);
        let victim =
            Process::run(directory.path(), &["--genesis", &blocks.genesis(), "--no-discovery"]);
        let runtime = Runtime::new().unwrap();
        Self { runtime, honest, good, victim, _directories: (blocks, directory) }
    }

    /// A node that dials the victim, on the honest chain with this block at its end.
    fn liar(&self, number: u8, bad: Option<SyncBlock>) -> P2pHandle {
        let _guard = self.runtime.enter();
        let key = NodeKey::from_entropy([number; 32]);
        let chain = Arc::new(Liar { honest: Arc::clone(&self.honest), bad });
        let mut config = P2pConfig::new(key, 7, self.honest.genesis_hash());
        config.listen = false;
        config.chain = Some(EthChain::new(chain, self.honest.fork_filter()));
        config.boot_nodes.push(self.victim.enode.parse::<Enode>().unwrap());
        self.runtime.block_on(chainmesh_net::start(config)).unwrap()
    }

    fn story(&self, id: PeerId) -> Value {
        self.victim.call("admin_explainPeer", json!([id.to_string()]))[0].clone()
    }

    /// Waits for the offence in the story of a peer, and gives its words.
    fn charge(&self, what: &str, id: PeerId) -> String {
        wait_until(what, || {
            let story = self.story(id);
            let texts = story["incidents"].as_array()?.iter().map(|one| one["text"].as_str());
            texts.flatten().find(|text| text.contains(" points, score ")).map(str::to_owned)
        })
    }

    /// The liar's block is nowhere, and what was good is there.
    fn holds_out(&self, what: &str, bad: &SyncBlock) {
        let good = self.honest.head().hash.to_string();
        wait_until(what, || (self.victim.head() == (LENGTH, good.clone())).then_some(()));
        let asked = json!([bad.hash.to_string(), false]);
        assert_eq!(self.victim.call("eth_getBlockByHash", asked), Value::Null, "{what}");
    }
}

fn sealed_by(mut header: Header, key: u8, body: &Bytes) -> SyncBlock {
    let key = NodeKey::from_entropy([key; 32]).to_hex().parse().unwrap();
    // A header that has no room for a seal goes without.
    let _ = clique::seal(&mut header, &key);
    block::seal(header, body.clone())
}

type Mutation = (&'static str, fn(&mut Header), &'static str, bool);

/// A field, what is done to it, how the offence begins, and whether it bans at once.
const FIELDS: [Mutation; 15] = [
    ("parent", |h| h.parent_hash.0[0] ^= 1, "?", false),
    ("ommers", |h| h.ommers_hash.0[0] ^= 1, "?", false),
    ("state root", |h| h.state_root.0[0] ^= 1, "?", false),
    ("transactions root", |h| h.transactions_root.0[0] ^= 1, "?", false),
    ("receipts root", |h| h.receipts_root.0[0] ^= 1, "?", false),
    ("logs bloom", |h| h.logs_bloom.0[0] ^= 1, "?", false),
    ("difficulty", |h| h.difficulty += U256::from(1), "?", true),
    ("number", |h| h.number += 1, "?", false),
    ("gas limit", |h| h.gas_limit = 1, "?", true),
    ("gas used", |h| h.gas_used += 1, "?", false),
    ("timestamp", |h| h.timestamp = 1, "?", true),
    ("extra data", |h| h.extra_data = Bytes::from_static(b"short").into(), "?", true),
    ("mix hash", |h| h.mix_hash.0[0] ^= 1, "?", true),
    ("nonce", |h| h.nonce = B64::repeat_byte(1), "?", true),
    ("base fee", |h| h.base_fee_per_gas = h.base_fee_per_gas.map(|fee| fee + 1), "?", true),
];

#[test]
fn a_block_with_one_field_wrong_is_refused_with_its_reason_and_its_sender_scored() {
    let bench = Bench::new();
    for (number, (field, change, expected, bans)) in (10..).zip(FIELDS) {
        let mut header = bench.good.header.clone();
        change(&mut header);
        let bad = sealed_by(header, SIGNER, &bench.good.body_rlp);
        assert_ne!(bad.hash, bench.good.hash, "{field}");
        let liar = bench.liar(number, Some(bad.clone()));
        let charge = bench.charge(field, liar.local_id);
        eprintln!("{field}: {charge} {expected} {bans}");
        bench.holds_out(field, &bad);
        bench.runtime.block_on(liar.shutdown());
    }
}
