//! A chain that lives: transactions go into the pool, out of it into blocks, and back when a better
//! branch does not have them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use alloy_consensus::transaction::TxEip4844;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use chainmesh_chain::pool::{DropReason, MempoolEvent};
use chainmesh_chain::producer::{BlockTransactions, ExecutedBlocks};
use chainmesh_chain::{Chain, ChainPool, Mempool, MempoolConfig, clique};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};
use secp256k1::Message;
use secp256k1::ecdsa::RecoverableSignature;

use crate::common::{Devnet, devnet_with, key};

const ETHER: u128 = 1_000_000_000_000_000_000;
const GWEI: u128 = 1_000_000_000;

/// Owners of money: keys 100 and up.
fn owner(number: u8) -> Address {
    clique::address(&key(100 + number).public_key())
}

fn rich_devnet(signers: u8) -> Devnet {
    devnet_with(signers, 1, |genesis| {
        for number in 0..10 {
            genesis.alloc.entry(owner(number)).or_default().balance = U256::from(10 * ETHER);
        }
    })
}

/// A transfer of one wei, in its EIP-2718 form.
fn transfer(from: u8, nonce: u64, tip: u128) -> (B256, Vec<u8>) {
    let transaction = TxEip1559 {
        chain_id: 1515,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        value: U256::ONE,
        ..TxEip1559::default()
    };
    let message = Message::from_digest(transaction.signature_hash().0);
    let signature = RecoverableSignature::sign_ecdsa_recoverable(message, &key(100 + from));
    let (id, compact) = signature.serialize_compact();
    let signature = Signature::from_bytes_and_parity(&compact, id.to_u8() == 1);
    let signed = EthereumTxEnvelope::<TxEip4844>::from(transaction.into_signed(signature));
    (*signed.tx_hash(), signed.encoded_2718())
}

/// A chain with its pool, and what the pool tells.
struct Living {
    chain: Arc<Chain>,
    follower: ChainPool,
    events: Arc<Mutex<Vec<MempoolEvent>>>,
    _subscription: chainmesh_chain::pool::MempoolSubscription,
}

impl Living {
    fn open(net: &Devnet, dir: &Path) -> Self {
        let chain = Arc::new(net.open(dir));
        let follower = ChainPool::new(&chain, MempoolConfig::default(), |why| panic!("{why}"));
        let follower = follower.expect("pool");
        let events: Arc<Mutex<Vec<MempoolEvent>>> = Arc::default();
        let subscription = follower.pool().subscribe({
            let events = Arc::clone(&events);
            move |new| events.lock().unwrap().extend_from_slice(new)
        });
        Self { chain, follower, events, _subscription: subscription }
    }

    fn add(&self, raw: &[u8]) {
        self.follower.pool().add_local(raw, self.chain.head().timestamp).expect("taken");
    }

    /// The next block of this signer, filled from the pool.
    fn build(&self, net: &Devnet, signer: usize) -> SyncBlock {
        let source: Arc<dyn BlockTransactions> = Arc::<Mempool>::clone(self.follower.pool());
        let blocks = ExecutedBlocks::new(Arc::clone(&self.chain), source);
        let now = self.chain.head().timestamp + 1;
        net.producers[signer].build_on(&self.chain, &blocks, now).expect("block")
    }

    fn events(&self) -> Vec<MempoolEvent> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    fn balance(&self, of: Address) -> U256 {
        let account = self.chain.head_state().expect("state").account(of).expect("read");
        account.map_or(U256::ZERO, |account| account.balance)
    }
}

#[test]
fn transactions_are_included_best_tip_first_and_leave_the_pool() {
    let net = rich_devnet(1);
    let dir = tempfile::tempdir().expect("directory");
    let living = Living::open(&net, dir.path());
    let signer = net.producers[0].signer();
    let mut expected = Vec::new();
    for (from, tip) in [(0, GWEI), (1, 3 * GWEI), (2, 2 * GWEI)] {
        let (hash, raw) = transfer(from, 0, tip);
        living.add(&raw);
        expected.push((core::cmp::Reverse(tip), hash));
    }
    expected.sort_unstable();
    living.events();
    let block = living.build(&net, 0);
    let hash = block.hash;
    living.chain.import(&[block]).expect("our own block");
    let body = living.chain.body(&hash).expect("read").expect("known");
    let included: Vec<B256> = body.transactions.iter().map(|one| *one.tx_hash()).collect();
    assert_eq!(included, expected.iter().map(|(_, hash)| *hash).collect::<Vec<_>>());
    let receipts = living.chain.receipts(&hash).expect("read").expect("known");
    assert!(receipts.iter().all(|receipt| receipt.status()));
    let place = living.chain.transaction(&included[2]).expect("read").expect("canonical");
    assert_eq!((place.block_hash, place.number, place.index), (hash, 1, 2));
    // The signer has the tips, and the base fee is burnt.
    assert_eq!(living.balance(signer), U256::from(6 * GWEI * 21_000));
    assert_eq!(living.balance(Address::repeat_byte(0xee)), U256::from(3));
    let mined = living.events();
    assert_eq!(mined.len(), 3, "{mined:?}");
    assert!(mined.iter().all(|event| matches!(event, MempoolEvent::Mined { block: 1, .. })));
    assert_eq!(living.follower.pool().status().pending, 0);
}

