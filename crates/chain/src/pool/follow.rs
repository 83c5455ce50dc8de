//! A pool behind the head of a [`Chain`]: it reads the chain's states, and follows its heads.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use alloy_consensus::{Header, Transaction as _};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::ChainReader;
use revm::DatabaseRef;

use super::{
    AccountCode, AccountState, HeadUpdate, IncludedTransaction, Mempool, MempoolConfig, PoolHead,
    PoolState, StateUnavailable, Transaction,
};
use crate::execute::{KnownSenders, recover_senders};
use crate::heads::{NewHead, Subscription};
use crate::store::{Damage, StoreError};
use crate::{Chain, StateView, rules};

/// How many blocks of either branch are looked through for transactions when the head moves. When
/// it moves further, which is to say while the chain is synchronised, older ones are not looked
/// at (go-ethereum's pool does the same, `reset`).
const MAX_BLOCKS: u64 = 64;

/// Why a pool could not follow its chain to a new head.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The blocks could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The accounts could not be read.
    #[error(transparent)]
    State(#[from] StateUnavailable),
}

impl PoolState for StateView {
    fn account(&self, address: &Address) -> Result<AccountState, StateUnavailable> {
        let failed = |error: StoreError| StateUnavailable { reason: error.to_string() };
        let Some(account) = self.basic_ref(*address).map_err(failed)? else {
            return Ok(AccountState::default());
        };
        let code = if account.is_empty_code_hash() {
            AccountCode::None
        } else {
            let code = match account.code {
                Some(code) => code,
                None => self.code_by_hash_ref(account.code_hash).map_err(failed)?,
            };
            if code.is_eip7702() { AccountCode::Delegation } else { AccountCode::Contract }
        };
        Ok(AccountState { nonce: account.nonce, balance: account.balance, code })
    }
}

impl KnownSenders for Mempool {
    fn senders_of(&self, transactions: &[Transaction]) -> Vec<Option<Address>> {
        let status = self.status();
        if status.pending + status.queued == 0 {
            return Vec::new();
        }
        // Hashed before anything is locked.
        let hashes: Vec<&B256> = transactions.iter().map(Transaction::tx_hash).collect();
        let inner = self.read();
        let known = hashes.into_iter().map(|hash| inner.book.get(hash).map(|one| one.sender()));
        known.collect()
    }
}

impl Mempool {
    /// An empty pool behind the head of a chain. [`Self::follow`] keeps it there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn behind(chain: &Arc<Chain>, config: MempoolConfig) -> Result<Self, StoreError> {
        let block = chain.head().hash;
        let head = pool_head(chain, &header(chain, block)?);
        let state = Arc::new(state(chain, block)?);
        Ok(Self::new(Arc::new(chain.spec().clone()), config, head, state))
    }

    /// Follows the heads of a chain, and tells it who signed what is in the pool, until the subscription is dropped. What goes wrong is handed
    /// to `on_error`; the pool goes on with the next head.
    pub fn follow(
        self: &Arc<Self>,
        chain: &Arc<Chain>,
        on_error: impl Fn(FollowError) + Send + Sync + 'static,
    ) -> Subscription {
        let (pool, of_chain) = (Arc::clone(self), Arc::downgrade(chain));
        let known: Weak<Self> = Arc::downgrade(self);
        chain.ask_for_senders(known);
        chain.subscribe(move |new| {
            // A chain that is gone has no new heads.
            let Some(chain) = of_chain.upgrade() else { return };
            if let Err(error) = pool.move_to(&chain, new) {
                on_error(error);
            }
        })
    }

    fn move_to(&self, chain: &Arc<Chain>, new: &NewHead) -> Result<(), FollowError> {
        let block = new.head.hash;
        let head = pool_head(chain, &header(chain, block)?);
        let mut included = Vec::new();
        let mut hashes = HashSet::new();
        let status = self.status();
        let is_idle = status.pending + status.queued == 0 && new.reorganised() == 0;
        // While a chain is synchronised the pool is mostly empty, and has nothing to look for.
        let down_to = if is_idle { new.head.number } else { new.common_ancestor };
        for (number, transactions) in branch(chain, block, down_to)? {
            for transaction in transactions {
                let hash = *transaction.tx_hash();
                hashes.insert(hash);
                let Some(sender) = self.sender_of(chain, number, hash, &transaction) else {
                    continue;
                };
                let nonce = transaction.nonce();
                included.push(IncludedTransaction { hash, sender, nonce, block: number });
            }
        }
        let old = branch(chain, new.previous.hash, new.common_ancestor)?;
        // From the lowest block up, so that the nonces come in their order.
        let reverted = old.into_iter().rev().flat_map(|(_, transactions)| transactions);
        let reverted = reverted
            .filter(|transaction| !hashes.contains(transaction.tx_hash()))
            .map(|transaction| Bytes::from(transaction.encoded_2718()));
        let update = HeadUpdate {
            head,
            state: Arc::new(state(chain, block)?),
            included,
            changed: None,
            reverted: reverted.collect(),
        };
        Ok(self.on_new_head(update, chain.now())?)
    }

    /// Who signed a transaction of a block. The pool knows most of them.
    fn sender_of(
        &self,
        chain: &Chain,
        number: u64,
        hash: B256,
        transaction: &Transaction,
    ) -> Option<Address> {
        if let Some(known) = self.get(&hash) {
            return Some(known.sender());
        }
        let recovered = recover_senders(chain.spec(), number, vec![transaction.clone()]).ok()?;
        recovered.first().map(|one| one.signer())
    }
}

fn header(chain: &Chain, block: B256) -> Result<Header, StoreError> {
    chain.header(&block)?.ok_or(StoreError::Inconsistent(Damage::Block(block)))
}

fn state(chain: &Chain, block: B256) -> Result<StateView, StoreError> {
    chain.state(&block)?.ok_or(StoreError::Inconsistent(Damage::State(block)))
}

fn pool_head(chain: &Chain, header: &Header) -> PoolHead {
    PoolHead {
        number: header.number,
        timestamp: header.timestamp,
        base_fee: rules::next_base_fee(chain.spec(), header).unwrap_or(0),
        gas_limit: header.gas_limit,
    }
}

/// The transactions of the blocks from this one down, without the block of number `down_to`, each
/// with the number of its block; of the first [`MAX_BLOCKS`].
fn branch(
    chain: &Chain,
    from: B256,
    down_to: u64,
) -> Result<Vec<(u64, Vec<Transaction>)>, StoreError> {
    let mut blocks = Vec::new();
    let mut hash = from;
    for _ in 0..MAX_BLOCKS {
        let header = header(chain, hash)?;
        if header.number <= down_to {
            break;
        }
        let body = chain.body(&hash)?.ok_or(StoreError::Inconsistent(Damage::Block(hash)))?;
        blocks.push((header.number, body.transactions));
        hash = header.parent_hash;
    }
    Ok(blocks)
}
