//! Peers that lie to a running node: what they send is refused with its reason and never stored, and
//! they are scored for it.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B64, B256, Signature, TxKind, U256, hex};
use bytes::Bytes;
use chainmesh_chain::execute::sign_hash;
use chainmesh_chain::{Chain, ChainOptions, ChainSpec, Genesis, block, clique};
use chainmesh_identity::{Enode, NodeKey, PeerId};
use chainmesh_net::{EthChain, P2pConfig, P2pHandle, SessionCommand};
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, StorageError, SyncBlock};
use chainmesh_proto::peers::Offence::{
    self, EarlyBlock, FalseAnswer, InvalidBlock, InvalidExecution, UselessAnswer,
};
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

    /// A good transaction from a peer comes into the pool, which holds so many then.
    fn passes(&self, from: &P2pHandle, raw: Vec<u8>, pending: u64) {
        self.runtime.block_on(async {
            while from.peer_count() == 0 {
                tokio::task::yield_now().await;
            }
            let send = SessionCommand::BroadcastTransactions { transactions: vec![raw] };
            from.cmd_tx.send(send).await.unwrap();
        });
        let expected = json!({"pending": format!("0x{pending:x}"), "queued": "0x0"});
        wait_until("a good transaction", || {
            (self.victim.call("txpool_status", json!([])) == expected).then_some(())
        });
        self.runtime.block_on(from.shutdown());
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

/// A field, what is done to it, which offence that is, and the reason in the story of the peer.
type Mutation = (&'static str, fn(&mut Header), Offence, &'static str);

/// All that a header of a clique block says but two: any beneficiary is a vote, and any vanity is right.
const FIELDS: [Mutation; 16] = [
    ("parent", |h| h.parent_hash.0[0] ^= 1, UselessAnswer, "header 4 is not the child"),
    ("ommers", |h| h.ommers_hash.0[0] ^= 1, FalseAnswer, "a body belongs to no block"),
    ("state root", |h| h.state_root.0[0] ^= 1, InvalidExecution, "block 4: the state root is"),
    ("transactions", |h| h.transactions_root.0[0] ^= 1, FalseAnswer, "a body belongs to no block"),
    ("receipts", |h| h.receipts_root.0[0] ^= 1, InvalidExecution, "block 4: the receipts have"),
    ("bloom", |h| h.logs_bloom.0[0] ^= 1, InvalidExecution, "block 4: the logs bloom is"),
    ("difficulty", |h| h.difficulty = U256::from(3), InvalidBlock, "block 4: the difficulty is 3"),
    ("number", |h| h.number += 1, FalseAnswer, "the headers begin with block 5"),
    ("gas limit", |h| h.gas_limit = 1, InvalidBlock, "block 4: the gas limit is 1"),
    ("gas used", |h| h.gas_used += 1, InvalidExecution, "block 4: the transactions used 0 gas"),
    // Whose clock is wrong is not known.
    ("early", |h| h.timestamp = 4_102_444_800, EarlyBlock, "block 4: the timestamp 4102444800 is"),
    ("timestamp", |h| h.timestamp = 1, InvalidBlock, "block 4: the timestamp is 1"),
    (
        "extra data",
        |h| h.extra_data = Bytes::from_static(b"short").into(),
        InvalidBlock,
        "block 4: the extra data have 5 bytes",
    ),
    ("mix hash", |h| h.mix_hash.0[0] ^= 1, InvalidBlock, "block 4: the mix hash must be 0"),
    ("nonce", |h| h.nonce = B64::repeat_byte(1), InvalidBlock, "block 4: the nonce is 0x0101"),
    (
        "base fee",
        |h| h.base_fee_per_gas = h.base_fee_per_gas.map(|fee| fee + 1),
        InvalidBlock,
        "block 4: the base fee is",
    ),
];

#[test]
fn a_block_with_one_field_wrong_is_refused_with_its_reason_and_its_sender_scored() {
    let bench = Bench::new();
    // What is good is fetched first.
    let honest = bench.liar(9, None);
    bench.holds_out("the honest chain", &bench.good);
    let changed = FIELDS.map(|(field, change, offence, reason)| {
        let mut header = bench.good.header.clone();
        change(&mut header);
        (field, sealed_by(header, SIGNER, &bench.good.body_rlp), offence, reason)
    });
    let strange = sealed_by(bench.good.header.clone(), 77, &bench.good.body_rlp);
    let strange = ("seal", strange, InvalidBlock, "block 4: ");
    for (number, (field, bad, offence, reason)) in (10..).zip(changed.into_iter().chain([strange]))
    {
        assert_ne!(bad.hash, bench.good.hash, "{field}");
        let liar = bench.liar(number, Some(bad.clone()));
        let charge = bench.charge(field, liar.local_id);
        let weight = offence.weight();
        let expected = format!("{offence}, -{weight} points, score -{weight} ({reason}");
        assert!(charge.starts_with(&expected), "{field}: {charge}");
        bench.holds_out(field, &bad);
        if offence == InvalidBlock {
            let ban = &bench.story(liar.local_id)["ban"]["reason"];
            assert_eq!(ban, "for its conduct: score -100", "{field}");
        }
        bench.runtime.block_on(liar.shutdown());
    }
    assert_eq!(bench.story(honest.local_id)["state"], "connected");
    bench.runtime.block_on(honest.shutdown());
}

type Change = (&'static str, fn(&mut TxEip1559), &'static str, bool);

/// What is done to a transaction, the reason, and whether an honest node could never have sent it.
const CHANGES: [Change; 5] = [
    ("chain id", |tx| tx.chain_id = 8, "invalid chain id", true),
    ("nonce", |tx| tx.nonce = u64::MAX, "nonce has max value", true),
    ("tip", |tx| tx.max_priority_fee_per_gas = tx.max_fee_per_gas + 1, "max priority fee", true),
    ("gas limit", |tx| tx.gas_limit = 20_999, "intrinsic gas too low", false),
    ("value", |tx| tx.value = U256::MAX >> 8, "insufficient funds", false),
];

type ChangeSignature = (&'static str, fn(Signature) -> Signature, &'static str);

const SIGNATURES: [ChangeSignature; 2] = [
    // The order of the curve minus s: the other of the two that are valid without EIP-2.
    (
        "high s",
        |it| Signature::new(it.r(), U256::from_be_bytes(ORDER) - it.s(), !it.v()),
        "invalid sender",
    ),
    ("no r", |it| Signature::new(U256::ZERO, it.s(), it.v()), "invalid sender"),
];

/// Of the curve secp256k1.
const ORDER: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

type ChangeBytes = (&'static str, fn(&mut Vec<u8>), &'static str);

const BYTES: [ChangeBytes; 3] = [
    ("a byte too many", |raw| raw.push(0), "rlp: not a transaction"),
    ("a byte too few", |raw| raw.truncate(raw.len() - 1), "rlp: not a transaction"),
    ("type", |raw| raw[0] = 0x7e, "rlp: not a transaction"),
];

fn transaction() -> TxEip1559 {
    TxEip1559 {
        chain_id: 7,
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 20_000_000_000,
        max_priority_fee_per_gas: 2_000_000_000,
        to: TxKind::Call(Address::repeat_byte(5)),
        value: U256::from(5),
        ..TxEip1559::default()
    }
}

fn signed(transaction: &TxEip1559) -> (TxEip1559, Signature) {
    let key = NodeKey::from_entropy([SIGNER; 32]).to_hex().parse().unwrap();
    let signature = sign_hash(transaction.signature_hash(), &key);
    (transaction.clone(), signature)
}

fn raw((transaction, signature): (TxEip1559, Signature)) -> Vec<u8> {
    transaction.into_signed(signature).encoded_2718()
}

#[test]
fn a_transaction_with_one_field_wrong_is_refused_with_its_reason_and_its_sender_scored() {
    let bench = Bench::new();
    let changed = CHANGES.map(|(field, change, reason, scored)| {
        let make = move |nonce| {
            let mut changed = TxEip1559 { nonce, ..transaction() };
            change(&mut changed);
            raw(signed(&changed))
        };
        (field, Box::new(make) as Box<dyn Fn(u64) -> Vec<u8>>, reason, scored)
    });
    let signatures = SIGNATURES.map(|(field, change, reason)| {
        let make = move |nonce| {
            let (good, signature) = signed(&TxEip1559 { nonce, ..transaction() });
            raw((good, change(signature)))
        };
        (field, Box::new(make) as Box<dyn Fn(u64) -> Vec<u8>>, reason, true)
    });
    let bytes = BYTES.map(|(field, change, reason)| {
        let make = move |nonce| {
            let mut bytes = raw(signed(&TxEip1559 { nonce, ..transaction() }));
            change(&mut bytes);
            bytes
        };
        (field, Box::new(make) as Box<dyn Fn(u64) -> Vec<u8>>, reason, true)
    });
    let cases = changed.into_iter().chain(signatures).chain(bytes);
    for (number, (field, make, reason, scored)) in (10..).zip(cases) {
        let next = u64::from(number) - 10;
        // What is wrong is not the nonce.
        let raw = make(next + 1);
        let peer = bench.liar(number, None);
        bench.runtime.block_on(async {
            while peer.peer_count() == 0 {
                tokio::task::yield_now().await;
            }
            let transactions = vec![raw.clone()];
            let send = SessionCommand::BroadcastTransactions { transactions };
            peer.cmd_tx.send(send).await.unwrap();
        });
        if scored {
            let charge = bench.charge(field, peer.local_id);
            assert!(charge.starts_with("invalid transaction, -25 points"), "{field}: {charge}");
        }
        // What comes later is taken: the one before was looked at, and refused.
        let good = raw_of(&TxEip1559 { nonce: next, ..transaction() });
        bench.passes(&bench.liar(number + 100, None), good, next + 1);
        // In its own words, from one of our own users.
        let mut ipc = bench.victim.ipc();
        let params = json!([format!("0x{}", hex::encode(&raw))]);
        let asked = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": params,
        });
        let error = ipc.ask(&asked)["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(reason), "{field}: {error}");
        if !scored {
            assert_eq!(bench.story(peer.local_id)["state"], "connected", "{field}");
            assert_eq!(bench.story(peer.local_id)["score"], 0, "{field}");
        }
        bench.runtime.block_on(peer.shutdown());
    }
}

fn raw_of(transaction: &TxEip1559) -> Vec<u8> {
    raw(signed(transaction))
}
