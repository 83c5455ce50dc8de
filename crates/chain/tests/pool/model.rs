//! Any sequence of operations: with room for all, the pool is what a naive model says; with
//! hardly any room, its limits and invariants hold. And always, what it has told adds up to what
//! it holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use chainmesh_chain::pool::{
    DropReason, IncludedTransaction, MempoolConfig, MempoolEvent, PooledTransaction,
    TRANSACTION_OVERHEAD,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{Bench, Fork, Key, TRANSFER_GAS, dynamic, hash, transfer_cost};

const KEYS: u64 = 4;

#[derive(Debug, Clone)]
enum Op {
    Add {
        key: u64,
        nonce: u64,
        fee_cap: u128,
        tip: u128,
        local: bool,
        data: usize,
    },
    /// A block with the best so many.
    Mine {
        count: usize,
    },
    /// The last block is gone; of its transactions, those at odd places are in the new one.
    Reorganise,
    /// What an account has, in transfers at 10 wei.
    Balance {
        key: u64,
        transfers: u64,
    },
    BaseFee(u64),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let price = prop_oneof![Just(5_u128), Just(10), Just(11), Just(12), Just(20), Just(40)];
    prop_oneof![
        12 => (0..KEYS, 0..8_u64, price.clone(), price, any::<bool>(), 0..40_usize).prop_map(
            |(key, nonce, fee_cap, tip, local, data)| {
                let (local, data) = (local && key == 0, if data == 39 { 40_000 } else { 0 });
                Op::Add { key, nonce, fee_cap, tip: tip.min(fee_cap), local, data }
            }
        ),
        2 => (1..4_usize).prop_map(|count| Op::Mine { count }),
        1 => Just(Op::Reorganise),
        2 => (0..KEYS, 0..12_u64).prop_map(|(key, transfers)| Op::Balance { key, transfers }),
        1 => (0..15_u64).prop_map(Op::BaseFee),
        1 => (0..5_000_u64).prop_map(Op::Wait),
    ]
}

fn signed(op: &Op) -> Option<(Key, bool, Bytes)> {
    let Op::Add { key, nonce, fee_cap, tip, local, data } = op else { return None };
    let mut transaction = dynamic(*nonce, *fee_cap, *tip);
    transaction.input = vec![0; *data].into();
    transaction.gas_limit = TRANSFER_GAS + 40 * *data as u64;
    Some((Key(*key), *local, Key(*key).sign(transaction.into())))
}

struct Block {
    /// The nonces before it.
    nonces: BTreeMap<u64, u64>,
    transactions: Vec<Arc<PooledTransaction>>,
}

/// The pool, its chain, and what has been heard.
struct World {
    bench: Bench,
    last_block: Option<Block>,
    /// What the events add up to: is it pending?
    heard: HashMap<B256, bool>,
}

impl World {
    fn new(config: MempoolConfig) -> Self {
        let mut bench = Bench::new(config, Fork::Prague);
        let some = transfer_cost(10) * U256::from(6);
        for key in 0..KEYS {
            bench.account(Key(key)).balance = some;
        }
        bench.refresh();
        Self { bench, last_block: None, heard: HashMap::new() }
    }

