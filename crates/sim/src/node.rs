//! One node of the world: its peer manager, its connections, and the glue between them, which is
//! what the tokio driver is to a real node.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Waker;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use bytes::BytesMut;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_proto::module::Module;
use chainmesh_proto::peers::{
    ClosedBy, ConnectionId, DialTarget, Input, NodeKind, PeerManager, PeerManagerConfig,
};
use chainmesh_proto::session::connection::{Blame, CloseCause, Connection, LocalNode};
use chainmesh_proto::time::{Instant, earliest};

use crate::eth::{ChainNode, EthNode};
use crate::mesh::{MeshMember, MeshNode};
use crate::network::{NodeIndex, StreamId};

/// TCP port of every node's listener.
const PORT: u16 = 30303;

/// What a node is made from.
#[derive(Debug, Default)]
pub struct NodeConfig {
    /// Its key; made from the world's seed if there is none.
    pub key: Option<NodeKey>,
    /// Peers at most; 50 if nothing is said.
    pub max_peers: Option<usize>,
    /// What it speaks; a module that says nothing if there is none.
    pub modules: Vec<Module>,
    /// Its chain: it speaks `eth` beside its modules, and synchronises.
    pub chain: Option<ChainNode>,
    /// Its part in a mesh: it speaks `mesh` beside its modules.
    pub mesh: Option<MeshNode>,
}

/// A node, running or not.
pub(crate) struct Node {
    pub(crate) id: PeerId,
    pub(crate) key: NodeKey,
    pub(crate) max_peers: usize,
    pub(crate) modules: Vec<Module>,
    pub(crate) chain: Option<ChainNode>,
    pub(crate) mesh: Option<MeshNode>,
    /// What it dials after every start.
    pub(crate) wanted: Vec<(DialTarget, NodeKind)>,
    /// Counts its starts.
    pub(crate) life: u64,
    pub(crate) running: Option<Running>,
}

pub(crate) struct Running {
    pub(crate) manager: PeerManager,
    pub(crate) local: Arc<LocalNode>,
    pub(crate) conns: BTreeMap<ConnectionId, Conn>,
    /// What synchronises, if the node has a chain.
    pub(crate) eth: Option<EthNode>,
    /// Its mesh, if it is a member of one.
    pub(crate) mesh: Option<MeshMember>,
    /// The earliest time at which the world will wake this node.
    pub(crate) wake: Option<Instant>,
}

/// A connection as the driver holds it.
pub(crate) struct Conn {
    pub(crate) stream: StreamId,
    pub(crate) side: usize,
    pub(crate) address: SocketAddr,
    /// `None` until the TCP connection stands.
    pub(crate) machine: Option<Connection>,
    pub(crate) input: BytesMut,
    /// Who has proved an identity and is wanted.
    pub(crate) peer: Option<PeerId>,
    /// The manager has decided against it, or it is over: only a farewell may follow.
    pub(crate) closing: bool,
    pub(crate) waker: Waker,
    /// When its machine has to be looked at.
    pub(crate) due: Option<Instant>,
}

impl Conn {
    pub(crate) fn new(stream: StreamId, side: usize, address: SocketAddr, waker: Waker) -> Self {
        Self {
            stream,
            side,
            address,
            machine: None,
            input: BytesMut::new(),
            peer: None,
            closing: false,
            waker,
            due: None,
        }
    }
}

/// Connections for which something was queued from outside, in the order in which it was.
pub(crate) type Woken = Arc<Mutex<Vec<(NodeIndex, u64, ConnectionId)>>>;

struct Bell {
    name: (NodeIndex, u64, ConnectionId),
    woken: Woken,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.name);
    }
}

pub(crate) fn bell(woken: &Woken, node: NodeIndex, life: u64, conn: ConnectionId) -> Waker {
    Waker::from(Arc::new(Bell { name: (node, life, conn), woken: Arc::clone(woken) }))
}

/// The address of a node's host.
pub(crate) fn host(node: NodeIndex) -> IpAddr {
    let number = u32::try_from(node.0).unwrap_or(u32::MAX) & 0x00ff_ffff;
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number))
}

/// Where a node listens.
pub(crate) fn listener(node: NodeIndex) -> SocketAddr {
    SocketAddr::new(host(node), PORT)
}

impl Running {
    pub(crate) fn new(
        config: PeerManagerConfig,
        local: Arc<LocalNode>,
        (eth, mesh): (Option<EthNode>, Option<MeshMember>),
        seed: [u8; 32],
    ) -> Self {
        let manager = PeerManager::new(config, seed);
        Self { manager, local, conns: BTreeMap::new(), eth, mesh, wake: None }
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sync = self.eth.as_ref().and_then(|eth| eth.machine.poll_timeout());
        let mesh = self.mesh.as_ref().and_then(|member| member.mesh.poll_timeout());
        self.conns
            .values()
            .filter_map(|conn| conn.due)
            .chain(mesh)
            .fold(earliest(self.manager.poll_timeout(), sync), |a, b| earliest(a, Some(b)))
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<ConnectionId> {
        self.manager.handle_timeout(now);
        if let Some(eth) = &mut self.eth
            && eth.machine.poll_timeout().is_some_and(|due| due <= now)
        {
            eth.machine.handle_timeout(now);
        }
        if let Some(member) = &self.mesh
            && member.mesh.poll_timeout().is_some_and(|due| due <= now)
        {
            member.mesh.handle_timeout();
        }
        let mut touched = Vec::new();
        for (name, conn) in &mut self.conns {
            if let Some(machine) = &mut conn.machine
                && conn.due.is_some_and(|due| due <= now)
            {
                machine.handle_timeout(now);
                touched.push(*name);
            }
        }
        touched
    }
}

/// What the manager is told about the end of a connection.
pub(crate) fn closed(conn: ConnectionId, cause: &CloseCause) -> Input {
    let by = match (cause, cause.blame()) {
        (CloseCause::Remote(_), _) => ClosedBy::Peer,
        (_, Blame::Network) => ClosedBy::Network,
        _ => ClosedBy::Us,
    };
    Input::Closed { conn, reason: cause.wire_reason(), by }
}

/// How long observers on both sides may disagree: until the side that hears nothing more gives up.
pub(crate) const DISAGREEMENT: Duration =
    chainmesh_proto::session::connection::IDLE_TIMEOUT.saturating_add(Duration::from_secs(2));
