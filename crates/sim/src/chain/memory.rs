//! A store of blocks in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::{
    ChainHead, ChainReader, ChainWriter, ImportError, StorageError, SyncBlock,
};

use super::blocks::{INVALID, genesis};

/// A chain in memory: fork choice by total difficulty, and one rule of validity (see [`INVALID`]).
///
/// It believes what synchronisation promises, that a block has the body of its header, so that a
/// broken promise is seen by the world's invariants and not hidden by the store.
///
/// It is its node's disk: it is shared with the scenario, and survives the node's crashes.
#[derive(Debug)]
pub struct MemoryChain(Mutex<Blocks>);

#[derive(Debug, Clone)]
struct Blocks {
    known: BTreeMap<B256, (Arc<SyncBlock>, U256)>,
    /// By number. The first is the genesis block.
    canonical: Vec<B256>,
    head: ChainHead,
}

/// A rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the block says itself that it is invalid")]
struct MarkedInvalid;

impl Clone for MemoryChain {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.blocks().clone()))
    }
}

impl Default for MemoryChain {
    /// A chain with the genesis block alone.
    fn default() -> Self {
        let genesis = genesis();
        let (hash, difficulty) = (genesis.hash, genesis.header.difficulty);
        let head = head_of(&genesis, difficulty);
        let known = BTreeMap::from([(hash, (Arc::new(genesis), difficulty))]);
        Self(Mutex::new(Blocks { known, canonical: vec![hash], head }))
    }
}

fn head_of(block: &SyncBlock, total_difficulty: U256) -> ChainHead {
    ChainHead {
        number: block.header.number,
        hash: block.hash,
        timestamp: block.header.timestamp,
        total_difficulty,
    }
}

impl MemoryChain {
    /// A chain with these blocks above the genesis block.
    ///
    /// # Errors
    /// When they cannot be imported.
    pub fn with(blocks: &[SyncBlock]) -> Result<Self, ImportError> {
        let chain = Self::default();
        chain.import(blocks)?;
        Ok(chain)
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A known block.
    #[must_use]
    pub fn block(&self, hash: &B256) -> Option<Arc<SyncBlock>> {
        self.blocks().known.get(hash).map(|(block, _)| Arc::clone(block))
    }

    /// The canonical block with this number.
    #[must_use]
    pub fn canonical_block(&self, number: u64) -> Option<Arc<SyncBlock>> {
        let blocks = self.blocks();
        let hash = blocks.canonical.get(usize::try_from(number).ok()?)?;
        blocks.known.get(hash).map(|(block, _)| Arc::clone(block))
    }

    /// Takes a block as the new head whatever it is: what a liar serves.
    pub fn force(&self, block: SyncBlock) {
        let mut blocks = self.blocks();
        let parent = blocks.known.get(&block.header.parent_hash);
        let below = parent.map_or(U256::ZERO, |(_, difficulty)| *difficulty);
        let difficulty = below.saturating_add(block.header.difficulty);
        blocks.canonical.truncate(usize::try_from(block.header.number).unwrap_or(usize::MAX));
        blocks.canonical.push(block.hash);
        blocks.head = head_of(&block, difficulty);
        blocks.known.insert(block.hash, (Arc::new(block), difficulty));
    }
}

impl Blocks {
    fn take(&mut self, block: &SyncBlock) -> Result<(), ImportError> {
        if self.known.contains_key(&block.hash) {
            return Ok(());
        }
        let (number, hash) = (block.header.number, block.hash);
        let parent = block.header.parent_hash;
        let Some((_, below)) = self.known.get(&parent) else {
            return Err(ImportError::UnknownParent { number, hash, parent });
        };
        if *block.header.extra_data == *INVALID {
            return Err(ImportError::Invalid { number, hash, reason: MarkedInvalid.into() });
        }
        let difficulty = below.saturating_add(block.header.difficulty);
        self.known.insert(hash, (Arc::new(block.clone()), difficulty));
        if difficulty > self.head.total_difficulty {
            self.head = head_of(block, difficulty);
            self.reorganise(hash);
        }
        Ok(())
    }

    /// Makes the branch that ends with `hash` the canonical one.
    fn reorganise(&mut self, mut hash: B256) {
        let mut fresh = Vec::new();
        while let Some((block, _)) = self.known.get(&hash) {
            let number = usize::try_from(block.header.number).unwrap_or(usize::MAX);
            if self.canonical.get(number) == Some(&hash) {
                self.canonical.truncate(number.saturating_add(1));
                break;
            }
            fresh.push(hash);
            hash = block.header.parent_hash;
        }
        self.canonical.extend(fresh.into_iter().rev());
    }
}

impl ChainReader for MemoryChain {
    fn genesis_hash(&self) -> B256 {
        self.blocks().canonical.first().copied().unwrap_or_default()
    }

    fn head(&self) -> ChainHead {
        self.blocks().head
    }

    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.blocks().canonical.get(number).copied())
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        Ok(self.block(hash).map(|block| block.header.number))
    }

    fn header_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        Ok(self.block(hash).map(|block| block.header_rlp.clone()))
    }

    fn body_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        Ok(self.block(hash).map(|block| block.body_rlp.clone()))
    }
}

impl ChainWriter for MemoryChain {
    fn import(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        let mut known = self.blocks();
        blocks.iter().try_for_each(|block| known.take(block))?;
        Ok(known.head)
    }
}
