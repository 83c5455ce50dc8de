//! The world of datagrams: each takes its time, or is lost.

use core::hash::Hasher;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_proto::discovery::{
    Discovery, DiscoveryConfig, DiscoveryEvent, Input, LookupId, Output, Report, WallClock,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::{Contact, Endpoint, Seal};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::Hostile;
use crate::decisions::DecisionHash;
use crate::network::{Conditions, NodeIndex};
use crate::schedule::Schedule;

/// Unix time at which a world begins.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// What a node of the world is like.
#[derive(Debug, Clone)]
pub struct DiscoveryNode {
    /// Where it is.
    pub address: SocketAddr,
    /// Its boot nodes.
    pub boot_nodes: Vec<Contact>,
    /// Whether it fetches records. Their signatures are real, so they cost time.
    pub fetch_records: bool,
    /// Nodes in a bucket that came by themselves; `None` for the machine's own number.
    pub max_inbound_per_bucket: Option<usize>,
}

impl DiscoveryNode {
    /// A node at this address that begins at these boot nodes.
    #[must_use]
    pub const fn new(address: SocketAddr, boot_nodes: Vec<Contact>) -> Self {
        Self { address, boot_nodes, fetch_records: false, max_inbound_per_bucket: None }
    }
}

/// What came of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupResult {
    /// Those that answered, closest first.
    pub nodes: Vec<Contact>,
    /// Over how many others the farthest of them was found.
    pub hops: u32,
    /// Nodes that were asked.
    pub asked: u32,
    /// How long it took.
    pub took: Duration,
}

#[derive(Debug)]
enum Event {
    Arrives { from: SocketAddr, to: SocketAddr, bytes: Bytes },
    Wake(NodeIndex),
    WakeHostile(usize),
}

struct Node {
    config: DiscoveryNode,
    key: NodeKey,
    /// `None` while it is off.
    machine: Option<Discovery>,
    lives: u8,
    wake: Option<Instant>,
    found: BTreeSet<PeerId>,
    lookups: BTreeMap<LookupId, Instant>,
    results: BTreeMap<LookupId, LookupResult>,
}

enum Place {
    Node(NodeIndex),
    Hostile(usize),
}

/// One process, one thread, one seed: nodes that discover each other. The datagrams are in the clear,
/// since a thousand nodes would spend most of the time on signatures.
pub struct DiscoveryWorld {
    now: Instant,
    seed: u64,
    conditions: Conditions,
    rng: ChaCha8Rng,
    schedule: Schedule<Event>,
    nodes: Vec<Node>,
    hostile: Vec<Hostile>,
    places: BTreeMap<SocketAddr, Place>,
    hash: DecisionHash,
    datagrams: u64,
    /// Finds, in their order, when somebody takes them.
    finds: Option<Vec<(NodeIndex, Contact)>>,
}

