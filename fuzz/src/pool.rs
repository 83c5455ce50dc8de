//! The mempool: transactions from any bytes, and any operations on a pool with hardly any room.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use bytes::Bytes;
use chainmesh_chain::pool::{
    AccountState, HeadUpdate, IncludedTransaction, MAX_TRANSACTION_BYTES, MempoolConfig,
    MempoolEvent, PoolHead, PooledTransaction,
};
use chainmesh_chain::{ChainSpec, Genesis, Mempool};

use crate::cursor::Cursor;

const CHAIN_ID: u64 = 1337;
const TRANSFER_GAS: u64 = 21_000;
const ACCOUNTS: u8 = 4;

type State = BTreeMap<Address, AccountState>;

fn pool(config: MempoolConfig, state: &State) -> Mempool {
    let forks = ChainConfig {
        chain_id: CHAIN_ID,
        homestead_block: Some(0),
        eip155_block: Some(0),
        istanbul_block: Some(0),
        berlin_block: Some(0),
        london_block: Some(0),
        shanghai_time: Some(0),
        cancun_time: Some(0),
        prague_time: Some(0),
        ..ChainConfig::default()
    };
    let spec = ChainSpec::new(Genesis { config: forks, ..Genesis::default() }).expect("a chain");
    Mempool::new(Arc::new(spec), config, head(1, 0), Arc::new(state.clone()))
}

const fn head(number: u64, base_fee: u64) -> PoolHead {
    PoolHead { number, timestamp: number, base_fee, gas_limit: 30_000_000 }
}

/// Bytes that may be a transaction: what is taken is what everybody would write, its hash is that
/// of the bytes, and what is refused is refused again.
pub fn mempool_transaction(data: &[u8]) {
    let pool = pool(MempoolConfig::default(), &State::new());
    match pool.prepare(data) {
        Ok(prepared) => {
            let transaction = prepared.transaction();
            assert!(data.len() <= MAX_TRANSACTION_BYTES);
            assert_eq!(transaction.raw(), data);
            assert_eq!(transaction.hash(), keccak256(data));
            let decoded = transaction.decode().expect("it was decoded before");
            assert_eq!(decoded.tx_hash(), &transaction.hash());
            assert_eq!(decoded.encoded_2718(), data);
            assert!(transaction.tip_cap() <= transaction.fee_cap());
            assert!(!transaction.summary().is_empty());
        }
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            let again = pool.prepare(data).expect_err("the same bytes");
            assert_eq!(again, refusal);
        }
    }
    // By way of the pool: nobody there has money.
    let _ = pool.add_remote(&[Bytes::copy_from_slice(data)], 0);
    assert_eq!(pool.status().pending + pool.status().queued, 0);
}

fn transfer(key: u8, nonce: u64, gas_price: u128, data: usize) -> Bytes {
    let transaction = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price,
        gas_limit: TRANSFER_GAS + 40 * data as u64,
        to: TxKind::Call(Address::ZERO),
        input: vec![0; data].into(),
        ..TxLegacy::default()
    };
    let secret = B256::from(U256::from(key + 1));
    let signature = sign_message(secret, transaction.signature_hash()).expect("a key");
    transaction.into_signed(signature).encoded_2718().into()
}

struct World {
    pool: Mempool,
    state: State,
    addresses: Vec<Address>,
    head: PoolHead,
    now: u64,
    mined: Vec<Arc<PooledTransaction>>,
}

/// Transactions, blocks, reorganisations and money from any bytes: no gap, no overdraft, no limit
/// passed, and the events add up to what is there.
pub fn mempool_ops(data: &[u8]) {
    let config = MempoolConfig {
        account_slots: 2,
        global_slots: 6,
        account_queue: 2,
        global_queue: 4,
        local_transactions: 2,
        max_bytes: 20_000,
        ..MempoolConfig::default()
    };
    let mut cursor = Cursor::new(data);
    let helper = pool(MempoolConfig::default(), &State::new());
    let addresses: Vec<Address> = (0..ACCOUNTS)
        .map(|key| helper.prepare(&transfer(key, 0, 1, 0)).expect("valid").transaction().sender())
        .collect();
    let rich = AccountState { balance: U256::from(10_000_000), ..AccountState::default() };
    let state: State = addresses.iter().map(|address| (*address, rich)).collect();
    let mut world = World {
        pool: pool(config, &state),
        state,
        addresses,
        head: head(1, 0),
        now: 0,
        mined: vec![],
    };
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    let _subscription = world.pool.subscribe(move |batch| {
        sink.lock().expect("no panic").extend_from_slice(batch);
    });
    let mut heard = HashMap::new();
    while !cursor.is_empty() {
        world.step(&mut cursor);
        follow(&mut heard, core::mem::take(&mut events.lock().expect("no panic")));
        world.check(&heard);
    }
}

