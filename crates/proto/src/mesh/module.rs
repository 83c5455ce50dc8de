//! `mesh` as a module: one machine behind a lock, a handler per session, and a sink for what the
//! drivers of both worlds (sockets and virtual time) have to do.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::keccak256;
use bytes::Bytes;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};

use super::{
    Broadcast, Delivery, Input, Limits, Mesh, MeshConfig, MeshCounters, MeshEvent, MeshFault,
    MeshReport, MessageId, Multicast, Output, ReplyTo, RouteReport, SessionId, Settled, Unicast,
};
use crate::amop::{self, AmopConfig, AmopCounters, AmopReport, Broker, QueueFull, SdkSink};
use crate::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
pub use crate::session::MESH;
use crate::session::SendError;
use crate::time::{Instant, earliest};
use chainmesh_wire::mesh::NodeType;

/// Its version.
pub const MESH_VERSION: u32 = 1;
/// Its only message: a whole P2P packet, header included.
pub const PACKET: u32 = 0;

/// What a driver does for the mesh. Called from the connections' tasks and from whoever sends:
/// must not wait. May call the mesh again.
pub trait MeshSink: Send + Sync {
    /// What time it is.
    fn now(&self) -> Instant;

    /// [`MeshModule::poll_timeout`] is earlier than it was: look again.
    fn wake(&self);

    /// A message for this node.
    fn deliver(&self, delivery: Delivery);

    /// A message of ours came to its end.
    fn settled(&self, settled: Settled);

    /// Something to be told.
    fn event(&self, event: MeshEvent);
}

/// The mesh of a node: register it with [`MeshModule::module`], drive its clock with
/// [`MeshModule::poll_timeout`] and [`MeshModule::handle_timeout`]. Cheap to clone, usable from any
/// thread.
#[derive(Clone)]
pub struct MeshModule {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    sink: Arc<dyn MeshSink>,
    next_session: AtomicU64,
}

struct State {
    mesh: Mesh,
    broker: Option<(Broker, Arc<dyn SdkSink>)>,
    peers: BTreeMap<SessionId, PeerContext>,
    /// The wake-up time that the driver knows of.
    told: Option<Instant>,
}

/// What is left to do when the lock is free again.
#[derive(Default)]
struct Effects {
    deliveries: Vec<Delivery>,
    settled: Vec<Settled>,
    events: Vec<MeshEvent>,
    closed: Vec<(SessionId, MeshFault, Option<PeerContext>)>,
    wake: bool,
}

impl MeshModule {
    /// A mesh without sessions, and without a broker of AMOP: nobody answers on topics.
    #[must_use]
    pub fn new(config: MeshConfig, seed: [u8; 32], sink: Arc<dyn MeshSink>) -> Self {
        Self::build(config, seed, sink, None)
    }

    /// The same with a broker of AMOP for the SDKs of this node.
    #[must_use]
    pub fn with_broker(
        config: MeshConfig,
        seed: [u8; 32],
        sink: Arc<dyn MeshSink>,
        amop: AmopConfig,
        sdks: Arc<dyn SdkSink>,
    ) -> Self {
        // Another one, of which neither tells the other.
        let broker = Broker::new(amop, keccak256(seed).0);
        Self::build(config, seed, sink, Some((broker, sdks)))
    }

