//! Connections: whom to dial and when, whom to let in, which of two connections to keep.
//!
//! [`PeerManager`] is the control plane of the network as a state machine. It never sees a byte of
//! a message; a driver tells it what happened ([`Input`]) and does what it says ([`Output`]).

mod admission;
mod banned;
mod blame;
pub mod book;
mod conduct;
mod config;
mod connection;
mod dial;
mod floor;
mod io;
mod report;
mod reputation;
mod rotation;
mod sessions;
mod slots;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chainmesh_identity::{Host, PeerId};
use chainmesh_wire::devp2p::DisconnectReason;
use core::cmp::Reverse;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

pub use self::config::*;
pub use self::io::{
    ClosedBy, ConnectionId, DialError, Direction, Input, Output, PeerEvent, RefuseReason,
    TargetError,
};
pub use self::report::{PeerCounters, PeerInfo, PeerState, Report};
pub use self::reputation::{
    BAN_SCORE, CONDUCT_BAN, MAX_SCORE, MAX_SCORES, MIN_SCORE, Merit, Offence, SCORE_HALF_LIFE,
    SHUNNED_SCORE,
};
pub use self::slots::{Slot, SlotUse};
pub use self::target::{Attempt, DialTarget, NodeKind, Outcome, TargetKey};

use self::admission::Admission;
use self::banned::Banned;
use self::connection::{Connection, Stage};
use self::reputation::Reputation;
use self::target::Target;
use crate::time::Instant;
use crate::timers::Timers;

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A dial or the handshakes of a connection take too long.
    Connection(ConnectionId),
    /// A probe was not answered.
    Probe(ConnectionId),
    /// The backoff of a target is over.
    Redial(TargetKey),
    /// All dynamic slots have been taken for a while.
    Rotation,
    /// There have been too few peers for a while, or enough again.
    Floor,
}

/// Decides about connections: dials, admission, slots, and one session per peer.
///
/// # One session per peer
/// When two nodes dial each other in the same instant, both connections may be authenticated. Then
/// both nodes keep the one that **the node with the lower ID dialled**; of two connections in the
/// same direction they keep the older. The rule is applied among authenticated connections only,
/// and a dial that is given up in favour of an authenticated connection is given up before its
/// first byte is sent ([`Output::Handshake`]), so whatever order the two nodes see events in, they
/// never close each other's choice. The loser is closed with
/// [`AlreadyConnected`](DisconnectReason::AlreadyConnected).
///
/// A connection that keeps its place against a newcomer is probed ([`Output::Probe`]): if its
/// other end has crashed without a word, it is gone in seconds and the next attempt gets in.
///
/// # Slots
/// See [`Slot`]. `max_peers` limits authenticated connections at every moment. Inbound peers never
/// get the outbound reserve; dynamic targets never get more than a share of the slots; configured
/// targets get any free slot, and their peers may come in on one; trusted peers are beside them.
/// Full slots rotate, one peer at a time; see [`PeerManagerConfig::rotation`].
///
/// # Reputation
/// What peers do wrong ([`Input::Offence`]) and well ([`Input::Merit`]) makes a score for each ID,
/// which fades. At [`BAN_SCORE`] the ID is banned for [`CONDUCT_BAN`], unless it is configured.
#[derive(Debug)]
pub struct PeerManager {
    config: PeerManagerConfig,
    rng: ChaCha8Rng,
    outputs: VecDeque<Output>,
    timers: Timers<Timer>,
    next_conn: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The one authenticated connection of each peer.
    by_id: BTreeMap<PeerId, ConnectionId>,
    /// Peers that observers know as connected, and the connection that carries this.
    announced: BTreeMap<PeerId, ConnectionId>,
    targets: BTreeMap<TargetKey, Target>,
    dynamic_targets: usize,
    /// Targets that wait for a free dial: most wanted first, then first come, first served.
    ready: BTreeSet<(Reverse<NodeKind>, u64, TargetKey)>,
    next_place: u64,
    /// Addresses at which this node itself answered.
    own_addresses: VecDeque<(Host, u16)>,
    banned: Banned,
    reputation: Reputation,
    admission: Admission,
    slots: SlotUse,
    /// Outbound connections that are not authenticated yet.
    dialing: usize,
    counters: PeerCounters,
    /// The connection to a candidate for which another peer will go.
    trial: Option<ConnectionId>,
    next_inbound_eviction: Instant,
    /// Observers have heard that there are too few peers.
    too_few: bool,
    /// The last time that was told: scores are shown as of then.
    told: Instant,
    shutting_down: bool,
}

