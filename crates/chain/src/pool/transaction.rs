//! [`PooledTransaction`]: a transaction as the pool keeps it.

use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;

use super::config::SLOT_BYTES;
pub use crate::execute::Transaction;

/// A valid transaction, as the pool keeps it: the bytes that came, and what is asked most often.
/// The rest is decoded again when somebody needs it ([`Self::decode`]), since holding both would
/// double the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PooledTransaction {
    pub(super) raw: Bytes,
    pub(super) hash: B256,
    pub(super) sender: Address,
    pub(super) tx_type: u8,
    pub(super) nonce: u64,
    pub(super) gas_limit: u64,
    pub(super) intrinsic_gas: u64,
    pub(super) fee_cap: u128,
    pub(super) tip_cap: u128,
    pub(super) cost: U256,
}

impl PooledTransaction {
    /// Its EIP-2718 form, as it was received.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Keccak-256 of [`Self::raw`].
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// The account that signed it.
    #[must_use]
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// EIP-2718 type, 0 for legacy transactions.
    #[must_use]
    pub const fn tx_type(&self) -> u8 {
        self.tx_type
    }

    /// Length of [`Self::raw`] in bytes: the size that is announced in `eth/68`.
    #[must_use]
    pub fn size(&self) -> usize {
        self.raw.len()
    }

    /// Its place among the transactions of its sender.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Most gas that it may use.
    #[must_use]
    pub const fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    /// Highest price, in wei per gas, the base fee included; the gas price before EIP-1559.
    #[must_use]
    pub const fn fee_cap(&self) -> u128 {
        self.fee_cap
    }

    /// Highest tip, in wei per gas; the gas price before EIP-1559.
    #[must_use]
    pub const fn tip_cap(&self) -> u128 {
        self.tip_cap
    }

    /// What it takes from its sender at most: gas limit times fee cap, and value, in wei.
    #[must_use]
    pub const fn cost(&self) -> U256 {
        self.cost
    }

    /// What a validator gets for each gas at this base fee, in wei; `None` if the fee cap is
    /// below the base fee.
    #[must_use]
    pub fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        Some(self.fee_cap.checked_sub(u128::from(base_fee))?.min(self.tip_cap))
    }

    /// Slots that it takes ([`SLOT_BYTES`]).
    #[must_use]
    pub fn slots(&self) -> usize {
        self.raw.len().div_ceil(SLOT_BYTES)
    }

    /// All of its fields; the hash is not computed again. `None` cannot happen for a transaction
    /// of the pool.
    #[must_use]
    pub fn decode(&self) -> Option<Transaction> {
        Transaction::decode_2718_exact(&self.raw).ok()
    }
}
