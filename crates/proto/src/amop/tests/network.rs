//! A network of nodes with SDKs, in virtual time. Nothing sleeps: time jumps from one event to the
//! next. SDKs are played on the wire: what they send and get are whole frames and messages.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_wire::amop::channel::Frame;
use chainmesh_wire::amop::ws::WsMessage;
use chainmesh_wire::amop::{AmopKind, AmopMessage};
use chainmesh_wire::mesh::rc2::Rc2Packet;
use chainmesh_wire::mesh::{Packet, PacketType};

use super::sdk::{Client, Habit};
use crate::amop::{
    self, AmopConfig, AmopNotice, AmopReport, Broker, SdkFault, SdkKind, SdkSession, channel, ws,
};
use crate::mesh::{self, Mesh, MeshConfig, SessionId};
use crate::module::PeerKind;
use crate::time::{Instant, earliest};

/// How long anything is on a link.
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

/// A node with its SDKs' connections.
pub(super) struct Node {
    pub(super) mesh: Mesh,
    pub(super) broker: Broker,
    pub(super) id: PeerId,
    pub(super) notices: Vec<AmopNotice>,
    /// Notices of the faces.
    pub(super) told: usize,
    pub(super) rpc: Vec<Bytes>,
    pub(super) faces: BTreeMap<SdkSession, Face>,
    identity: CertificateIdentity,
}

/// The node's end of a connection.
pub(super) enum Face {
    Channel(channel::Channel, BytesMut),
    Ws(ws::Ws),
}

/// Something on the way.
pub(super) enum Flight {
    Packet { to: usize, session: SessionId, frame: Bytes },
    ToNode { client: usize, bytes: Bytes },
    ToClient { client: usize, bytes: Bytes },
}

/// A neighbour that a test plays.
pub(super) struct Puppet {
    node: usize,
    session: SessionId,
    /// What came to it.
    pub(super) frames: Vec<Bytes>,
}

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(super) puppets: Vec<Puppet>,
    ends: BTreeMap<(usize, SessionId), (usize, SessionId)>,
    links: BTreeMap<(usize, usize), (SessionId, SessionId)>,
    pub(super) flights: BTreeMap<(Instant, u64), Flight>,
    counter: u64,
    /// What was sent, as `from>to what`, while it is wanted.
    pub(super) tap: Option<Vec<String>>,
}

impl Network {
    /// Nodes without links.
    pub(super) fn new(nodes: u8) -> Self {
        Self::with(nodes, |_| ())
    }

    pub(super) fn with(nodes: u8, adjust: impl Fn(&mut AmopConfig)) -> Self {
        let nodes = (0..nodes).map(|number| {
            let identity = identity(number);
            let mut config = AmopConfig::new(identity.name());
            adjust(&mut config);
            Node {
                mesh: Mesh::new(MeshConfig::new(identity.clone()), [number; 32]),
                broker: Broker::new(config, [number + 100; 32]),
                id: identity.name(),
                notices: Vec::new(),
                told: 0,
                rpc: Vec::new(),
                faces: BTreeMap::new(),
                identity,
            }
        });
        Self {
            now: Instant::ZERO,
            nodes: nodes.collect(),
            clients: Vec::new(),
            puppets: Vec::new(),
            ends: BTreeMap::new(),
            links: BTreeMap::new(),
            flights: BTreeMap::new(),
            counter: 0,
            tap: None,
        }
    }

    /// Nodes that are all linked with each other, settled.
    pub(super) fn full(nodes: u8) -> Self {
        let mut network = Self::new(nodes);
        network.link_all();
        network
    }

    pub(super) fn link_all(&mut self) {
        for b in 0..self.nodes.len() {
            (0..b).for_each(|a| self.link(a, b));
        }
        self.run_for(seconds(5));
    }

    /// Nodes in a row, settled.
    pub(super) fn line(nodes: u8) -> Self {
        let mut network = Self::new(nodes);
        (1..usize::from(nodes)).for_each(|node| network.link(node - 1, node));
        network.run_for(seconds(5));
        network
    }

    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn link(&mut self, a: usize, b: usize) {
        let sessions = [self.count(), self.count()].map(SessionId);
        self.links.insert((a, b), (sessions[0], sessions[1]));
        self.ends.insert((a, sessions[0]), (b, sessions[1]));
        self.ends.insert((b, sessions[1]), (a, sessions[0]));
        for (node, other, session) in [(a, b, sessions[0]), (b, a, sessions[1])] {
            let peer = self.nodes[other].identity.clone();
            self.mesh(node, mesh::Input::Opened { session, peer, kind: PeerKind::Own });
        }
    }