    /// Does it; returns the transactions that came back from a block.
    fn apply(&mut self, op: &Op) -> Vec<Bytes> {
        let mut reverted = Vec::new();
        match op {
            Op::Add { .. } => {
                let (_, local, raw) = signed(op).expect("a transaction");
                if local {
                    let _ = self.bench.pool.add_local(&raw, self.bench.now);
                } else {
                    let _ = self.bench.add(&raw);
                }
            }
            Op::Mine { count } => {
                let nonces = (0..KEYS).map(|key| (key, self.bench.account(Key(key)).nonce));
                let nonces = nonces.collect();
                let base_fee = self.bench.head.base_fee;
                let transactions: Vec<_> = self.bench.pool.best(base_fee).take(*count).collect();
                self.bench.mine(&transactions);
                self.last_block = Some(Block { nonces, transactions });
            }
            Op::Reorganise => {
                let Some(block) = self.last_block.take() else { return reverted };
                for (key, nonce) in block.nonces {
                    self.bench.account(Key(key)).nonce = nonce;
                }
                let mut included = Vec::new();
                for (place, transaction) in block.transactions.iter().enumerate() {
                    let account =
                        self.bench.state.get_mut(&transaction.sender()).expect("a sender");
                    if place % 2 == 1 && account.nonce == transaction.nonce() {
                        account.nonce += 1;
                        included.push(IncludedTransaction {
                            hash: transaction.hash(),
                            sender: transaction.sender(),
                            nonce: transaction.nonce(),
                            block: self.bench.head.number,
                        });
                    } else {
                        reverted.push(transaction.raw().clone());
                    }
                }
                self.bench.new_head(included, reverted.clone());
            }
            Op::Balance { key, transfers } => {
                let balance = transfer_cost(10) * U256::from(*transfers);
                self.bench.account(Key(*key)).balance = balance;
                self.bench.refresh();
            }
            Op::BaseFee(base_fee) => {
                self.bench.head.base_fee = *base_fee;
                self.bench.refresh();
            }
            Op::Wait(seconds) => {
                self.bench.now += seconds;
                self.bench.pool.maintain(self.bench.now);
            }
        }
        reverted
    }

    /// Follows the events; they must add up.
    fn listen(&mut self) {
        for event in self.bench.take_events() {
            match event {
                MempoolEvent::Pending { hash } => {
                    self.heard.insert(hash, true);
                }
                MempoolEvent::Queued { hash } => {
                    self.heard.insert(hash, false);
                }
                MempoolEvent::Replaced { old, new } => {
                    assert!(self.heard.remove(&old).is_some(), "it was there");
                    assert!(!self.heard.contains_key(&new));
                }
                MempoolEvent::Mined { hash, .. } | MempoolEvent::Dropped { hash, .. } => {
                    assert!(self.heard.remove(&hash).is_some(), "it was there: {event:?}");
                }
                MempoolEvent::Missed { .. } => panic!("nobody is slow"),
            }
        }
    }

    fn check_invariants(&mut self) {
        self.listen();
        let content = self.bench.pool.content();
        let mut held = HashMap::new();
        let (mut bytes, mut slots) = (0, 0);
        for (address, account) in &content {
            let state = self.bench.state[address];
            let nonces: Vec<u64> = account.pending.iter().map(|tx| tx.nonce()).collect();
            let expected: Vec<u64> = (state.nonce..).take(nonces.len()).collect();
            assert_eq!(nonces, expected, "no gap, from the next nonce on");
            let cost = account.pending.iter().map(|tx| tx.cost()).sum::<U256>();
            assert!(cost <= state.balance, "covered together");
            let end = state.nonce + nonces.len() as u64;
            assert_eq!(self.bench.pool.pending_nonce(address), Ok(end));
            assert!(account.queued.iter().all(|tx| tx.nonce() >= end && tx.sender() == *address));
            assert!(account.queued.is_sorted_by_key(|tx| tx.nonce()));
            assert!(account.pending.len() + account.queued.len() > 0);
            for (transactions, pending) in [(&account.pending, true), (&account.queued, false)] {
                for tx in transactions {
                    held.insert(tx.hash(), pending);
                    bytes += tx.size() + TRANSACTION_OVERHEAD;
                    slots += if pending { tx.slots() } else { 0 };
                    assert_eq!(self.bench.pool.get(&tx.hash()).as_ref(), Some(tx));
                }
            }
        }
        assert_eq!(self.heard, held, "what was told adds up to what is there");
        let (status, config) = (self.bench.pool.status(), self.bench.pool.config());
        let pending = held.values().filter(|pending| **pending).count();
        assert_eq!((status.pending, status.queued), (pending, held.len() - pending));
        assert_eq!((status.bytes, status.pending_slots), (bytes, slots));
        assert_eq!(status.accounts, content.len());
        assert!(status.pending_slots <= config.global_slots, "{status:?}");
        assert!(status.bytes <= config.max_bytes, "{status:?}");
        assert!(status.queued <= config.global_queue + status.local, "{status:?}");
        assert!(status.local <= config.local_transactions);
        assert_eq!(self.bench.pool.announceable().len(), pending);
    }
}

