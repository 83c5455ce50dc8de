//! One connection from its first byte to its last: handshake, Hello, modules, heartbeat, goodbye.
//!
//! ```text
//! Handshaking ──► Authenticated ──► Greeting ──► Open ──► Closing ──► Closed
//!      │   the peer's key    │ admitted by    │ both Hellos        ▲
//!      │   is proved         │ the manager    │ are there          │
//!      └─────────────────────┴────────────────┴── any fault ───────┘
//! ```
//!
//! The driver owns the socket and the two buffers. It calls [`Connection::attend`] whenever it
//! wakes, then [`Connection::receive`] with what came, [`Connection::transmit`] until there is
//! nothing to send, handles each [`Connection::poll`], and sleeps when [`Connection::sleep`] says
//! that nothing came in between, at most until [`Connection::poll_timeout`].

mod capabilities;
mod fault;
mod open;

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_wire::devp2p::{Capability, DisconnectReason, Hello, P2P_VERSION, code};

use super::link::{CloseOrder, Link, Orders};
use super::{Handshake, Progress, Session, SessionKind, rlpx};
use crate::module::Module;
use crate::time::{Instant, earliest};

pub use capabilities::SharedModule;
pub use fault::{Blame, CloseCause, ProtocolFault};
use open::Open;

/// Time from the first byte to the last module's handshake (`design`: 5 s for all of it, as geth
/// has for each part).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The dialling side sends a Ping this often (geth: 15 s).
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A peer from which nothing came for so long is gone: three heartbeats.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a Disconnect may take to leave before the connection is closed all the same.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that are sealed ahead of the network: enough that the kernel always has work.
const TRANSMIT_TARGET: usize = 64 * 1024;

/// What all connections of a node have in common.
#[derive(Debug)]
pub struct LocalNode {
    /// The node's key.
    pub key: NodeKey,
    /// Name and version of the software, for people.
    pub client_name: String,
    /// TCP port of the listener, 0 if there is none.
    pub listen_port: u16,
    /// What the node speaks.
    pub modules: Vec<Module>,
    /// The kind of session.
    pub kind: SessionKind,
}

impl LocalNode {
    fn hello(&self) -> Hello {
        let mut capabilities: Vec<Capability> =
            self.modules.iter().map(|module| module.capability).collect();
        capabilities.sort_unstable();
        Hello {
            protocol_version: P2P_VERSION,
            client_name: self.client_name.clone(),
            capabilities,
            listen_port: self.listen_port,
            id: self.key.peer_id(),
        }
    }
}

/// What happened on a connection.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// The peer proved that it has the key of this ID. The connection waits for [`Link::admit`]
    /// or [`Link::close`].
    Authenticated(PeerId),
    /// The peer's Hello came and was accepted.
    Greeted {
        /// What the peer said.
        hello: Hello,
        /// The modules that both sides have.
        shared: Vec<Capability>,
    },
    /// Every module's own handshake is done: the peer counts.
    Established,
    /// The peer gave the sign of life that [`Link::probe`] asked for.
    Alive,
    /// The connection is over. Nothing comes after this; what is in the out-buffer may still be
    /// written.
    Closed(CloseCause),
}

/// One connection. See the module's documentation for the order of calls.
pub struct Connection {
    local: Arc<LocalNode>,
    link: Arc<Link>,
    address: SocketAddr,
    /// Whom we dialled; `None` when the peer dialled us.
    expected: Option<PeerId>,
    stage: Stage,
    /// Bytes of handshake and farewell that wait for the driver.
    pending: BytesMut,
    events: VecDeque<ConnectionEvent>,
    orders: Orders,
    deadline: Instant,
    last_received: Instant,
    closing_until: Instant,
    /// The driver was told, or will be, that all is over.
    over: bool,
    /// Somebody waits for a sign of life.
    probing: bool,
    /// Enough is sealed ahead of the network: the queue waits until the driver has written it.
    blocked: bool,
}

