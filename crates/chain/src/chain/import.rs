//! Taking blocks: check, store, and decide on the head.

use core::cmp::Ordering;
use std::sync::{Arc, PoisonError};

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, ImportError, SyncBlock};

use super::snapshots::{STORED_EVERY, SnapshotCache};
use super::{Chain, decode_header};
use crate::heads::NewHead;
use crate::rules::{self, RuleError};
use crate::store::{Damage, StoreError, Tables};
use crate::{ChainSpec, Consensus};

/// Why one block was not taken.
enum Refusal {
    Rule(RuleError),
    UnknownParent,
    Store(StoreError),
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        Self::Rule(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A block that is stored: what its child is measured against.
struct Parent {
    header: Header,
    hash: B256,
    total_difficulty: U256,
}

/// One batch on its way into the store.
struct Batch<'a, 't> {
    spec: &'a ChainSpec,
    tables: Tables<'t>,
    snapshots: &'a mut SnapshotCache,
    /// The block taken last, most likely the parent of the next.
    last: Option<Parent>,
    head: ChainHead,
    /// Number of the last block that the head before the batch and the head now have in common.
    common_ancestor: u64,
    now: u64,
    max_depth: u64,
    /// Blocks written so far.
    stored: usize,
}

impl Chain {
    pub(super) fn import_batch(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        let mut snapshots = self.lock();
        let previous = self.head();
        let transaction = self.store.write().map_err(storage)?;
        let tables = Tables::open(&transaction).map_err(storage)?;
        let mut batch = Batch {
            spec: &self.spec,
            tables,
            snapshots: &mut snapshots,
            last: None,
            head: previous,
            common_ancestor: previous.number,
            now: (self.options.clock)(),
            max_depth: self.options.max_side_chain_depth,
            stored: 0,
        };
        let refused =
            blocks.iter().find_map(|block| batch.take(block).err().map(|why| (block, why)));
        // A failed store commits nothing: what it has written may be half of a block.
        if let Some((_, Refusal::Store(error))) = refused {
            *snapshots = SnapshotCache::default();
            return Err(storage(error));
        }
        let (head, common_ancestor) = (batch.head, batch.common_ancestor);
        let finished = batch.finish(previous).and_then(|stored| match stored {
            0 => transaction.abort().map_err(StoreError::from),
            _ => transaction.commit().map_err(StoreError::from),
        });
        if let Err(error) = finished {
            *snapshots = SnapshotCache::default();
            return Err(storage(error));
        }
        if head != previous {
            *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
            self.heads.publish(&NewHead { head, previous, common_ancestor });
        }
        match refused {
            None => Ok(head),
            Some((block, why)) => Err(import_error(block, why)),
        }
    }
}

impl Batch<'_, '_> {
    fn take(&mut self, block: &SyncBlock) -> Result<(), Refusal> {
        if self.tables.index(&block.hash)?.is_some() {
            return Ok(());
        }
        let header = &block.header;
        let parent = self.parent(header.parent_hash)?.ok_or(Refusal::UnknownParent)?;
        let depth = self.head.number.saturating_sub(header.number);
        if depth > self.max_depth {
            return Err(RuleError::SideChainTooDeep { depth }.into());
        }
        let consensus = self.spec.consensus_after(parent.total_difficulty);
        rules::verify(self.spec, consensus, header, (&parent.header, parent.hash), self.now)?;
        if let Consensus::Clique { epoch, .. } = consensus {
            self.seal(epoch, block)?;
        }
        let total_difficulty = parent
            .total_difficulty
            .checked_add(header.difficulty)
            .ok_or(RuleError::TotalDifficulty)?;
        let key = (header.number, block.hash);
        self.tables.put_block(key, &block.header_rlp, &block.body_rlp, total_difficulty)?;
        self.last = Some(Parent { header: header.clone(), hash: block.hash, total_difficulty });
        self.stored += 1;
        if self.is_better(consensus, block, total_difficulty) {
            self.set_head(block, total_difficulty)?;
        }
        Ok(())
    }

    /// Whether a block is to be the head: see [`Chain`].
    fn is_better(&self, consensus: Consensus, block: &SyncBlock, total_difficulty: U256) -> bool {
        let (number, head) = (block.header.number, &self.head);
        match total_difficulty.cmp(&head.total_difficulty) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => match consensus {
                Consensus::ProofOfStake => number > head.number,
                Consensus::Clique { .. } => (number, block.hash) < (head.number, head.hash),
                Consensus::UnsealedProofOfWork => false,
            },
        }
    }

    fn parent(&mut self, hash: B256) -> Result<Option<Parent>, StoreError> {
        if let Some(last) = self.last.take_if(|last| last.hash == hash) {
            return Ok(Some(last));
        }
        let Some((number, total_difficulty)) = self.tables.index(&hash)? else { return Ok(None) };
        let damaged = || StoreError::Inconsistent(Damage::Block(hash));
        let rlp = self.tables.header(number, &hash)?.ok_or_else(damaged)?;
        Ok(Some(Parent { header: decode_header(&rlp, &hash)?, hash, total_difficulty }))
    }

    fn seal(&mut self, epoch: u64, block: &SyncBlock) -> Result<(), Refusal> {
        let header = &block.header;
        let snapshot = self.snapshots.behind(&self.tables, epoch, header.parent_hash)?;
        let next = snapshot.apply(header, block.hash).map_err(RuleError::from)?;
        if header.number.is_multiple_of(STORED_EVERY) {
            self.tables.put_snapshot(block.hash, &next.to_rlp())?;
        }
        self.snapshots.put(Arc::new(next));
        Ok(())
    }

    /// Makes a stored block the head: its ancestors become canonical down to the first that is
    /// already, and numbers above it are given up.
    fn set_head(&mut self, block: &SyncBlock, total_difficulty: U256) -> Result<(), StoreError> {
        let number = block.header.number;
        for above in number.saturating_add(1)..=self.head.number {
            self.tables.clear_canonical(above)?;
        }
        self.tables.set_canonical(number, block.hash)?;
        let (mut at, mut hash) = (number, block.header.parent_hash);
        while at > 0 {
            at -= 1;
            if self.tables.canonical(at)? == Some(hash) {
                break;
            }
            self.tables.set_canonical(at, hash)?;
            let damaged = || StoreError::Inconsistent(Damage::Block(hash));
            let rlp = self.tables.header(at, &hash)?.ok_or_else(damaged)?;
            hash = decode_header(&rlp, &hash)?.parent_hash;
        }
        self.common_ancestor = self.common_ancestor.min(at);
        let timestamp = block.header.timestamp;
        self.head = ChainHead { number, hash: block.hash, timestamp, total_difficulty };
        Ok(())
    }

    /// Writes down the head; returns the number of blocks that were stored.
    fn finish(mut self, previous: ChainHead) -> Result<usize, StoreError> {
        if self.head != previous {
            self.tables.set_head(self.head.hash)?;
        }
        Ok(self.stored)
    }
}

fn storage(error: StoreError) -> ImportError {
    ImportError::Storage(error.into())
}

fn import_error(block: &SyncBlock, why: Refusal) -> ImportError {
    let (number, hash) = (block.header.number, block.hash);
    match why {
        Refusal::Rule(rule) => ImportError::Invalid { number, hash, reason: Box::new(rule) },
        Refusal::UnknownParent => {
            ImportError::UnknownParent { number, hash, parent: block.header.parent_hash }
        }
        Refusal::Store(error) => storage(error),
    }
}
