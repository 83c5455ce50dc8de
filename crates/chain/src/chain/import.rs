//! Taking blocks: check, execute, store, and decide on the head.

use core::cmp::Ordering;
use std::sync::{Arc, PoisonError};

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use chainmesh_proto::eth::chain::{ChainHead, ChainReader, ImportError, StorageError, SyncBlock};

use super::ahead::{self, LazyBody};
use super::future::FutureBlocks;
use super::made::MadeBlock;
use super::snapshots::{STORED_EVERY, SnapshotCache};
use super::{Chain, decode_header};
use crate::clique::Snapshot;
use crate::execute::{ExecutionError, KnownSenders};
use crate::heads::NewHead;
use crate::rules::{self, RuleError};
use crate::state::cache::Shared;
use crate::store::{Damage, StoreError, Tables};
use crate::{ChainSpec, Consensus};

/// Why one block was not taken.
pub(super) enum Refusal {
    Rule(RuleError),
    /// Its transactions break a rule.
    Execution(ExecutionError),
    UnknownParent,
    /// Nothing can be said about it, and it is not the store's fault.
    Unable(ExecutionError),
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

impl From<ExecutionError> for Refusal {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::State(source) => match source.downcast::<StoreError>() {
                Ok(store) => Self::Store(*store),
                Err(source) => Self::Unable(ExecutionError::State(source)),
            },
            error if error.blames_block() => Self::Execution(error),
            error => Self::Unable(error),
        }
    }
}

/// A block that is stored: what its child is measured against.
pub(super) struct Parent {
    pub(super) header: Header,
    pub(super) hash: B256,
    pub(super) total_difficulty: U256,
}

/// One batch on its way into the store.
pub(super) struct Batch<'a, 't> {
    pub(super) spec: &'a ChainSpec,
    pub(super) tables: Tables<'t>,
    pub(super) states: &'a Arc<Shared>,
    snapshots: &'a mut SnapshotCache,
    pub(super) future: &'a mut FutureBlocks,
    /// Who may know the senders of transactions.
    known: Option<Arc<dyn KnownSenders>>,
    /// The block that was made here last.
    pub(super) made: Option<MadeBlock>,
    /// The block taken last, most likely the parent of the next.
    last: Option<Parent>,
    head: ChainHead,
    /// Number of the last block that the head before the batch and the head now have in common.
    common_ancestor: u64,
    pub(super) now: u64,
    max_depth: u64,
    /// Blocks written so far.
    stored: usize,
}

impl Chain {
    pub(super) fn import_batch(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        let imported = self.try_batch(blocks);
        if matches!(imported, Err(ImportError::Storage(_))) {
            self.store.suspect();
        }
        imported
    }

    fn try_batch(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        let mut snapshots = self.lock();
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.head();
        let transaction = self.store.write().map_err(storage)?;
        let tables = Tables::open(&transaction).map_err(storage)?;
        let mut batch = Batch {
            spec: &self.spec,
            tables,
            states: &self.states,
            snapshots: &mut snapshots,
            future: &mut future,
            known: self.known_senders(),
            made: self.take_made(),
            last: None,
            head: previous,
            common_ancestor: previous.number,
            now: (self.options.clock)(),
            max_depth: self.options.max_side_chain_depth,
            stored: 0,
        };
        let refused = batch.take_all(blocks);
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
        drop(future);
        if head != previous {
            *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
            self.heads.publish(&NewHead { head, previous, common_ancestor });
        }
        match refused {
            None => Ok(head),
            Some((block, why)) => Err(import_error(&block.header, block.hash, why)),
        }
    }
}

