//! `pex` as a module: one machine behind a lock, a handler per session, and a sink for what a driver has
//! to do.

use core::fmt;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};
use chainmesh_wire::discv4::Contact;
use chainmesh_wire::pex::{MESSAGE_COUNT, PEX, PEX_VERSION};

use super::{Input, Output, Pex, PexConfig, PexFault, PexReport, SessionId};
use crate::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
use crate::session::Class;
use crate::time::Instant;

/// What a driver does for peer exchange. Called from the connections' tasks: must not wait, and must
/// not call the module.
pub trait PexSink: Send + Sync {
    /// What time it is.
    fn now(&self) -> Instant;

    /// [`PexModule::poll_timeout`] is earlier than it was: look again.
    fn wake(&self);

    /// Draw a sample of the book for somebody at `asker`, and give it to [`PexModule::sampled`].
    fn sample(&self, session: SessionId, asker: IpAddr);

    /// A peer told of nodes.
    fn learned(&self, teller: PeerId, from: IpAddr, nodes: Vec<Contact>);
}

/// Peer exchange of a node: register it with [`PexModule::module`], drive its clock with
/// [`PexModule::poll_timeout`] and [`PexModule::handle_timeout`]. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct PexModule {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    sink: Arc<dyn PexSink>,
    next_session: AtomicU64,
}

struct State {
    pex: Pex,
    peers: BTreeMap<SessionId, PeerContext>,
    /// The wake-up time that the driver knows of.
    told: Option<Instant>,
}

impl PexModule {
    /// Peer exchange without sessions.
    #[must_use]
    pub fn new(config: PexConfig, seed: [u8; 32], sink: Arc<dyn PexSink>) -> Self {
        let state = State { pex: Pex::new(config, seed), peers: BTreeMap::new(), told: None };
        let (state, next_session) = (Mutex::new(state), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { state, sink, next_session }) }
    }

    /// The module to be registered; `None` never (the name is a valid one).
    #[must_use]
    pub fn module(&self) -> Option<Module> {
        Some(Module {
            capability: Capability::new(PEX, PEX_VERSION).ok()?,
            message_count: MESSAGE_COUNT,
            required: false,
            handler: Arc::new(self.clone()),
        })
    }

    /// A peer is one of ours.
    pub fn ready(&self, peer: PeerId) {
        self.shared.run(None, |now, pex| pex.handle(now, Input::Ready { peer }));
    }

    /// How many more nodes it would be good to know.
    pub fn need(&self, nodes: usize) {
        self.shared.run(None, |now, pex| pex.handle(now, Input::Need { nodes }));
    }

    /// The sample that [`PexSink::sample`] wanted.
    pub fn sampled(&self, session: SessionId, nodes: Vec<Contact>) {
        self.shared.run(None, |now, pex| pex.handle(now, Input::Sampled { session, nodes }));
    }

    /// When [`PexModule::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut state = self.shared.lock();
        state.told = state.pex.poll_timeout();
        state.told
    }

    /// Does what is due.
    pub fn handle_timeout(&self) {
        self.shared.run(None, |now, pex| pex.handle_timeout(now));
    }

    /// Peer exchange as it is.
    #[must_use]
    pub fn snapshot(&self) -> PexReport {
        self.shared.lock().pex.snapshot()
    }
}

impl fmt::Debug for PexModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PexModule").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is whole between two calls, also when a holder panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the machine and does what it wants. Gives back why the session `of` is to end; others are
    /// ended here.
    fn run(&self, of: Option<SessionId>, step: impl FnOnce(Instant, &mut Pex)) -> Option<PexFault> {
        let now = self.sink.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        step(now, &mut state.pex);
        let mut own = None;
        while let Some(output) = state.pex.poll() {
            match output {
                Output::Send { session, code, payload } => {
                    if let Some(peer) = state.peers.get(&session) {
                        // Who does not keep up is not told; who has gone is told of by its handler.
                        let _ = peer.send_as(Class::Gossip, code, payload);
                    }
                }
                Output::Sample { session, asker } => self.sink.sample(session, asker),
                Output::Learned { teller, from, nodes } => self.sink.learned(teller, from, nodes),
                Output::Close { session, fault } if of == Some(session) => own = Some(fault),
                Output::Close { session, fault } => {
                    if let Some(peer) = state.peers.get(&session) {
                        peer.disconnect(fault.reason());
                    }
                }
            }
        }
        let timeout = state.pex.poll_timeout();
        let wake = match (timeout, state.told) {
            (Some(timeout), Some(told)) => timeout < told,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if wake {
            state.told = timeout;
        }
        drop(guard);
        if wake {
            self.sink.wake();
        }
        own
    }
}

impl PeerHandler for PexModule {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        let session = SessionId(self.shared.next_session.fetch_add(1, Relaxed));
        let (id, address, dialled) = (peer.id(), peer.address().ip(), peer.is_dialled());
        self.shared.lock().peers.insert(session, peer);
        let opened = Input::Opened { session, peer: id, address, dialled };
        self.shared.run(None, |now, pex| pex.handle(now, opened));
        Box::new(PexHandler { shared: Arc::clone(&self.shared), session })
    }
}

/// The module's end of one session, inside its connection's task.
struct PexHandler {
    shared: Arc<Shared>,
    session: SessionId,
}

impl TopicHandler for PexHandler {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let session = self.session;
        let message = Input::Message { session, code, payload };
        let fault = self.shared.run(Some(session), |now, pex| pex.handle(now, message));
        fault.map_or(Ok(()), |fault| Err(ModuleError::with_reason(fault.reason(), fault)))
    }

    fn closed(&mut self, _reason: &DisconnectReason) {
        let session = self.session;
        self.shared.lock().peers.remove(&session);
        self.shared.run(None, |now, pex| pex.handle(now, Input::Closed { session }));
    }
}
