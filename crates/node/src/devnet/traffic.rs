//! Transactions of a development network, so that its blocks have something in them: small payments
//! that are handed to the last node, which seals nothing, and find their way to the validator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use alloy_consensus::TxEip1559;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, TxKind, U256};
use chainmesh_chain::execute::sign_transaction;
use chainmesh_chain::{Chain, Mempool};
use secp256k1::SecretKey;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::accounts::{self, Account};

/// Gas of a payment.
const PAYMENT_GAS: u64 = 21_000;

/// The most that is paid for gas, wei: a hundred times what the first block asks for.
const MAX_FEE: u128 = 100_000_000_000;

/// What the validator gets for gas, wei.
const TIP: u128 = 1_000_000_000;

/// What is paid, wei.
const AMOUNT: u64 = 1_000_000_000;

/// Payments that wait for a block, at most: when a network makes no blocks they do not pile up.
const MAX_WAITING: u64 = 1_000;

/// What became of the payments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Payments {
    /// Handed to the last node.
    pub(super) sent: u64,
    /// In a block that the last node has.
    pub(super) included: u64,
}

/// Payments under way; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Traffic {
    task: JoinHandle<()>,
    payer: Payer,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Clone)]
struct Payer {
    account: Arc<Account>,
    chain: Arc<Chain>,
    pool: Arc<Mempool>,
    sent: Arc<AtomicU64>,
    /// Nonce of the account at the start.
    first: u64,
}

impl Traffic {
    /// Begins to pay, so many times a second, inside the current tokio runtime. `None` when the
    /// chain has no money for it: it is not one of ours.
    pub(super) fn start(chain: &Arc<Chain>, pool: &Arc<Mempool>, per_second: u32) -> Option<Self> {
        if per_second == 0 {
            return None;
        }
        let account = accounts::own()?;
        let state = chain.head_state().ok()?.account(account.address).ok()??;
        if state.balance.is_zero() {
            return None;
        }
        let payer = Payer {
            account: Arc::new(account),
            chain: Arc::clone(chain),
            pool: Arc::clone(pool),
            sent: Arc::default(),
            first: state.nonce,
        };
        let task = tokio::spawn(pay(payer.clone(), per_second));
        Some(Self { task, payer })
    }

    pub(super) fn payments(&self) -> Payments {
        Payments { sent: self.payer.sent.load(Relaxed), included: self.payer.included() }
    }
}

async fn pay(payer: Payer, per_second: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let payer = payer.clone();
        // Signing and taking it touch the disk and a CPU.
        if tokio::task::spawn_blocking(move || payer.pay()).await.is_err() {
            return;
        }
    }
}

impl Payer {
    fn included(&self) -> u64 {
        let account = self.chain.head_state().and_then(|state| state.account(self.account.address));
        let nonce = account.ok().flatten().map_or(self.first, |account| account.nonce);
        nonce.saturating_sub(self.first)
    }

    fn pay(&self) {
        if self.sent.load(Relaxed).saturating_sub(self.included()) >= MAX_WAITING {
            return;
        }
        let Ok(nonce) = self.pool.pending_nonce(&self.account.address) else { return };
        let known = accounts::known();
        let to = known.get(nonce as usize % known.len().max(1)).map(|account| account.address);
        let chain_id = self.chain.spec().config().chain_id;
        let raw = payment(&self.account.key, chain_id, nonce, to.unwrap_or_default());
        match self.pool.add_local(&raw, crate::unix_time()) {
            Ok(_) => {
                self.sent.fetch_add(1, Relaxed);
            }
            Err(why) => warn!("a payment was not taken: {why}"),
        }
    }
}

/// A signed payment in its EIP-2718 form.
fn payment(key: &SecretKey, chain_id: u64, nonce: u64, to: Address) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: PAYMENT_GAS,
        max_fee_per_gas: MAX_FEE,
        max_priority_fee_per_gas: TIP,
        to: TxKind::Call(to),
        value: U256::from(AMOUNT),
        ..TxEip1559::default()
    };
    sign_transaction(transaction, key).encoded_2718()
}
