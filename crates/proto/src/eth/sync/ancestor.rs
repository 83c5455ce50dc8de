//! The search for the last block in common with a peer on another branch.
//!
//! `Asked` → `LookedUp` → `Asked` …: a header of the peer's chain by number, then whether that
//! block is in ours. Down from the lower of both heads in doubling steps until one is, then by
//! halving between that and the lowest that is not.

use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockHeader, BlockId};

use super::limits::{MAX_REORG_DEPTH, STORAGE_PAUSE};
use super::peer::HeaderQuery;
use super::types::{RequestToken, SyncEvent, SyncFault, SyncOutput};
use super::{BlockSyncManager, Mode};
use crate::time::Instant;

/// A search under way.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) peer: PeerId,
    /// The highest block that is known to be in common.
    low: BlockId,
    /// Whether the steps down have ended.
    halving: bool,
    /// The lowest number that is known not to be in common.
    high: u64,
    step: u64,
    /// The block that is being looked up in our chain.
    lookup: Option<(RequestToken, BlockId)>,
}

/// What a search does next.
enum Next {
    Ask(u64),
    Found(BlockId),
    TooDeep,
}

impl Search {
    /// The next number to ask for. `floor` is the lowest that another branch may begin at.
    fn next(&mut self, floor: u64) -> Next {
        if !self.halving {
            if self.high == 0 {
                return Next::Found(self.low);
            }
            if self.high <= floor && floor > 0 {
                return Next::TooDeep;
            }
            let number = self.high.saturating_sub(self.step).max(floor);
            self.step = self.step.saturating_mul(2);
            if number > 0 {
                return Next::Ask(number);
            }
            // The genesis block is in common: the Status said so.
            self.halving = true;
        }
        if self.high.saturating_sub(self.low.number) <= 1 {
            return Next::Found(self.low);
        }
        Next::Ask(self.low.number + (self.high - self.low.number) / 2)
    }
}

impl BlockSyncManager {
    /// Begins a search with the best peer that has a better chain and does not continue ours.
    pub(super) fn start_search(&mut self, now: Instant) -> bool {
        if self.search_not_before > now {
            return false;
        }
        let candidate = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_better(&self.local) && peer.can_send_headers(now))
            .filter(|(_, peer)| !self.announced.contains_key(&peer.hash))
            .filter_map(|(id, peer)| Some((peer.total_difficulty, peer.number?, *id)))
            .max();
        let Some((_, number, peer)) = candidate else { return false };
        let high = number.min(self.local.number).saturating_add(1);
        let search =
            Search { peer, low: self.genesis, halving: false, high, step: 1, lookup: None };
        self.mode = Mode::Searching(search);
        self.continue_search(now);
        true
    }

    fn continue_search(&mut self, now: Instant) {
        let floor = self.local.number.saturating_sub(MAX_REORG_DEPTH);
        let Mode::Searching(search) = &mut self.mode else { return };
        let peer = search.peer;
        match search.next(floor) {
            Next::Ask(number) => {
                self.send_header_query(now, peer, HeaderQuery::Ancestor { number });
            }
            Next::Found(ancestor) => self.ancestor_found(peer, ancestor),
            Next::TooDeep => {
                self.fault(peer, SyncFault::TooDeep { limit: MAX_REORG_DEPTH });
            }
        }
    }

    fn ancestor_found(&mut self, peer: PeerId, ancestor: BlockId) {
        self.mode = Mode::Fetching;
        self.forgive_diverged();
        self.restart_line(ancestor);
        self.master = Some(peer);
        self.branch_of = Some(peer);
        let depth = self.local.number.saturating_sub(ancestor.number);
        self.outputs.push_back(SyncOutput::Event(SyncEvent::Reorganising { ancestor, depth }));
    }

    /// The peer's header: is it ours too?
    pub(super) fn ancestor_header(&mut self, id: PeerId, headers: &[BlockHeader]) {
        let token = self.token();
        let (Mode::Searching(search), Some(header)) = (&mut self.mode, headers.first()) else {
            return;
        };
        if search.peer == id {
            let block = BlockId { hash: header.hash, number: header.header.number };
            search.lookup = Some((token, block));
            self.outputs.push_back(SyncOutput::Lookup { token, block });
        }
    }

    pub(super) fn on_looked_up(
        &mut self,
        now: Instant,
        token: RequestToken,
        canonical: Option<bool>,
    ) {
        let Mode::Searching(search) = &mut self.mode else { return };
        let Some((_, block)) = search.lookup.take_if(|(asked, _)| *asked == token) else { return };
        match canonical {
            Some(true) => {
                search.low = block;
                search.halving = true;
                // The head may have moved up since the search began.
                search.high = search.high.max(block.number.saturating_add(1));
            }
            Some(false) => search.high = block.number,
            None => {
                self.search_not_before = now + STORAGE_PAUSE;
                self.mode = Mode::Fetching;
                return;
            }
        }
        self.continue_search(now);
    }
}
