//! The clique snapshots that are at hand.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::B256;

use crate::clique::Snapshot;
use crate::store::{Damage, Reader, StoreError, Tables};

/// What is read to work out a snapshot: the store as it is, or as a transaction makes it.
pub(super) trait Source {
    fn number(&self, hash: &B256) -> Result<Option<u64>, StoreError>;
    fn header(&self, number: u64, hash: &B256) -> Result<Option<Vec<u8>>, StoreError>;
    fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError>;
}

impl Source for Reader {
    fn number(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        Ok(self.index(hash)?.map(|(number, _)| number))
    }

    fn header(&self, number: u64, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.header(number, hash)?.map(|rlp| rlp.to_vec()))
    }

    fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot(hash)
    }
}

impl Source for Tables<'_> {
    fn number(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        Ok(self.index(hash)?.map(|(number, _)| number))
    }

    fn header(&self, number: u64, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        self.header(number, hash)
    }

    fn snapshot(&self, hash: &B256) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot(hash)
    }
}

/// Every so many blocks a snapshot goes to disk (go-ethereum's clique, `checkpointInterval`), so
/// that at most so many headers are read to find out who may seal a block.
pub(super) const STORED_EVERY: u64 = 1024;

/// Snapshots in memory (go-ethereum's clique, `inmemorySnapshots`).
const IN_MEMORY: usize = 128;

/// Votes in all snapshots in memory, at most: more than there are in an epoch of 30,000 blocks each
/// of which votes on somebody new. A vote has about 100 bytes.
const VOTES_IN_MEMORY: usize = 1 << 17;

/// The last snapshots, by the hash of the block that they are behind.
#[derive(Debug, Default)]
pub(super) struct SnapshotCache {
    by_hash: HashMap<B256, Arc<Snapshot>>,
    /// In the order they came, for the oldest to go.
    order: VecDeque<B256>,
    votes: usize,
}

impl SnapshotCache {
    pub(super) fn put(&mut self, snapshot: Arc<Snapshot>) {
        let (hash, votes) = (snapshot.hash(), snapshot.vote_count());
        if self.by_hash.insert(hash, snapshot).is_none() {
            self.order.push_back(hash);
            self.votes += votes;
        }
        while self.order.len() > IN_MEMORY || (self.votes > VOTES_IN_MEMORY && self.order.len() > 1)
        {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(gone) = self.by_hash.remove(&oldest) {
                self.votes = self.votes.saturating_sub(gone.vote_count());
            }
        }
    }

    /// The snapshot behind a stored block: from memory, or worked out from the last one on disk
    /// and the headers since.
    pub(super) fn behind(
        &mut self,
        source: &impl Source,
        epoch: u64,
        hash: B256,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let mut since: Vec<(Header, B256)> = Vec::new();
        let mut at = hash;
        let mut snapshot = loop {
            if let Some(found) = self.by_hash.get(&at) {
                break Arc::clone(found);
            }
            let damaged = || StoreError::Inconsistent(Damage::Block(at));
            if let Some(rlp) = source.snapshot(&at)? {
                break Arc::new(Snapshot::from_rlp(&rlp, epoch).map_err(|_| damaged())?);
            }
            let number = source.number(&at)?.ok_or_else(damaged)?;
            let rlp = source.header(number, &at)?.ok_or_else(damaged)?;
            let header = super::decode_header(&rlp, &at)?;
            if number == 0 {
                let first = Snapshot::from_checkpoint(&header, at, epoch);
                break Arc::new(first.map_err(|_| damaged())?);
            }
            let parent = header.parent_hash;
            since.push((header, at));
            at = parent;
        };
        for (header, hash) in since.iter().rev() {
            let next = snapshot.apply(header, *hash);
            let damaged = |_| StoreError::Inconsistent(Damage::Block(*hash));
            snapshot = Arc::new(next.map_err(damaged)?);
            self.put(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }
}