enum Stage {
    Handshaking(Handshake),
    Authenticated(Session, PeerId),
    Greeting(Session, PeerId),
    Open(Box<Open>),
    Closing,
    Closed,
}

impl Connection {
    /// A connection that this node opened to `peer`.
    #[must_use]
    pub fn dial(
        local: Arc<LocalNode>,
        address: SocketAddr,
        peer: PeerId,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut pending = BytesMut::new();
        let handshake = Handshake::dial(local.kind, &local.key, peer, seed, &mut pending);
        let mut connection = Self::new(local, address, Some(peer), pending, now);
        match handshake {
            Ok(handshake) => connection.stage = Stage::Handshaking(handshake),
            Err(error) => connection.finish(CloseCause::Session(error)),
        }
        connection
    }

    /// A connection that somebody opened to this node.
    #[must_use]
    pub fn accept(
        local: Arc<LocalNode>,
        address: SocketAddr,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut pending = BytesMut::new();
        let handshake = Handshake::accept(local.kind, &local.key, seed, &mut pending);
        let mut connection = Self::new(local, address, None, pending, now);
        connection.stage = Stage::Handshaking(handshake);
        connection
    }

    fn new(
        local: Arc<LocalNode>,
        address: SocketAddr,
        expected: Option<PeerId>,
        pending: BytesMut,
        now: Instant,
    ) -> Self {
        let link = Arc::new(Link::default());
        let orders = link.attend();
        Self {
            local,
            link,
            address,
            expected,
            stage: Stage::Closed,
            pending,
            events: VecDeque::new(),
            orders,
            deadline: now + HANDSHAKE_TIMEOUT,
            last_received: now,
            closing_until: now,
            over: false,
            probing: false,
            blocked: false,
        }
    }

    /// The part of the connection that others may hold.
    #[must_use]
    pub const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Whether this node dialled.
    #[must_use]
    pub const fn is_dialled(&self) -> bool {
        self.expected.is_some()
    }

    /// Uses a link that the control plane holds already, instead of one of its own.
    #[must_use]
    pub fn over(mut self, link: Arc<Link>) -> Self {
        self.link = link;
        self.orders = self.link.attend();
        self
    }

    /// Whether the driver is to leave bytes in the kernel: the manager has not decided yet, the
    /// peer's requests are being answered, or the connection is closing.
    #[must_use]
    pub const fn is_reading_paused(&self) -> bool {
        self.orders.paused
            || matches!(self.stage, Stage::Authenticated(..) | Stage::Closing | Stage::Closed)
    }

