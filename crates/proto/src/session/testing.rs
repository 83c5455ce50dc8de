//! Two connections in virtual time, and a peer that says what a test wants.
//!
//! Nothing sleeps: time is a number, and [`Pair::run_for`] jumps from one event to the next. What a
//! driver has to do is done as its contract says, with a count that finds one that never sleeps.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Wake;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_wire::devp2p::{Capability, DisconnectReason, Hello, code};

pub(crate) mod certificates;

use super::connection::{Connection, ConnectionEvent, LocalNode};
use super::{Handshake, Link, Message, Progress, Session, SessionKind};
use crate::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
use crate::time::{Instant, earliest};

pub(crate) const ALL: [SessionKind; 3] = [SessionKind::Rlpx, SessionKind::Tls, SessionKind::Clear];
/// Those whose bytes are the same each time: rustls has randomness of its own.
pub(crate) const REPEATABLE: [SessionKind; 2] = [SessionKind::Rlpx, SessionKind::Clear];
/// The side that dials, and the one that is dialled.
pub(crate) const DIALLER: usize = 0;
pub(crate) const ACCEPTOR: usize = 1;

const ADDRESS: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 30303);
/// Rounds of a driver without sleep after which it will never sleep.
const TOO_MANY_ROUNDS: usize = 10_000;

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_entropy([number + 1; 32])
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Bell(pub(crate) AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Bell {
    pub(crate) fn rings(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// What a [`Recorder`] saw, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Message(Capability, u32, Bytes),
    Closed(Capability, DisconnectReason),
}

type OnPeer = dyn Fn(&PeerContext) + Send + Sync;
type OnMessage = dyn Fn(&PeerContext, u32, &Bytes) -> Result<(), ModuleError> + Send + Sync;

/// A module that writes down what it sees, and does what a test wants.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) peers: Arc<Mutex<Vec<PeerContext>>>,
    on_peer: Arc<OnPeer>,
    on_message: Arc<OnMessage>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            seen: Arc::default(),
            peers: Arc::default(),
            on_peer: Arc::new(|_| ()),
            on_message: Arc::new(|_, _, _| Ok(())),
        }
    }
}

impl Recorder {
    pub(crate) fn on_peer(mut self, then: impl Fn(&PeerContext) + Send + Sync + 'static) -> Self {
        self.on_peer = Arc::new(then);
        self
    }

    pub(crate) fn on_message(
        mut self,
        then: impl Fn(&PeerContext, u32, &Bytes) -> Result<(), ModuleError> + Send + Sync + 'static,
    ) -> Self {
        self.on_message = Arc::new(then);
        self
    }

    pub(crate) fn module(&self, name: &str, version: u32, message_count: u32) -> Module {
        Module {
            capability: Capability::new(name, version).unwrap(),
            message_count,
            required: false,
            handler: Arc::new(self.clone()),
        }
    }

    pub(crate) fn context(&self, name: &str) -> PeerContext {
        let peers = self.peers.lock().unwrap();
        peers.iter().rfind(|peer| peer.capability().name.as_str() == name).unwrap().clone()
    }

    /// Codes and payloads of the messages so far.
    pub(crate) fn messages(&self) -> Vec<(u32, Bytes)> {
        let message = |seen: &Seen| match seen {
            Seen::Message(_, code, payload) => Some((*code, payload.clone())),
            Seen::Closed(..) => None,
        };
        self.seen.lock().unwrap().iter().filter_map(message).collect()
    }

    pub(crate) fn closed(&self) -> Vec<DisconnectReason> {
        let closed = |seen: &Seen| match seen {
            Seen::Closed(_, reason) => Some(*reason),
            Seen::Message(..) => None,
        };
        self.seen.lock().unwrap().iter().filter_map(closed).collect()
    }
}

impl PeerHandler for Recorder {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        self.peers.lock().unwrap().push(peer.clone());
        (self.on_peer)(&peer);
        Box::new(RecorderOfPeer { recorder: self.clone(), peer })
    }
}

struct RecorderOfPeer {
    recorder: Recorder,
    peer: PeerContext,
}

impl TopicHandler for RecorderOfPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let outcome = (self.recorder.on_message)(&self.peer, code, &payload);
        let seen = Seen::Message(*self.peer.capability(), code, payload);
        self.recorder.seen.lock().unwrap().push(seen);
        outcome
    }

    fn closed(&mut self, reason: &DisconnectReason) {
        let seen = Seen::Closed(*self.peer.capability(), *reason);
        self.recorder.seen.lock().unwrap().push(seen);
    }
}

