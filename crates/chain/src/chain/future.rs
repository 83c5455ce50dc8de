//! Blocks of a clique network whose time has not come: nobody's clock is quite right.
//!
//! go-ethereum refuses such a block as head and keeps it for later if it is no more than 30 s
//! ahead; so do we. It is neither stored nor served before its time, and so it is not relayed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use alloy_primitives::B256;
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, ImportError, SyncBlock};

use super::Chain;
use super::import::{Batch, Refusal};
use crate::clique::Snapshot;
use crate::rules::{self, RuleError};

/// Blocks that are held at most. A network with a period of one second makes 30 in the time.
const MAX_HELD: usize = 64;

/// Bytes of the blocks that are held, at most.
const MAX_HELD_BYTES: usize = 32 << 20;

/// A block that keeps all rules but that of its time.
#[derive(Debug)]
struct Held {
    block: SyncBlock,
    snapshot: Arc<Snapshot>,
}

/// The blocks that are held, by time and number.
#[derive(Debug, Default)]
pub(super) struct FutureBlocks {
    held: BTreeMap<(u64, u64, B256), Held>,
    places: HashMap<B256, (u64, u64, B256)>,
    bytes: usize,
}

impl FutureBlocks {
    fn find(&self, hash: &B256) -> Option<&Held> {
        self.places.get(hash).and_then(|place| self.held.get(place))
    }

    /// Holds a block if there is room. Otherwise it is forgotten: its sender has it still.
    fn hold(&mut self, block: &SyncBlock, snapshot: Snapshot) {
        let size = size(block);
        let full = self.held.len() >= MAX_HELD || self.bytes + size > MAX_HELD_BYTES;
        if full || self.places.contains_key(&block.hash) {
            return;
        }
        let place = (block.header.timestamp, block.header.number, block.hash);
        self.places.insert(block.hash, place);
        self.bytes += size;
        self.held.insert(place, Held { block: block.clone(), snapshot: Arc::new(snapshot) });
    }

    /// The next one whose time has come.
    fn take_due(&mut self, now: u64) -> Option<SyncBlock> {
        let first = self.held.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let (_, held) = first.remove_entry();
        self.places.remove(&held.block.hash);
        self.bytes -= size(&held.block);
        Some(held.block)
    }
}

fn size(block: &SyncBlock) -> usize {
    block.header_rlp.len() + block.body_rlp.len()
}

impl Batch<'_, '_> {
    /// Keeps a block of the future whose parent is stored.
    pub(super) fn hold(&mut self, block: &SyncBlock, snapshot: Snapshot) {
        self.future.hold(block, snapshot);
    }

    /// Keeps a block whose parent is kept.
    pub(super) fn hold_child(&mut self, block: &SyncBlock) -> Result<(), Refusal> {
        let header = &block.header;
        let Some(parent) = self.future.find(&header.parent_hash) else {
            return Err(Refusal::UnknownParent);
        };
        let above = (&parent.block.header, parent.block.hash);
        rules::verify(self.spec, self.spec.consensus(), header, above, self.now)?;
        let snapshot = parent.snapshot.apply(header, block.hash).map_err(RuleError::from)?;
        self.future.hold(block, snapshot);
        Ok(())
    }
}

impl Chain {
    /// When the next block that is held for later may be imported, seconds since 1970; `None` when
    /// there is none. From memory. Blocks of a clique network that are up to
    /// [`rules::HELD_SECONDS`] ahead of our clock are held.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        future.held.keys().next().map(|place| place.0)
    }

    /// Imports the blocks that were held and whose time has come; returns the head. One that turns
    /// out to break a rule is dropped.
    ///
    /// # Errors
    /// When the store fails; then the blocks that were due are forgotten.
    pub fn import_due(&self) -> Result<ChainHead, ImportError> {
        let now = (self.options.clock)();
        while let Some(block) = {
            let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
            future.take_due(now)
        } {
            if let Err(error @ ImportError::Storage(_)) = self.import_batch(&[block]) {
                return Err(error);
            }
        }
        Ok(self.head())
    }
}