    fn build(
        config: MeshConfig,
        seed: [u8; 32],
        sink: Arc<dyn MeshSink>,
        broker: Option<(Broker, Arc<dyn SdkSink>)>,
    ) -> Self {
        let (mesh, peers) = (Mesh::new(config, seed), BTreeMap::new());
        let state = State { mesh, broker, peers, told: None };
        let next_session = AtomicU64::new(0);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), sink, next_session }) }
    }

    /// The module to be registered; `None` never (the name is a valid one).
    #[must_use]
    pub fn module(&self) -> Option<Module> {
        Some(Module {
            capability: Capability::new(MESH, MESH_VERSION).ok()?,
            message_count: PACKET + 1,
            required: false,
            handler: Arc::new(self.clone()),
        })
    }

    /// Sends a message to one node; [`MeshSink::settled`] tells the end.
    pub fn unicast(&self, message: Unicast) -> MessageId {
        self.send(|id| Input::Unicast { id, message })
    }

    /// Sends a message to all members of a group; [`MeshSink::settled`] tells the end.
    pub fn broadcast(&self, message: Broadcast) -> MessageId {
        self.send(|id| Input::Broadcast { id, message })
    }

    /// Sends a message to all who follow a topic; [`MeshSink::settled`] tells the end.
    pub fn multicast(&self, message: Multicast) -> MessageId {
        self.send(|id| Input::Multicast { id, message })
    }

    /// A new id, for those who must know it before the message is sent: see
    /// [`MeshModule::handle`].
    pub fn next_id(&self) -> MessageId {
        self.shared.lock().mesh.next_id()
    }

    /// Replies to a delivered unicast.
    pub fn reply(&self, to: ReplyTo, payload: Bytes) {
        self.handle(Input::Reply { to, payload });
    }

    /// Follows a topic.
    pub fn subscribe(&self, topic: String) {
        self.handle(Input::Subscribe(topic));
    }

    /// Follows a topic no longer.
    pub fn unsubscribe(&self, topic: String) {
        self.handle(Input::Unsubscribe(topic));
    }

    /// Our own role or height is another now.
    pub fn set_local(&self, role: NodeType, height: u64) {
        self.handle(Input::Local { role, height });
    }

    /// Other limits hold from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.handle(Input::SetLimits(limits));
    }

    /// Any input, for those who need more than the verbs above. Sessions are the module's own
    /// business.
    pub fn handle(&self, input: Input) {
        let now = self.shared.sink.now();
        self.shared.run(|state| state.mesh.handle(now, input));
    }

    /// When [`MeshModule::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut state = self.shared.lock();
        state.told = state.next_timeout();
        state.told
    }

    /// Does what is due.
    pub fn handle_timeout(&self) {
        let now = self.shared.sink.now();
        self.shared.run(|state| {
            state.mesh.handle_timeout(now);
            if let Some((broker, _)) = &mut state.broker {
                broker.handle_timeout(now);
            }
        });
    }

    /// Something from an SDK's connection, for the broker; dropped if there is none.
    pub fn amop(&self, input: amop::Input) {
        self.amop_all([input]);
    }

    /// The same for all that came at once, which takes the lock once: what each of them causes is
    /// carried out before the next one, as if they had come one by one.
    pub fn amop_all(&self, inputs: impl IntoIterator<Item = amop::Input>) {
        let now = self.shared.sink.now();
        self.shared.run_for(None, |state, effects| {
            for input in inputs {
                if let Some((broker, _)) = &mut state.broker {
                    broker.handle(now, input);
                }
                state.carry_out(now, effects);
            }
        });
    }

    /// The broker as it is; `None` without one.
    #[must_use]
    pub fn amop_snapshot(&self) -> Option<AmopReport> {
        self.shared.lock().broker.as_ref().map(|(broker, _)| broker.snapshot())
    }

    /// The broker's counts since the start; `None` without one.
    #[must_use]
    pub fn amop_counters(&self) -> Option<AmopCounters> {
        self.shared.lock().broker.as_ref().map(|(broker, _)| broker.counters())
    }

    /// The mesh as this node sees it.
    #[must_use]
    pub fn snapshot(&self) -> MeshReport {
        self.shared.lock().mesh.snapshot()
    }

    /// The ways to all who can be reached, without the rest of the report.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteReport> {
        self.shared.lock().mesh.routes()
    }

    /// Counts since the start, without the rest of the report.
    #[must_use]
    pub fn counters(&self) -> MeshCounters {
        self.shared.lock().mesh.counters()
    }

    /// The session on the way to a front node of a group now, for those who want to wait for room
    /// ([`PeerContext::ready`]) before they send.
    #[must_use]
    pub fn way_to(&self, group: &[u8], to: &chainmesh_identity::PeerId) -> Option<PeerContext> {
        let state = self.shared.lock();
        let session = state.mesh.way_to(group, to)?;
        state.peers.get(&session).cloned()
    }

    fn send(&self, input: impl FnOnce(MessageId) -> Input) -> MessageId {
        let now = self.shared.sink.now();
        let mut sent = None;
        self.shared.run(|state| {
            let id = state.mesh.next_id();
            sent = Some(id);
            state.mesh.handle(now, input(id));
        });
        // The closure has run.
        sent.unwrap_or(MessageId::from_bytes([0; 16]))
    }
}