impl DiscoveryWorld {
    /// A world without nodes; `conditions.loss_per_mille` of a thousand datagrams are lost for good.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            now: Instant::from_micros(1),
            seed,
            conditions,
            rng: ChaCha8Rng::seed_from_u64(seed),
            schedule: Schedule::new(),
            nodes: Vec::new(),
            hostile: Vec::new(),
            places: BTreeMap::new(),
            hash: DecisionHash::new(),
            datagrams: 0,
            finds: None,
        }
    }

    /// Adds a node and starts it.
    pub fn add_node(&mut self, config: DiscoveryNode) -> NodeIndex {
        let key = self.key(self.nodes.len());
        let index = self.add_idle_node(config, key);
        self.start(index);
        index
    }

    /// A key that follows from the seed and a number.
    pub(crate) fn key(&self, number: usize) -> NodeKey {
        let mut entropy = [0x5a; 32];
        for (to, from) in entropy.iter_mut().zip(self.seed.to_be_bytes()) {
            *to = from;
        }
        for (to, from) in entropy.iter_mut().skip(8).zip(number.to_be_bytes()) {
            *to = from;
        }
        NodeKey::from_entropy(entropy)
    }

    /// Adds a node that is off.
    pub(crate) fn add_idle_node(&mut self, config: DiscoveryNode, key: NodeKey) -> NodeIndex {
        let index = NodeIndex(self.nodes.len());
        self.places.insert(config.address, Place::Node(index));
        self.nodes.push(Node {
            config,
            key,
            machine: None,
            lives: 0,
            wake: None,
            found: BTreeSet::new(),
            lookups: BTreeMap::new(),
            results: BTreeMap::new(),
        });
        index
    }

    /// Adds a hostile host; it begins at once.
    pub fn add_hostile(&mut self, hostile: Hostile) {
        let number = self.hostile.len();
        for address in hostile.addresses() {
            self.places.insert(address, Place::Hostile(number));
        }
        self.hostile.push(hostile);
        self.schedule.add(self.now, Event::WakeHostile(number));
    }

    /// Starts a node that is off. It remembers nothing.
    pub fn start(&mut self, index: NodeIndex) {
        let (mut seed, now) = ([0; 32], self.now);
        self.rng.fill_bytes(&mut seed);
        let Some(node) = self.nodes.get_mut(index.0).filter(|node| node.machine.is_none()) else {
            return;
        };
        node.lives = node.lives.saturating_add(1);
        let unix = EPOCH + now.saturating_since(Instant::ZERO);
        let wall_clock = WallClock { at: now, unix };
        let port = node.config.address.port();
        let mut config = DiscoveryConfig::new(node.key.duplicate(), wall_clock, port, port);
        config.ip = Some(node.config.address.ip());
        config.boot_nodes.clone_from(&node.config.boot_nodes);
        config.fetch_records = node.config.fetch_records;
        config.seal = Seal::Clear;
        config.record_sequence = u64::from(node.lives) << 32;
        if let Some(max) = node.config.max_inbound_per_bucket {
            config.max_inbound_per_bucket = max;
        }
        node.machine = Some(Discovery::new(config, seed));
        node.found.clear();
        self.wake(index);
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, index: NodeIndex) {
        if let Some(node) = self.nodes.get_mut(index.0) {
            node.machine = None;
            node.wake = None;
        }
    }

    /// Names a node to another one, as its address book does.
    pub(crate) fn tell(&mut self, index: NodeIndex, contact: Contact) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        if let Some(machine) = &mut node.machine {
            machine.handle(now, Input::AddNode { contact });
            self.carry_out(index);
        }
    }

    /// Who found whom since the last call. From the first call on, finds are kept for the next.
    pub(crate) fn take_finds(&mut self) -> Vec<(NodeIndex, Contact)> {
        self.finds.replace(Vec::new()).unwrap_or_default()
    }

    /// When something happens next.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.schedule.next_time()
    }

    /// It is so late; nothing happens until then.
    pub(crate) fn set_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).map(NodeIndex)
    }

    /// Who and where a node is.
    #[must_use]
    pub fn contact(&self, index: NodeIndex) -> Contact {
        let node = &self.nodes[index.0];
        let (ip, port) = (node.config.address.ip(), node.config.address.port());
        Contact { endpoint: Endpoint::new(ip, port, port), id: node.key.peer_id() }
    }

    /// What a node's machine says of itself; `None` while it is off.
    #[must_use]
    pub fn report(&self, index: NodeIndex) -> Option<Report> {
        self.nodes[index.0].machine.as_ref().map(Discovery::snapshot)
    }

    /// Whom a node has announced in this life.
    #[must_use]
    pub fn found(&self, index: NodeIndex) -> &BTreeSet<PeerId> {
        &self.nodes[index.0].found
    }

    /// Begins a lookup.
    pub fn lookup(&mut self, index: NodeIndex, target: PeerId) -> Option<LookupId> {
        let now = self.now;
        let node = self.nodes.get_mut(index.0)?;
        let machine = node.machine.as_mut()?;
        let lookup = machine.next_lookup();
        node.lookups.insert(lookup, now);
        machine.handle(now, Input::Lookup { lookup, target });
        self.carry_out(index);
        Some(lookup)
    }

    /// What came of a lookup, when it is over.
    #[must_use]
    pub fn result(&self, index: NodeIndex, lookup: LookupId) -> Option<&LookupResult> {
        self.nodes[index.0].results.get(&lookup)
    }

    /// Time since the world began.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.now.saturating_since(Instant::ZERO)
    }

    /// Datagrams that were sent.
    #[must_use]
    pub const fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// One number for everything that was decided.
    #[must_use]
    pub fn decision_hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.schedule.next_time().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something holds, which is looked at each second; says whether it does.
    pub fn run_until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !holds(self) {
            if self.now >= end {
                return false;
            }
            self.run_for(Duration::from_secs(1));
        }
        true
    }

    pub(crate) fn step(&mut self) {
        let Some((at, event)) = self.schedule.pop() else { return };
        self.now = self.now.max(at);
        match event {
            Event::Arrives { from, to, bytes } => match self.places.get(&to) {
                Some(Place::Node(index)) => self.arrives(*index, from, bytes),
                Some(Place::Hostile(number)) => {
                    let now = self.now;
                    if let Some(hostile) = self.hostile.get_mut(*number) {
                        let said = hostile.hears(now, to, from, &bytes);
                        self.send_all(said);
                    }
                }
                None => {}
            },
            Event::Wake(index) => {
                let now = self.now;
                let node = self.nodes.get_mut(index.0).filter(|node| node.wake == Some(at));
                let Some(node) = node else { return };
                node.wake = None;
                if let Some(machine) = &mut node.machine {
                    machine.handle_timeout(now);
                    self.carry_out(index);
                }
            }
            Event::WakeHostile(number) => {
                let now = self.now;
                let Some(hostile) = self.hostile.get_mut(number) else { return };
                let (said, again) = hostile.wakes(now);
                self.send_all(said);
                self.schedule.add(again, Event::WakeHostile(number));
            }
        }
    }

    fn arrives(&mut self, index: NodeIndex, from: SocketAddr, bytes: Bytes) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        if let Some(machine) = &mut node.machine {
            machine.handle(now, Input::Datagram { from, bytes });
            self.carry_out(index);
        }
    }

    /// Does what a machine says.
    fn carry_out(&mut self, index: NodeIndex) {
        let now = self.now;
        while let Some(node) = self.nodes.get_mut(index.0) {
            let from = node.config.address;
            match node.machine.as_mut().and_then(Discovery::poll) {
                Some(Output::Send { to, bytes }) => self.send(from, to, bytes),
                Some(Output::Event(event)) => {
                    if let (Some(finds), DiscoveryEvent::Found { contact, .. }) =
                        (&mut self.finds, &event)
                    {
                        finds.push((index, *contact));
                    }
                    node.note(now, event);
                }
                None => break,
            }
        }
        self.wake(index);
    }

    fn wake(&mut self, index: NodeIndex) {
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        let next = node.machine.as_ref().and_then(Discovery::poll_timeout);
        let Some(next) = next.map(|next| next.max(self.now)) else { return };
        if node.wake.is_none_or(|wake| wake > next) {
            node.wake = Some(next);
            self.schedule.add(next, Event::Wake(index));
        }
    }

    fn send_all(&mut self, said: Vec<(SocketAddr, SocketAddr, Bytes)>) {
        for (from, to, bytes) in said {
            self.send(from, to, bytes);
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        self.datagrams += 1;
        self.hash.write_u64(self.now.as_micros());
        self.hash.write_u16(from.port());
        self.hash.write(bytes.get(..8).unwrap_or_default());
        if self.rng.next_u64() % 1000 < u64::from(self.conditions.loss_per_mille) {
            return;
        }
        let jitter = u64::try_from(self.conditions.jitter.as_micros()).unwrap_or(0);
        let extra = self.rng.next_u64() % (jitter + 1);
        let at = self.now + self.conditions.latency + Duration::from_micros(extra);
        self.schedule.add(at, Event::Arrives { from, to, bytes });
    }
}

impl Node {
    fn note(&mut self, now: Instant, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::Found { contact, .. } => {
                self.found.insert(contact.id);
            }
            DiscoveryEvent::LookupDone { lookup, nodes, hops, asked } => {
                let began = self.lookups.remove(&lookup).unwrap_or(now);
                let took = now.saturating_since(began);
                self.results.insert(lookup, LookupResult { nodes, hops, asked, took });
            }
            DiscoveryEvent::PingDone { .. }
            | DiscoveryEvent::QueryDone { .. }
            | DiscoveryEvent::EndpointChanged { .. }
            | DiscoveryEvent::BootRecord { .. }
            | DiscoveryEvent::SeenElsewhere { .. } => {}
        }
    }
}
