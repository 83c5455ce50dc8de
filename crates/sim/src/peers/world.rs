//! The world of control planes: one process, one thread, one seed.

use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_proto::peers::book::{AddressBook, AddressOrigin, Bookkeeper, LOOK_INTO_BOOK};
use chainmesh_proto::peers::{
    ConnectionId, DialTarget, Direction, Input, NodeKind, PeerManager, PeerManagerConfig,
};
use chainmesh_proto::session::connection::IDLE_TIMEOUT;
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::discv4::{Contact, Endpoint};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::PeersNode;
use super::link::{Link, LinkId, Message, Party};
use super::node::{Disk, Node, Plane};
use super::stub::{Stub, StubConduct, StubIndex};
use crate::decisions::DecisionHash;
use crate::discovery::{DiscoveryNode, DiscoveryWorld, EPOCH, Hostile};
use crate::invariants::Broken;
use crate::network::{Conditions, NodeIndex};
use crate::schedule::Schedule;

#[derive(Debug)]
pub(super) enum Event {
    /// Something arrives at one end of a link.
    Arrives(LinkId, usize, Message),
    /// A manager has something to do.
    Wake(NodeIndex, u64),
    /// A node looks into its book.
    Look(NodeIndex, u64),
    /// A dial came to nothing at once.
    NoSuchName(NodeIndex, u64, ConnectionId),
    /// A stub dials whom it wants.
    StubDials(StubIndex),
    /// A stub ends a session.
    StubLeaves(LinkId),
}

pub(super) struct StubState {
    pub(super) stub: Stub,
    /// Its own dial or session with whom it wants.
    pub(super) engaged: Option<LinkId>,
}

/// Nodes with their whole control plane, the connections between them, and others who have none.
///
/// The same seed gives the same decisions ([`PeersWorld::decision_hash`]). Every few seconds of each
/// node, rules of [`invariants`](crate::invariants) are checked.
pub struct PeersWorld {
    pub(super) now: Instant,
    pub(super) seed: u64,
    conditions: Conditions,
    pub(super) rng: ChaCha8Rng,
    pub(super) schedule: Schedule<Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) stubs: Vec<StubState>,
    pub(super) links: BTreeMap<LinkId, Link>,
    next_link: u64,
    nodes_at: BTreeMap<SocketAddr, NodeIndex>,
    pub(super) stubs_by_id: BTreeMap<PeerId, StubIndex>,
    names: BTreeMap<String, IpAddr>,
    /// Who has an ID; `None` when several have.
    pub(super) holders: BTreeMap<PeerId, Option<NodeIndex>>,
    discovery: DiscoveryWorld,
    /// The node of the world of datagrams that a node is there.
    datagram_nodes: BTreeMap<NodeIndex, NodeIndex>,
    nodes_of_datagrams: BTreeMap<NodeIndex, NodeIndex>,
    bystanders: BTreeMap<StubIndex, NodeIndex>,
    /// Who takes whom for connected, of nodes.
    pub(super) sees: BTreeSet<(NodeIndex, NodeIndex)>,
    pub(super) disagreements: BTreeMap<(NodeIndex, NodeIndex), Instant>,
    pub(super) hash: DecisionHash,
    pub(super) dials: u64,
}