impl fmt::Debug for MeshModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshModule").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is whole between two calls, also when a holder panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the machine and carries out what it wants. Packets are queued under the lock, so that
    /// they leave in the order in which the machine made them; all else happens without it.
    ///
    /// Gives back why the session `of` is to end; others are ended here.
    fn run_for(
        &self,
        of: Option<SessionId>,
        step: impl FnOnce(&mut State, &mut Effects),
    ) -> Option<MeshFault> {
        let effects = {
            let mut state = self.lock();
            let mut effects = Effects::default();
            step(&mut state, &mut effects);
            state.carry_out(self.sink.now(), &mut effects);
            state.look_at_timers(&mut effects);
            effects
        };
        for delivery in effects.deliveries {
            self.sink.deliver(delivery);
        }
        for settled in effects.settled {
            self.sink.settled(settled);
        }
        for event in effects.events {
            self.sink.event(event);
        }
        let mut own = None;
        for (session, fault, peer) in effects.closed {
            if of == Some(session) {
                own = Some(fault);
            } else if let Some(peer) = peer {
                peer.disconnect(fault.reason());
            }
        }
        if effects.wake {
            self.sink.wake();
        }
        own
    }

    fn run(&self, step: impl FnOnce(&mut State)) {
        self.run_for(None, |state, _| step(state));
    }
}

impl State {
    fn carry_out(&mut self, now: Instant, effects: &mut Effects) {
        loop {
            let Some(output) = self.mesh.poll() else {
                match self.carry_out_for_broker(now) {
                    true => continue,
                    false => break,
                }
            };
            match output {
                Output::Transmit { session, class, head, payload, message } => {
                    let Some(peer) = self.peers.get(&session) else { continue };
                    match peer.send_parts(class, PACKET, Some(head), payload) {
                        Ok(()) => {}
                        // The end of the session is told by its handler.
                        Err(SendError::Closed) => {}
                        Err(_) => self.mesh.handle(now, Input::Refused { session, message }),
                    }
                }
                Output::Close { session, fault } => {
                    let peer = self.peers.get(&session).cloned();
                    effects.closed.push((session, fault, peer));
                }
                Output::Deliver(delivery) => effects.deliveries.push(delivery),
                Output::Settled(settled) => effects.settled.push(settled),
                Output::Amop(event) => {
                    if let Some((broker, _)) = &mut self.broker {
                        broker.handle(now, amop::Input::Mesh(event));
                    }
                }
                Output::Event(event) => effects.events.push(event),
            }
        }
    }

    fn look_at_timers(&mut self, effects: &mut Effects) {
        let timeout = self.next_timeout();
        effects.wake = match (timeout, self.told) {
            (Some(timeout), Some(told)) => timeout < told,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if effects.wake {
            self.told = timeout;
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let broker = self.broker.as_ref().and_then(|(broker, _)| broker.poll_timeout());
        earliest(self.mesh.poll_timeout(), broker)
    }

    /// Whether the broker wanted anything.
    fn carry_out_for_broker(&mut self, now: Instant) -> bool {
        let Some((broker, sdks)) = &mut self.broker else { return false };
        let Some(output) = broker.poll() else { return false };
        match output {
            amop::Output::Mesh(send) => self.mesh.handle(now, Input::Amop(send)),
            output => {
                let push = match &output {
                    amop::Output::Push { session, message, .. } => {
                        Some((*session, message.seq.clone()))
                    }
                    _ => None,
                };
                if let (Err(QueueFull), Some((session, seq))) = (sdks.carry_out(output), push) {
                    broker.handle(now, amop::Input::Refused { session, seq });
                }
            }
        }
        true
    }
}

impl PeerHandler for MeshModule {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        let session = SessionId(self.shared.next_session.fetch_add(1, Relaxed));
        let (identity, kind) = (peer.identity(), peer.peer_kind());
        let now = self.shared.sink.now();
        self.shared.run(|state| {
            state.peers.insert(session, peer);
            state.mesh.handle(now, Input::Opened { session, peer: identity, kind });
        });
        Box::new(MeshHandler { shared: Arc::clone(&self.shared), session })
    }
}

/// The mesh's end of one session, inside its connection's task.
struct MeshHandler {
    shared: Arc<Shared>,
    session: SessionId,
}

impl TopicHandler for MeshHandler {
    fn handle(&mut self, _code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let now = self.shared.sink.now();
        let session = self.session;
        let input = Input::Frame { session, frame: payload };
        let fault = self.shared.run_for(Some(session), |state, _| state.mesh.handle(now, input));
        fault.map_or(Ok(()), |fault| Err(ModuleError::with_reason(fault.reason(), fault)))
    }

    fn closed(&mut self, _reason: &DisconnectReason) {
        let now = self.shared.sink.now();
        let session = self.session;
        self.shared.run(|state| {
            state.peers.remove(&session);
            state.mesh.handle(now, Input::Closed { session });
        });
    }
}
