//! From the pool into a block, and out of it again: a producer that fills its blocks, and a pool
//! that follows the chain.

use std::sync::{Arc, Mutex};

use alloy_consensus::{TxEip1559, TxReceipt};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::{eip2935, eip4788};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use chainmesh_chain::execute::{Transaction, sign_transaction};
use chainmesh_chain::pool::{FollowError, Mempool, MempoolConfig};
use chainmesh_chain::producer::{PayloadBuilder, PoolBlocks};
use chainmesh_chain::{Chain, Subscription, clique};
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};
use core::time::Duration;
use revm::DatabaseRef;
use secp256k1::SecretKey;

use crate::common::{Devnet, devnet_with, key};
use crate::living::{RICHES, rich};

const SOMEBODY: Address = Address::repeat_byte(0x55);
const GWEI: u128 = 1_000_000_000;

/// A network with a pool.
struct Place {
    net: Devnet,
    chain: Arc<Chain>,
    pool: Arc<Mempool>,
    errors: Arc<Mutex<Vec<FollowError>>>,
    _subscription: Subscription,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new(signers: u8, change: impl Fn(&mut alloy_genesis::Genesis)) -> Self {
        let net = devnet_with(signers, 1, |genesis| {
            for wallet in [rich(), key(78)] {
                let money = GenesisAccount::default().with_balance(U256::from(RICHES));
                genesis.alloc.insert(clique::address(&wallet.public_key()), money);
            }
            change(genesis);
        });
        let dir = tempfile::tempdir().expect("directory");
        let chain = Arc::new(net.open(dir.path()));
        let pool = Arc::new(Mempool::behind(&chain, MempoolConfig::default()).expect("pool"));
        let errors: Arc<Mutex<Vec<FollowError>>> = Arc::default();
        let seen = Arc::clone(&errors);
        let subscription = pool.follow(&chain, move |error| seen.lock().expect("lock").push(error));
        Self { net, chain, pool, errors, _subscription: subscription, _dir: dir }
    }

    fn blocks(&self) -> PoolBlocks {
        let long = Duration::from_secs(600);
        PoolBlocks::new(Arc::clone(&self.chain), Arc::clone(&self.pool)).with_build_time(long)
    }

    fn make(&self, builder: &dyn PayloadBuilder) -> SyncBlock {
        let turn = (self.chain.head().number as usize + 1) % self.net.producers.len();
        let now = self.chain.head().timestamp + 1;
        self.net.producers[turn].build_on(&self.chain, builder, now).expect("a block")
    }

    fn take(&self, block: &SyncBlock) {
        self.chain.import(core::slice::from_ref(block)).expect("import");
        assert_eq!(self.errors.lock().expect("lock").len(), 0);
    }

    fn grow(&self) -> SyncBlock {
        let block = self.make(&self.blocks());
        self.take(&block);
        block
    }

    fn add(&self, transaction: &Transaction) -> B256 {
        let now = self.chain.head().timestamp;
        self.pool.add_local(&transaction.encoded_2718(), now).expect("taken")
    }

    fn hashes(&self, block: &SyncBlock) -> Vec<B256> {
        let body = self.chain.body(&block.hash).expect("read").expect("there");
        body.transactions.iter().map(|one| *one.tx_hash()).collect()
    }

    fn balance(&self, address: Address) -> U256 {
        let state = self.chain.head_state().expect("state");
        state.basic_ref(address).expect("read").unwrap_or_default().balance
    }
}

fn send(wallet: SecretKey, transaction: TxEip1559) -> Transaction {
    sign_transaction(transaction, &wallet)
}

fn payment(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: 1515,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(SOMEBODY),
        value: U256::from(5),
        input: Bytes::new(),
        ..TxEip1559::default()
    }
}

#[test]
fn what_is_in_the_pool_goes_into_the_next_block() {
    let place = Place::new(2, |_| {});
    let builder = place.blocks();
    assert!(!builder.has_transactions());
    let hashes: Vec<B256> = (0..50).map(|nonce| place.add(&send(rich(), payment(nonce)))).collect();
    assert!(builder.has_transactions());
    let block = place.grow();
    assert_eq!(place.hashes(&block), hashes);
    assert_eq!(place.pool.status().pending, 0);
    assert_eq!(place.balance(SOMEBODY), U256::from(250));
    // The tips are the signer's, and the header votes for nobody.
    assert_eq!(block.header.beneficiary, Address::ZERO);
    let signer = clique::signer(&block.header).expect("a seal");
    assert_eq!(place.balance(signer), U256::from(50 * 21_000 * GWEI));
    let receipts = place.chain.receipts(&block.hash).expect("read").expect("there");
    assert!(receipts.iter().all(TxReceipt::status));
    // Nothing is left for the next one.
    assert_eq!(place.hashes(&place.grow()), Vec::<B256>::new());
}

