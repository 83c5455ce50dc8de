//! What goes into a [`PeerManager`](super::PeerManager) and what comes out of it.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::DisconnectReason;

use crate::module::PeerKind;

use super::{DialTarget, Merit, NodeKind, Offence, TargetKey};

/// The name of one connection, never used twice by one manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Who made the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer did.
    Inbound,
    /// We did: we are also the side that sends the heartbeat.
    Outbound,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClosedBy {
    /// This node.
    Us,
    /// The peer, with a Disconnect message.
    Peer,
    /// Neither: the TCP connection broke.
    Network,
}

/// Why a dial led to no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there.
    #[error("connection refused: nobody listens on this port")]
    Refused,
    /// Nobody answered in time.
    #[error("no answer in time")]
    TimedOut,
    /// No route, or the network is down.
    #[error("host or network unreachable")]
    Unreachable,
    /// The host name has no address.
    #[error("the host name has no address")]
    NameNotFound,
    /// The operating system gave another error.
    #[error("the operating system could not connect")]
    System,
    /// The operator has banned the address that was reached.
    #[error("the address is banned")]
    Banned,
}

/// Why an inbound connection was not even taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum RefuseReason {
    /// Too many connections have not proved an identity yet.
    #[error("too many connections are in their handshake")]
    TooManyPending,
    /// Too many of them are from this address.
    #[error("too many connections from this address are in their handshake")]
    TooManyFromAddress,
    /// Connections come faster than they are taken.
    #[error("connections come too fast")]
    TooFast,
    /// This node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The operator has banned the address.
    #[error("the address is banned")]
    Banned,
}

/// Why a target was not remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum TargetError {
    /// It is this node.
    #[error("this is the node's own ID")]
    OwnId,
    /// The list of dynamic targets is full.
    #[error("too many dynamic targets are remembered already")]
    TooMany,
    /// A target without a listener (port 0).
    #[error("the target has no TCP port to connect to")]
    NoPort,
    /// The operator has banned it.
    #[error("the node is banned")]
    Banned,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// Somebody wants a connection with this node. A target that is known already keeps the
    /// higher of both kinds; configured kinds (all but dynamic) replace its address and are
    /// dialled at once.
    AddNode {
        /// Who and where.
        target: DialTarget,
        /// How much it is wanted.
        kind: NodeKind,
    },
    /// The target is not wanted any more: it is forgotten, and its session closed.
    RemoveNode {
        /// Which one.
        key: TargetKey,
    },
    /// Close the session with this peer; a configured peer is dialled again after its backoff.
    Disconnect {
        /// Whom.
        id: PeerId,
        /// What the peer is told.
        reason: DisconnectReason,
    },
    /// Somebody connects to us. Answered by [`Output::Accept`] or [`Output::RefuseInbound`].
    InboundConnection {
        /// From [`PeerManager::next_connection`](super::PeerManager::next_connection).
        conn: ConnectionId,
        /// Where from.
        address: SocketAddr,
    },
    /// A dial has ended, well or badly. If well, no byte may be sent before
    /// [`Output::Handshake`].
    Dialed {
        /// Which one.
        conn: ConnectionId,
        /// The address that was reached, after names were resolved.
        result: Result<SocketAddr, DialError>,
    },
    /// The cryptographic handshake proved that the other end holds this ID's key. What is
    /// not closed by the outputs that follow at once is wanted: it may go on to Hello.
    Authenticated {
        /// On which connection.
        conn: ConnectionId,
        /// Whose key.
        id: PeerId,
        /// What sort of node it is: those of FISCO have a rule of their own for duplicates.
        kind: PeerKind,
    },
    /// The peer's Hello.
    HelloReceived {
        /// On which connection.
        conn: ConnectionId,
        /// Name of its software, as sent: it is cut and escaped here.
        client: String,
        /// Its capabilities.
        capabilities: Vec<String>,
        /// The port on which it says that it listens; 0 if it does not say. A peer that came in
        /// from an address that is to be dialled there need not be dialled.
        listen_port: u16,
    },
    /// Every module's handshake is done.
    Established {
        /// On which connection.
        conn: ConnectionId,
    },
    /// The peer gave a sign of life after an [`Output::Probe`].
    Alive {
        /// On which connection.
        conn: ConnectionId,
    },
    /// The connection is gone. Not needed after [`Output::Close`].
    Closed {
        /// Which one.
        conn: ConnectionId,
        /// What was said, or [`DisconnectReason::TcpError`] when nothing was.
        reason: DisconnectReason,
        /// Who ended it.
        by: ClosedBy,
    },
    /// Trust a node no more: it stays what `kind` says, and its session goes on if there is a slot.
    Untrust {
        /// Whom.
        id: PeerId,
        /// What it is from now on.
        kind: NodeKind,
    },
    /// Have nothing to do with a node: its session ends, it is not dialled, and whoever proves to be
    /// it is refused. The caller bounds how many there are.
    Ban {
        /// Whom.
        id: PeerId,
    },
    /// Lift the ban of a node.
    Unban {
        /// Whom.
        id: PeerId,
    },
    /// Take no connection from this address, make none to it, and end those that are there. Loopback
    /// is exempt.
    BanAddress {
        /// Which.
        ip: IpAddr,
    },
    /// Lift the ban of an address.
    UnbanAddress {
        /// Which.
        ip: IpAddr,
    },
    /// A peer did something wrong, whether its session is over or not. Ending the session is the
    /// caller's business, unless the score that follows bans the peer.
    Offence {
        /// Who: an ID that was proved.
        id: PeerId,
        /// What.
        offence: Offence,
    },
    /// A peer did something well.
    Merit {
        /// Who.
        id: PeerId,
        /// What.
        merit: Merit,
    },
    /// Close everything, take and make no connection any more.
    Shutdown,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Look up the name, if it is one, connect, and report [`Input::Dialed`].
    Dial {
        /// The name of the new connection.
        conn: ConnectionId,
        /// Where to.
        target: DialTarget,
    },
    /// Begin the handshake on a dialled connection. Only now may a byte be sent.
    Handshake {
        /// Which one.
        conn: ConnectionId,
        /// Who must answer; `None` when only the address was known.
        expected: Option<PeerId>,
    },
    /// Begin the handshake on an inbound connection.
    Accept {
        /// Which one.
        conn: ConnectionId,
    },
    /// Drop an inbound connection without a word.
    RefuseInbound {
        /// Which one.
        conn: ConnectionId,
        /// Why.
        reason: RefuseReason,
    },
    /// Send a Ping now, and report [`Input::Alive`] with the next sign of life. A peer that gives
    /// none within [`PROBE_TIMEOUT`](super::PROBE_TIMEOUT) is closed.
    Probe {
        /// On which connection.
        conn: ConnectionId,
    },
    /// End a connection or give up a dial. The manager has forgotten it already.
    Close {
        /// Which one.
        conn: ConnectionId,
        /// What to say in the Disconnect message, if one can be sent.
        reason: DisconnectReason,
    },
    /// Something that observers, logs and counters want to know.
    Event(PeerEvent),
}

