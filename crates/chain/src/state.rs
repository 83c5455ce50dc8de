//! The state behind each block: accounts, codes and storage, read and changed.
//!
//! | part | holds |
//! |---|---|
//! | [`StateView`] | the state behind one stored block, to read and to execute on |
//! | [`BlockState`] | the same over any source: a snapshot of the store, or an import's transaction |
//! | [`Proof`] | Merkle proofs, as `eth_getProof` gives them (EIP-1186) |
//!
//! States share what they have in common. All of them are kept: a reorganisation needs no way
//! back, and any known block can be asked for.

pub(crate) mod apply;
pub(crate) mod cache;
pub(crate) mod genesis;
pub(crate) mod node;
mod proof;
pub(crate) mod reader;
mod trie;

#[cfg(test)]
mod tests;

use revm::database_interface::DBErrorMarker;

use crate::store::StoreError;

/// An account as it stands in the trie: nonce, balance, storage root, code hash.
pub use alloy_trie::TrieAccount as Account;
pub use proof::{Proof, StorageProof};
pub use reader::BlockState;

pub use crate::store::{Snapshot, StateTables};

/// How many blocks back `BLOCKHASH` looks (yellow paper).
pub const BLOCK_HASHES: u64 = 256;

impl DBErrorMarker for StoreError {}

/// The state behind one stored block, canonical or not. Cheap to clone, and may be read from any
/// thread; it is a [`DatabaseRef`](revm::DatabaseRef).
///
/// It holds a snapshot of the store: while one is kept, the pages that later blocks replace cannot
/// be used again, so nobody keeps one for longer than a request or a block takes.
pub type StateView = BlockState<Snapshot>;
