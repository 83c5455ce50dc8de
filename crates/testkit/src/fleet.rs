//! Several nodes of one network, each a process of its own, and the links between them.
//!
//! Every node is told the addresses of all others, so either of two may dial the other. A link that
//! leads through a [`Proxy`] is dialled from one side only, and everything on it can be broken;
//! a link that is missing is known to neither side.

mod build;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chainmesh_identity::PeerId;
use tempfile::TempDir;

pub use build::{FleetBuilder, NodeName, Transport};

use crate::certs::{Consortium, NodeFiles};
use crate::process::{ConnectedPeer, Process, WantedPeer};
use crate::proxy::Proxy;
use crate::wait;

/// A network of processes. Its directory goes with it.
#[derive(Debug)]
pub struct Fleet {
    /// The nodes; the first one is number 0.
    pub nodes: Vec<Member>,
    /// By dialling and accepting node.
    proxies: BTreeMap<(usize, usize), Proxy>,
    /// Pairs that do not know of each other, the smaller number first.
    missing: Vec<(usize, usize)>,
    transport: Transport,
    genesis: PathBuf,
    /// The CA of a fleet over TLS.
    pub consortium: Option<Consortium>,
    /// The certificates of the nodes of a fleet over TLS, by the nodes' numbers.
    pub certificates: Vec<NodeFiles>,
    // Dropped last: the processes write into it.
    directory: TempDir,
}

/// A node of a fleet.
#[derive(Debug)]
pub struct Member {
    /// The process.
    pub process: Process,
    /// Its ID.
    pub id: PeerId,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Member {
    /// What it knows of its connection to another node; `None` if there is none.
    #[must_use]
    pub fn connected_to(&self, other: PeerId) -> Option<ConnectedPeer> {
        let id = other.to_string();
        self.process.peers().into_iter().find(|peer| peer.public_key == id)
    }

    /// What it knows of a node that it wants and does not have. (A node that is wanted by its
    /// address is known by it alone.)
    #[must_use]
    pub fn wants(&self, other: &Self) -> Option<WantedPeer> {
        let (id, address) = (other.id.to_string(), other.address.to_string());
        let is_it = |peer: &WantedPeer| {
            peer.public_key.as_ref().map_or(peer.address == address, |key| *key == id)
        };
        self.process.wanted().into_iter().find(is_it)
    }
}

impl Fleet {
    /// So many nodes over this transport, all linked directly; see [`FleetBuilder`] for more.
    #[must_use]
    pub fn builder(transport: Transport, nodes: usize) -> FleetBuilder {
        FleetBuilder::new(transport, nodes)
    }

    /// Where all its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The genesis file of the network.
    #[must_use]
    pub fn genesis(&self) -> &Path {
        &self.genesis
    }

    /// How the nodes talk to each other.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// For the table: how many nodes over what.
    #[must_use]
    pub fn bed(&self) -> String {
        format!("{} nodes, {}", self.nodes.len(), self.transport.name())
    }

    /// The proxy between two nodes, whichever of them dials.
    ///
    /// # Panics
    /// When their link has none.
    #[must_use]
    pub fn proxy(&self, one: usize, other: usize) -> &Proxy {
        let found = self.proxies.get(&(one, other)).or_else(|| self.proxies.get(&(other, one)));
        found.unwrap_or_else(|| panic!("no proxy between {one} and {other}"))
    }

    /// All proxies.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.proxies.values()
    }

    /// Starts all nodes that do not run, at once, and waits until each answers.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start_all(&mut self) {
        let idle = |member: &&mut Member| !member.process.is_running();
        let mut started: Vec<_> = self.nodes.iter_mut().filter(idle).collect();
        for member in &mut started {
            member.process.spawn();
        }
        for member in started {
            member.process.ready();
        }
    }

    /// Another node of a fleet over TLS, with these certificate files, that is told of these nodes.
    /// It does not run yet, and nobody is told of it.
    ///
    /// # Panics
    /// When its files cannot be made.
    #[must_use]
    pub fn outsider(&self, files: &NodeFiles, known: &[usize]) -> Member {
        let known = known.iter().map(|at| NodeName::Address(self.nodes[*at].address));
        self.outsider_who_knows(files, &known.collect::<Vec<_>>())
    }

    /// The same, told of these nodes.
    ///
    /// # Panics
    /// When its files cannot be made.
    #[must_use]
    pub fn outsider_who_knows(&self, files: &NodeFiles, known: &[NodeName]) -> Member {
        build::outsider(self, files, known)
    }

    /// All links that exist between nodes that run, the smaller number first.
    fn links(&self) -> impl Iterator<Item = (usize, usize)> {
        let count = self.nodes.len();
        let all = (0..count).flat_map(move |one| (one + 1..count).map(move |other| (one, other)));
        all.filter(|(one, other)| {
            let both_run = [*one, *other].iter().all(|at| self.nodes[*at].process.is_running());
            both_run && !self.missing.contains(&(*one, *other))
        })
    }

    /// Whether both ends of every link say that they are connected; in a consortium also whether
    /// everybody knows the shortest way to everybody.
    ///
    /// # Panics
    /// When a node does not answer.
    #[must_use]
    pub fn is_meshed(&self) -> bool {
        let running = |member: &&Member| member.process.is_running();
        let connected: BTreeMap<PeerId, Vec<String>> = self
            .nodes
            .iter()
            .filter(running)
            .map(|member| {
                let peers = member.process.peers().into_iter().map(|peer| peer.public_key);
                (member.id, peers.collect())
            })
            .collect();
        let sees = |one: usize, other: usize| {
            connected[&self.nodes[one].id].contains(&self.nodes[other].id.to_string())
        };
        self.links().all(|(one, other)| sees(one, other) && sees(other, one))
            && (self.transport == Transport::Rlpx || self.is_routed())
    }

    /// Whether every node knows a way to every other: one link where there is one, more elsewhere.
    fn is_routed(&self) -> bool {
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|at| self.nodes[*at].process.is_running()).collect();
        running.iter().all(|one| {
            let view = self.nodes[*one].process.mesh();
            running.iter().filter(|other| *other != one).all(|other| {
                let linked = !self.missing.contains(&(*one.min(other), *one.max(other)));
                let hops = view.hops(&self.nodes[*other].id.to_string());
                hops.is_some_and(|hops| (hops == 1) == linked)
            })
        })
    }

    /// Whether all nodes that run have the same head.
    ///
    /// # Panics
    /// When a node does not answer.
    #[must_use]
    pub fn heads_agree(&self) -> bool {
        let running = self.nodes.iter().filter(|member| member.process.is_running());
        let mut heads = running.map(|member| member.process.head());
        let Some(first) = heads.next() else { return true };
        heads.all(|head| head == first)
    }

    /// Waits until it is "recovered" as the fault matrix means it: every link is connected, and all
    /// heads are equal. Says how long that took.
    ///
    /// # Panics
    /// When that takes longer than `patience`.
    pub fn recovered(&self, patience: Duration) -> Duration {
        let recovered = || (self.is_meshed() && self.heads_agree()).then_some(());
        wait::within(patience, "every link is connected, and all heads are equal", recovered).1
    }
}