impl PeerManager {
    /// A manager without peers and targets.
    #[must_use]
    pub fn new(config: PeerManagerConfig, seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha8Rng::from_seed(seed),
            outputs: VecDeque::new(),
            timers: Timers::new(),
            next_conn: 0,
            connections: BTreeMap::new(),
            by_id: BTreeMap::new(),
            announced: BTreeMap::new(),
            targets: BTreeMap::new(),
            dynamic_targets: 0,
            ready: BTreeSet::new(),
            next_place: 0,
            own_addresses: VecDeque::new(),
            banned: Banned::default(),
            reputation: Reputation::default(),
            admission: Admission::new(&config),
            slots: SlotUse::new(config.max_peers),
            dialing: 0,
            counters: PeerCounters::default(),
            trial: None,
            next_inbound_eviction: Instant::ZERO,
            too_few: false,
            told: Instant::ZERO,
            shutting_down: false,
            config,
        }
    }

    /// A name for an inbound connection.
    pub const fn next_connection(&mut self) -> ConnectionId {
        let conn = ConnectionId(self.next_conn);
        self.next_conn = self.next_conn.saturating_add(1);
        conn
    }

    /// Takes note of what happened. What is said about a connection that the manager does not know
    /// (any more) is ignored: the driver's report and the manager's decision may cross.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::AddNode { target, kind } => self.add_node(now, target, kind),
            Input::RemoveNode { key } => self.remove_node(now, &key),
            Input::Disconnect { id, reason } => {
                if let Some(conn) = self.by_id.get(&id).copied() {
                    self.close(now, conn, reason);
                }
            }
            Input::InboundConnection { conn, address } => self.inbound(now, conn, address),
            Input::Dialed { conn, result } => self.dialed(now, conn, result),
            Input::Authenticated { conn, id, kind } => self.authenticated(now, conn, id, kind),
            Input::HelloReceived { conn, client, capabilities, listen_port } => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.introduce(&client, &capabilities);
                }
                self.found_listening(now, conn, listen_port);
            }
            Input::Established { conn } => self.established(now, conn),
            Input::Alive { conn } => self.alive(conn),
            Input::Closed { conn, reason, by } => self.closed(now, conn, reason, by),
            Input::Untrust { id, kind } => self.untrust(now, id, kind),
            Input::Ban { id } => self.ban(now, id),
            Input::Unban { id } => {
                self.banned.lift(&id);
                self.reputation.pardon(&id);
            }
            Input::BanAddress { ip } => self.ban_address(now, ip),
            Input::UnbanAddress { ip } => self.banned.lift_address(ip),
            Input::Offence { id, offence } => self.offence(now, id, offence),
            Input::Merit { id, merit } => self.merit(now, id, merit),
            Input::Shutdown => self.shutdown(now),
        }
        self.finish(now);
    }

    /// The next thing to do; call it until it gives `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Connection(conn) => self.pending_timed_out(now, conn),
                Timer::Probe(conn) => self.close(now, conn, DisconnectReason::PingTimeout),
                Timer::Redial(key) => self.schedule_now(now, &key),
                Timer::Rotation => self.rotate(now),
                Timer::Floor => self.floor_crossed(),
            }
        }
        self.finish(now);
    }

    /// What follows from whatever happened.
    fn finish(&mut self, now: Instant) {
        self.told = self.told.max(now);
        self.fill_dials(now);
        self.watch_rotation(now);
        self.watch_floor(now);
    }

    /// This node's own ID.
    #[must_use]
    pub const fn local_id(&self) -> PeerId {
        self.config.local_id
    }

    /// Peers at most, trusted ones not counted.
    #[must_use]
    pub const fn max_peers(&self) -> usize {
        self.config.max_peers
    }

    /// Peers that this node dials of its own accord, at most: the slots that inbound peers never get.
    #[must_use]
    pub const fn max_dynamic_peers(&self) -> usize {
        self.slots.outbound_reserve
    }

    /// How many more dynamic targets are worth having: so many that [`MAX_IDLE_DYNAMIC`] wait without a
    /// session; when there is no slot for one, so many that [`ROTATION_CANDIDATES`] do.
    #[must_use]
    pub fn room_for_dynamic(&self) -> usize {
        let enough = match self.slots.free_dynamic() {
            _ if self.shutting_down => 0,
            0 if self.config.rotation => ROTATION_CANDIDATES,
            0 => 0,
            _ => MAX_IDLE_DYNAMIC,
        };
        let idle = self.targets.values().filter(|target| {
            target.kind == NodeKind::Dynamic && target.schedule != target::Schedule::Settled
        });
        enough.saturating_sub(idle.count())
    }

    /// Whether there is a target of this ID.
    #[must_use]
    pub fn has_target(&self, id: &PeerId) -> bool {
        self.targets.contains_key(&TargetKey::Id(*id))
    }

    /// Whether this connection is a session.
    #[must_use]
    pub fn is_session(&self, conn: ConnectionId) -> bool {
        let stage = self.connections.get(&conn).map(|connection| connection.stage);
        matches!(stage, Some(Stage::Established { .. }))
    }

    /// Who was found at the addresses that are dialled without an ID.
    #[must_use]
    pub fn found_at_addresses(&self) -> BTreeSet<PeerId> {
        let unnamed = self.targets.values().filter(|target| target.target.id.is_none());
        unnamed.filter_map(|target| target.found).collect()
    }

    /// Number of peers that observers know as connected.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.announced.len()
    }

    /// The peers with a session, and the connection of each, by ID.
    pub fn connected_peers(&self) -> impl Iterator<Item = (PeerId, ConnectionId)> {
        self.by_id.iter().filter_map(|(id, conn)| {
            let stage = self.connections.get(conn)?.stage;
            matches!(stage, Stage::Established { .. }).then_some((*id, *conn))
        })
    }

    /// The connections that are not a session yet, and who is or must be at their other end.
    pub fn pending_connections(&self) -> impl Iterator<Item = (ConnectionId, Option<PeerId>)> {
        self.connections.iter().filter_map(|(conn, connection)| {
            let pending = !matches!(connection.stage, Stage::Established { .. });
            pending.then_some((*conn, connection.id.or(connection.expected)))
        })
    }

    /// Whether there is a session with this peer.
    #[must_use]
    pub fn is_connected(&self, id: &PeerId) -> bool {
        let connection = self.by_id.get(id).and_then(|conn| self.connections.get(conn));
        connection.is_some_and(|c| matches!(c.stage, Stage::Established { .. }))
    }

    fn emit(&mut self, event: PeerEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn shutdown(&mut self, now: Instant) {
        self.shutting_down = true;
        self.ready.clear();
        let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for conn in all {
            self.close(now, conn, DisconnectReason::ClientQuitting);
        }
        self.timers = Timers::new();
    }
}
