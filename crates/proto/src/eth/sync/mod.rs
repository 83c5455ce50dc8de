//! Block synchronisation: what is asked of whom, until this node has what its peers have.
//!
//! The machine is a circle of decisions that is gone through after every input:
//!
//! 1. **Which chain?** A peer that claims a better head than ours (more total difficulty, or with
//!    eth/69 a higher number) is worth asking. A Status without a number makes us ask for the
//!    head's header first.
//! 2. **Headers** are fetched in batches from the first missing block, from several peers at once,
//!    and put in a line where each is the child of the one before (`line.rs`).
//! 3. **Bodies** are spread over all peers, as many to each as it delivered before, and are taken
//!    only if they have the roots of a header that was asked for.
//! 4. **Import**: whole blocks leave the line at its lower end, in order, one batch at a time.
//! 5. **Another branch**: a peer whose headers do not fit on ours is asked where the branches
//!    part, first in doubling steps down, then by halving (`ancestor.rs`).
//! 6. **Following**: when nobody has more, announced blocks are fetched one by one (`follow.rs`).
//!
//! Who sent what is remembered. An answer that breaks a rule is dropped whole and its sender is
//! faulted; a silent peer's request goes to another one.

mod ancestor;
mod answer;
mod follow;
mod hedge;
mod import;
pub mod limits;
mod line;
mod peer;
mod schedule;
mod types;

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockId, BlockRange};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use self::ancestor::Search;
use self::follow::Announced;
use self::import::Importing;
use self::limits::{MAX_REMEMBERED_INVALID, SyncLimits};
use self::line::Line;
use self::peer::{HeaderQuery, Peer};
pub use self::types::{
    ImportFailure, RequestToken, SyncEvent, SyncFault, SyncInput, SyncOutput, SyncPeerReport,
    SyncReport, SyncState,
};
use super::chain::ChainHead;
use super::handler::PeerHead;
use crate::time::{Instant, earliest};

/// What the machine has to know from the beginning.
#[derive(Debug, Clone, Copy)]
pub struct SyncConfig {
    /// Hash of the genesis block, which all peers have.
    pub genesis_hash: B256,
    /// The local head: synchronisation goes on from here.
    pub head: ChainHead,
    /// Bounds.
    pub limits: SyncLimits,
}

/// What the machine is about; see [`SyncState`].
#[derive(Debug)]
enum Mode {
    Following,
    Fetching,
    Searching(Search),
}

/// Decides what blocks are asked of whom. Without IO: the driver sends, imports and tells.
#[derive(Debug)]
pub struct BlockSyncManager {
    limits: SyncLimits,
    genesis: BlockId,
    local: ChainHead,
    peers: BTreeMap<PeerId, Peer>,
    mode: Mode,
    line: Line,
    /// On whose branch the line began after a search; until its headers are here, only it is asked.
    master: Option<PeerId>,
    /// Whose branch was searched for last, until everything of it has been tried.
    branch_of: Option<PeerId>,
    importing: Option<Importing>,
    import_not_before: Instant,
    search_not_before: Instant,
    /// When a second peer may be asked for what all others wait for.
    hedge_at: Option<Instant>,
    announced: BTreeMap<B256, Announced>,
    invalid: VecDeque<B256>,
    recent: VecDeque<B256>,
    /// Average size of a body, bytes.
    body_size: usize,
    imported: u64,
    last_token: u64,
    outputs: VecDeque<SyncOutput>,
    random: ChaCha8Rng,
    /// When the last input came.
    now: Instant,
}

