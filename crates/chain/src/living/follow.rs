//! [`ChainPool`]: a pool that stays at the head of a chain.

use std::collections::HashSet;
use std::sync::Arc;

use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::constants::EIP7702_DELEGATION_DESIGNATOR;
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::ChainReader;

use crate::heads::{NewHead, Subscription};
use crate::pool::{
    AccountCode, AccountState, HeadUpdate, IncludedTransaction, Mempool, MempoolConfig, PoolHead,
    PoolState, StateUnavailable,
};
use crate::store::{Damage, StoreError};
use crate::{Chain, StateView, rules};

/// Blocks of one step of the head that are searched for transactions of the pool. When a chain is
/// synchronised it moves by more; what of the pool they hold is found by its nonces.
const MAX_SEARCHED: u64 = 128;

impl PoolState for StateView {
    fn account(&self, address: &Address) -> Result<AccountState, StateUnavailable> {
        let failed = |error: StoreError| StateUnavailable { reason: error.to_string() };
        let Some(account) = Self::account(self, *address).map_err(failed)? else {
            return Ok(AccountState::default());
        };
        let code = self.code(account.code_hash).map_err(failed)?;
        let code = if code.is_empty() {
            AccountCode::None
        } else if code.starts_with(&EIP7702_DELEGATION_DESIGNATOR) {
            AccountCode::Delegation
        } else {
            AccountCode::Contract
        };
        Ok(AccountState { nonce: account.nonce, balance: account.balance, code })
    }
}

/// A pool that is at the head of its chain for as long as this lives. When the chain's head moves,
/// the pool has moved before the import returns.
pub struct ChainPool {
    pool: Arc<Mempool>,
    _subscription: Subscription,
}

impl core::fmt::Debug for ChainPool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ChainPool").field(&self.pool).finish()
    }
}

impl ChainPool {
    /// An empty pool at the head of this chain. When the state cannot be read at a later head,
    /// `failed` is told, and the pool stays where it was until the next one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn new(
        chain: &Arc<Chain>,
        config: MempoolConfig,
        failed: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let spec = Arc::new(chain.spec().clone());
        let head = pool_head(chain)?;
        let state = Arc::new(chain.head_state()?);
        let pool = Arc::new(Mempool::new(spec, config, head, state));
        let subscription = chain.subscribe({
            let (pool, chain) = (Arc::clone(&pool), Arc::downgrade(chain));
            move |new| {
                let Some(chain) = chain.upgrade() else { return };
                if let Err(why) = move_on(&pool, &chain, new) {
                    failed(&why);
                }
            }
        });
        let this = Self { pool, _subscription: subscription };
        // The head may have moved between the two lines above.
        if let Err(error) = update(&this.pool, chain, Vec::new(), Vec::new()) {
            return Err(error.0);
        }
        Ok(this)
    }

    /// The pool.
    #[must_use]
    pub const fn pool(&self) -> &Arc<Mempool> {
        &self.pool
    }
}

/// Why the pool could not be moved to a new head.
struct Failed(StoreError);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

fn move_on(pool: &Mempool, chain: &Chain, new: &NewHead) -> Result<(), String> {
    let words = |Failed(error): Failed| error.to_string();
    let reverted = match new.reorganised() {
        0 => Vec::new(),
        _ => reverted(chain, new).map_err(words)?,
    };
    let status = pool.status();
    let included = match status.pending + status.queued {
        0 => Vec::new(),
        _ => included(pool, chain, new).map_err(words)?,
    };
    update(pool, chain, included, reverted).map_err(words)
}

fn update(
    pool: &Mempool,
    chain: &Chain,
    included: Vec<IncludedTransaction>,
    reverted: Vec<Bytes>,
) -> Result<(), Failed> {
    let head = pool_head(chain)?;
    let state = Arc::new(chain.head_state()?);
    // Whose money the blocks moved is not kept: the accounts of the pool are read again.
    let update = HeadUpdate { head, state, included, changed: None, reverted };
    pool.on_new_head(update, chain.now())
        .map_err(|_| Failed(StoreError::Inconsistent(Damage::State(chain.head().hash))))
}

fn pool_head(chain: &Chain) -> Result<PoolHead, StoreError> {
    let hash = chain.head().hash;
    let header = chain.header(&hash)?.ok_or(StoreError::Inconsistent(Damage::Block(hash)))?;
    Ok(PoolHead {
        number: header.number,
        timestamp: header.timestamp,
        base_fee: rules::next_base_fee(chain.spec(), &header).unwrap_or(0),
        gas_limit: header.gas_limit,
    })
}

/// The transactions of the pool that the new blocks have.
fn included(
    pool: &Mempool,
    chain: &Chain,
    new: &NewHead,
) -> Result<Vec<IncludedTransaction>, Failed> {
    let first = new.common_ancestor.max(new.head.number.saturating_sub(MAX_SEARCHED)) + 1;
    let mut found = Vec::new();
    for block in first..=new.head.number {
        for (hash, _) in transactions(chain, canonical(chain, block)?)? {
            if let Some(one) = pool.get(&hash) {
                let (sender, nonce) = (one.sender(), one.nonce());
                found.push(IncludedTransaction { hash, sender, nonce, block });
            }
        }
    }
    Ok(found)
}

/// The transactions of the blocks that are canonical no longer, in their order, without those that
/// are in a block of the new branch.
fn reverted(chain: &Chain, new: &NewHead) -> Result<Vec<Bytes>, Failed> {
    let mut blocks = Vec::new();
    let (mut hash, mut number) = (new.previous.hash, new.previous.number);
    while number > new.common_ancestor && blocks.len() < MAX_SEARCHED as usize {
        blocks.push(hash);
        let header = chain.header(&hash)?.ok_or(StoreError::Inconsistent(Damage::Block(hash)))?;
        (hash, number) = (header.parent_hash, number - 1);
    }
    let mut seen = HashSet::new();
    let mut raw = Vec::new();
    for block in blocks.into_iter().rev() {
        for (hash, one) in transactions(chain, block)? {
            if seen.insert(hash) && chain.transaction(&hash)?.is_none() {
                raw.push(one.encoded_2718().into());
            }
        }
    }
    Ok(raw)
}

fn canonical(chain: &Chain, number: u64) -> Result<B256, StoreError> {
    let missing = StoreError::Inconsistent(Damage::Canonical(number));
    let found = chain.canonical_hash(number).ok().flatten();
    found.ok_or(missing)
}

fn transactions(
    chain: &Chain,
    block: B256,
) -> Result<Vec<(B256, crate::pool::Transaction)>, StoreError> {
    let body = chain.body(&block)?.ok_or(StoreError::Inconsistent(Damage::Block(block)))?;
    Ok(body.transactions.into_iter().map(|one| (*one.tx_hash(), one)).collect())
}
