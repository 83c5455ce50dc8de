//! [`World`]: nodes, network and clock, and the tests' hands on them.

use core::hash::Hash;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use chainmesh_identity::{Host, NodeKey, PeerId};
use chainmesh_proto::module::{Module, PeerContext, PeerHandler, TopicHandler};
use chainmesh_proto::peers::{DEFAULT_MAX_PEERS, DialTarget, Input, NodeKind, PeerManagerConfig};
use chainmesh_proto::session::SessionKind;
use chainmesh_proto::session::connection::LocalNode;
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::Capability;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::chain::{Audit, Sound};
use crate::decisions::DecisionHash;
use crate::eth::{self, Accusation, EthNode, Heard, Hearer, Work};
use crate::invariants::{Broken, EVERY_STEP, Invariant, OF_CONNECTIONS};
use crate::mesh::{Clock, MeshHeard, MeshMember, MeshRecord};
use crate::network::{Arrival, Conditions, Network, NodeIndex, Segment, StreamId};
use crate::node::{Node, NodeConfig, Running, Woken, host, listener};
use crate::schedule::Schedule;

/// What a world is made from, beside its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorldConfig {
    /// What the paths between nodes are like, where nothing else is said.
    pub conditions: Conditions,
    /// The kind of session that the nodes speak.
    pub session: SessionKind,
}

pub(crate) enum Event {
    /// A timer of a node is due; the number is the node's life.
    Wake(NodeIndex, u64),
    /// The head of a lane is due.
    Arrive(StreamId, usize),
    /// A node's disk is done with something.
    Disk(Hearer, Work),
    /// The scenario does something.
    Script(Box<dyn FnOnce(&mut World)>),
}

/// A network in virtual time. See the crate's documentation.
pub struct World {
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) schedule: Schedule<Event>,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) session: SessionKind,
    pub(crate) hash: DecisionHash,
    pub(crate) woken: Woken,
    pub(crate) by_id: BTreeMap<PeerId, NodeIndex>,
    /// What observers of each node take for connected.
    pub(crate) seen: Vec<BTreeSet<PeerId>>,
    pub(crate) repeated: BTreeMap<NodeIndex, (PeerId, bool)>,
    pub(crate) disagreements: BTreeMap<(NodeIndex, NodeIndex), Instant>,
    /// What peers said to the nodes that synchronise.
    pub(crate) heard: Heard,
    pub(crate) audits: BTreeMap<NodeIndex, Audit>,
    pub(crate) sound: Sound,
    pub(crate) announcements: BTreeMap<(NodeIndex, B256), u32>,
    pub(crate) accusations: Vec<Accusation>,
    /// The time, for those who look at it from within a connection.
    pub(crate) clock: Clock,
    /// What the meshes said.
    pub(crate) mesh_heard: MeshHeard,
    pub(crate) records: BTreeMap<NodeIndex, MeshRecord>,
    /// Nodes of which a connection may have changed since the rules were looked at.
    pub(crate) changed: BTreeSet<NodeIndex>,
    pub(crate) steps: u64,
}

