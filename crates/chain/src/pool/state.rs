//! [`PoolState`]: what the pool asks of the state behind the head.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

/// What the pool must know of an account. The default is an account that does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Next nonce.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// Who can spend it.
    pub code: AccountCode,
}

/// Whether an account has code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccountCode {
    /// None: it changes by its own transactions only, except that it may be given more.
    #[default]
    None,
    /// A delegation (EIP-7702): it may send transactions, and anybody may call its code.
    Delegation,
    /// A contract: it sends no transactions (EIP-3607).
    Contract,
}

/// The state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the account cannot be read: {reason}")]
pub struct StateUnavailable {
    /// The store's reason.
    pub reason: String,
}

/// The state behind one block, as it is when that block is the head. The pool keeps it from one
/// head to the next, and reads from several threads.
pub trait PoolState: Send + Sync {
    /// The account, or the default if there is none.
    ///
    /// # Errors
    /// See [`StateUnavailable`].
    fn account(&self, address: &Address) -> Result<AccountState, StateUnavailable>;
}

/// A state in memory, for tests and measurements.
impl PoolState for BTreeMap<Address, AccountState> {
    fn account(&self, address: &Address) -> Result<AccountState, StateUnavailable> {
        Ok(self.get(address).copied().unwrap_or_default())
    }
}
