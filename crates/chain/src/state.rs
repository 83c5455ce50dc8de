//! The state behind each block: accounts, codes and storage, read and changed.
//!
//! | part | holds |
//! |---|---|
//! | [`StateView`] | the state behind one stored block, to read and to execute on |
//! | [`StateReader`] | the same over any source: a snapshot of the store, or an import's transaction |
//! | [`Proof`] | Merkle proofs, as `eth_getProof` gives them (EIP-1186) |

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::KECCAK_EMPTY;
use revm::DatabaseRef;
use revm::bytecode::Bytecode;
use revm::database::BundleState;
use revm::database_interface::DBErrorMarker;
use revm::state::AccountInfo;

use crate::store::StoreError;

/// An account as it stands in the trie: nonce, balance, storage root, code hash.
pub use alloy_trie::TrieAccount as Account;

/// How many blocks back `BLOCKHASH` looks (yellow paper).
pub const BLOCK_HASHES: u64 = 256;

impl DBErrorMarker for StoreError {}

/// The state behind one stored block, canonical or not, at the moment it was asked for. Cheap to
/// clone, and may be read from any thread.
///
/// It is a snapshot of the store: while one is kept, the pages that a later write replaces cannot
/// be used again, so nobody keeps one for longer than a request or a block takes.
#[derive(Clone)]
pub struct StateView {}

impl core::fmt::Debug for StateView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StateView").field("root", &self.root()).finish_non_exhaustive()
    }
}

impl StateView {
    /// The state root.
    #[must_use]
    pub fn root(&self) -> B256 {
        todo!()
    }

    /// Number and hash of the block that this is the state behind.
    #[must_use]
    pub fn block(&self) -> (u64, B256) {
        todo!()
    }

    /// An account; `None` when there is none with this address.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn account(&self, _address: Address) -> Result<Option<Account>, StoreError> {
        todo!()
    }

    /// The code with this hash; empty for [`KECCAK_EMPTY`] and 0.
    ///
    /// # Errors
    /// When the store fails, or the code is not there.
    pub fn code(&self, hash: B256) -> Result<Bytes, StoreError> {
        let _ = KECCAK_EMPTY == hash;
        todo!()
    }

    /// A storage slot of an account; 0 when it was never set.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn storage(&self, _address: Address, _slot: U256) -> Result<U256, StoreError> {
        todo!()
    }

    /// The state root after these changes, which are not stored: for who makes a block.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn root_after(&self, _changes: &BundleState) -> Result<B256, StoreError> {
        todo!()
    }

    /// Proof of an account and of some of its storage slots (EIP-1186).
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn proof(&self, _address: Address, _slots: &[U256]) -> Result<Proof, StoreError> {
        todo!()
    }
}

impl DatabaseRef for StateView {
    type Error = StoreError;

    fn basic_ref(&self, _address: Address) -> Result<Option<AccountInfo>, StoreError> {
        todo!()
    }

    fn code_by_hash_ref(&self, _code_hash: B256) -> Result<Bytecode, StoreError> {
        todo!()
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, StoreError> {
        self.storage(address, index)
    }

    fn block_hash_ref(&self, _number: u64) -> Result<B256, StoreError> {
        todo!()
    }
}

/// Proof of an account and of some of its storage slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The account; all zero and empty when there is none.
    pub account: Account,
    /// RLP of the nodes from the state root to the account, or to where it would be.
    pub account_proof: Vec<Bytes>,
    /// One for each slot that was asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// Proof of a storage slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot.
    pub slot: U256,
    /// Its value.
    pub value: U256,
    /// RLP of the nodes from the storage root to the slot, or to where it would be.
    pub proof: Vec<Bytes>,
}