impl World {
    /// An empty world. Everything that is left to chance follows from `seed`.
    #[must_use]
    pub fn new(seed: u64, config: WorldConfig) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let network = Network::new(config.conditions, ChaCha8Rng::seed_from_u64(rng.next_u64()));
        Self {
            seed,
            now: Instant::from_micros(1),
            schedule: Schedule::new(),
            network,
            nodes: Vec::new(),
            rng,
            session: config.session,
            hash: DecisionHash::new(),
            woken: Woken::default(),
            by_id: BTreeMap::new(),
            seen: Vec::new(),
            repeated: BTreeMap::new(),
            disagreements: BTreeMap::new(),
            heard: Heard::default(),
            audits: BTreeMap::new(),
            sound: Sound::new(),
            announcements: BTreeMap::new(),
            accusations: Vec::new(),
            clock: Clock::default(),
            mesh_heard: MeshHeard::default(),
            records: BTreeMap::new(),
            changed: BTreeSet::new(),
            steps: 0,
        }
    }

    /// Adds a node and starts it.
    pub fn add_node(&mut self, config: NodeConfig) -> NodeIndex {
        let index = NodeIndex(self.nodes.len());
        let key = config.key.unwrap_or_else(|| NodeKey::from_entropy(self.entropy()));
        let silent = config.modules.is_empty() && config.chain.is_none() && config.mesh.is_none();
        let modules = if silent { silent_module() } else { config.modules };
        let id = key.peer_id();
        self.by_id.insert(id, index);
        self.seen.push(BTreeSet::new());
        self.nodes.push(Node {
            id,
            key,
            max_peers: config.max_peers.unwrap_or(DEFAULT_MAX_PEERS),
            modules,
            chain: config.chain,
            mesh: config.mesh,
            wanted: Vec::new(),
            life: 0,
            running: None,
        });
        self.start(index);
        index
    }

    /// Lets `node` want a connection to `target`, now and after each restart.
    pub fn want(&mut self, node: NodeIndex, target: NodeIndex, kind: NodeKind) {
        let target = self.target(target);
        self.want_target(node, target, kind);
    }

    /// As [`World::want`], for a target that need not be what it says.
    pub fn want_target(&mut self, node: NodeIndex, target: DialTarget, kind: NodeKind) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.wanted.push((target.clone(), kind));
        }
        self.tell(node, Input::AddNode { target, kind });
    }

    /// Tells a running node's manager something.
    pub fn tell(&mut self, node: NodeIndex, input: Input) {
        let now = self.now;
        self.changed.insert(node);
        if let Some(running) = self.running(node) {
            running.manager.handle(now, input);
            self.pump(node, Vec::new());
        }
    }

    /// How `node` is dialled.
    #[must_use]
    pub fn target(&self, node: NodeIndex) -> DialTarget {
        let id = self.nodes.get(node.0).map(|node| node.id);
        DialTarget { id, host: Host::Ip(host(node)), port: listener(node).port() }
    }

    // --- faults ---------------------------------------------------------------------------------

    /// The node's process dies; its host tells every peer so.
    pub fn kill(&mut self, node: NodeIndex) {
        for (stream, side) in self.network.open_ends(node) {
            self.send(stream, side, Segment::Reset);
        }
        self.stop(node);
    }

    /// The node's host loses its power: nobody is told.
    pub fn power_off(&mut self, node: NodeIndex) {
        self.network.set_host(node, false);
        self.network.silence(self.now, node);
        self.stop(node);
    }

    fn stop(&mut self, node: NodeIndex) {
        for (stream, side) in self.network.open_ends(node) {
            if let Some(end) = self.network.end_mut(stream, side) {
                end.open = false;
            }
            self.network.tidy(stream);
        }
        if let Some(stopped) = self.nodes.get_mut(node.0) {
            stopped.running = None;
        }
        for peer in self.seen.get_mut(node.0).map(core::mem::take).unwrap_or_default() {
            self.compare(node, &peer);
        }
    }

    /// Starts a node that does not run. It remembers its key and whom it wants, nothing else.
    pub fn start(&mut self, index: NodeIndex) {
        let seed = self.entropy();
        let session = self.session;
        let chain = self.chain(index).cloned();
        // Only nodes that have one take from the world's chance for it.
        let sync = chain.map(|chain| EthNode::new(&chain, self.entropy()));
        let in_mesh = self.nodes.get(index.0).is_some_and(|node| node.mesh.is_some());
        let mesh_seed = in_mesh.then(|| self.entropy());
        self.network.set_host(index, true);
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        if node.running.is_some() {
            return;
        }
        node.life += 1;
        let mut modules = node.modules.clone();
        if let Some(chain) = &node.chain {
            modules.extend(eth::modules(chain, (index, node.life), &self.heard));
        }
        let member = node.mesh.as_ref().zip(mesh_seed).map(|(mesh, seed)| {
            let hearer = (index, node.life);
            MeshMember::start(mesh, node.id, seed, hearer, &self.mesh_heard, &self.clock)
        });
        let (member, module) = member.unzip();
        modules.extend(module.flatten());
        let local = Arc::new(LocalNode {
            key: node.key.duplicate(),
            client_name: format!("sim/node-{}", index.0),
            listen_port: listener(index).port(),
            modules,
            kind: session,
            tls: None,
        });
        let config = PeerManagerConfig::new(node.id, node.max_peers);
        node.running = Some(Running::new(config, local, (sync, member), seed));
        let wanted = node.wanted.clone();
        self.audit(index);
        for (target, kind) in wanted {
            self.tell(index, Input::AddNode { target, kind });
        }
    }

    /// Nothing that `from` sends reaches `to`, until [`World::heal`].
    pub fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        self.network.block(from, to);
    }

    /// Nothing passes between the two groups in either direction, until [`World::heal`].
    pub fn partition(&mut self, left: &[NodeIndex], right: &[NodeIndex]) {
        for a in left {
            for b in right {
                self.block(*a, *b);
                self.block(*b, *a);
            }
        }
    }

    /// Ends every block and partition.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// Sets what the path between two nodes is like from now on.
    pub fn set_conditions(&mut self, a: NodeIndex, b: NodeIndex, conditions: Conditions) {
        self.network.set_conditions(a, b, conditions);
    }

    // --- running --------------------------------------------------------------------------------

    /// Does `script` after `delay`.
    pub fn after(&mut self, delay: Duration, script: impl FnOnce(&mut Self) + 'static) {
        self.schedule.add(self.now + delay, Event::Script(Box::new(script)));
    }

    /// Runs for `time`.
    ///
    /// # Errors
    /// When a rule does not hold any more; the world stands still at that point.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Broken> {
        let end = self.now + time;
        self.settle();
        while self.schedule.next_time().is_some_and(|at| at <= end) {
            self.step()?;
        }
        self.now = end;
        self.tell_time();
        Ok(())
    }

    /// Runs until `condition` holds, at most for `limit`. Says whether it came to hold.
    ///
    /// # Errors
    /// As [`World::run_for`].
    pub fn run_until(
        &mut self,
        limit: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<bool, Broken> {
        let end = self.now + limit;
        self.settle();
        while !condition(self) {
            if self.schedule.next_time().is_none_or(|at| at > end) {
                self.now = end;
                self.tell_time();
                return Ok(condition(self));
            }
            self.step()?;
        }
        Ok(true)
    }

    /// One event, and everything that follows from it at once.
    fn step(&mut self) -> Result<(), Broken> {
        let Some((at, event)) = self.schedule.pop() else { return Ok(()) };
        self.now = self.now.max(at);
        self.tell_time();
        self.steps += 1;
        let touched = match event {
            Event::Wake(node, life) => {
                self.wake(node, life);
                Some(node)
            }
            Event::Arrive(stream, side) => self.arrive(stream, side),
            Event::Disk((node, life), work) => {
                self.disk(node, life, work);
                Some(node)
            }
            Event::Script(script) => {
                script(self);
                None
            }
        };
        self.settle();
        for node in core::mem::take(&mut self.changed) {
            self.check(node, OF_CONNECTIONS)?;
        }
        let nodes = match touched {
            Some(node) => node.0..node.0 + 1,
            None => 0..self.nodes.len(),
        };
        nodes.map(NodeIndex).try_for_each(|node| self.check(node, EVERY_STEP))
    }

    fn check(&self, node: NodeIndex, rules: &[Invariant]) -> Result<(), Broken> {
        rules.iter().try_for_each(|rule| rule(self, node)).map_err(|violation| Broken {
            seed: self.seed,
            at: self.now,
            violation,
        })
    }

    fn arrive(&mut self, stream: StreamId, side: usize) -> Option<NodeIndex> {
        let to = self.network.stream(stream)?.ends.get(1 - side)?.node;
        match self.network.arrive(self.now, stream, side) {
            Arrival::Nothing => return None,
            Arrival::Retry(at) => {
                self.schedule.add(at, Event::Arrive(stream, side));
                return None;
            }
            Arrival::GaveUp => self.gave_up(stream, side),
            Arrival::Here(segment) => {
                if let Some(at) = self.network.next_on_lane(self.now, stream, side) {
                    self.schedule.add(at, Event::Arrive(stream, side));
                }
                self.deliver(stream, 1 - side, segment);
            }
        }
        self.network.tidy(stream);
        Some(to)
    }

    pub(crate) fn send(&mut self, stream: StreamId, side: usize, segment: Segment) {
        if let Some(at) = self.network.send(self.now, stream, side, segment) {
            self.schedule.add(at, Event::Arrive(stream, side));
        }
    }

    pub(crate) fn entropy(&mut self) -> [u8; 32] {
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        entropy
    }

    pub(crate) fn decided(&mut self, what: impl Hash) {
        self.now.hash(&mut self.hash);
        what.hash(&mut self.hash);
    }

    pub(crate) fn running(&mut self, node: NodeIndex) -> Option<&mut Running> {
        self.nodes.get_mut(node.0)?.running.as_mut()
    }
}

/// A module that says nothing: nodes need one in common.
fn silent_module() -> Vec<Module> {
    struct Silent;
    impl PeerHandler for Silent {
        fn new_peer(&self, _: PeerContext) -> Box<dyn TopicHandler> {
            Box::new(Self)
        }
    }
    impl TopicHandler for Silent {
        fn handle(
            &mut self,
            _: u32,
            _: bytes::Bytes,
        ) -> Result<(), chainmesh_proto::module::ModuleError> {
            Ok(())
        }
    }
    let capability = Capability::new("sim", 1).into_iter();
    let module = |capability| Module {
        capability,
        message_count: 1,
        required: false,
        handler: Arc::new(Silent),
    };
    capability.map(module).collect()
}
