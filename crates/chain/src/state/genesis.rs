//! The state of the genesis block.

use std::sync::Arc;

use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256};

use super::apply;
use super::cache::Shared;
use super::node::Root;
use super::reader::BlockState;
use super::trie::hashed;
use crate::store::{StoreError, Tables};

/// So many accounts are written in one go: their nodes are all in memory meanwhile.
const ACCOUNTS_AT_ONCE: usize = 16_384;

/// Writes the accounts of the genesis block into an empty store; returns the root.
pub(crate) fn write(
    tables: &mut Tables<'_>,
    shared: &Arc<Shared>,
    genesis: &Genesis,
) -> Result<Root, StoreError> {
    // In the order of the trie, so that each portion is one part of it.
    let mut order: Vec<(B256, Address)> =
        genesis.alloc.keys().map(|address| (hashed(address), *address)).collect();
    order.sort_unstable();
    let mut root = Root::EMPTY;
    for portion in order.chunks(ACCOUNTS_AT_ONCE) {
        let accounts = portion.iter().filter_map(|(_, at)| Some((*at, genesis.alloc.get(at)?)));
        let mut changes = Vec::with_capacity(portion.len());
        for (address, account) in accounts {
            let (change, code) = apply::of_genesis(address, account);
            if let Some((hash, code)) = code {
                tables.put_code(hash, &code)?;
            }
            changes.push(change);
        }
        let state = BlockState::new(&*tables, Arc::clone(shared), root, (0, B256::ZERO));
        let next = state.apply(changes)?;
        tables.put_chunks(&next.chunks)?;
        root = next.root;
    }
    Ok(root)
}