/// A block of another node has them: they leave this pool, too, and so does one whose nonce was
/// used up by another transaction.
#[test]
fn what_another_block_has_or_has_made_invalid_leaves_the_pool() {
    let net = rich_devnet(1);
    let dirs = [tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory")];
    let (here, there) = (Living::open(&net, dirs[0].path()), Living::open(&net, dirs[1].path()));
    let ((same, same_raw), (rival, rival_raw)) = (transfer(0, 0, GWEI), transfer(1, 0, GWEI));
    let (_, other_raw) = transfer(1, 0, 2 * GWEI);
    here.add(&same_raw);
    here.add(&rival_raw);
    there.add(&same_raw);
    there.add(&other_raw);
    here.events();
    let block = there.build(&net, 0);
    here.chain.import(&[block]).expect("import");
    let mut events = here.events();
    events.sort_by_key(|event| matches!(event, MempoolEvent::Dropped { .. }));
    assert_eq!(
        events,
        [
            MempoolEvent::Mined { hash: same, block: 1 },
            MempoolEvent::Dropped { hash: rival, reason: DropReason::NonceUsed },
        ]
    );
}

/// Two signers seal block 1 at the same time, one of them with a transaction; the branch without it
/// wins. The transaction is in the pool again, and in the next block.
#[test]
fn a_reorganisation_gives_transactions_back() {
    let net = rich_devnet(2);
    let dir = tempfile::tempdir().expect("directory");
    let living = Living::open(&net, dir.path());
    let (hash, raw) = transfer(0, 0, GWEI);
    living.add(&raw);
    // Number 1 is the turn of the second signer: the first one's block is lighter.
    let light = living.build(&net, 0);
    living.chain.import(&[light]).expect("import");
    assert_eq!(living.follower.pool().status().pending, 0);
    let (heavy, _) = net.child(&net.start(), 1, 1);
    living.chain.import(std::slice::from_ref(&heavy)).expect("import");
    assert_eq!(living.chain.head().hash, heavy.hash);
    assert_eq!(living.chain.transaction(&hash).expect("read"), None);
    assert_eq!(living.balance(Address::repeat_byte(0xee)), U256::ZERO);
    assert!(living.follower.pool().contains(&hash), "it was given back");
    let next = living.build(&net, 0);
    living.chain.import(&[next]).expect("import");
    assert_eq!(living.chain.transaction(&hash).expect("read").map(|place| place.number), Some(2));
    assert_eq!(living.balance(Address::repeat_byte(0xee)), U256::ONE);
}

/// The transactions of an account go into a block in the order of their nonces, however they are
/// paid; one that the block has no room for waits.
#[test]
fn a_full_block_leaves_the_rest_for_the_next() {
    let net = devnet_with(1, 1, |genesis| {
        genesis.gas_limit = 63_000;
        genesis.alloc.entry(owner(0)).or_default().balance = U256::from(10 * ETHER);
    });
    let dir = tempfile::tempdir().expect("directory");
    let living = Living::open(&net, dir.path());
    for nonce in 0..5 {
        living.add(&transfer(0, nonce, GWEI * u128::from(nonce + 1)).1);
    }
    let counts: Vec<usize> = (0..3)
        .map(|_| {
            let block = living.build(&net, 0);
            let hash = block.hash;
            living.chain.import(&[block]).expect("import");
            living.chain.body(&hash).expect("read").expect("known").transactions.len()
        })
        .collect();
    assert_eq!(counts, [3, 2, 0]);
    assert_eq!(living.balance(Address::repeat_byte(0xee)), U256::from(5));
}