    /// Whether all is over and nothing is left to send.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Closed) && self.pending.is_empty()
    }

    /// The driver is awake: takes note of what others want of this connection.
    pub fn attend(&mut self, now: Instant) {
        self.orders = self.link.attend();
        if matches!(self.stage, Stage::Closing | Stage::Closed) {
            return;
        }
        match self.orders.close {
            Some(CloseOrder::Asked(reason)) => {
                return self.close(CloseCause::Local(reason), now);
            }
            Some(CloseOrder::SlowReader) => return self.close(CloseCause::SlowReader, now),
            None => {}
        }
        if self.orders.admitted && matches!(self.stage, Stage::Authenticated(..)) {
            let stage = core::mem::replace(&mut self.stage, Stage::Closed);
            if let Stage::Authenticated(mut session, peer) = stage {
                let hello = self.local.hello().encode_payload();
                session.write(code::HELLO, &hello, &mut self.pending);
                self.stage = Stage::Greeting(session, peer);
            }
        }
        if self.orders.probe
            && let Stage::Open(open) = &mut self.stage
        {
            open.ping(now, &mut self.pending);
            self.probing = true;
        }
        self.check_established();
    }

    /// So many bytes came from the network into the driver's buffer.
    pub fn received(&mut self, now: Instant, bytes: usize) {
        self.last_received = now;
        self.link.traffic().bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    /// Takes what it can of `input`. What is left is the beginning of something that has not come
    /// whole, or waits for [`Link::admit`] or for holds to end: to be called again after every
    /// [`Connection::attend`].
    pub fn receive(&mut self, now: Instant, input: &mut BytesMut) {
        loop {
            let before = input.len();
            match core::mem::replace(&mut self.stage, Stage::Closed) {
                Stage::Handshaking(handshake) => self.handshake(handshake, input, now),
                Stage::Authenticated(session, peer) => {
                    // Nothing is read before the manager has decided.
                    self.stage = Stage::Authenticated(session, peer);
                    return;
                }
                Stage::Greeting(session, peer) => self.greet(session, peer, input, now),
                Stage::Open(mut open) => {
                    let result = open.receive(now, input, &self.link, &mut self.pending);
                    if self.probing && !open.is_ping_open() {
                        self.probing = false;
                        self.events.push_back(ConnectionEvent::Alive);
                    }
                    self.stage = Stage::Open(open);
                    if let Err(cause) = result {
                        return self.close(cause, now);
                    }
                    self.orders = self.link.attend();
                    self.check_established();
                    return;
                }
                stage @ (Stage::Closing | Stage::Closed) => {
                    self.stage = stage;
                    input.clear();
                    return;
                }
            }
            if input.len() == before || input.is_empty() {
                return;
            }
        }
    }

    fn handshake(&mut self, handshake: Handshake, input: &mut BytesMut, now: Instant) {
        match handshake.advance(&self.local.key, input, &mut self.pending) {
            Ok(Progress::Wait(handshake)) => self.stage = Stage::Handshaking(handshake),
            Ok(Progress::Done(session, peer)) => {
                self.stage = Stage::Authenticated(session, peer);
                self.events.push_back(ConnectionEvent::Authenticated(peer));
                self.orders = self.link.attend();
                if self.orders.admitted {
                    self.attend(now);
                }
            }
            Err(error) => self.finish(CloseCause::Session(error)),
        }
    }

    fn greet(&mut self, mut session: Session, peer: PeerId, input: &mut BytesMut, now: Instant) {
        let message = match session.read(input, rlpx::MAX_BASE_FRAME) {
            Ok(None) => return self.stage = Stage::Greeting(session, peer),
            Ok(Some(message)) => message,
            Err(error) => {
                self.stage = Stage::Greeting(session, peer);
                return self.close(CloseCause::Session(error), now);
            }
        };
        let outcome = capabilities::read_hello(&message, peer).and_then(|hello| {
            Ok((capabilities::match_modules(&self.local.modules, &hello)?, hello))
        });
        match outcome {
            Ok((shared, hello)) => {
                if hello.protocol_version >= P2P_VERSION {
                    session.enable_packing();
                }
                let capabilities = shared.iter().map(|shared| shared.module.capability).collect();
                self.events.push_back(ConnectionEvent::Greeted { hello, shared: capabilities });
                let open = Open::new(
                    session,
                    peer,
                    self.address,
                    self.is_dialled(),
                    shared,
                    &self.link,
                    now,
                );
                self.stage = Stage::Open(Box::new(open));
                self.orders = self.link.attend();
                self.check_established();
            }
            Err(cause) => {
                self.stage = Stage::Greeting(session, peer);
                self.close(cause, now);
            }
        }
    }

    fn check_established(&mut self) {
        if let Stage::Open(open) = &mut self.stage
            && !open.established
            && self.orders.handshakes == 0
        {
            open.established = true;
            self.events.push_back(ConnectionEvent::Established);
        }
    }

    /// Appends to `out` what is to be sent, up to about 64 KiB (one large message may be more).
    /// Returns whether there may be more.
    pub fn transmit(&mut self, out: &mut BytesMut) -> bool {
        if !self.pending.is_empty() {
            let pending = core::mem::take(&mut self.pending);
            out.extend_from_slice(&pending);
        }
        self.blocked = match &mut self.stage {
            Stage::Open(open) => open.transmit(&self.link, out, TRANSMIT_TARGET),
            Stage::Closing => {
                self.stage = Stage::Closed;
                false
            }
            _ => false,
        };
        self.blocked
    }

    /// So many bytes went to the network.
    pub fn transmitted(&self, bytes: usize) {
        self.link.traffic().bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// The next thing that happened.
    pub fn poll(&mut self) -> Option<ConnectionEvent> {
        self.events.pop_front()
    }

    /// When [`Connection::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Open(open) => {
                let deadline = (!open.established).then_some(self.deadline);
                // While reading is paused by us, silence is not the peer's fault.
                let idle = (!self.orders.paused).then(|| self.last_received + IDLE_TIMEOUT);
                earliest(earliest(deadline, idle), open.next_tick())
            }
            Stage::Closing => Some(self.closing_until),
            Stage::Closed => None,
            _ => Some(self.deadline),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Open(open) => {
                if !open.established && now >= self.deadline {
                    return self.close(CloseCause::HandshakeTimeout, now);
                }
                if !self.orders.paused && now >= self.last_received + IDLE_TIMEOUT {
                    return self.close(CloseCause::IdleTimeout, now);
                }
                open.tick(now, &mut self.pending);
            }
            Stage::Closing => {
                if now >= self.closing_until {
                    self.pending.clear();
                    self.stage = Stage::Closed;
                }
            }
            Stage::Closed => {}
            _ => {
                if now >= self.deadline {
                    self.close(CloseCause::HandshakeTimeout, now);
                }
            }
        }
    }

    /// Whether the driver may sleep; if not, something came in and it is to begin again. The
    /// waker is called when others want something of this connection.
    pub fn sleep(&mut self, waker: &Waker) -> bool {
        self.pending.is_empty() && self.link.sleep(waker, self.orders, self.blocked)
    }

    /// How many bytes the next read should have room for.
    #[must_use]
    pub fn wanted(&self, buffered: usize, step: usize) -> usize {
        match &self.stage {
            Stage::Open(open) => open.session.wanted(buffered, step),
            _ => step.min(4096),
        }
    }

    /// The network closed the connection.
    pub fn network_closed(&mut self, error: Option<std::io::ErrorKind>) {
        self.pending.clear();
        if matches!(self.stage, Stage::Closing) {
            self.stage = Stage::Closed;
        }
        self.finish(CloseCause::Network(error));
    }

    /// Ends the connection with a word to the peer, if it can hear one.
    fn close(&mut self, cause: CloseCause, now: Instant) {
        let reason = cause.wire_reason();
        let session = match &mut self.stage {
            // A handshake ends without a word: there is no key, and an answer is an oracle.
            Stage::Handshaking(_) | Stage::Closing | Stage::Closed => None,
            Stage::Authenticated(session, _) | Stage::Greeting(session, _) => Some(session),
            Stage::Open(open) => Some(&mut open.session),
        };
        let farewell = match (&cause, session) {
            (CloseCause::Remote(_), _) | (_, None) => false,
            (_, Some(session)) => {
                session.write(code::DISCONNECT, &reason.encode_payload(), &mut self.pending);
                true
            }
        };
        self.finish(cause);
        if farewell {
            self.stage = Stage::Closing;
            self.closing_until = now + GOODBYE_TIMEOUT;
        }
    }

    /// Ends the connection; tells the modules and the driver, once.
    fn finish(&mut self, cause: CloseCause) {
        let stage = core::mem::replace(&mut self.stage, Stage::Closed);
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        self.link.shut();
        if let Stage::Open(mut open) = stage {
            open.close_modules(&cause.wire_reason());
        }
        self.events.push_back(ConnectionEvent::Closed(cause));
    }
}

/// The reason that is told to the peer when the node itself shuts down.
pub const SHUTDOWN: DisconnectReason = DisconnectReason::ClientQuitting;

#[cfg(test)]
mod tests;
