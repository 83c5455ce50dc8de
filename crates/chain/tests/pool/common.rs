//! Accounts with keys, transactions, and a pool over a state in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::transaction::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_consensus::{SignableTransaction, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, B256, Signature, TxKind, U256, keccak256};
use bytes::Bytes;
use chainmesh_chain::pool::{
    AccountState, HeadUpdate, IncludedTransaction, Mempool, MempoolConfig, MempoolEvent,
    MempoolSubscription, PoolHead, PooledTransaction, Refusal,
};
use chainmesh_chain::{ChainSpec, Genesis};
use secp256k1::SecretKey;

pub(crate) const CHAIN_ID: u64 = 1337;
pub(crate) const GAS_LIMIT: u64 = 30_000_000;
pub(crate) const TRANSFER_GAS: u64 = 21_000;
/// Some time to begin with, in seconds since 1970.
pub(crate) const NOW: u64 = 1_700_000_000;

pub(crate) type State = BTreeMap<Address, AccountState>;

/// The account with this number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    pub(crate) fn secret(self) -> B256 {
        B256::from(U256::from(self.0 + 1))
    }

    pub(crate) fn address(self) -> Address {
        let secret = SecretKey::from_secret_bytes(self.secret().0).expect("a key");
        let public = secret.public_key().serialize_uncompressed();
        Address::from_slice(&keccak256(&public[1..])[12..])
    }

    pub(crate) fn sign(self, transaction: TypedTransaction) -> Bytes {
        let signature = self.signature(transaction.signature_hash());
        into_bytes(transaction, signature)
    }

    pub(crate) fn signature(self, hash: B256) -> Signature {
        sign_message(self.secret(), hash).expect("a signature")
    }

    /// A transfer of 1 wei, before EIP-1559.
    pub(crate) fn transfer(self, nonce: u64, gas_price: u128) -> Bytes {
        self.sign(legacy(nonce, gas_price).into())
    }

    pub(crate) fn dynamic(self, nonce: u64, fee_cap: u128, tip: u128) -> Bytes {
        self.sign(dynamic(nonce, fee_cap, tip).into())
    }

    /// A transfer with so many zero bytes of data.
    pub(crate) fn with_data(self, nonce: u64, gas_price: u128, length: usize) -> Bytes {
        let gas = TRANSFER_GAS + 40 * length as u64;
        let input = vec![0; length].into();
        self.sign(TxLegacy { gas_limit: gas, input, ..legacy(nonce, gas_price) }.into())
    }
}

pub(crate) fn into_bytes(transaction: TypedTransaction, signature: Signature) -> Bytes {
    transaction.into_envelope(signature).encoded_2718().into()
}

pub(crate) fn receiver() -> TxKind {
    TxKind::Call(Address::repeat_byte(0x77))
}

pub(crate) fn legacy(nonce: u64, gas_price: u128) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price,
        gas_limit: TRANSFER_GAS,
        to: receiver(),
        value: U256::from(1),
        ..TxLegacy::default()
    }
}

pub(crate) fn dynamic(nonce: u64, fee_cap: u128, tip: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        max_fee_per_gas: fee_cap,
        max_priority_fee_per_gas: tip,
        gas_limit: TRANSFER_GAS,
        to: receiver(),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

pub(crate) fn with_access_list(nonce: u64, gas_price: u128) -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price,
        gas_limit: 100_000,
        to: receiver(),
        ..TxEip2930::default()
    }
}

pub(crate) fn set_code(nonce: u64, authorities: &[(Key, u64)]) -> TxEip7702 {
    let authorization_list = authorities.iter().map(|(key, nonce)| {
        let authorization = alloy_eips::eip7702::Authorization {
            chain_id: U256::from(CHAIN_ID),
            address: Address::repeat_byte(0x55),
            nonce: *nonce,
        };
        let signature = key.signature(authorization.signature_hash());
        authorization.into_signed(signature)
    });
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 100,
        gas_limit: 200_000,
        to: Address::repeat_byte(0x77),
        authorization_list: authorization_list.collect(),
        ..TxEip7702::default()
    }
}

/// What a transfer costs at most at this price.
pub(crate) fn transfer_cost(price: u128) -> U256 {
    U256::from(TRANSFER_GAS) * U256::from(price) + U256::from(1)
}

pub(crate) fn hash(raw: &[u8]) -> B256 {
    keccak256(raw)
}

/// How far the forks of a network go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fork {
    Frontier,
    Byzantium,
    Berlin,
    London,
    Shanghai,
    Prague,
    Osaka,
}

pub(crate) fn spec(fork: Fork) -> Arc<ChainSpec> {
    spec_with(fork, |_| {})
}

