//! What the pool answers: to gossip, to RPC, to a validator.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};

use super::account::{Account, Entry};
use super::best::BestTransactions;
use super::content::{AccountContent, Announcement, Content, MempoolStatus};
use super::state::StateUnavailable;
use super::transaction::PooledTransaction;
use super::{Mempool, lock};

impl Mempool {
    /// The transaction with this hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        self.read().book.get(hash).cloned()
    }

    /// Whether it is in the pool.
    #[must_use]
    pub fn contains(&self, hash: &B256) -> bool {
        self.read().book.get(hash).is_some()
    }

    /// Whether an announced transaction is worth asking for: it is not here, was not refused or
    /// displaced lately, and is in no recent block. `now`: seconds since 1970.
    #[must_use]
    pub fn wants(&self, hash: &B256, now: u64) -> bool {
        !self.contains(hash) && !lock(&self.recent).is_unwanted(hash, now)
    }

    /// All pending transactions, for a new peer: by account, and each account's in the order of
    /// their nonces.
    #[must_use]
    pub fn announceable(&self) -> Vec<Announcement> {
        let inner = self.read();
        let pending = inner.book.accounts.values().flat_map(Account::pending);
        let announcements = pending.map(|entry| Announcement {
            hash: entry.transaction.hash,
            tx_type: entry.transaction.tx_type,
            size: entry.transaction.size(),
        });
        announcements.collect()
    }

    /// The pending transactions, best tip first at this base fee (in wei), each account's in the
    /// order of their nonces; of the same tip, the one that came first.
    #[must_use]
    pub fn best(&self, base_fee: u64) -> BestTransactions {
        BestTransactions::new(&self.read().book, base_fee)
    }

    /// The nonce of the next transaction of this account, behind those that are pending.
    ///
    /// # Errors
    /// The account could not be read.
    pub fn pending_nonce(&self, address: &Address) -> Result<u64, StateUnavailable> {
        let inner = self.read();
        if let Some(account) = inner.book.accounts.get(address) {
            return Ok(account.pending_end());
        }
        let state = Arc::clone(&inner.state);
        drop(inner);
        state.account(address).map(|account| account.nonce)
    }

    /// Everything, by account.
    #[must_use]
    pub fn content(&self) -> Content {
        let inner = self.read();
        inner.book.accounts.iter().map(|(address, account)| (*address, shown(account))).collect()
    }

    /// Everything of one account.
    #[must_use]
    pub fn content_from(&self, address: &Address) -> AccountContent {
        self.read().book.accounts.get(address).map(shown).unwrap_or_default()
    }

    /// How full it is.
    #[must_use]
    pub fn status(&self) -> MempoolStatus {
        let inner = self.read();
        let totals = inner.book.totals;
        MempoolStatus {
            pending: totals.pending,
            queued: totals.queued,
            pending_slots: totals.pending_slots,
            local: totals.local,
            bytes: totals.bytes,
            accounts: inner.book.accounts.len(),
            refused: self.refused.load(Ordering::Relaxed),
            evicted: inner.book.evicted,
        }
    }
}

fn shown(account: &Account) -> AccountContent {
    let list = |entries: &mut dyn Iterator<Item = &Entry>| {
        entries.map(|entry| Arc::clone(&entry.transaction)).collect()
    };
    AccountContent { pending: list(&mut account.pending()), queued: list(&mut account.queued()) }
}

impl PooledTransaction {
    /// One line about it, as `txpool_inspect` of go-ethereum shows it.
    #[must_use]
    pub fn summary(&self) -> String {
        let (to, value) =
            self.decode().map_or_else(Default::default, |decoded| (decoded.to(), decoded.value()));
        let to = to.map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
        format!("{to}: {value} wei + {} gas × {} wei", self.gas_limit, self.fee_cap)
    }
}