impl Batch<'_, '_> {
    /// Takes blocks up to the first one that is refused.
    fn take_all<'b>(&mut self, blocks: &'b [SyncBlock]) -> Option<(&'b SyncBlock, Refusal)> {
        let spec = self.spec;
        let mut fresh = Vec::with_capacity(blocks.len());
        for block in blocks {
            match self.tables.index(&block.hash) {
                Ok(Some(_)) => {}
                Ok(None) => fresh.push(block),
                Err(error) => return Some((block, error.into())),
            }
        }
        let known = self.known.clone();
        ahead::decode(spec, &fresh, known.as_deref(), |block, body| self.take(block, body))
    }

    fn take(&mut self, block: &SyncBlock, body: LazyBody<'_>) -> Result<(), Refusal> {
        if self.tables.index(&block.hash)?.is_some() {
            return Ok(());
        }
        let header = &block.header;
        let Some(parent) = self.parent(header.parent_hash)? else {
            return self.hold_child(block);
        };
        let depth = self.head.number.saturating_sub(header.number);
        if depth > self.max_depth {
            return Err(RuleError::SideChainTooDeep { depth }.into());
        }
        let consensus = self.spec.consensus_after(parent.total_difficulty);
        rules::verify(self.spec, consensus, header, (&parent.header, parent.hash), self.now)?;
        let snapshot = match consensus {
            Consensus::Clique { epoch, .. } => {
                let snapshot = self.seal(epoch, block)?;
                if header.timestamp > self.now {
                    self.hold(block, snapshot);
                    return Ok(());
                }
                Some(snapshot)
            }
            _ => None,
        };
        let total_difficulty = parent
            .total_difficulty
            .checked_add(header.difficulty)
            .ok_or(RuleError::TotalDifficulty)?;
        let done = match self.made_here(consensus, block) {
            Some(executed) => self.state_after(&parent, block, executed)?,
            None => self.execute(consensus, &parent, block, &body()?)?,
        };
        let key = (header.number, block.hash);
        self.tables.put_block(key, &block.header_rlp, &block.body_rlp, total_difficulty)?;
        self.put_done(key, &done)?;
        if let Some(snapshot) = snapshot {
            if header.number.is_multiple_of(STORED_EVERY) {
                self.tables.put_snapshot(block.hash, &snapshot.to_rlp())?;
            }
            self.snapshots.put(Arc::new(snapshot));
        }
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

    /// Who may seal the child of the block, when its own seal is good.
    fn seal(&mut self, epoch: u64, block: &SyncBlock) -> Result<Snapshot, Refusal> {
        let header = &block.header;
        let snapshot = self.snapshots.behind(&self.tables, epoch, header.parent_hash)?;
        Ok(snapshot.apply(header, block.hash).map_err(RuleError::from)?)
    }

    /// Makes a stored block the head: its ancestors become canonical down to the first that is
    /// already, and numbers above it are given up. Their transactions go with them.
    fn set_head(&mut self, block: &SyncBlock, total_difficulty: U256) -> Result<(), StoreError> {
        let number = block.header.number;
        let mut gone = Vec::new();
        for above in number.saturating_add(1)..=self.head.number {
            gone.extend(self.tables.clear_canonical(above)?.map(|hash| (above, hash)));
        }
        let mut come = vec![(number, block.hash)];
        gone.extend(self.tables.set_canonical(number, block.hash)?.map(|hash| (number, hash)));
        let (mut at, mut hash) = (number, block.header.parent_hash);
        while at > 0 {
            at -= 1;
            if self.tables.canonical(at)? == Some(hash) {
                break;
            }
            gone.extend(self.tables.set_canonical(at, hash)?.map(|hash| (at, hash)));
            come.push((at, hash));
            let damaged = || StoreError::Inconsistent(Damage::Block(hash));
            let rlp = self.tables.header(at, &hash)?.ok_or_else(damaged)?;
            hash = decode_header(&rlp, &hash)?.parent_hash;
        }
        for block in gone {
            self.forget_transactions(block)?;
        }
        for block in come {
            self.place_transactions(block)?;
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

pub(super) fn import_error(header: &Header, hash: B256, why: Refusal) -> ImportError {
    let number = header.number;
    match why {
        Refusal::Rule(rule) => ImportError::Invalid { number, hash, reason: Box::new(rule) },
        Refusal::UnknownParent => {
            ImportError::UnknownParent { number, hash, parent: header.parent_hash }
        }
        Refusal::Execution(error) => ImportError::Invalid { number, hash, reason: Box::new(error) },
        Refusal::Unable(error) => ImportError::Storage(StorageError(Box::new(error))),
        Refusal::Store(error) => storage(error),
    }
}
