//! A network of machines in virtual time. Nothing sleeps: time jumps from one event to the next.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use chainmesh_identity::certificate::{CertificateIdentity, ShortId};
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_wire::mesh::{Packet, PacketType, Version, VersionRange};

use crate::mesh::{
    Broadcast, Delivery, Input, MODULE_SEND, Mesh, MeshConfig, MeshEvent, MeshFault, MeshReport,
    MessageId, Multicast, Outcome, Output, SendFailure, SessionId, Settled, Unicast,
};
use crate::module::PeerKind;
use crate::time::Instant;

/// How long a packet is on a link.
pub(super) const LATENCY: Duration = Duration::from_millis(1);

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn identity(number: u8) -> CertificateIdentity {
    NodeKey::from_entropy([number + 1; 32]).peer_id().into()
}

pub(super) fn group() -> Bytes {
    Bytes::from_static(b"group0")
}

/// A machine and what it said.
pub(super) struct Node {
    pub(super) mesh: Mesh,
    pub(super) id: PeerId,
    pub(super) short: ShortId,
    pub(super) delivered: Vec<Delivery>,
    pub(super) settled: Vec<Settled>,
    pub(super) events: Vec<MeshEvent>,
    pub(super) faults: Vec<MeshFault>,
    config: MeshConfig,
    incarnation: u8,
}

/// A packet that a node put on a link.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) packet: Packet,
}

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    /// Session and node at the other end, by node and session.
    ends: BTreeMap<(usize, SessionId), (usize, SessionId)>,
    links: BTreeMap<(usize, usize), (SessionId, SessionId)>,
    flights: BTreeMap<(Instant, u64), (usize, SessionId, Bytes)>,
    counter: u64,
    /// All packets, if they are wanted.
    pub(super) tap: Option<Vec<Seen>>,
    /// Packets that are lost on the way: from, to, type.
    pub(super) lose: Vec<(usize, usize, PacketType)>,
}

impl Network {
    /// Nodes that speak all versions, without links.
    pub(super) fn new(nodes: u8) -> Self {
        Self::with(nodes, |_, _| ())
    }

    /// The same, each with a configuration of its own.
    pub(super) fn with(nodes: u8, adjust: impl Fn(u8, &mut MeshConfig)) -> Self {
        let nodes = (0..nodes).map(|number| {
            let mut config = MeshConfig::new(identity(number));
            adjust(number, &mut config);
            Node {
                mesh: Mesh::new(config.clone(), [number; 32]),
                id: config.identity.name(),
                short: config.identity.short(),
                delivered: Vec::new(),
                settled: Vec::new(),
                events: Vec::new(),
                faults: Vec::new(),
                config,
                incarnation: 0,
            }
        });
        Self {
            now: Instant::ZERO,
            nodes: nodes.collect(),
            ends: BTreeMap::new(),
            links: BTreeMap::new(),
            flights: BTreeMap::new(),
            counter: 0,
            tap: None,
            lose: Vec::new(),
        }
    }

    /// Nodes in a row, settled.
    pub(super) fn line(nodes: u8) -> Self {
        let mut network = Self::new(nodes);
        for node in 1..usize::from(nodes) {
            network.link(node - 1, node);
        }
        network.run_for(seconds(5));
        network
    }

    /// The same with both ends linked.
    pub(super) fn ring(nodes: u8) -> Self {
        let mut network = Self::line(nodes);
        network.link(usize::from(nodes) - 1, 0);
        network.run_for(seconds(5));
        network
    }

    pub(super) fn link(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        let sessions = [self.count(), self.count()].map(SessionId);
        self.links.insert((a, b), (sessions[0], sessions[1]));
        self.ends.insert((a, sessions[0]), (b, sessions[1]));
        self.ends.insert((b, sessions[1]), (a, sessions[0]));
        for (node, other, session) in [(a, b, sessions[0]), (b, a, sessions[1])] {
            let peer = self.nodes[other].config.identity.clone();
            self.input(node, Input::Opened { session, peer, kind: PeerKind::Own });
        }
    }

