//! [`BlockState`]: one state over any source.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
use revm::DatabaseRef;
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;

use super::cache::Shared;
use super::node::{Link, MOST_DELTAS, Place, Root, StoredNode};
use super::trie::{self, NodeSource, Value, hashed};
use super::{Account, BLOCK_HASHES};
use crate::store::{Damage, StateTables, StoreError};

/// The state behind one block, read from a snapshot of the store ([`StateView`](super::StateView))
/// or from the transaction of an import.
///
/// It is a [`DatabaseRef`], so that blocks are executed on it; its block hashes are those of the
/// ancestors of its own block, on whichever side chain that is.
#[derive(Clone)]
pub struct BlockState<S> {
    pub(super) source: S,
    pub(super) shared: Arc<Shared>,
    pub(super) root: Root,
    pub(super) block: (u64, B256),
}

impl<S> core::fmt::Debug for BlockState<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BlockState")
            .field("root", &self.root.hash)
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

impl<S: StateTables> NodeSource for BlockState<S> {
    fn node(&self, link: &Link) -> Result<Arc<StoredNode>, StoreError> {
        read_node(&self.source, &self.shared, link)
    }
}

fn read_node(
    source: &impl StateTables,
    shared: &Shared,
    link: &Link,
) -> Result<Arc<StoredNode>, StoreError> {
    if let Some(node) = shared.node(link) {
        return Ok(node);
    }
    let read = read_at(source, shared, link.place, MOST_DELTAS)?;
    let node = read.filter(|node| {
        let mut rlp = Vec::new();
        node.rlp(&mut rlp);
        link.fits(&rlp)
    });
    let damaged = StoreError::Inconsistent(Damage::StateNode(link.hash()));
    let node = Arc::new(node.ok_or(damaged)?);
    shared.put_node(link, Arc::clone(&node));
    Ok(node)
}

/// What lies at a place. It may be anything: nobody has looked at its hash yet.
fn read_at(
    source: &impl StateTables,
    shared: &Shared,
    place: Place,
    deltas: u8,
) -> Result<Option<StoredNode>, StoreError> {
    let base = |base: Place| match (shared.node_at(base), deltas.checked_sub(1)) {
        (Some(node), _) => Ok(Some((*node).clone())),
        (None, Some(left)) => read_at(source, shared, base, left),
        (None, None) => Ok(None),
    };
    let read = source.chunk(place.chunk(), |chunk| {
        chunk.get(place.offset()..).map(|bytes| StoredNode::decode(bytes, base))
    })?;
    read.flatten().transpose().map(Option::flatten)
}

/// An account, and where its storage is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) account: Account,
    pub(super) storage: Root,
}

impl<S: StateTables> BlockState<S> {
    /// The state with this root, behind this block.
    pub(crate) const fn new(
        source: S,
        shared: Arc<Shared>,
        root: Root,
        block: (u64, B256),
    ) -> Self {
        Self { source, shared, root, block }
    }

    /// The state root.
    #[must_use]
    pub const fn root(&self) -> B256 {
        self.root.hash
    }

    /// Number and hash of the block that this is the state behind.
    #[must_use]
    pub const fn block(&self) -> (u64, B256) {
        self.block
    }

    /// An account; `None` when there is none with this address.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn account(&self, address: Address) -> Result<Option<Account>, StoreError> {
        Ok(self.find(hashed(address))?.map(|found| found.account))
    }

    /// The code with this hash; empty for the hash of nothing and for 0.
    ///
    /// # Errors
    /// When the store fails, or the code is not there.
    pub fn code(&self, hash: B256) -> Result<Bytes, StoreError> {
        Ok(self.bytecode(hash)?.original_bytes())
    }

    /// A storage slot of an account; 0 when it was never set.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        let Some(found) = self.find(hashed(address))? else { return Ok(U256::ZERO) };
        self.slot(found.storage, slot)
    }

    pub(super) fn find(&self, key: B256) -> Result<Option<Found>, StoreError> {
        trie::get(self, self.root, &key, |_, _| {})?.map(|value| found(&value, key)).transpose()
    }

    pub(super) fn slot(&self, storage: Root, slot: U256) -> Result<U256, StoreError> {
        if storage.hash == EMPTY_ROOT_HASH {
            return Ok(U256::ZERO);
        }
        let key = hashed(B256::from(slot));
        match trie::get(self, storage, &key, |_, _| {})? {
            Some(value) => slot_value(&value, key),
            None => Ok(U256::ZERO),
        }
    }

    fn bytecode(&self, hash: B256) -> Result<Bytecode, StoreError> {
        if hash == KECCAK_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.shared.code(hash) {
            return Ok(code);
        }
        let damaged = || StoreError::Inconsistent(Damage::Code(hash));
        let bytes = self.source.code(hash)?.ok_or_else(damaged)?;
        if alloy_primitives::keccak256(&bytes) != hash {
            return Err(damaged());
        }
        let code = Bytecode::new_raw_checked(Bytes::from(bytes)).map_err(|_| damaged())?;
        self.shared.put_code(hash, code.clone());
        Ok(code)
    }

    fn ancestor(&self, number: u64) -> Result<B256, StoreError> {
        let (mut at, mut hash) = self.block;
        if number > at || at - number >= BLOCK_HASHES {
            return Ok(B256::ZERO);
        }
        while at > number {
            if self.source.canonical(at)? == Some(hash)
                && let Some(found) = self.source.canonical(number)?
            {
                return Ok(found);
            }
            let damaged = || StoreError::Inconsistent(Damage::Block(hash));
            let rlp = self.source.header(at, hash)?.ok_or_else(damaged)?;
            let header = Header::decode(&mut rlp.as_slice()).map_err(|_| damaged())?;
            (at, hash) = (at - 1, header.parent_hash);
        }
        Ok(hash)
    }
}

/// Reads the value of a leaf of the accounts.
pub(super) fn found(value: &Value, key: B256) -> Result<Found, StoreError> {
    let account: Account = alloy_rlp::decode_exact(&value.rlp)
        .map_err(|_| StoreError::Inconsistent(Damage::StateKey(key)))?;
    let storage = Root { hash: account.storage_root, place: value.below };
    Ok(Found { account, storage })
}

pub(super) fn slot_value(value: &Value, key: B256) -> Result<U256, StoreError> {
    alloy_rlp::decode_exact(&value.rlp).map_err(|_| StoreError::Inconsistent(Damage::StateKey(key)))
}

impl<S: StateTables> DatabaseRef for BlockState<S> {
    type Error = StoreError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            // It is asked for when it is run. (The default is an empty code, which would be run.)
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StoreError> {
        self.bytecode(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, StoreError> {
        self.storage(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StoreError> {
        self.ancestor(number)
    }
}

/// Where the root of a state is, when its block is known.
pub(crate) const fn root_at(hash: B256, place: u64) -> Root {
    Root { hash, place: Place::from_raw(place) }
}