    /// What is on the way is lost; both ends hear of it at once.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        let Some((session_a, session_b)) = self.links.remove(&(a, b)) else { return };
        for (node, over) in [(a, session_a), (b, session_b)] {
            self.ends.remove(&(node, over));
            self.flights.retain(|_, flight| match flight {
                Flight::Packet { to, session, .. } => (*to, *session) != (node, over),
                _ => true,
            });
            self.mesh(node, mesh::Input::Closed { session: over });
        }
    }

    /// A neighbour that the test plays.
    pub(super) fn puppet(&mut self, node: usize, number: u8, kind: PeerKind) -> usize {
        let (session, peer) = (SessionId(self.count()), identity(number));
        self.puppets.push(Puppet { node, session, frames: Vec::new() });
        self.mesh(node, mesh::Input::Opened { session, peer, kind });
        self.puppets.len() - 1
    }

    pub(super) fn puppet_sends(&mut self, puppet: usize, frame: Bytes) {
        let Puppet { node, session, .. } = self.puppets[puppet];
        self.mesh(node, mesh::Input::Frame { session, frame });
    }

    pub(super) fn puppet_sends_rc2(&mut self, puppet: usize, packet: &Rc2Packet) {
        let mut frame = BytesMut::new();
        packet.encode(&mut frame).unwrap();
        self.puppet_sends(puppet, frame.freeze());
    }

    pub(super) fn puppet_sends_packet(&mut self, puppet: usize, packet: &Packet) {
        let mut frame = BytesMut::new();
        packet.encode(&mut frame).unwrap();
        self.puppet_sends(puppet, frame.freeze());
    }

    /// What came to a puppet since this was last asked.
    pub(super) fn puppet_takes(&mut self, puppet: usize) -> Vec<Bytes> {
        core::mem::take(&mut self.puppets[puppet].frames)
    }

    pub(super) fn mesh(&mut self, node: usize, input: mesh::Input) {
        self.nodes[node].mesh.handle(self.now, input);
        self.pump(node);
    }

    pub(super) fn broker(&mut self, node: usize, input: amop::Input) {
        self.nodes[node].broker.handle(self.now, input);
        self.pump(node);
    }

    pub(super) fn report(&self, node: usize) -> AmopReport {
        self.nodes[node].broker.snapshot()
    }

    /// What waits anywhere: nothing, when all is over.
    pub(super) fn assert_nothing_waits(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.broker.unicasts.held(), (0, 0, 0, 0), "node {number}");
            for sdk in node.broker.snapshot().sessions {
                assert_eq!((sdk.unanswered, sdk.publishing), (0, 0), "node {number}: {sdk:?}");
            }
        }
    }

    /// Packets that are on their way from a node are lost; says how many.
    pub(super) fn lose_packets_from(&mut self, node: usize) -> usize {
        let before = self.flights.len();
        let ends = &self.ends;
        self.flights.retain(|_, flight| match flight {
            Flight::Packet { to, session, .. } => {
                ends.get(&(*to, *session)).is_none_or(|(from, _)| *from != node)
            }
            _ => true,
        });
        before - self.flights.len()
    }

    pub(super) fn note(&mut self, line: String) {
        if let Some(tap) = &mut self.tap {
            tap.push(line);
        }
    }

    pub(super) fn fly(&mut self, flight: Flight) {
        let counter = self.count();
        self.flights.insert((self.now + LATENCY, counter), flight);
    }

    /// Everything that happens in this time.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flights.first_key_value().map(|((at, _), _)| *at);
            let timer = self.next_timer();
            let next = earliest(arrival, timer.map(|(at, _)| at));
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some((_, flight)) = self.flights.pop_first() else { break };
                self.arrive(flight);
            } else if let Some((_, node)) = timer {
                self.time_out(node);
            }
        }
        self.now = end;
    }

    fn next_timer(&self) -> Option<(Instant, usize)> {
        let nodes = self.nodes.iter().enumerate();
        let due = nodes.filter_map(|(number, node)| {
            let faces = node.faces.values().map(|face| match face {
                Face::Channel(face, _) => face.poll_timeout(),
                Face::Ws(face) => face.poll_timeout(),
            });
            let faces = faces.fold(None, earliest);
            let machines = earliest(node.mesh.poll_timeout(), node.broker.poll_timeout());
            Some((earliest(machines, faces)?, number))
        });
        due.min()
    }

    fn time_out(&mut self, number: usize) {
        let (node, now) = (&mut self.nodes[number], self.now);
        node.mesh.handle_timeout(now);
        node.broker.handle_timeout(now);
        for face in node.faces.values_mut() {
            match face {
                Face::Channel(face, _) => face.handle_timeout(now),
                Face::Ws(face) => face.handle_timeout(now),
            }
        }
        self.pump(number);
    }

    fn arrive(&mut self, flight: Flight) {
        match flight {
            Flight::Packet { to, session, frame } => {
                self.mesh(to, mesh::Input::Frame { session, frame });
            }
            Flight::ToNode { client, bytes } => {
                let Client { node, session, .. } = self.clients[client];
                match self.nodes[node].faces.get_mut(&session) {
                    Some(Face::Channel(face, buffer)) => {
                        buffer.extend_from_slice(&bytes);
                        face.receive(self.now, buffer);
                    }
                    Some(Face::Ws(face)) => face.handle(self.now, ws::Input::Message(bytes)),
                    None => {}
                }
                self.pump(node);
            }
            Flight::ToClient { client, bytes } => self.client_gets(client, bytes),
        }
    }

    /// Carries out what the machines of a node want, until they want nothing.
    fn pump(&mut self, number: usize) {
        loop {
            let node = &mut self.nodes[number];
            if let Some(output) = node.mesh.poll() {
                self.mesh_wants(number, output);
            } else if let Some(output) = node.broker.poll() {
                self.broker_wants(number, output);
            } else if !self.face_wants(number) {
                return;
            }
        }
    }

    fn mesh_wants(&mut self, number: usize, output: mesh::Output) {
        match output {
            mesh::Output::Transmit { session, head, payload, .. } => {
                let frame: Bytes = [&head[..], &payload].concat().into();
                let puppet =
                    self.puppets.iter_mut().find(|it| (it.node, it.session) == (number, session));
                if let Some(puppet) = puppet {
                    return puppet.frames.push(frame);
                }
                let Some((to, session)) = self.ends.get(&(number, session)).copied() else {
                    return;
                };
                let packet = Packet::decode(frame.clone()).unwrap();
                if let Some(what) = packet_label(&packet) {
                    self.note(format!("node{number}>node{to} {what}"));
                }
                self.fly(Flight::Packet { to, session, frame });
            }
            mesh::Output::Amop(event) => {
                self.nodes[number].broker.handle(self.now, amop::Input::Mesh(event));
            }
            mesh::Output::Close { fault, .. } => panic!("node {number} closes a session: {fault}"),
            _ => {}
        }
    }

    fn broker_wants(&mut self, number: usize, output: amop::Output) {
        let now = self.now;
        match output {
            amop::Output::Mesh(send) => {
                self.nodes[number].mesh.handle(now, mesh::Input::Amop(send));
            }
            amop::Output::Notice(notice) => self.nodes[number].notices.push(notice),
            amop::Output::Close { session, fault } => self.ended(number, session, fault),
            amop::Output::Push { session, cast, message } => {
                self.tell_face(number, session, channel::Input::Push(cast, message));
            }
            amop::Output::Done { session, cast, message, result } => {
                self.tell_face(number, session, channel::Input::Done(cast, message, result));
            }
            amop::Output::Verify { session, seq, question } => {
                self.tell_face(number, session, channel::Input::Verify(seq, question));
            }
            amop::Output::ListRefused { session, error } => {
                if let Some(Face::Ws(face)) = self.nodes[number].faces.get_mut(&session) {
                    face.handle(now, ws::Input::ListRefused(error));
                }
            }
        }
    }

    fn tell_face(&mut self, number: usize, session: SdkSession, input: channel::Input) {
        let now = self.now;
        match (self.nodes[number].faces.get_mut(&session), input) {
            (Some(Face::Channel(face, _)), input) => face.handle(now, input),
            (Some(Face::Ws(face)), channel::Input::Push(cast, message)) => {
                face.handle(now, ws::Input::Push(cast, message));
            }
            (Some(Face::Ws(face)), channel::Input::Done(cast, message, result)) => {
                face.handle(now, ws::Input::Done(cast, message, result));
            }
            (Some(Face::Ws(_)), input) => panic!("a 3.x SDK has no words for {input:?}"),
            (None, _) => {}
        }
    }

    /// Whether a face of the node wanted something.
    fn face_wants(&mut self, number: usize) -> bool {
        let polled = self.nodes[number].faces.iter_mut().find_map(|(session, face)| {
            let output = match face {
                Face::Channel(face, _) => Output::Channel(face.poll()?),
                Face::Ws(face) => Output::Ws(face.poll()?),
            };
            Some((*session, output))
        });
        let Some((session, output)) = polled else { return false };
        let (now, client) = (self.now, self.client_of(number, session));
        match output {
            Output::Channel(channel::Output::Broker(input))
            | Output::Ws(ws::Output::Broker(input)) => self.nodes[number].broker.handle(now, input),
            Output::Channel(channel::Output::Send { head, body, push })
            | Output::Ws(ws::Output::Send { head, body, push }) => {
                self.deliver(number, client, session, [&head[..], &body].concat().into(), push);
            }
            Output::Channel(channel::Output::Rpc { seq, body })
            | Output::Ws(ws::Output::Rpc { seq, body }) => {
                self.nodes[number].rpc.push(body);
                let body = Bytes::from_static(b"{\"id\":0,\"jsonrpc\":\"2.0\",\"result\":\"0x0\"}");
                match self.nodes[number].faces.get_mut(&session) {
                    Some(Face::Channel(face, _)) => {
                        face.handle(now, channel::Input::RpcAnswer { seq, body });
                    }
                    Some(Face::Ws(face)) => face.handle(now, ws::Input::RpcAnswer { seq, body }),
                    None => {}
                }
            }
            Output::Ws(ws::Output::Ping) => {
                self.clients[client].pings += 1;
                if self.clients[client].habit != Habit::Silent
                    && let Some(Face::Ws(face)) = self.nodes[number].faces.get_mut(&session)
                {
                    face.handle(now, ws::Input::Alive);
                }
            }
            Output::Channel(channel::Output::Close(fault))
            | Output::Ws(ws::Output::Close(fault)) => {
                self.ended(number, session, fault);
            }
            Output::Channel(channel::Output::Notice(_)) | Output::Ws(ws::Output::Notice(_)) => {
                self.nodes[number].told += 1;
            }
        }
        true
    }

    fn client_of(&self, node: usize, session: SdkSession) -> usize {
        let mut clients = self.clients.iter();
        clients.position(|it| (it.node, it.session) == (node, session)).unwrap()
    }

    fn ended(&mut self, node: usize, session: SdkSession, fault: SdkFault) {
        let client = self.client_of(node, session);
        self.clients[client].fault = Some(fault);
        self.disconnect(client);
    }

    fn deliver(
        &mut self,
        number: usize,
        client: usize,
        session: SdkSession,
        bytes: Bytes,
        push: Option<Bytes>,
    ) {
        if let Some(seq) = push
            && self.clients[client].full
        {
            let input = amop::Input::Refused { session, seq };
            return self.nodes[number].broker.handle(self.now, input);
        }
        let kind = self.clients[client].kind;
        self.note(format!("node{number}>sdk{client} {}", label(kind, &bytes)));
        self.fly(Flight::ToClient { client, bytes });
    }
}