impl PeersWorld {
    /// A world without nodes. Segments of connections are not lost, datagrams are.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let mut discovery = DiscoveryWorld::new(seed, conditions);
        discovery.take_finds();
        Self {
            now: Instant::from_micros(1),
            seed,
            conditions,
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x9ee5),
            schedule: Schedule::new(),
            nodes: Vec::new(),
            stubs: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            nodes_at: BTreeMap::new(),
            stubs_by_id: BTreeMap::new(),
            names: BTreeMap::new(),
            holders: BTreeMap::new(),
            discovery,
            datagram_nodes: BTreeMap::new(),
            nodes_of_datagrams: BTreeMap::new(),
            bystanders: BTreeMap::new(),
            sees: BTreeSet::new(),
            disagreements: BTreeMap::new(),
            hash: DecisionHash::new(),
            dials: 0,
        }
    }

    /// Adds a node that is off.
    pub fn add_node(&mut self, config: PeersNode) -> NodeIndex {
        let index = NodeIndex(self.nodes.len());
        let own_key = config.key.as_ref().map(chainmesh_identity::NodeKey::duplicate);
        let key = own_key.unwrap_or_else(|| self.discovery.key(self.discovery.nodes().count()));
        let id = key.peer_id();
        self.nodes_at.insert(config.address, index);
        self.holders.entry(id).and_modify(|holder| *holder = None).or_insert(Some(index));
        let mut datagrams = DiscoveryNode::new(config.address, config.boot_nodes.clone());
        datagrams.max_inbound_per_bucket = config.max_inbound_per_bucket;
        let there = self.discovery.add_idle_node(datagrams, key);
        self.datagram_nodes.insert(index, there);
        self.nodes_of_datagrams.insert(there, index);
        let disk = Disk::default();
        self.nodes.push(Node { config, id, disk, life: 0, plane: None, repeated: None });
        index
    }

    /// Adds somebody of whom only the connections are simulated. One that wants somebody dials at once.
    pub fn add_stub(&mut self, stub: Stub) -> StubIndex {
        let index = StubIndex(self.stubs.len());
        self.stubs_by_id.insert(stub.id, index);
        if stub.wants.is_some() {
            self.schedule.add(self.now, Event::StubDials(index));
        }
        self.stubs.push(StubState { stub, engaged: None });
        index
    }

    /// Adds a stub that also discovers others, and is discovered, once it is
    /// [woken](Self::wake_bystander).
    pub fn add_bystander(
        &mut self,
        address: SocketAddr,
        boot_nodes: Vec<Contact>,
        conduct: StubConduct,
    ) -> StubIndex {
        let key = self.discovery.key(self.discovery.nodes().count());
        let config = DiscoveryNode::new(address, boot_nodes);
        let there = self.discovery.add_idle_node(config, key);
        let id = self.discovery.contact(there).id;
        let stub = self.add_stub(Stub { id, address, conduct, wants: None });
        self.bystanders.insert(stub, there);
        stub
    }

    /// Who and where a bystander is.
    #[must_use]
    pub fn bystander_contact(&self, stub: StubIndex) -> Option<Contact> {
        Some(self.discovery.contact(*self.bystanders.get(&stub)?))
    }

    /// A bystander discovers others from now on.
    pub fn wake_bystander(&mut self, stub: StubIndex) {
        self.discovery.set_time(self.now);
        if let Some(there) = self.bystanders.get(&stub) {
            self.discovery.start(*there);
        }
    }

    /// Adds a host that answers datagrams; it begins at once.
    pub fn add_hostile(&mut self, hostile: Hostile) {
        self.discovery.set_time(self.now);
        self.discovery.add_hostile(hostile);
    }

    /// A stub acts otherwise from now on; its sessions stay.
    pub fn set_stub(&mut self, index: StubIndex, conduct: StubConduct, wants: Option<SocketAddr>) {
        let Some(state) = self.stubs.get_mut(index.0) else { return };
        let idle = state.stub.wants.is_none();
        state.stub.conduct = conduct;
        state.stub.wants = wants;
        if idle && wants.is_some() {
            self.schedule.add(self.now, Event::StubDials(index));
        }
    }

    /// A stub.
    #[must_use]
    pub fn stub(&self, index: StubIndex) -> &Stub {
        &self.stubs[index.0].stub
    }

    /// Who has this ID, if it is a stub.
    #[must_use]
    pub fn stub_of(&self, id: &PeerId) -> Option<StubIndex> {
        self.stubs_by_id.get(id).copied()
    }

    /// Gives an address a name.
    pub fn name(&mut self, name: &str, ip: IpAddr) {
        self.names.insert(name.to_owned(), ip);
    }

    /// Whoever connects to this address, too, reaches the node: as through a NAT.
    pub fn forward(&mut self, address: SocketAddr, node: NodeIndex) {
        self.nodes_at.insert(address, node);
    }

    /// Starts a node that is off, with the book of its last run.
    pub fn start(&mut self, index: NodeIndex) {
        let (now, unix, mut seeds) = (self.now, self.unix(), [[0; 32]; 2]);
        for seed in &mut seeds {
            self.rng.fill_bytes(seed);
        }
        let Some(node) = self.nodes.get_mut(index.0).filter(|node| node.plane.is_none()) else {
            return;
        };
        node.life += 1;
        let life = node.life;
        let config = PeerManagerConfig::new(node.id, node.config.max_peers);
        let mut manager = PeerManager::new(config, seeds[0]);
        let own = node.id;
        let boot = node.config.boot_nodes.iter().filter(|contact| contact.id != own).map(enode);
        let boot: Vec<Enode> = boot.collect();
        for enode in boot.iter().filter(|enode| enode.tcp_port != 0) {
            manager.handle(now, Input::AddNode { target: enode.into(), kind: NodeKind::Boot });
        }
        for (target, kind) in node.config.targets.iter().cloned() {
            manager.handle(now, Input::AddNode { target, kind });
        }
        let book = node.disk.read(node.id, seeds[1], unix);
        let mut keeper = Bookkeeper::new(book, node.config.discovery);
        keeper.begin(&mut manager, now, unix, &boot, &[]);
        let contacts = keeper.contacts(unix);
        let conns = BTreeMap::new();
        node.plane = Some(Plane { manager, keeper, conns, seen: BTreeSet::new(), wake: None });
        if let (true, Some(there)) = (node.config.discovery, self.datagram_nodes.get(&index)) {
            self.discovery.set_time(now);
            self.discovery.start(*there);
            for enode in contacts {
                if let Some(ip) = enode.host.ip() {
                    let endpoint = Endpoint::new(ip, enode.udp_port, enode.tcp_port);
                    self.discovery.tell(*there, Contact { endpoint, id: enode.id });
                }
            }
        }
        self.carry_out(index);
        self.schedule.add(now + LOOK_INTO_BOOK, Event::Look(index, life));
    }

    /// Ends a node: it writes its book and says goodbye.
    pub fn stop(&mut self, index: NodeIndex) {
        self.write_book(index);
        let now = self.now;
        if let Some(plane) = self.plane_mut(index) {
            plane.manager.handle(now, Input::Shutdown);
        }
        self.carry_out(index);
        self.power_off(index);
    }

    /// Ends a node without a word; its book is as it was this moment. Its peers notice when nothing
    /// has come for as long as a session may be silent.
    pub fn kill(&mut self, index: NodeIndex) {
        self.write_book(index);
        let plane = self.nodes.get(index.0).and_then(|node| node.plane.as_ref());
        let links: Vec<LinkId> =
            plane.iter().flat_map(|plane| plane.conns.values().flatten().copied()).collect();
        for id in links {
            let Some(link) = self.links.get_mut(&id) else { continue };
            for (side, end) in link.ends.iter_mut().enumerate() {
                if end.party == Party::Node(index) {
                    end.open = false;
                    let silence = Event::Arrives(id, 1 - side, Message::Silence);
                    self.schedule.add(self.now + IDLE_TIMEOUT, silence);
                }
            }
        }
        self.power_off(index);
    }

    fn power_off(&mut self, index: NodeIndex) {
        if let Some(there) = self.datagram_nodes.get(&index) {
            self.discovery.kill(*there);
        }
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        let seen = node.plane.take().map(|plane| plane.seen).unwrap_or_default();
        for id in seen {
            self.note_sight(index, id, false);
        }
    }

    fn write_book(&mut self, index: NodeIndex) {
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        if let Some(plane) = &mut node.plane {
            node.disk.write(plane.keeper.book.take_changes());
        }
    }

    /// Somebody tells a node of another one.
    pub fn tell(
        &mut self,
        index: NodeIndex,
        enode: &Enode,
        origin: AddressOrigin,
        source: Option<IpAddr>,
    ) {
        let (now, unix) = (self.now, self.unix());
        if let Some(plane) = self.plane_mut(index) {
            if origin == AddressOrigin::Discovery {
                plane.keeper.found(&mut plane.manager, now, unix, enode, origin);
            } else {
                plane.keeper.book.add(unix, enode, origin, source);
            }
            self.carry_out(index);
        }
    }

    /// Its operator wants a connection to somebody, in this run.
    pub fn want(&mut self, index: NodeIndex, target: DialTarget, kind: NodeKind) {
        let now = self.now;
        if let Some(plane) = self.plane_mut(index) {
            plane.manager.handle(now, Input::AddNode { target, kind });
            self.carry_out(index);
        }
    }

    /// Ends the session of a node with somebody.
    pub fn disconnect(&mut self, index: NodeIndex, id: PeerId, reason: DisconnectReason) {
        let now = self.now;
        if let Some(plane) = self.plane_mut(index) {
            plane.manager.handle(now, Input::Disconnect { id, reason });
            self.carry_out(index);
        }
    }

    pub(super) fn plane_mut(&mut self, index: NodeIndex) -> Option<&mut Plane> {
        self.nodes.get_mut(index.0)?.plane.as_mut()
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).map(NodeIndex)
    }

    /// Who a node is, and where.
    #[must_use]
    pub fn enode(&self, index: NodeIndex) -> Enode {
        self.nodes[index.0].enode()
    }

    /// The same for discovery.
    #[must_use]
    pub fn contact(&self, index: NodeIndex) -> Contact {
        let Node { config, id, .. } = &self.nodes[index.0];
        let port = config.address.port();
        Contact { endpoint: Endpoint::new(config.address.ip(), port, port), id: *id }
    }

    /// The manager of a node that runs.
    #[must_use]
    pub fn manager(&self, index: NodeIndex) -> Option<&PeerManager> {
        Some(&self.nodes[index.0].plane.as_ref()?.manager)
    }

    /// The address book of a node that runs.
    #[must_use]
    pub fn book(&self, index: NodeIndex) -> Option<&AddressBook> {
        Some(&self.nodes[index.0].plane.as_ref()?.keeper.book)
    }

    /// With whom a node has a session, and who had dialled.
    pub fn peers(&self, index: NodeIndex) -> impl Iterator<Item = (PeerId, Direction)> {
        let plane = self.nodes[index.0].plane.as_ref();
        plane.into_iter().flat_map(move |plane| {
            plane.manager.connected_peers().filter_map(move |(id, conn)| {
                let link = self.links.get(&(*plane.conns.get(&conn)?)?)?;
                let own =
                    link.ends[0].conn == Some(conn) && link.ends[0].party == Party::Node(index);
                Some((id, if own { Direction::Outbound } else { Direction::Inbound }))
            })
        })
    }

    /// Whether two nodes have a session, as both see it.
    #[must_use]
    pub fn connected(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.sees.contains(&(a, b)) && self.sees.contains(&(b, a))
    }

    /// With which nodes a node has a session.
    pub fn neighbours(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        let all = (index, NodeIndex(0))..=(index, NodeIndex(usize::MAX));
        self.sees.range(all).map(|(_, other)| *other)
    }

    /// The datagrams of this world.
    #[must_use]
    pub const fn discovery(&self) -> &DiscoveryWorld {
        &self.discovery
    }

    /// Which node of the world of datagrams a node is.
    #[must_use]
    pub fn datagram_node(&self, index: NodeIndex) -> NodeIndex {
        self.datagram_nodes.get(&index).copied().unwrap_or(index)
    }

    /// Time since the world began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.now.saturating_since(Instant::ZERO)
    }

    /// Dials of nodes, in all.
    #[must_use]
    pub const fn dials(&self) -> u64 {
        self.dials
    }

    /// One number for everything that was decided.
    #[must_use]
    pub fn decision_hash(&self) -> u64 {
        let mut hash = self.hash.clone();
        hash.write_u64(self.discovery.decision_hash());
        hash.finish()
    }

    pub(super) const fn unix(&self) -> u64 {
        EPOCH.as_secs() + self.elapsed().as_secs()
    }

    /// Opens a connection; the other end hears of it when the first segment arrives.
    pub(super) fn open_link(&mut self, link: Link) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(id, link);
        self.say(id, 0, Message::Connect);
        id
    }

    /// How long a segment takes, on a new link.
    pub(super) fn new_delay(&mut self) -> Duration {
        let jitter = u64::try_from(self.conditions.jitter.as_micros()).unwrap_or(0);
        self.conditions.latency + Duration::from_micros(self.rng.next_u64() % (jitter + 1))
    }

    /// One end says something.
    pub(super) fn say(&mut self, id: LinkId, side: usize, message: Message) {
        let Some(link) = self.links.get(&id) else { return };
        self.schedule.add(self.now + link.delay, Event::Arrives(id, 1 - side, message));
    }

    /// Who listens at an address, for whoever expects this ID.
    pub(super) fn listener(&self, address: SocketAddr, expected: Option<PeerId>) -> Option<Party> {
        let stub = expected.and_then(|id| self.stub_of(&id));
        let stub = stub.filter(|stub| {
            let Stub { address: at, conduct, .. } = self.stub(*stub);
            *at == address && conduct.online
        });
        stub.map(Party::Stub).or_else(|| Some(Party::Node(*self.nodes_at.get(&address)?)))
    }

    /// The address behind a host.
    pub(super) fn resolve(&self, host: &Host) -> Option<IpAddr> {
        match host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(name) => self.names.get(&name.to_string()).copied(),
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When a rule is broken.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Broken> {
        let end = self.now + time;
        loop {
            let datagram = self.discovery.next_time().filter(|at| *at <= end);
            let own = self.schedule.next_time().filter(|at| *at <= end);
            match (datagram, own) {
                (None, None) => break,
                (Some(at), own) if own.is_none_or(|own| at <= own) => {
                    self.now = self.now.max(at);
                    self.discovery.step();
                    for (there, contact) in self.discovery.take_finds() {
                        if let Some(index) = self.nodes_of_datagrams.get(&there).copied() {
                            self.tell(index, &enode(&contact), AddressOrigin::Discovery, None);
                        }
                    }
                }
                _ => self.step()?,
            }
        }
        self.now = end;
        self.discovery.set_time(end);
        Ok(())
    }

    /// Lets time pass until something holds, which is looked at each second; says whether it does.
    ///
    /// # Errors
    /// When a rule is broken.
    pub fn run_until(
        &mut self,
        limit: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<bool, Broken> {
        let end = self.now + limit;
        while !holds(self) {
            if self.now >= end {
                return Ok(false);
            }
            self.run_for(Duration::from_secs(1))?;
        }
        Ok(true)
    }

    fn step(&mut self) -> Result<(), Broken> {
        let Some((at, event)) = self.schedule.pop() else { return Ok(()) };
        self.now = self.now.max(at);
        let (now, unix) = (self.now, self.unix());
        let alive = |world: &Self, index: NodeIndex, life| {
            world.nodes.get(index.0).is_some_and(|node| node.life == life && node.plane.is_some())
        };
        match event {
            Event::Arrives(link, side, message) => self.arrives(link, side, message),
            Event::Wake(index, life) if alive(self, index, life) => {
                let Some(plane) = self.plane_mut(index) else { return Ok(()) };
                if plane.wake == Some(at) {
                    plane.wake = None;
                    plane.manager.handle_timeout(now);
                    self.carry_out(index);
                }
            }
            Event::Look(index, life) if alive(self, index, life) => {
                let Some(plane) = self.plane_mut(index) else { return Ok(()) };
                plane.keeper.look_into_book(&mut plane.manager, now, unix);
                self.carry_out(index);
                self.schedule.add(now + LOOK_INTO_BOOK, Event::Look(index, life));
                return self.look(index);
            }
            Event::NoSuchName(index, life, conn) if alive(self, index, life) => {
                self.dial_failed(index, conn);
            }
            Event::Wake(..) | Event::Look(..) | Event::NoSuchName(..) => {}
            Event::StubDials(stub) => self.stub_dials(stub),
            Event::StubLeaves(link) => self.stub_leaves(link),
        }
        Ok(())
    }
}

/// A node of discovery as the address book knows it.
pub(super) fn enode(contact: &Contact) -> Enode {
    let Endpoint { ip, udp_port, tcp_port } = contact.endpoint;
    Enode { id: contact.id, host: Host::Ip(ip), tcp_port, udp_port }
}
