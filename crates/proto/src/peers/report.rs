//! The read model: what RPC, metrics and the dashboard show of the connections.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::DisconnectReason;

use super::connection::{Connection, Stage};
use super::target::{Schedule, Target};
use super::{
    Attempt, ClosedBy, ConnectionId, DialError, DialTarget, Direction, NodeKind, Offence,
    PeerManager, RefuseReason, Slot, SlotUse, TargetKey, Timer,
};
use crate::time::Instant;

/// Where a peer or target is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// Never dialled: this node itself listens at the target's address.
    OwnAddress,
    /// The next dial waits for its backoff.
    Waiting,
    /// The next dial waits for a slot.
    Queued,
    /// The TCP connection is being made.
    Dialing,
    /// The cryptographic handshake is under way.
    Handshaking,
    /// The identity is proved; Hello and the modules' handshakes are under way.
    Authenticated,
    /// A session.
    Connected,
}

/// Everything known about a connection or a wanted peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who: proved by the handshake from [`PeerState::Authenticated`] on, else who is expected.
    pub id: Option<PeerId>,
    /// Its state.
    pub state: PeerState,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// The other end of the connection.
    pub address: Option<SocketAddr>,
    /// Who connected.
    pub direction: Option<Direction>,
    /// What its slot is counted as.
    pub slot: Option<Slot>,
    /// Name of its software, escaped and cut to 64 characters.
    pub client: String,
    /// Its capabilities, such as `eth/68`.
    pub capabilities: Vec<String>,
    /// When it was dialled or came in.
    pub started: Option<Instant>,
    /// Since when it is connected.
    pub connected_since: Option<Instant>,
    /// Where it is dialled; `None` for a peer that only came to us.
    pub target: Option<DialTarget>,
    /// How much it is wanted; `None` for a peer that only came to us.
    pub kind: Option<NodeKind>,
    /// Dials so far.
    pub dials: u64,
    /// Failures in a row.
    pub failures: u32,
    /// When it is dialled next, while it waits for its backoff.
    pub next_dial: Option<Instant>,
    /// Its score: below zero for offences, above for good conduct. As of the last thing that happened.
    pub score: i32,
    /// How the last attempts ended, oldest first.
    pub history: Vec<Attempt>,
}

/// Counts since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerCounters {
    /// Dials made.
    pub dials: u64,
    /// Inbound connections taken.
    pub accepted: u64,
    /// Inbound connections not taken, by reason.
    pub refused: BTreeMap<RefuseReason, u64>,
    /// Dials that led to no connection, by error.
    pub dial_failures: BTreeMap<DialError, u64>,
    /// Connections that ended, by reason, by whom, by direction.
    pub disconnects: BTreeMap<(DisconnectReason, ClosedBy, Direction), u64>,
    /// Connections replaced because both sides had dialled.
    pub replaced: u64,
    /// Live second holders of a connected peer's key.
    pub duplicate_identity: u64,
    /// What peers did wrong.
    pub offences: BTreeMap<Offence, u64>,
    /// Peers that were banned for it.
    pub conduct_bans: u64,
    /// Peers that were let go for others.
    pub rotated: u64,
}

/// What [`PeerManager::snapshot`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Connections first, then the targets that have none.
    pub peers: Vec<PeerInfo>,
    /// Sessions.
    pub connected: usize,
    /// Inbound connections without a proven identity.
    pub pending_inbound: usize,
    /// Dials and their handshakes under way.
    pub dialing: usize,
    /// Slots used and free.
    pub slots: SlotUse,
    /// IDs whose score is remembered.
    pub scores: usize,
    /// Whether observers have heard that there are too few peers.
    pub too_few_peers: bool,
    /// Counts since the start.
    pub counters: PeerCounters,
}

impl PeerManager {
    /// Everything there is to know, as of now.
    #[must_use]
    pub fn snapshot(&self) -> Report {
        let connections = self.connections.iter().map(|(conn, connection)| {
            let target = self.target_of(connection).and_then(|key| self.targets.get(&key));
            self.info(Some((*conn, connection)), target)
        });
        let unconnected = self.targets.values().filter(|target| match target.schedule {
            Schedule::Dialing(_) | Schedule::Settled => false,
            Schedule::Ready(_) | Schedule::Waiting | Schedule::OwnAddress => true,
        });
        let unconnected = unconnected.map(|target| self.info(None, Some(target)));
        Report {
            peers: connections.chain(unconnected).collect(),
            connected: self.peer_count(),
            pending_inbound: self.admission.pending(),
            dialing: self.dialing,
            slots: self.slots,
            scores: self.reputation.len(),
            too_few_peers: self.too_few,
            counters: self.counters.clone(),
        }
    }

    fn target_of(&self, connection: &Connection) -> Option<TargetKey> {
        connection.target.clone().or_else(|| connection.id.map(TargetKey::Id))
    }

    fn info(
        &self,
        connection: Option<(ConnectionId, &Connection)>,
        target: Option<&Target>,
    ) -> PeerInfo {
        let stage = connection.map(|(_, connection)| connection.stage);
        let state = match (stage, target.map(|target| target.schedule)) {
            (Some(Stage::Dialing), _) => PeerState::Dialing,
            (Some(Stage::Handshaking), _) => PeerState::Handshaking,
            (Some(Stage::Authenticated), _) => PeerState::Authenticated,
            (Some(Stage::Established { .. }), _) => PeerState::Connected,
            (None, Some(Schedule::Ready(_))) => PeerState::Queued,
            (None, Some(Schedule::OwnAddress)) => PeerState::OwnAddress,
            (None, _) => PeerState::Waiting,
        };
        let found = connection.map(|(_, connection)| connection);
        let id = found.and_then(|c| c.id.or(c.expected)).or_else(|| target.and_then(Target::id));
        PeerInfo {
            id,
            score: id.map_or(0, |id| self.reputation.score(self.told, &id)),
            state,
            connection: connection.map(|(conn, _)| conn),
            address: found.and_then(|c| c.address),
            direction: found.map(|c| c.direction),
            slot: found.and_then(|c| c.slot),
            client: found.map(|c| c.client.clone()).unwrap_or_default(),
            capabilities: found.map(|c| c.capabilities.clone()).unwrap_or_default(),
            started: found.map(|c| c.started),
            connected_since: match stage {
                Some(Stage::Established { since }) => Some(since),
                _ => None,
            },
            target: target.map(|t| t.target.clone()),
            kind: target.map(|t| t.kind),
            dials: target.map_or(0, |t| t.dials),
            failures: target.map_or(0, |t| t.failures),
            next_dial: target.and_then(|t| self.timers.deadline(&Timer::Redial(t.target.key()))),
            history: target.map(|t| t.history.iter().copied().collect()).unwrap_or_default(),
        }
    }
}