#[derive(Debug, Clone)]
struct ModelTransaction {
    transaction: Arc<PooledTransaction>,
    arrival: usize,
}

/// Transactions by account and nonce; everything else is computed from them each time.
#[derive(Debug, Default)]
struct Model {
    accounts: BTreeMap<u64, BTreeMap<u64, ModelTransaction>>,
    arrivals: usize,
}

impl Model {
    /// How many from the next nonce on have no gap and are covered together.
    fn pending(&self, bench: &mut Bench, key: u64) -> Vec<ModelTransaction> {
        let state = *bench.account(Key(key));
        let mut found = Vec::new();
        let mut left = state.balance;
        let Some(account) = self.accounts.get(&key) else { return found };
        for nonce in state.nonce.. {
            let Some(next) = account.get(&nonce) else { return found };
            let Some(rest) = left.checked_sub(next.transaction.cost()) else { return found };
            left = rest;
            found.push(next.clone());
        }
        found
    }

    /// By the rules, whatever the pool has answered.
    fn add(&mut self, bench: &mut Bench, raw: &[u8], prepared: &Arc<PooledTransaction>) -> bool {
        let key = (0..KEYS).find(|key| Key(*key).address() == prepared.sender()).expect("a key");
        let state = *bench.account(Key(key));
        let nonce = prepared.nonce();
        let pending = self.pending(bench, key);
        let account = self.accounts.entry(key).or_default();
        if account.values().any(|other| other.transaction.raw() == raw) || nonce < state.nonce {
            return false;
        }
        if let Some(old) = account.get(&nonce) {
            let bumped = |old: u128, new: u128| new > old && new >= old * 110 / 100;
            let old = &old.transaction;
            if !bumped(old.fee_cap(), prepared.fee_cap())
                || !bumped(old.tip_cap(), prepared.tip_cap())
            {
                return false;
            }
        }
        let behind = state.nonce + pending.len() as u64;
        let other = account.values().filter(|other| {
            let at = other.transaction.nonce();
            at != nonce && (at < nonce || at < behind)
        });
        let sum: U256 = other.map(|other| other.transaction.cost()).sum();
        if sum + prepared.cost() > state.balance {
            return false;
        }
        self.arrivals += 1;
        let transaction = Arc::clone(prepared);
        account.insert(nonce, ModelTransaction { transaction, arrival: self.arrivals });
        true
    }

    fn new_head(&mut self, bench: &mut Bench) {
        for key in 0..KEYS {
            let state = *bench.account(Key(key));
            if let Some(account) = self.accounts.get_mut(&key) {
                account.retain(|nonce, _| *nonce >= state.nonce);
            }
            let pending = self.pending(bench, key).len() as u64;
            if let Some(account) = self.accounts.get_mut(&key) {
                account.retain(|nonce, tx| {
                    *nonce < state.nonce + pending || tx.transaction.cost() <= state.balance
                });
            }
        }
    }

    fn best(&self, bench: &mut Bench) -> Vec<B256> {
        let base_fee = bench.head.base_fee;
        let mut lists: Vec<Vec<ModelTransaction>> =
            (0..KEYS).map(|key| self.pending(bench, key)).collect();
        let mut best = Vec::new();
        loop {
            let heads = lists.iter_mut().filter_map(|list| {
                let first = list.first()?;
                let tip = first.transaction.effective_tip(base_fee)?;
                Some((tip, core::cmp::Reverse(first.arrival), list))
            });
            let Some((_, _, list)) = heads.max_by_key(|(tip, arrival, _)| (*tip, *arrival)) else {
                return best;
            };
            best.push(list.remove(0).transaction.hash());
        }
    }

