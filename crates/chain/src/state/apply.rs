//! From one state to the next.

use std::sync::Arc;

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::KECCAK_EMPTY;
use alloy_trie::nodes::RlpNode;
use revm::database::{BundleAccount, BundleState};

use super::Account;
use super::cache::Shared;
use super::node::{CHUNK_BYTES, Link, Place, Root, StoredNode};
use super::reader::{BlockState, found};
use super::trie::{self, Base, NodeSink, NodeSource, Trie, Value, hashed};
use crate::store::{StateTables, StoreError};

/// What becomes of one account.
pub(crate) struct AccountChange {
    pub(super) address: Address,
    /// Whether its storage is gone, before `slots` are written.
    pub(super) wiped: bool,
    /// `None` when there is no such account any more.
    pub(super) info: Option<Info>,
    /// Slots and their new values.
    pub(super) slots: Vec<(U256, U256)>,
}

#[derive(Clone, Copy)]
pub(super) struct Info {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code_hash: B256,
}

/// A new state on its way to the store.
#[derive(Debug)]
pub(crate) struct NewState {
    pub(crate) root: Root,
    /// Numbers and bytes of new chunks of nodes.
    pub(crate) chunks: Vec<(u64, Vec<u8>)>,
}

/// Puts new nodes into chunks, and into the cache at once: the next block needs them.
struct ChunkWriter<'a> {
    shared: &'a Shared,
    chunks: Vec<(u64, Vec<u8>)>,
    node: Vec<u8>,
}

impl NodeSink for ChunkWriter<'_> {
    fn put(&mut self, stored: StoredNode, rlp: RlpNode, base: Option<Base>) -> Link {
        self.node.clear();
        let base = base.as_ref().map(|(place, node)| (*place, &**node));
        stored.encode(base, &mut self.node);
        let full = |chunk: &Vec<u8>| chunk.len() + self.node.len() > CHUNK_BYTES;
        if self.chunks.last().is_none_or(|(_, chunk)| full(chunk)) {
            self.chunks.push((self.shared.new_chunk(), Vec::new()));
        }
        let Some((number, chunk)) = self.chunks.last_mut() else {
            return Link { rlp, place: Place::NONE };
        };
        let link = Link { rlp, place: Place::new(*number, chunk.len()) };
        chunk.extend_from_slice(&self.node);
        self.shared.put_node(&link, Arc::new(stored));
        link
    }
}

impl<S: StateTables> BlockState<S> {
    /// The state behind the next block.
    pub(crate) fn apply(&self, changes: Vec<AccountChange>) -> Result<NewState, StoreError> {
        let mut sink = ChunkWriter { shared: &self.shared, chunks: Vec::new(), node: Vec::new() };
        let root = apply(self, self.root, changes, &mut sink)?;
        Ok(NewState { root, chunks: sink.chunks })
    }

    /// The state root after these changes, which are not stored: for who makes a block.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    pub fn root_after(&self, changes: &BundleState) -> Result<B256, StoreError> {
        let root = apply(self, self.root, of_bundle(changes), &mut trie::Forget)?;
        Ok(root.hash)
    }
}

fn apply(
    source: &impl NodeSource,
    root: Root,
    changes: Vec<AccountChange>,
    sink: &mut impl NodeSink,
) -> Result<Root, StoreError> {
    let mut keyed: Vec<(B256, AccountChange)> =
        changes.into_iter().map(|change| (hashed(change.address), change)).collect();
    keyed.sort_unstable_by_key(|(key, _)| *key);
    let mut accounts = Trie::open(root);
    for (key, change) in keyed {
        let before = trie::get(source, root, &key, |_, _| {})?;
        let Some(info) = change.info else {
            if before.is_some() {
                accounts.remove(source, &key)?;
            }
            continue;
        };
        let kept = before.as_ref().filter(|_| !change.wiped);
        let kept = kept.map(|value| found(value, key)).transpose()?;
        let storage = kept.map_or(Root::EMPTY, |found| found.storage);
        let storage = apply_slots(source, storage, change.slots, sink)?;
        let account = Account {
            nonce: info.nonce,
            balance: info.balance,
            storage_root: storage.hash,
            code_hash: info.code_hash,
        };
        let value = Value { rlp: alloy_rlp::encode(account).into(), below: storage.place };
        if before.is_none_or(|before| before != value) {
            accounts.insert(source, &key, value)?;
        }
    }
    Ok(accounts.commit(sink))
}