/// What observers hear. [`PeerConnected`](Self::PeerConnected) and
/// [`PeerDisconnected`](Self::PeerDisconnected) come in strict alternation for each ID.
///
/// When one connection of a pair replaces another (see the tie-break of
/// [`PeerManager`](super::PeerManager)), the peer stays connected for observers while the
/// surviving connection finishes its handshake; they hear `PeerDisconnected` only if that fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerEvent {
    /// A peer has finished every handshake.
    PeerConnected {
        /// Who.
        id: PeerId,
        /// Through which connection.
        conn: ConnectionId,
        /// Where it is.
        address: SocketAddr,
        /// Who connected.
        direction: Direction,
    },
    /// A connected peer is gone.
    PeerDisconnected {
        /// Who.
        id: PeerId,
        /// Who had connected.
        direction: Direction,
        /// How long it had been a session.
        lasted: Duration,
        /// Why.
        reason: DisconnectReason,
        /// Whose decision it was.
        by: ClosedBy,
    },
    /// A connected peer goes on through another connection: both sides had dialled.
    PeerMoved {
        /// Who.
        id: PeerId,
        /// The connection that is now its only one.
        conn: ConnectionId,
    },
    /// A dial led to no connection.
    DialFailed {
        /// Which target.
        target: TargetKey,
        /// Why.
        error: DialError,
        /// Failures in a row.
        failures: u32,
        /// Wait before the next dial; `None` when there will be none.
        retry_in: Option<Duration>,
    },
    /// A connection ended before it became a session.
    HandshakeFailed {
        /// Which one.
        conn: ConnectionId,
        /// Who, if that was proved.
        id: Option<PeerId>,
        /// Who was dialled, if that is known.
        expected: Option<PeerId>,
        /// Where the other end is.
        address: Option<SocketAddr>,
        /// Who connected.
        direction: Direction,
        /// Why.
        reason: DisconnectReason,
        /// Whose decision it was.
        by: ClosedBy,
    },
    /// A target will not be dialled: this node itself listens there.
    OwnAddress {
        /// Which target.
        target: TargetKey,
    },
    /// Another node answered than the one that was dialled.
    UnexpectedIdentity {
        /// Who was expected.
        expected: PeerId,
        /// Who answered.
        found: PeerId,
        /// Where.
        address: Option<SocketAddr>,
    },
    /// A second, live holder of a connected peer's key tried to connect: two nodes have one key,
    /// or one node is configured under two addresses.
    DuplicateIdentity {
        /// Whose key.
        id: PeerId,
    },
    /// A dynamic target was forgotten after too many failures.
    TargetDropped {
        /// Which one.
        target: TargetKey,
    },
    /// A target was not remembered.
    TargetRefused {
        /// Which one.
        target: DialTarget,
        /// Why.
        error: TargetError,
    },
    /// A peer did something wrong.
    Misbehaved {
        /// Who.
        id: PeerId,
        /// What; it tells its weight.
        offence: Offence,
        /// The score after it.
        score: i32,
        /// Who had connected, if there is a connection.
        direction: Option<Direction>,
    },
    /// The score of a peer is too low: it is not dialled any more, refused, and its session ends. To be
    /// remembered over a restart by whoever keeps the address book.
    Banned {
        /// Who.
        id: PeerId,
        /// Its score.
        score: i32,
        /// What was too much; `None` when it was refused for what it did before.
        offence: Option<Offence>,
        /// For how long.
        lasts: Duration,
    },
    /// The score of a peer is too low, and the operator asked for it: it stays.
    Tolerated {
        /// Who.
        id: PeerId,
        /// Its score.
        score: i32,
    },
    /// A peer is let go so that another may have its place.
    Rotated {
        /// Who goes.
        id: PeerId,
        /// Its score.
        score: i32,
        /// Who had connected.
        direction: Direction,
    },
    /// There have been fewer peers than the minimum for [`FLOOR_GRACE`](super::FLOOR_GRACE).
    TooFewPeers {
        /// Connected now.
        connected: usize,
        /// See [`PeerManagerConfig::min_peers`](super::PeerManagerConfig::min_peers).
        minimum: usize,
    },
    /// After [`TooFewPeers`](Self::TooFewPeers): there have been enough for
    /// [`FLOOR_CALM`](super::FLOOR_CALM).
    EnoughPeers {
        /// Connected now.
        connected: usize,
        /// The minimum.
        minimum: usize,
    },
}