impl BlockSyncManager {
    /// A machine without peers.
    #[must_use]
    pub fn new(config: SyncConfig, seed: [u8; 32]) -> Self {
        let SyncConfig { genesis_hash, head, limits } = config;
        Self {
            limits,
            genesis: BlockId { hash: genesis_hash, number: 0 },
            local: head,
            peers: BTreeMap::new(),
            mode: Mode::Following,
            line: Line::new(id_of(&head)),
            master: None,
            branch_of: None,
            importing: None,
            import_not_before: Instant::ZERO,
            search_not_before: Instant::ZERO,
            hedge_at: None,
            announced: BTreeMap::new(),
            invalid: VecDeque::new(),
            recent: VecDeque::new(),
            body_size: 512,
            imported: 0,
            last_token: 0,
            outputs: VecDeque::new(),
            random: ChaCha8Rng::from_seed(seed),
            now: Instant::ZERO,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: SyncInput) {
        self.now = now;
        match input {
            SyncInput::PeerConnected { peer, head } => self.peer_connected(peer, head),
            SyncInput::PeerDisconnected { peer } => self.remove_peer(peer),
            SyncInput::Announced { peer, blocks } => self.on_announced(peer, &blocks),
            SyncInput::NewBlock { peer, block } => self.on_new_block(peer, *block),
            SyncInput::RangeUpdate { peer, range } => self.on_range_update(peer, range),
            SyncInput::Headers { peer, token, headers } => {
                self.on_headers(now, peer, token, headers);
            }
            SyncInput::Bodies { peer, token, bodies } => self.on_bodies(now, peer, token, bodies),
            SyncInput::RequestFailed { peer, token } => self.on_request_failed(now, peer, token),
            SyncInput::LookedUp { token, canonical } => self.on_looked_up(now, token, canonical),
            SyncInput::LocalHead(head) => self.set_local(head),
            SyncInput::Imported { head } => self.on_imported(head),
            SyncInput::ImportFailed { head, failure } => {
                self.on_import_failed(now, head, failure);
            }
        }
        self.decide(now);
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<SyncOutput> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let now = self.now;
        let mut wake = self.peers.values().fold(None, |wake, peer| earliest(wake, peer.wake(now)));
        wake = earliest(wake, self.hedge_at);
        for pause in [self.import_not_before, self.search_not_before] {
            if pause > now {
                wake = earliest(wake, Some(pause));
            }
        }
        wake
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.expire(now);
        self.decide(now);
    }

    /// Where the machine stands.
    #[must_use]
    pub fn snapshot(&self) -> SyncReport {
        let state = match &self.mode {
            Mode::Following => SyncState::Following,
            Mode::Fetching => SyncState::Fetching,
            Mode::Searching(_) => SyncState::SearchingAncestor,
        };
        let peers = self.peers.iter().map(|(id, peer)| SyncPeerReport {
            peer: *id,
            number: peer.number,
            headers_in_flight: peer.headers.job().map_or(0, |job| job.query.count()),
            bodies_in_flight: peer.bodies.job().map_or(0, |job| job.query.wanted().len()),
            round_trip: peer.round_trip,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            bodies_per_second: peer.rate as u64,
            strikes: peer.strikes,
        });
        SyncReport {
            state,
            head: self.local,
            target: self.target().unwrap_or(0).max(self.local.number),
            pending_headers: self.line.header_count(),
            pending_bodies: self.line.body_count(),
            pending_bytes: self.line.bytes() + self.announced_bytes(),
            importing: self.importing.as_ref().map_or(0, Importing::len),
            announced: self.announced.len(),
            imported: self.imported,
            peers: peers.collect(),
        }
    }

    fn peer_connected(&mut self, peer: PeerId, head: PeerHead) {
        self.remove_peer(peer);
        let lot = self.random.next_u64();
        self.peers.insert(peer, Peer::new(head, lot));
    }

    fn on_range_update(&mut self, peer: PeerId, range: BlockRange) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.earliest = range.earliest;
            peer.set_head(BlockId { hash: range.latest_hash, number: range.latest }, None);
        }
    }

    /// Forgets a peer; what it was asked for goes to others.
    fn remove_peer(&mut self, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        if let Some(job) = peer.bodies.job() {
            self.want_again(&job.query.clone());
        }
        self.announced.retain(|_, one| one.source != id);
        for place in [&mut self.master, &mut self.branch_of] {
            if *place == Some(id) {
                *place = None;
            }
        }
        if matches!(&self.mode, Mode::Searching(search) if search.peer == id) {
            self.mode = Mode::Fetching;
        }
    }

    /// A peer broke a rule: it is gone, and so is what only it said. It may have been gone before:
    /// headers are judged when those below them are here.
    fn fault(&mut self, peer: PeerId, fault: SyncFault) {
        let present = self.peers.contains_key(&peer);
        self.remove_peer(peer);
        self.line.drop_unconfirmed(peer);
        // Those that did not fit may have not fitted to this peer's headers.
        self.forgive_diverged();
        if present {
            self.outputs.push_back(SyncOutput::Fault { peer, fault });
        }
    }

    fn forgive_diverged(&mut self) {
        for peer in self.peers.values_mut() {
            peer.diverged = false;
        }
    }

    /// Forgets the line and begins again above `base`; answers under way are of no use.
    fn restart_line(&mut self, base: BlockId) {
        self.line.reset(base);
        for peer in self.peers.values_mut() {
            if let peer::Slot::Busy(job) = &mut peer.headers
                && matches!(job.query, HeaderQuery::Range { .. })
            {
                job.query = HeaderQuery::Abandoned;
            }
        }
    }

    /// The chain has this head. Heads may be told out of order, when this node makes a block during
    /// an import; the total difficulty of the head only ever rises.
    fn set_local(&mut self, head: ChainHead) {
        if head.total_difficulty >= self.local.total_difficulty {
            self.local = head;
        }
    }

    fn token(&mut self) -> RequestToken {
        self.last_token = self.last_token.wrapping_add(1);
        RequestToken(self.last_token)
    }

    fn is_invalid(&self, hash: &B256) -> bool {
        self.invalid.contains(hash)
    }

    fn remember_invalid(&mut self, hash: B256) {
        if self.invalid.len() >= MAX_REMEMBERED_INVALID {
            self.invalid.pop_front();
        }
        self.invalid.push_back(hash);
    }
}

/// A head as number and hash.
const fn id_of(head: &ChainHead) -> BlockId {
    BlockId { hash: head.hash, number: head.number }
}

#[cfg(test)]
mod tests;