pub(crate) fn node(number: u8, kind: SessionKind, modules: Vec<Module>) -> Arc<LocalNode> {
    Arc::new(LocalNode {
        key: key(number),
        client_name: format!("test/{number}"),
        listen_port: 30303,
        modules,
        kind,
        tls: (kind == SessionKind::Tls).then(|| certificates::local(number)),
    })
}

/// One end of a connection with its driver.
pub(crate) struct Side {
    pub(crate) machine: Connection,
    pub(crate) events: Vec<ConnectionEvent>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
    /// Whether the manager says yes as soon as it is asked.
    pub(crate) admits: bool,
    /// Whether the network takes what is written.
    pub(crate) writable: bool,
}

impl Side {
    pub(crate) fn new(machine: Connection) -> Self {
        Self {
            machine,
            events: Vec::new(),
            bell: Arc::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            admits: true,
            writable: true,
        }
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(self.machine.link())
    }

    /// As a driver does when it wakes, until it may sleep. Returns what went to the network.
    pub(crate) fn drive(&mut self, now: Instant) -> BytesMut {
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut sent = BytesMut::new();
        for _ in 0..TOO_MANY_ROUNDS {
            self.machine.attend(now);
            if self.machine.is_closing() || !self.machine.is_reading_paused() {
                self.machine.receive(now, &mut self.input);
            }
            while self.machine.transmit(&mut self.output) && self.writable {
                self.write(&mut sent);
            }
            if self.writable {
                self.write(&mut sent);
            }
            if self.machine.poll_timeout().is_some_and(|at| at <= now) {
                self.machine.handle_timeout(now);
                continue;
            }
            let mut quiet = true;
            while let Some(event) = self.machine.poll() {
                quiet = false;
                if self.admits && matches!(event, ConnectionEvent::Authenticated { .. }) {
                    self.machine.link().admit();
                }
                self.events.push(event);
            }
            if quiet && self.machine.sleep(&waker) {
                return sent;
            }
        }
        panic!("the connection never lets its driver sleep");
    }

    fn write(&mut self, sent: &mut BytesMut) {
        self.machine.transmitted(self.output.len());
        sent.unsplit(self.output.split());
    }

    pub(crate) fn arrive(&mut self, now: Instant, bytes: &[u8]) {
        self.machine.received(now, bytes.len());
        self.input.extend_from_slice(bytes);
    }

    /// Why it was closed, if it was; in words, since errors of modules cannot be compared.
    pub(crate) fn cause(&self) -> Option<String> {
        self.events.iter().find_map(|event| match event {
            ConnectionEvent::Closed(cause) => Some(cause.to_string()),
            _ => None,
        })
    }

    pub(crate) fn reason(&self) -> Option<DisconnectReason> {
        self.events.iter().find_map(|event| match event {
            ConnectionEvent::Closed(cause) => Some(cause.wire_reason()),
            _ => None,
        })
    }

    pub(crate) fn is_established(&self) -> bool {
        self.events.iter().any(|event| matches!(event, ConnectionEvent::Established))
    }

    /// The first letters of what happened, in order.
    pub(crate) fn story(&self) -> String {
        let letter = |event: &ConnectionEvent| match event {
            ConnectionEvent::Authenticated { .. } => 'A',
            ConnectionEvent::Greeted { .. } => 'G',
            ConnectionEvent::Established => 'E',
            ConnectionEvent::Alive => 'L',
            ConnectionEvent::Closed(_) => 'C',
        };
        self.events.iter().map(letter).collect()
    }
}

/// Two connections and what is on its way between them.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) latency: Duration,
    /// Bytes that arrive at once, at most.
    pub(crate) chunk: usize,
    pub(crate) sides: [Side; 2],
    cut: bool,
    /// What arrives at each side, and when.
    flight: [VecDeque<(Instant, Bytes)>; 2],
}

impl Pair {
    pub(crate) fn new(kind: SessionKind, modules: [Vec<Module>; 2]) -> Self {
        let [a, b] = modules;
        Self::of([node(0, kind, a), node(1, kind, b)])
    }

    pub(crate) fn of([a, b]: [Arc<LocalNode>; 2]) -> Self {
        let now = Instant::from_micros(1_000_000);
        let to = Some(b.id());
        let dialler = Connection::dial(a, ADDRESS, to, [1; 32], now);
        let acceptor = Connection::accept(b, ADDRESS, [2; 32], now);
        Self {
            now,
            latency: Duration::from_millis(10),
            chunk: usize::MAX,
            sides: [Side::new(dialler), Side::new(acceptor)],
            cut: false,
            flight: Default::default(),
        }
    }