fn apply_slots(
    source: &impl NodeSource,
    root: Root,
    slots: Vec<(U256, U256)>,
    sink: &mut impl NodeSink,
) -> Result<Root, StoreError> {
    if slots.is_empty() {
        return Ok(root);
    }
    let mut keyed: Vec<(B256, U256)> =
        slots.into_iter().map(|(slot, value)| (hashed(B256::from(slot)), value)).collect();
    keyed.sort_unstable_by_key(|(key, _)| *key);
    let mut storage = Trie::open(root);
    for (key, value) in keyed {
        if value.is_zero() {
            storage.remove(source, &key)?;
        } else {
            let value =
                Value { rlp: alloy_rlp::encode_fixed_size(&value)[..].into(), below: Place::NONE };
            storage.insert(source, &key, value)?;
        }
    }
    Ok(storage.commit(sink))
}

/// The changes of one block, as the executor hands them over: accounts that it says are gone are
/// gone, also those that are empty (EIP-161), and empty ones that it keeps are kept.
pub(crate) fn of_bundle(bundle: &BundleState) -> Vec<AccountChange> {
    let changed = |account: &BundleAccount| {
        account.was_destroyed()
            || account.is_info_changed()
            || account.storage.values().any(|slot| slot.is_changed())
    };
    let accounts = bundle.state.iter().filter(|(_, account)| changed(account));
    accounts.map(|(address, account)| of_account(*address, account)).collect()
}

fn of_account(address: Address, account: &BundleAccount) -> AccountChange {
    let wiped = account.was_destroyed();
    let slots = account.storage.iter().filter(|(_, slot)| wiped || slot.is_changed());
    AccountChange {
        address,
        wiped,
        info: account.info.as_ref().map(|info| Info {
            nonce: info.nonce,
            balance: info.balance,
            code_hash: info.code_hash,
        }),
        slots: slots.map(|(slot, values)| (*slot, values.present_value)).collect(),
    }
}

/// The codes that a block has put there, with their hashes.
pub(crate) fn codes_of(bundle: &BundleState) -> impl Iterator<Item = (B256, Bytes)> {
    let of_accounts = bundle.state.values().filter_map(|account| account.info.as_ref());
    let of_accounts =
        of_accounts.filter_map(|info| Some((info.code_hash, info.code.as_ref()?.original_bytes())));
    let deployed = bundle.contracts.iter().map(|(hash, code)| (*hash, code.original_bytes()));
    deployed.chain(of_accounts).filter(|(hash, _)| *hash != KECCAK_EMPTY)
}

/// An account of the genesis block, and its code.
pub(crate) fn of_genesis(
    address: Address,
    account: &GenesisAccount,
) -> (AccountChange, Option<(B256, Bytes)>) {
    let code = account.code.clone().filter(|code| !code.is_empty());
    let code = code.map(|code| (keccak256(&code), code));
    let slots = account.storage.iter().flatten();
    let change = AccountChange {
        address,
        wiped: true,
        info: Some(Info {
            nonce: account.nonce.unwrap_or_default(),
            balance: account.balance,
            code_hash: code.as_ref().map_or(KECCAK_EMPTY, |(hash, _)| *hash),
        }),
        slots: slots.map(|(slot, value)| ((*slot).into(), (*value).into())).collect(),
    };
    (change, code)
}

const _: () = assert!(CHUNK_BYTES < 4_096, "a place has 12 bits for the offset");
