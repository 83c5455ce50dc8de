//! Nodes and codes in memory, shared by all who read states.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use revm::bytecode::Bytecode;

use super::node::{Link, Place, StoredNode};

/// Memory for nodes of the tries, bytes: the upper levels of the tries of a few million accounts.
pub(super) const NODE_BYTES: usize = 64 << 20;

/// Memory for codes with their tables of jump destinations, bytes.
pub(super) const CODE_BYTES: usize = 16 << 20;

/// What a table needs for an entry, beside the value, bytes (measured roughly).
const ENTRY_BYTES: usize = 64;

/// What all states of one store share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// With the hash of each: a damaged place may lead to a node that is somebody else's.
    nodes: Mutex<Generations<Place, (B256, Arc<StoredNode>)>>,
    codes: Mutex<Generations<B256, Bytecode>>,
    /// Number of the next chunk. No number is given twice while the process lives, not even when
    /// its transaction came to nothing, so that what is cached by place is never something else.
    next_chunk: AtomicU64,
}

impl Shared {
    /// `last_chunk` is the number of the last chunk on disk.
    pub(crate) fn new(last_chunk: u64) -> Self {
        Self {
            nodes: Mutex::new(Generations::new(NODE_BYTES)),
            codes: Mutex::new(Generations::new(CODE_BYTES)),
            next_chunk: AtomicU64::new(last_chunk.saturating_add(1)),
        }
    }

    pub(super) fn new_chunk(&self) -> u64 {
        self.next_chunk.fetch_add(1, Ordering::Relaxed)
    }

    /// The node that this link is of.
    pub(super) fn node(&self, link: &Link) -> Option<Arc<StoredNode>> {
        let (hash, node) = self.found(link.place)?;
        (hash == link.hash()).then_some(node)
    }

    /// The node at a place, whoever it belongs to.
    pub(super) fn node_at(&self, place: Place) -> Option<Arc<StoredNode>> {
        self.found(place).map(|(_, node)| node)
    }

    fn found(&self, place: Place) -> Option<(B256, Arc<StoredNode>)> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).get(&place)
    }

    pub(super) fn put_node(&self, link: &Link, node: Arc<StoredNode>) {
        let bytes = node.memory() + size_of::<B256>() + ENTRY_BYTES;
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.put(link.place, (link.hash(), node), bytes);
    }

    pub(super) fn code(&self, hash: B256) -> Option<Bytecode> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).get(&hash)
    }

    pub(super) fn put_code(&self, hash: B256, code: Bytecode) {
        // The table of jump destinations has one bit for each byte.
        let bytes = code.len() + code.len() / 8 + ENTRY_BYTES;
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).put(hash, code, bytes);
    }
}

/// A cache of two generations: what is used goes into the young one, and when that has half of
/// the memory, the old one is given up and the young one takes its place. What was not used for
/// half of the memory is gone, at the price of one table more, and nothing is ever sorted.
#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
    half: usize,
}

impl<K: Hash + Eq, V: Clone> Generations<K, V> {
    fn new(bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, half: bytes / 2 }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, bytes)) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), bytes);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, bytes: usize) {
        if bytes > self.half {
            return;
        }
        if self.young_bytes + bytes > self.half {
            self.old = core::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let before = self.young.insert(key, (value, bytes)).map_or(0, |(_, bytes)| bytes);
        self.young_bytes = (self.young_bytes + bytes).saturating_sub(before);
    }
}

#[cfg(test)]
mod tests;