#[test]
fn the_best_paid_comes_first_and_what_has_no_room_comes_later() {
    let place = Place::new(1, |_| {});
    let tip = |nonce, wallet, tip: u128, gas_limit| {
        let fee = TxEip1559 { max_priority_fee_per_gas: tip * GWEI, gas_limit, ..payment(nonce) };
        place.add(&send(wallet, fee))
    };
    let low = tip(0, rich(), 1, 21_000);
    // It may use almost all of the block, so that there is no room for more than itself.
    let high = tip(0, key(78), 3, 29_990_000);
    let behind = tip(1, key(78), 3, 20_000_000);
    let first = place.grow();
    assert_eq!(place.hashes(&first), [high, behind, low]);
    // One that uses what it may: JUMPDEST PUSH1 0 JUMP as init code.
    let endless = TxEip1559 {
        to: TxKind::Create,
        input: vec![0x5b, 0x60, 0x00, 0x56].into(),
        value: U256::ZERO,
        gas_limit: 29_990_000,
        max_priority_fee_per_gas: 3 * GWEI,
        ..payment(2)
    };
    let endless = place.add(&send(key(78), endless));
    let low = tip(1, rich(), 1, 21_000);
    assert_eq!(place.hashes(&place.grow()), [endless]);
    assert_eq!(place.hashes(&place.grow()), [low]);
}

#[test]
fn without_time_a_block_is_empty() {
    let place = Place::new(1, |_| {});
    let hash = place.add(&send(rich(), payment(0)));
    let builder = place.blocks().with_build_time(Duration::ZERO);
    let block = place.make(&builder);
    place.take(&block);
    assert_eq!(place.hashes(&block), Vec::<B256>::new());
    assert!(place.pool.contains(&hash));
    assert_eq!(place.hashes(&place.grow()), [hash]);
}

/// A block that loses its place gives its transactions back, unless the winner has them.
#[test]
fn a_reorganisation_gives_transactions_back() {
    let place = Place::new(2, |_| {});
    let both = place.add(&send(rich(), payment(0)));
    let only_first = place.add(&send(rich(), payment(1)));
    let parent = place.chain.head();
    // Out of turn, with both transactions: difficulty 1.
    let turn = (parent.number as usize + 1) % 2;
    let now = parent.timestamp + 1;
    let loser = place.net.producers[1 - turn]
        .build_on(&place.chain, &place.blocks(), now)
        .expect("a block");
    // In turn, with one of them: difficulty 2.
    let one = {
        let small =
            Arc::new(Mempool::behind(&place.chain, MempoolConfig::default()).expect("pool"));
        small.add_local(&send(rich(), payment(0)).encoded_2718(), now).expect("taken");
        PoolBlocks::new(Arc::clone(&place.chain), small).with_build_time(Duration::from_secs(600))
    };
    let winner = place.net.producers[turn].build_on(&place.chain, &one, now).expect("a block");
    place.take(&loser);
    assert_eq!(place.hashes(&loser), [both, only_first]);
    assert_eq!(place.pool.status().pending, 0);
    place.take(&winner);
    assert_eq!(place.chain.head().hash, winner.hash);
    assert!(!place.pool.contains(&both));
    assert!(place.pool.contains(&only_first));
    let next = place.grow();
    assert_eq!(place.hashes(&next), [only_first]);
    assert_eq!(place.balance(SOMEBODY), U256::from(10));
}

/// Clique with the forks behind London, in networks of this project alone: each block changes the
/// state, by the contracts of the protocol.
#[test]
fn a_clique_network_has_prague() {
    let place = Place::new(2, |genesis| {
        genesis.config.shanghai_time = Some(0);
        genesis.config.cancun_time = Some(0);
        genesis.config.prague_time = Some(0);
        for (address, code) in [
            (eip4788::BEACON_ROOTS_ADDRESS, &eip4788::BEACON_ROOTS_CODE),
            (eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE),
        ] {
            let account = GenesisAccount::default().with_code(Some(code.clone()));
            genesis.alloc.insert(address, account);
        }
    });
    let empty = place.grow();
    assert_ne!(empty.header.state_root, place.net.spec.genesis_header().state_root);
    // PUSH0 PUSH0 RETURN, as today's compilers write it.
    let create = TxEip1559 {
        to: TxKind::Create,
        input: vec![0x5f, 0x5f, 0xf3].into(),
        value: U256::ZERO,
        gas_limit: 100_000,
        ..payment(0)
    };
    let hash = place.add(&send(rich(), create));
    let block = place.grow();
    assert_eq!(place.hashes(&block), [hash]);
    let receipts = place.chain.receipts(&block.hash).expect("read").expect("there");
    assert!(receipts[0].status());
    let state = place.chain.head_state().expect("state");
    let slot = U256::from(block.header.number - 1);
    let stored = state.storage_ref(eip2935::HISTORY_STORAGE_ADDRESS, slot).expect("read");
    assert_eq!(B256::from(stored), empty.hash);
}

#[test]
fn a_pool_that_no_longer_follows_stays_where_it_is() {
    let place = Place::new(1, |_| {});
    let before = place.pool.head();
    place.grow();
    assert_eq!(place.pool.head().number, before.number + 1);
    let Place { net, chain, pool, errors, _subscription, _dir } = place;
    drop(_subscription);
    let now = chain.head().timestamp + 1;
    let block = net.producers[0].next_on(&chain, now).expect("a block");
    chain.import(&[block]).expect("import");
    assert_eq!(pool.head().number, before.number + 1);
    assert_eq!(errors.lock().expect("lock").len(), 0);
}