    fn check(&self, bench: &mut Bench) {
        for key in 0..KEYS {
            let pending: Vec<B256> =
                self.pending(bench, key).iter().map(|tx| tx.transaction.hash()).collect();
            let all = self.accounts.get(&key);
            let queued: Vec<B256> = all
                .into_iter()
                .flat_map(|all| all.values().skip(pending.len()))
                .map(|tx| tx.transaction.hash())
                .collect();
            let content = bench.pool.content_from(&Key(key).address());
            let hashes = |list: &[Arc<PooledTransaction>]| {
                list.iter().map(|tx| tx.hash()).collect::<Vec<_>>()
            };
            assert_eq!((hashes(&content.pending), hashes(&content.queued)), (pending, queued));
        }
        let base_fee = bench.head.base_fee;
        let best: Vec<B256> = bench.pool.best(base_fee).map(|tx| tx.hash()).collect();
        assert_eq!(best, self.best(bench));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_room_for_all_the_pool_is_what_the_model_says(ops in vec(op(), 1..80)) {
        let mut world = World::new(MempoolConfig {
            queue_lifetime: u64::MAX,
            ..MempoolConfig::default()
        });
        let helper = World::new(MempoolConfig::default());
        let mut model = Model::default();
        for op in &ops {
            if let Some((_, _, raw)) = signed(op) {
                // A pool without any transaction reads it for the model.
                let prepared = helper.bench.pool.prepare(&raw).expect("well formed");
                let before = world.bench.pool.contains(&hash(&raw));
                let taken = model.add(&mut world.bench, &raw, prepared.transaction());
                world.apply(op);
                let after = world.bench.pool.contains(&hash(&raw));
                prop_assert_eq!(taken, after && !before, "{:?}", op);
            } else {
                let reverted = world.apply(op);
                model.new_head(&mut world.bench);
                for raw in reverted {
                    let prepared = helper.bench.pool.prepare(&raw).expect("well formed");
                    model.add(&mut world.bench, &raw, prepared.transaction());
                }
            }
            model.check(&mut world.bench);
            world.check_invariants();
        }
    }

    #[test]
    fn with_hardly_any_room_the_limits_hold(ops in vec(op(), 1..120)) {
        let mut world = World::new(MempoolConfig {
            account_slots: 2,
            global_slots: 5,
            account_queue: 2,
            global_queue: 4,
            local_transactions: 3,
            max_bytes: 9 * (TRANSACTION_OVERHEAD + 120),
            ..MempoolConfig::default()
        });
        for op in &ops {
            world.apply(op);
            world.check_invariants();
        }
    }
}

#[test]
fn the_same_operations_make_the_same_pool() {
    let run = || {
        let config =
            MempoolConfig { account_slots: 1, global_slots: 3, ..MempoolConfig::default() };
        let mut world = World::new(config);
        let mut told = Vec::new();
        for step in 0..200_u64 {
            let op = match step % 11 {
                7 => Op::Mine { count: 2 },
                9 => Op::Reorganise,
                _ => Op::Add {
                    key: step * 7 % KEYS,
                    nonce: step / 11 + step * 5 % 3,
                    fee_cap: 10 + u128::from(step * 13 % 17),
                    tip: 1 + u128::from(step * 3 % 10),
                    local: false,
                    data: 0,
                },
            };
            world.apply(&op);
            told.extend(world.bench.take_events());
        }
        (told, world.bench.pool.content())
    };
    let (told, content) = run();
    assert!(told.iter().any(|event| {
        matches!(event, MempoolEvent::Dropped { reason: DropReason::Evicted, .. })
    }));
    assert_eq!(run(), (told, content));
}