    /// What is on the way is lost; both ends hear of it at once.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        let Some((session_a, session_b)) = self.links.remove(&(a, b)) else { return };
        for (node, session) in [(a, session_a), (b, session_b)] {
            self.ends.remove(&(node, session));
            self.flights.retain(|_, (to, over, _)| (*to, *over) != (node, session));
            self.input(node, Input::Closed { session });
        }
    }

    pub(super) fn neighbours(&self, node: usize) -> Vec<usize> {
        let links = self.links.keys().filter(|(a, b)| *a == node || *b == node);
        links.map(|(a, b)| a + b - node).collect()
    }

    /// All its links go, and it begins anew without memory.
    pub(super) fn restart(&mut self, node: usize) {
        for other in self.neighbours(node) {
            self.cut(node, other);
        }
        let it = &mut self.nodes[node];
        it.incarnation += 1;
        let seed = [it.incarnation.wrapping_mul(37).wrapping_add(node as u8); 32];
        it.mesh = Mesh::new(it.config.clone(), seed);
    }

    pub(super) fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        self.nodes[node].mesh.handle(now, input);
        self.drain(node);
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn drain(&mut self, from: usize) {
        while let Some(output) = self.nodes[from].mesh.poll() {
            match output {
                Output::Transmit { session, head, payload, .. } => {
                    let mut frame = BytesMut::from(&head[..]);
                    frame.extend_from_slice(&payload);
                    self.fly(from, session, frame.freeze());
                }
                Output::Close { fault, session } => {
                    self.nodes[from].faults.push(fault);
                    if let Some((to, _)) = self.ends.get(&(from, session)).copied() {
                        self.cut(from, to);
                    }
                }
                Output::Deliver(delivery) => self.nodes[from].delivered.push(delivery),
                Output::Settled(settled) => self.nodes[from].settled.push(settled),
                Output::Event(event) => self.nodes[from].events.push(event),
                Output::Amop(_) => {}
            }
        }
    }

    fn fly(&mut self, from: usize, session: SessionId, frame: Bytes) {
        let Some((to, session)) = self.ends.get(&(from, session)).copied() else { return };
        let packet = Packet::decode(frame.clone()).unwrap();
        let packet_type = packet.packet_type;
        if let Some(tap) = &mut self.tap {
            tap.push(Seen { at: self.now, from, to, packet });
        }
        if self.lose.contains(&(from, to, packet_type)) {
            return;
        }
        let counter = self.count();
        self.flights.insert((self.now + LATENCY, counter), (to, session, frame));
    }

    /// Everything that happens in this time.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flights.first_key_value().map(|((at, _), _)| *at);
            let timers = self.nodes.iter().enumerate();
            let timer = timers.filter_map(|(node, it)| Some((it.mesh.poll_timeout()?, node))).min();
            let next = crate::time::earliest(arrival, timer.map(|(at, _)| at));
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some((_, (to, session, frame))) = self.flights.pop_first() else { break };
                self.input(to, Input::Frame { session, frame });
            } else if let Some((_, node)) = timer {
                self.nodes[node].mesh.handle_timeout(self.now);
                self.drain(node);
            }
        }
        self.now = end;
    }

    pub(super) fn report(&self, node: usize) -> MeshReport {
        self.nodes[node].mesh.snapshot()
    }

    /// Links on the way from one node to another.
    pub(super) fn distance(&self, from: usize, to: usize) -> Option<u32> {
        let report = self.report(from);
        let to = self.nodes[to].id;
        report.members.iter().find(|member| member.name == to)?.distance
    }

    pub(super) fn next_hop(&self, from: usize, to: usize) -> Option<usize> {
        let report = self.report(from);
        let to = self.nodes[to].id;
        let next = report.members.iter().find(|member| member.name == to)?.next_hop?;
        self.nodes.iter().position(|node| node.id == next)
    }

    pub(super) fn unicast(&mut self, from: usize, to: usize, payload: &'static [u8]) -> MessageId {
        self.unicast_message(from, unicast_to(self.nodes[to].id, payload))
    }

    pub(super) fn unicast_message(&mut self, from: usize, message: Unicast) -> MessageId {
        let id = self.nodes[from].mesh.next_id();
        self.input(from, Input::Unicast { id, message });
        id
    }

    pub(super) fn broadcast(&mut self, from: usize, payload: &'static [u8]) -> MessageId {
        let id = self.nodes[from].mesh.next_id();
        let payload = Bytes::from_static(payload);
        let message = Broadcast { group: group(), module: MODULE_SEND, payload };
        self.input(from, Input::Broadcast { id, message });
        id
    }

    pub(super) fn multicast(
        &mut self,
        from: usize,
        topic: &str,
        payload: &'static [u8],
    ) -> MessageId {
        let id = self.nodes[from].mesh.next_id();
        let message = Multicast { topic: topic.into(), payload: Bytes::from_static(payload) };
        self.input(from, Input::Multicast { id, message });
        id
    }

    /// How a message of a node ended.
    pub(super) fn result(
        &self,
        node: usize,
        id: MessageId,
    ) -> Option<Result<Outcome, SendFailure>> {
        self.settled(node, id).map(|settled| settled.result.clone())
    }

    pub(super) fn settled(&self, node: usize, id: MessageId) -> Option<&Settled> {
        let mut ends = self.nodes[node].settled.iter().filter(|settled| settled.id == id);
        let end = ends.next();
        assert!(ends.next().is_none(), "{id} ended twice");
        end
    }

    /// Payloads that a node was given, in order.
    pub(super) fn payloads(&self, node: usize) -> Vec<&[u8]> {
        self.nodes[node].delivered.iter().map(|delivery| delivery.payload.as_ref()).collect()
    }

    /// Packets of a type on the wire so far.
    pub(super) fn tapped(&self, packet_type: PacketType) -> Vec<&Seen> {
        let tap = self.tap.iter().flatten();
        tap.filter(|seen| seen.packet.packet_type == packet_type).collect()
    }

    /// The shortest ways by the links as they are, from one node to all.
    pub(super) fn true_distances(&self, from: usize) -> BTreeMap<usize, u32> {
        let mut found = BTreeMap::from([(from, 0)]);
        let mut edge = BTreeSet::from([from]);
        for distance in 1.. {
            let next = edge.iter().flat_map(|node| self.neighbours(*node));
            edge = next.filter(|node| !found.contains_key(node)).collect();
            if edge.is_empty() {
                break;
            }
            found.extend(edge.iter().map(|node| (*node, distance)));
        }
        found.remove(&from);
        found
    }

    /// That every node knows the shortest way to every other, if there is one of fewer than ten
    /// links, and none otherwise.
    pub(super) fn assert_converged(&self) {
        for from in 0..self.nodes.len() {
            let truth = self.true_distances(from);
            let members = self.report(from).members.into_iter();
            let known: BTreeMap<_, _> = members.map(|it| (it.name, it.distance)).collect();
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                let distance = truth.get(&to).copied().filter(|distance| *distance < 10);
                let known = known.get(&self.nodes[to].id).copied().flatten();
                assert_eq!(known, distance, "from {from} to {to}");
            }
        }
    }
}