enum Output {
    Channel(channel::Output),
    Ws(ws::Output),
}

/// The type on the wire, as the documents write it.
pub(super) fn label(kind: SdkKind, bytes: &Bytes) -> String {
    match kind {
        SdkKind::Channel => match Frame::decode(bytes.clone()) {
            Ok(frame) => format!("0x{:x}", frame.frame_type.number()),
            Err(_) => "?".to_owned(),
        },
        SdkKind::WebSocket => match WsMessage::decode(bytes.clone()) {
            Ok(message) => format!("0x{:x}", message.kind.number()),
            Err(_) => "?".to_owned(),
        },
    }
}

/// What an AMOP packet is; none of the others.
fn packet_label(packet: &Packet) -> Option<String> {
    let kind = match packet.packet_type {
        PacketType::WsMessage => "answer".to_owned(),
        PacketType::AmopMessage => {
            let message = AmopMessage::decode(packet.payload.clone()).unwrap();
            match message.kind {
                AmopKind::ResponseOrBroadcast if packet.is_response() => {
                    format!("failure {}", message.status)
                }
                kind => format!("{kind:?}"),
            }
        }
        _ => return None,
    };
    Some(format!("{} {kind}", packet.packet_type.number()))
}

/// The lines of a tap without the topic lists' numbers, which are told all the time.
pub(super) fn without_numbers(lines: &[String]) -> VecDeque<&str> {
    lines.iter().map(String::as_str).filter(|line| !line.ends_with("TopicSeq")).collect()
}
