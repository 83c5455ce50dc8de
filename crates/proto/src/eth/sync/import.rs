//! Whole blocks on their way into the chain: one batch at a time, in order.

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::BlockId;

use super::super::chain::ChainHead;
use super::limits::STORAGE_PAUSE;
use super::line::Waiting;
use super::types::{ImportFailure, SyncFault, SyncOutput};
use super::{BlockSyncManager, Mode};
use crate::time::Instant;

/// Hashes of imported blocks that are remembered, so that they are not fetched again when several
/// peers announce them.
const MAX_RECENT: usize = 256;

/// The batch that is being imported.
#[derive(Debug)]
pub(super) struct Importing {
    blocks: Vec<Waiting>,
    /// The block below the first one; `None` when the blocks were announced.
    base: Option<BlockId>,
}

impl Importing {
    pub(super) const fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Who sent the header of a block of the batch, and the block below it in the batch.
    fn find(&self, hash: &B256) -> Option<(usize, PeerId)> {
        let place = self.blocks.iter().position(|one| one.header.hash == *hash)?;
        Some((place, self.blocks.get(place)?.owner))
    }
}

impl BlockSyncManager {
    pub(super) fn is_importing(&self, hash: &B256) -> bool {
        self.importing.as_ref().is_some_and(|batch| batch.find(hash).is_some())
    }

    pub(super) fn start_import(&mut self, now: Instant) {
        if self.importing.is_some() || self.import_not_before > now {
            return;
        }
        let base = self.line.base();
        let (blocks, base) = if matches!(self.mode, Mode::Following) {
            (self.take_announced(), None)
        } else {
            let (most, most_bytes) = (self.limits.import_blocks, self.limits.import_bytes);
            (self.line.take_ready(most, most_bytes), Some(base))
        };
        if blocks.is_empty() {
            return;
        }
        let batch = blocks.iter().filter_map(Waiting::block).collect();
        self.importing = Some(Importing { blocks, base });
        self.outputs.push_back(SyncOutput::Import(batch));
    }

    pub(super) fn on_imported(&mut self, head: ChainHead) {
        let Some(batch) = self.importing.take() else {
            self.set_local(head);
            return;
        };
        self.imported = self.imported.saturating_add(u64::try_from(batch.len()).unwrap_or(0));
        for block in &batch.blocks {
            self.remember_recent(block.header.hash);
        }
        // Whoever has no more than this was tried, whether or not it became the head.
        for peer in self.peers.values_mut() {
            if batch.find(&peer.hash).is_some() {
                peer.exhausted = Some(peer.hash);
            }
        }
        let before = self.local.hash;
        self.set_local(head);
        let head = self.local;
        if head.hash != before && batch.base.is_none() {
            self.outputs.push_back(SyncOutput::Announce(head));
        }
    }

    fn remember_recent(&mut self, hash: B256) {
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
    }

    pub(super) fn on_import_failed(
        &mut self,
        now: Instant,
        head: ChainHead,
        failure: ImportFailure,
    ) {
        self.set_local(head);
        let Some(batch) = self.importing.take() else { return };
        match failure {
            ImportFailure::Storage => self.retry_later(now, batch),
            ImportFailure::Invalid { hash } => self.blame(&batch, hash),
            ImportFailure::UnknownParent { hash } => self.fetch_parents(&batch, hash),
        }
    }

    /// The store may recover: the same blocks again in a while. Announced ones are dropped; the
    /// peers have them still.
    fn retry_later(&mut self, now: Instant, batch: Importing) {
        self.import_not_before = now + STORAGE_PAUSE;
        if let Some(base) = batch.base {
            self.line.give_back(base, batch.blocks);
        }
    }

    /// A block is invalid, and with it all above it.
    fn blame(&mut self, batch: &Importing, hash: B256) {
        self.remember_invalid(hash);
        self.begin_again_below(batch, &hash);
        if let Some((_, owner)) = batch.find(&hash) {
            self.fault(owner, SyncFault::InvalidBlock { hash });
        }
    }

    /// The chain does not know what the batch stands on: the branch has to be searched for.
    fn fetch_parents(&mut self, batch: &Importing, hash: B256) {
        self.begin_again_below(batch, &hash);
        if let Some((_, owner)) = batch.find(&hash)
            && let Some(peer) = self.peers.get_mut(&owner)
        {
            peer.diverged = true;
        }
    }

    /// The line begins again above the last block of the batch that was taken.
    fn begin_again_below(&mut self, batch: &Importing, hash: &B256) {
        let Some(base) = batch.base else { return };
        let place = batch.find(hash).map_or(0, |(place, _)| place);
        let below = place.checked_sub(1).and_then(|place| batch.blocks.get(place));
        self.imported = self.imported.saturating_add(u64::try_from(place).unwrap_or(0));
        self.restart_line(below.map_or(base, Waiting::id));
        self.forgive_diverged();
    }
}