pub(super) fn unicast_to(to: PeerId, payload: &'static [u8]) -> Unicast {
    Unicast {
        to,
        group: group(),
        module: MODULE_SEND,
        payload: Bytes::from_static(payload),
        reply_within: None,
    }
}

/// One machine whose neighbours are played by the test.
pub(super) struct Lone {
    pub(super) now: Instant,
    pub(super) mesh: Mesh,
    pub(super) outputs: Vec<Output>,
    sessions: u64,
}

impl Lone {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(adjust: impl Fn(&mut MeshConfig)) -> Self {
        let mut config = MeshConfig::new(identity(0));
        adjust(&mut config);
        let mesh = Mesh::new(config, [9; 32]);
        Self { now: Instant::ZERO, mesh, outputs: Vec::new(), sessions: 0 }
    }

    pub(super) fn open(&mut self, peer: CertificateIdentity, kind: PeerKind) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        self.input(Input::Opened { session, peer, kind });
        session
    }

    /// A neighbour whose handshake has come.
    pub(super) fn negotiated(
        &mut self,
        peer: CertificateIdentity,
        kind: PeerKind,
        max: Version,
    ) -> SessionId {
        let session = self.open(peer, kind);
        let versions = VersionRange { min: Version::V0, max };
        let info = chainmesh_wire::mesh::ProtocolInfo::gateway(versions);
        self.packet(session, Packet::new(Version::V0, PacketType::Handshake, 2, info.encode()));
        session
    }

    pub(super) fn input(&mut self, input: Input) {
        self.mesh.handle(self.now, input);
        self.drain();
    }

    pub(super) fn frame(&mut self, session: SessionId, frame: impl Into<Bytes>) {
        self.input(Input::Frame { session, frame: frame.into() });
    }

    pub(super) fn packet(&mut self, session: SessionId, packet: Packet) {
        let mut frame = BytesMut::new();
        packet.encode(&mut frame).unwrap();
        self.frame(session, frame.freeze());
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.mesh.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.mesh.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        self.outputs.extend(core::iter::from_fn(|| self.mesh.poll()));
    }

    /// The frames sent over a session since they were last taken.
    pub(super) fn take_frames(&mut self, session: SessionId) -> Vec<Bytes> {
        let outputs = core::mem::take(&mut self.outputs);
        let (sent, rest) = outputs.into_iter().partition::<Vec<_>, _>(
            |output| matches!(output, Output::Transmit { session: over, .. } if *over == session),
        );
        self.outputs = rest;
        let frame = |output| match output {
            Output::Transmit { head, payload, .. } => [&head[..], &payload].concat().into(),
            _ => Bytes::new(),
        };
        sent.into_iter().map(frame).collect()
    }

    /// The packets sent over a session since they were last taken.
    pub(super) fn take(&mut self, session: SessionId) -> Vec<Packet> {
        let frames = self.take_frames(session);
        frames.into_iter().map(|frame| Packet::decode(frame).unwrap()).collect()
    }

    /// The same, of one type.
    pub(super) fn take_type(&mut self, session: SessionId, packet_type: PacketType) -> Vec<Packet> {
        let packets = self.take(session).into_iter();
        packets.filter(|packet| packet.packet_type == packet_type).collect()
    }

    pub(super) fn deliveries(&self) -> Vec<&Delivery> {
        let outputs = self.outputs.iter();
        let deliveries = outputs.filter_map(|output| match output {
            Output::Deliver(delivery) => Some(delivery),
            _ => None,
        });
        deliveries.collect()
    }

    pub(super) fn fault(&self) -> Option<MeshFault> {
        self.outputs.iter().find_map(|output| match output {
            Output::Close { fault, .. } => Some(*fault),
            _ => None,
        })
    }

    pub(super) fn settled(&self) -> Vec<&Settled> {
        let outputs = self.outputs.iter();
        let settled = outputs.filter_map(|output| match output {
            Output::Settled(settled) => Some(settled),
            _ => None,
        });
        settled.collect()
    }
}
