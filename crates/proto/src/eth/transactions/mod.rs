//! Gossip of transactions: who is told of what, and what is asked of whom.
//!
//! * **Spreading** (`spread.rs`): what becomes pending in our pool goes whole to about the square
//!   root of the peers, and as an announcement to the others; never to one that is known to have
//!   it. Large ones are announced to all.
//! * **Fetching** (`fetch.rs`): an announced transaction is waited for a moment, then asked of one
//!   of those who announced it; if that one is silent, of the next. One request to a peer at a
//!   time. What comes must be what was announced.
//! * **Checking**: what nobody has seen goes to the pool, once, whoever sends it. What the pool
//!   refused is not asked for again for a while.

mod fetch;
pub mod limits;
mod refused;
mod spread;
mod types;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::TransactionAnnouncement;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use self::fetch::{Fetcher, Wanted};
use self::refused::Refused;
pub use self::types::{
    BatchId, FetchToken, GossipFault, GossipInput, GossipOutput, GossipReport, ReceivedTransaction,
};
use super::known::{KnownHashes, MAX_KNOWN_TRANSACTIONS};
use super::pool::Verdict;
use crate::time::Instant;
use crate::timers::Timers;

/// A peer, as gossip sees it.
#[derive(Debug)]
struct Peer {
    /// What it has.
    known: KnownHashes,
    /// Decides for whose transactions it is one of those that get them whole.
    lot: u64,
    fetcher: Fetcher,
}

/// What a peer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// Something that it announced has been waited for long enough.
    Arrive,
    /// An answer.
    Answer,
}

/// Decides who is told of transactions, and whom to ask for them. Without IO: the driver sends, and
/// gives transactions to the pool.
#[derive(Debug)]
pub struct TransactionGossip {
    peers: BTreeMap<PeerId, Peer>,
    /// What was announced and is not here.
    wanted: HashMap<B256, Wanted>,
    /// What the pool is checking.
    checking: HashSet<B256>,
    refused: Refused,
    timers: Timers<(PeerId, Wait)>,
    outputs: VecDeque<GossipOutput>,
    random: ChaCha8Rng,
    last_token: u64,
    sent: u64,
    announced: u64,
    fetched: u64,
}

impl TransactionGossip {
    /// A machine without peers.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            peers: BTreeMap::new(),
            wanted: HashMap::new(),
            checking: HashSet::new(),
            refused: Refused::default(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
            random: ChaCha8Rng::from_seed(seed),
            last_token: 0,
            sent: 0,
            announced: 0,
            fetched: 0,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: GossipInput) {
        match input {
            GossipInput::PeerConnected { peer, offered } => self.peer_connected(now, peer, offered),
            GossipInput::PeerDisconnected { peer } => self.remove_peer(now, peer),
            GossipInput::Announced { peer, transactions, wanted } => {
                self.on_announced(now, peer, &transactions, &wanted);
            }
            GossipInput::Received { peer, batch, transactions, known } => {
                self.on_received(peer, batch, transactions, &known);
            }
            GossipInput::Fetched { peer, token, batch, transactions } => {
                self.on_fetched(now, peer, token, batch, transactions);
            }
            GossipInput::RequestFailed { peer, token } => self.on_request_failed(now, peer, token),
            GossipInput::Checked { peer, verdicts } => self.on_checked(now, peer, &verdicts),
            GossipInput::Pending(transactions) => self.spread(&transactions),
        }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<GossipOutput> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((peer, wait)) = self.timers.pop_due(now) {
            match wait {
                Wait::Arrive => self.ask(now, peer),
                Wait::Answer => self.on_silence(now, peer),
            }
        }
    }

    /// Where the machine stands.
    #[must_use]
    pub fn snapshot(&self) -> GossipReport {
        GossipReport {
            peers: self.peers.len(),
            wanted: self.wanted.len(),
            requests: self.peers.values().filter(|peer| peer.fetcher.is_asked()).count(),
            checking: self.checking.len(),
            refused: self.refused.len(),
            sent: self.sent,
            announced: self.announced,
            fetched: self.fetched,
        }
    }

    fn peer_connected(&mut self, now: Instant, id: PeerId, offered: Vec<TransactionAnnouncement>) {
        // A session may be replaced by another one of the same peer.
        self.remove_peer(now, id);
        let mut known = KnownHashes::new(MAX_KNOWN_TRANSACTIONS);
        for one in &offered {
            known.insert(&one.hash);
        }
        let peer = Peer { known, lot: self.random.next_u64(), fetcher: Fetcher::default() };
        self.peers.insert(id, peer);
        self.announce(&[id], offered);
    }

    /// Forgets a peer; what it was asked for is asked of others.
    fn remove_peer(&mut self, now: Instant, id: PeerId) {
        if let Some(peer) = self.peers.remove(&id) {
            self.forget_waits(id);
            self.release(now, id, peer.fetcher.all());
        }
    }

    fn forget_waits(&mut self, id: PeerId) {
        self.timers.cancel(&(id, Wait::Arrive));
        self.timers.cancel(&(id, Wait::Answer));
    }

    /// A peer broke a rule: it is gone.
    fn fault(&mut self, now: Instant, peer: PeerId, fault: GossipFault) {
        if self.peers.contains_key(&peer) {
            self.outputs.push_back(GossipOutput::Fault { peer, fault });
            self.remove_peer(now, peer);
        }
    }

    fn on_received(
        &mut self,
        id: PeerId,
        batch: BatchId,
        transactions: Vec<ReceivedTransaction>,
        known: &[B256],
    ) {
        if let Some(peer) = self.peers.get_mut(&id) {
            for hash in known.iter().chain(transactions.iter().map(|one| &one.hash)) {
                peer.known.insert(hash);
            }
        }
        self.check(id, batch, transactions);
    }

    /// Gives to the pool what is new.
    fn check(&mut self, peer: PeerId, batch: BatchId, mut transactions: Vec<ReceivedTransaction>) {
        transactions.retain(|one| {
            self.arrived(&one.hash);
            !self.refused.contains(&one.hash) && self.checking.insert(one.hash)
        });
        self.outputs.push_back(GossipOutput::Check { peer, batch, transactions });
    }

    fn on_checked(&mut self, now: Instant, peer: PeerId, verdicts: &[(B256, Verdict)]) {
        self.refused.expire(now);
        let mut malformed = None;
        for (hash, verdict) in verdicts {
            self.checking.remove(hash);
            match verdict {
                Verdict::Added | Verdict::Known => {}
                Verdict::Refused => self.refused.insert(now, *hash),
                Verdict::Malformed => {
                    self.refused.insert(now, *hash);
                    malformed.get_or_insert(*hash);
                }
            }
        }
        if let Some(hash) = malformed {
            self.fault(now, peer, GossipFault::Malformed { hash });
        }
    }
}

#[cfg(test)]
mod tests;