    /// A pair with one module of one recorder on each side, run until it is established.
    pub(crate) fn established(kind: SessionKind) -> (Self, [Recorder; 2]) {
        let recorders = [Recorder::default(), Recorder::default()];
        let modules = recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]);
        let mut pair = Self::new(kind, modules);
        pair.run_for(Duration::from_millis(100));
        assert!(pair.sides.iter().all(Side::is_established));
        (pair, recorders)
    }

    /// Lets both drivers do what they can do now.
    pub(crate) fn drive(&mut self) {
        for from in [DIALLER, ACCEPTOR] {
            let sent = self.sides[from].drive(self.now).freeze();
            let at = self.now + self.latency;
            let mut rest = sent;
            while !rest.is_empty() && !self.cut {
                let piece = rest.split_to(rest.len().min(self.chunk));
                self.flight[1 - from].push_back((at, piece));
            }
        }
    }

    /// Goes to the next thing that happens, if there is one until `limit`.
    pub(crate) fn step(&mut self, limit: Instant) -> bool {
        self.drive();
        let arrival = |side: usize| self.flight[side].front().map(|(at, _)| *at);
        let timer = |side: usize| self.sides[side].machine.poll_timeout();
        let next =
            earliest(earliest(arrival(0), arrival(1)), earliest(timer(DIALLER), timer(ACCEPTOR)));
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(next);
        for (side, flight) in self.sides.iter_mut().zip(&mut self.flight) {
            if let Some((_, bytes)) = flight.pop_front_if(|(at, _)| *at <= self.now) {
                side.arrive(self.now, &bytes);
            }
        }
        true
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
        self.drive();
    }

    pub(crate) fn both(&self, holds: impl Fn(&Side) -> bool) -> bool {
        self.sides.iter().all(holds)
    }

    /// What is on its way is lost, and what follows.
    pub(crate) fn cut_cable(&mut self) {
        self.flight = Default::default();
        self.cut = true;
    }
}

/// A peer without a machine: it says what a test wants. It dialled.
pub(crate) struct Raw {
    pub(crate) session: Session,
    pub(crate) side: Side,
    pub(crate) now: Instant,
    input: BytesMut,
    pub(crate) id: PeerId,
}

impl Raw {
    /// The keys are agreed on; nothing else was said.
    pub(crate) fn connect(kind: SessionKind, modules: Vec<Module>) -> Self {
        let now = Instant::from_micros(1_000_000);
        let (local, raw) = (node(1, kind, modules), node(0, kind, Vec::new()));
        let own = key(0);
        let remote = Some(local.id());
        let mut side = Side::new(Connection::accept(local, ADDRESS, [2; 32], now));
        let mut out = BytesMut::new();
        let mut handshake = Handshake::dial(&raw, remote, [1; 32], &mut out).unwrap();
        let mut input = BytesMut::new();
        let session = loop {
            match handshake.advance(&own, &mut input, &mut out) {
                Ok(Progress::Done(session, _)) => break session,
                Ok(Progress::Wait(next)) => handshake = next,
                Err(error) => panic!("a handshake that fails: {error}"),
            }
            side.arrive(now, &out.split());
            input.unsplit(side.drive(now));
        };
        if !out.is_empty() {
            side.arrive(now, &out);
            input.unsplit(side.drive(now));
        }
        Self { session, side, now, input, id: own.peer_id() }
    }

    pub(crate) fn hello(&self, version: u64, capabilities: &[(&str, u32)]) -> Hello {
        Hello {
            protocol_version: version,
            client_name: "raw".into(),
            capabilities: capabilities
                .iter()
                .map(|(name, version)| Capability::new(name, *version).unwrap())
                .collect(),
            listen_port: 0,
            id: self.id,
        }
    }

    /// Says Hello, and reads the other one's.
    pub(crate) fn greet(&mut self, version: u64, capabilities: &[(&str, u32)]) {
        let hello = self.hello(version, capabilities).encode_payload();
        self.send(code::HELLO, &hello);
        assert_eq!(self.next().map(|message| message.code), Some(code::HELLO));
        if version >= 5 {
            self.session.enable_packing();
        }
    }

    pub(crate) fn send(&mut self, code: u64, payload: &[u8]) {
        let mut wire = BytesMut::new();
        self.session.write(code, payload, &mut wire);
        self.send_bytes(&wire);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.side.arrive(self.now, bytes);
        let answer = self.side.drive(self.now);
        self.input.unsplit(answer);
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        let answer = self.side.drive(self.now);
        self.input.unsplit(answer);
    }

    /// What the connection said next.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.session.read(&mut self.input, super::MAX_UNPACKED).unwrap()
    }

    /// The reason in its Disconnect, if that is what it said next.
    pub(crate) fn farewell(&mut self) -> Option<DisconnectReason> {
        let message = self.next()?;
        assert_eq!(message.code, code::DISCONNECT);
        Some(DisconnectReason::decode_payload(&message.payload).unwrap())
    }

    pub(crate) fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }
}