pub(crate) fn spec_with(fork: Fork, change: impl FnOnce(&mut ChainConfig)) -> Arc<ChainSpec> {
    let at = |needed: Fork| (fork >= needed).then_some(0);
    let mut config = ChainConfig {
        chain_id: CHAIN_ID,
        homestead_block: at(Fork::Byzantium),
        eip150_block: at(Fork::Byzantium),
        eip155_block: at(Fork::Byzantium),
        eip158_block: at(Fork::Byzantium),
        byzantium_block: at(Fork::Byzantium),
        constantinople_block: at(Fork::Berlin),
        petersburg_block: at(Fork::Berlin),
        istanbul_block: at(Fork::Berlin),
        berlin_block: at(Fork::Berlin),
        london_block: at(Fork::London),
        shanghai_time: at(Fork::Shanghai),
        cancun_time: at(Fork::Prague),
        prague_time: at(Fork::Prague),
        osaka_time: at(Fork::Osaka),
        ..ChainConfig::default()
    };
    change(&mut config);
    let genesis = Genesis { config, gas_limit: GAS_LIMIT, ..Genesis::default() };
    Arc::new(ChainSpec::new(genesis).expect("a chain"))
}

pub(crate) fn head(number: u64) -> PoolHead {
    PoolHead { number, timestamp: NOW + number, base_fee: 0, gas_limit: GAS_LIMIT }
}

/// A pool, its state, and what it has told.
pub(crate) struct Bench {
    pub(crate) pool: Arc<Mempool>,
    pub(crate) state: State,
    pub(crate) head: PoolHead,
    pub(crate) now: u64,
    events: Arc<Mutex<Vec<MempoolEvent>>>,
    _subscription: MempoolSubscription,
}

impl Bench {
    pub(crate) fn new(config: MempoolConfig, fork: Fork) -> Self {
        Self::with_spec(config, spec(fork))
    }

    pub(crate) fn with_spec(config: MempoolConfig, spec: Arc<ChainSpec>) -> Self {
        let state = State::new();
        let head = head(1);
        let pool = Arc::new(Mempool::new(spec, config, head, Arc::new(state.clone())));
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let subscription = pool.subscribe(move |batch: &[MempoolEvent]| {
            sink.lock().expect("no panic").extend_from_slice(batch);
        });
        Self { pool, state, head, now: NOW, events, _subscription: subscription }
    }

    /// With the usual limits, up to Prague.
    pub(crate) fn usual() -> Self {
        Self::new(MempoolConfig::default(), Fork::Prague)
    }

    /// Gives these accounts so much wei; the pool hears of it with the next head.
    pub(crate) fn fund(&mut self, keys: impl IntoIterator<Item = u64>, wei: u128) {
        for key in keys {
            self.state.entry(Key(key).address()).or_default().balance = U256::from(wei);
        }
        self.refresh();
    }

    pub(crate) fn account(&mut self, key: Key) -> &mut AccountState {
        self.state.entry(key.address()).or_default()
    }

    /// The same head again, with the state as it is now.
    pub(crate) fn refresh(&mut self) {
        self.new_head(vec![], vec![]);
    }

    /// A new head with these transactions in its block; their senders' nonces follow, but not
    /// their balances.
    pub(crate) fn mine(&mut self, transactions: &[Arc<PooledTransaction>]) {
        self.head.number += 1;
        self.head.timestamp += 1;
        let block = self.head.number;
        let included = transactions.iter().map(|transaction| {
            let account = self.state.entry(transaction.sender()).or_default();
            account.nonce = account.nonce.max(transaction.nonce() + 1);
            IncludedTransaction {
                hash: transaction.hash(),
                sender: transaction.sender(),
                nonce: transaction.nonce(),
                block,
            }
        });
        let included = included.collect();
        self.new_head(included, vec![]);
    }

    pub(crate) fn new_head(&mut self, included: Vec<IncludedTransaction>, reverted: Vec<Bytes>) {
        let update = HeadUpdate {
            head: self.head,
            state: Arc::new(self.state.clone()),
            included,
            changed: None,
            reverted,
        };
        self.pool.on_new_head(update, self.now).expect("a state in memory");
    }

    pub(crate) fn add(&self, raw: &Bytes) -> Result<B256, Refusal> {
        self.pool.add_remote(core::slice::from_ref(raw), self.now).remove(0)
    }

    pub(crate) fn add_all(&self, raw: &[Bytes]) -> usize {
        let results = self.pool.add_remote(raw, self.now);
        assert_eq!(results.len(), raw.len());
        results.iter().filter(|result| result.is_ok()).count()
    }

    pub(crate) fn take_events(&self) -> Vec<MempoolEvent> {
        core::mem::take(&mut self.events.lock().expect("no panic"))
    }

    /// Nonces of an account: pending, queued.
    pub(crate) fn nonces(&self, key: Key) -> (Vec<u64>, Vec<u64>) {
        let content = self.pool.content_from(&key.address());
        let nonces = |list: &[Arc<PooledTransaction>]| list.iter().map(|tx| tx.nonce()).collect();
        (nonces(&content.pending), nonces(&content.queued))
    }

    pub(crate) fn is_pending(&self, raw: &[u8]) -> bool {
        let Some(transaction) = self.pool.get(&hash(raw)) else { return false };
        self.pool.content_from(&transaction.sender()).pending.contains(&transaction)
    }
}
