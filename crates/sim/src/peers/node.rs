//! One node: its control plane while it runs, and what is on its disk.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::{Enode, Host, NodeKey, PeerId};
use chainmesh_proto::peers::book::{AddressBook, Bookkeeper, Changes, UnixTime};
use chainmesh_proto::peers::{ConnectionId, DialTarget, NodeKind, PeerManager};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::Contact;

use super::link::LinkId;

/// What a node is made from.
#[derive(Debug)]
pub struct PeersNode {
    /// Where it is, for sessions and for discovery.
    pub address: SocketAddr,
    /// Its key; made from the world's seed if there is none.
    pub key: Option<NodeKey>,
    /// Peers at most.
    pub max_peers: usize,
    /// Where discovery begins. The real node also is connected to its boot nodes for ever; whoever
    /// wants that says it in `targets`.
    pub boot_nodes: Vec<Contact>,
    /// Whether it looks for others, is found by others, and dials nodes of its book.
    pub discovery: bool,
    /// A boot node has room in its table for all that come; `None` for the machine's own number.
    pub max_inbound_per_bucket: Option<usize>,
    /// Whom it is configured to be connected to.
    pub targets: Vec<(DialTarget, NodeKind)>,
}

impl PeersNode {
    /// A node at this address, with so many peers at most, that begins at these boot nodes.
    #[must_use]
    pub const fn new(address: SocketAddr, max_peers: usize, boot_nodes: Vec<Contact>) -> Self {
        Self {
            address,
            key: None,
            max_peers,
            boot_nodes,
            discovery: true,
            max_inbound_per_bucket: None,
            targets: Vec::new(),
        }
    }
}

/// What survives the process.
#[derive(Debug, Default)]
pub(super) struct Disk {
    head: Option<Vec<u8>>,
    records: BTreeMap<PeerId, Vec<u8>>,
}

impl Disk {
    pub(super) fn write(&mut self, changes: Changes) {
        if changes.all {
            self.records.clear();
        }
        if changes.head.is_some() {
            self.head = changes.head;
        }
        for (id, bytes) in changes.records {
            match bytes {
                Some(bytes) => self.records.insert(id, bytes),
                None => self.records.remove(&id),
            };
        }
    }

    /// The book as it was written; an empty one at the first start.
    pub(super) fn read(&self, id: PeerId, seed: [u8; 32], unix: UnixTime) -> AddressBook {
        let records = self.records.values().map(Vec::as_slice);
        let head = self.head.as_ref();
        let loaded = head.and_then(|head| AddressBook::load(id, seed, unix, head, records).ok());
        loaded.map_or_else(|| AddressBook::new(id, seed), |loaded| loaded.book)
    }
}

/// The control plane of a running node.
pub(super) struct Plane {
    pub(super) manager: PeerManager,
    pub(super) keeper: Bookkeeper,
    /// The links that its driver holds. A dial to nobody has none.
    pub(super) conns: BTreeMap<ConnectionId, Option<LinkId>>,
    /// Peers that an observer takes for connected.
    pub(super) seen: BTreeSet<PeerId>,
    /// When it wakes.
    pub(super) wake: Option<Instant>,
}

pub(super) struct Node {
    pub(super) config: PeersNode,
    pub(super) id: PeerId,
    pub(super) disk: Disk,
    /// Counts its starts.
    pub(super) life: u64,
    pub(super) plane: Option<Plane>,
    /// Somebody whom an observer heard of twice in a row, and what.
    pub(super) repeated: Option<(PeerId, bool)>,
}

impl Node {
    pub(super) fn enode(&self) -> Enode {
        let (ip, port) = (self.config.address.ip(), self.config.address.port());
        Enode { id: self.id, host: Host::Ip(ip), tcp_port: port, udp_port: port }
    }
}
