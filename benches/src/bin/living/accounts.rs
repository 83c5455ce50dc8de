//! Who sends: accounts whose keys follow from their numbers, and what they sign.

use std::thread;

use alloy_consensus::TxEip1559;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use chainmesh_chain::clique;
use chainmesh_chain::execute::{Transaction, sign_transaction};
use secp256k1::SecretKey;

use crate::Failure;

/// Chain ID of the networks here.
pub(crate) const CHAIN_ID: u64 = 1515;

/// Calls of it add one to the slot that the call's data names, and log it:
/// `slot[calldata[0]] += 1; LOG1(caller)`.
pub(crate) const COUNTER: Address = Address::repeat_byte(0xc0);
pub(crate) const COUNTER_CODE: &[u8] = &[
    0x60, 0x00, 0x35, 0x80, 0x54, 0x60, 0x01, 0x01, 0x90, 0x55, // count
    0x33, 0x60, 0x00, 0x60, 0x00, 0xa1, 0x00, // log, stop
];

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) key: SecretKey,
    pub(crate) address: Address,
}

impl Account {
    /// The account with this number; always the same one.
    pub(crate) fn new(number: u64) -> Result<Self, Failure> {
        let secret =
            keccak256([b"an account of a benchmark".as_slice(), &number.to_be_bytes()].concat());
        let key = SecretKey::from_secret_bytes(secret.0)?;
        Ok(Self { address: clique::address(&key.public_key()), key })
    }

    /// The accounts with the numbers below `count`.
    pub(crate) fn first(count: u64) -> Result<Vec<Self>, Failure> {
        (0..count).map(Self::new).collect()
    }

    /// Signs a transaction: at most 10 gwei a gas, of which one is the tip.
    pub(crate) fn sign(
        &self,
        nonce: u64,
        to: Address,
        value: u64,
        gas_limit: u64,
        input: Bytes,
    ) -> Transaction {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input,
            ..TxEip1559::default()
        };
        sign_transaction(transaction, &self.key)
    }

    /// One wei to somebody.
    pub(crate) fn pay(&self, nonce: u64, to: Address) -> Transaction {
        self.sign(nonce, to, 1, 21_000, Bytes::new())
    }
}

/// A signed transaction as it is sent.
pub(crate) struct Signed {
    pub(crate) hash: B256,
    /// The request of JSON-RPC that sends it.
    pub(crate) request: Vec<u8>,
}

impl From<Transaction> for Signed {
    fn from(transaction: Transaction) -> Self {
        let raw = Bytes::from(transaction.encoded_2718());
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["{raw}"]}}"#
        );
        Self { hash: *transaction.tx_hash(), request: request.into_bytes() }
    }
}

/// `count` transactions, made by `make` from their places, by two threads.
pub(crate) fn sign_all(count: usize, make: impl Fn(usize) -> Transaction + Sync) -> Vec<Signed> {
    let half = |range: core::ops::Range<usize>| {
        range.map(|place| make(place).into()).collect::<Vec<Signed>>()
    };
    thread::scope(|scope| {
        let second = scope.spawn(|| half(count / 2..count));
        let mut all = half(0..count / 2);
        all.extend(second.join().unwrap_or_default());
        all
    })
}