/// What the events add up to: is it pending?
fn follow(heard: &mut HashMap<B256, bool>, events: Vec<MempoolEvent>) {
    for event in events {
        match event {
            MempoolEvent::Pending { hash } => drop(heard.insert(hash, true)),
            MempoolEvent::Queued { hash } => drop(heard.insert(hash, false)),
            MempoolEvent::Replaced { old: hash, .. }
            | MempoolEvent::Mined { hash, .. }
            | MempoolEvent::Dropped { hash, .. } => {
                assert!(heard.remove(&hash).is_some(), "it was there");
            }
            MempoolEvent::Missed { .. } => panic!("nobody is slow"),
        }
    }
}

impl World {
    fn step(&mut self, cursor: &mut Cursor<'_>) {
        match cursor.below(8) {
            0..=3 => {
                let (key, nonce) = (cursor.below(ACCOUNTS), u64::from(cursor.below(6)));
                let price = u128::from(cursor.below(32));
                let data = if cursor.below(16) == 0 { 9_000 } else { 0 };
                let raw = transfer(key, nonce, price, data);
                if cursor.below(8) == 0 {
                    let _ = self.pool.add_local(&raw, self.now);
                } else {
                    let _ = self.pool.add_remote(&[raw], self.now);
                }
            }
            4 => {
                let count = usize::from(cursor.below(4));
                let block: Vec<_> = self.pool.best(self.head.base_fee).take(count).collect();
                for transaction in &block {
                    self.account(transaction.sender()).nonce = transaction.nonce() + 1;
                }
                self.new_head(&block, vec![]);
                self.mined = block;
            }
            5 => {
                let block = core::mem::take(&mut self.mined);
                for transaction in block.iter().rev() {
                    self.account(transaction.sender()).nonce = transaction.nonce();
                }
                let raw = block.iter().map(|transaction| transaction.raw().clone()).collect();
                self.new_head(&[], raw);
            }
            6 => {
                let address = self.addresses[usize::from(cursor.below(ACCOUNTS))];
                self.account(address).balance = U256::from(u64::from(cursor.short()) * 100);
                self.head.base_fee = u64::from(cursor.below(20));
                self.new_head(&[], vec![]);
            }
            _ => {
                self.now += u64::from(cursor.short());
                self.pool.maintain(self.now);
            }
        }
    }

    fn account(&mut self, address: Address) -> &mut AccountState {
        self.state.get_mut(&address).expect("one of ours")
    }

    fn new_head(&mut self, block: &[Arc<PooledTransaction>], reverted: Vec<Bytes>) {
        self.head.number += 1;
        let included = block.iter().map(|transaction| IncludedTransaction {
            hash: transaction.hash(),
            sender: transaction.sender(),
            nonce: transaction.nonce(),
            block: self.head.number,
        });
        let update = HeadUpdate {
            head: self.head,
            state: Arc::new(self.state.clone()),
            included: included.collect(),
            changed: None,
            reverted,
        };
        self.pool.on_new_head(update, self.now).expect("a state in memory");
    }

    fn check(&self, heard: &HashMap<B256, bool>) {
        let mut held = HashMap::new();
        for (address, content) in self.pool.content() {
            let state = self.state[&address];
            let mut cost = U256::ZERO;
            for (transaction, nonce) in content.pending.iter().zip(state.nonce..) {
                assert_eq!(transaction.nonce(), nonce, "no gap");
                cost += transaction.cost();
                held.insert(transaction.hash(), true);
            }
            assert!(cost <= state.balance, "covered together");
            held.extend(content.queued.iter().map(|transaction| (transaction.hash(), false)));
        }
        assert_eq!(*heard, held);
        let (status, config) = (self.pool.status(), self.pool.config());
        assert_eq!(status.pending + status.queued, held.len());
        assert!(status.pending_slots <= config.global_slots);
        assert!(status.queued <= config.global_queue + config.local_transactions);
        assert!(status.bytes <= config.max_bytes);
    }
}
