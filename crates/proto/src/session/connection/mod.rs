//! One connection from its first byte to its last: handshake, Hello, modules, heartbeat, goodbye.
//!
//! ```text
//! Handshaking ─► Proving ─► Authenticated ─► Greeting ─► Open ─► Closing ─► Closed
//!      │ keys are   │ the peer's │ admitted by  │ both Hellos       ▲
//!      │ agreed on  │ key is     │ the manager  │ are there         │
//!      │            │ proved     │              │                   │
//!      └────────────┴────────────┴──────────────┴── any fault ──────┘
//! ```
//!
//! Proving is the accepting side's: an `auth` packet can be made by anybody in anybody's name, and
//! only the first frame shows that its sender has the key. Until then nothing that concerns the
//! named node may be decided, least of all which of two connections of it stays.
//!
//! The driver owns the socket and the two buffers. It calls [`Connection::attend`] whenever it
//! wakes, then [`Connection::receive`] with what came, [`Connection::transmit`] until there is
//! nothing to send, handles each [`Connection::poll`], and sleeps when [`Connection::sleep`] says
//! that nothing came in between, at most until [`Connection::poll_timeout`].

mod capabilities;
mod fault;
mod local;
mod open;
mod opening;
mod timers;

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{DisconnectReason, code};

use super::link::{CloseOrder, Link, Orders};
use super::{Handshake, Session, SessionError};
use crate::module::PeerKind;
use crate::time::Instant;

pub use capabilities::SharedModule;
pub use fault::{Blame, CloseCause, ProtocolFault};
pub use local::{ConnectionEvent, LocalNode};
use open::Open;

/// Time from the first byte to the last module's handshake (`design`: 5 s for all of it, as geth
/// has for each part).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The dialling side sends a Ping this often (geth: 15 s).
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A peer from which nothing came for so long is gone: three heartbeats.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// On TLS sessions either side sends a heartbeat this often (FISCO: 5 s).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A node of FISCO's from which nothing came for so long is gone: its own rule.
pub const FISCO_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a Disconnect may take to leave before the connection is closed all the same.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that takes nothing of what is sent to it for so long is cut (geth: `frameWriteTimeout`).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// The same while so much waits for it that nothing more is taken: its own requests, or senders
/// whose messages it holds up.
pub const FULL_WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// How often it is looked whether that is so.
const FULL_CHECK: Duration = Duration::from_secs(1);
/// How long the accepting side waits for the dialling side's Hello before it says its own. Every
/// node that wants a session speaks at once; a probe (`devp2p rlpx ping`) waits to be told.
pub const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that are sent before the goodbye when a module's handshake has failed: what handshakes say is
/// shorter.
const MAX_LAST_WORDS: usize = 4096;
/// Bytes that are sealed ahead of the network: enough that the kernel always has work.
const TRANSMIT_TARGET: usize = 64 * 1024;

/// One connection. See the module's documentation for the order of calls.
pub struct Connection {
    local: Arc<LocalNode>,
    link: Arc<Link>,
    address: SocketAddr,
    /// Whether we dialled.
    dialled: bool,
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
    /// A sign of life is to be asked for as soon as the session is open.
    probe_wanted: bool,
    /// Somebody waits for a sign of life.
    probing: bool,
    /// Hello was said before the peer had proved itself.
    greeted: bool,
    /// When it is, at the latest.
    speak_at: Instant,
    /// When the driver was last awake.
    now: Instant,
    /// Bytes that the driver has and did not write yet, and since when the network takes none.
    unwritten: usize,
    written_at: Instant,
    /// When it was last looked at whether that is too long.
    writer_seen: Instant,
    /// The driver's out-buffer is full.
    blocked: bool,
}

enum Stage {
    Handshaking(Handshake),
    Proving(Session, PeerId),
    Authenticated(Session, PeerId),
    Greeting(Session, PeerId),
    Open(Box<Open>),
    Closing,
    Closed,
}

impl Connection {
    /// A connection that this node opened to `peer`, or to whoever is at the address, where the
    /// kind of session allows that.
    #[must_use]
    pub fn dial(
        local: Arc<LocalNode>,
        address: SocketAddr,
        peer: Option<PeerId>,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut pending = BytesMut::new();
        let handshake = Handshake::dial(&local, peer, seed, &mut pending);
        Self::new(local, address, true, pending, now).begun(handshake)
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
        let handshake = Handshake::accept(&local, seed, &mut pending);
        Self::new(local, address, false, pending, now).begun(handshake)
    }

    fn begun(mut self, handshake: Result<Handshake, SessionError>) -> Self {
        match handshake {
            Ok(handshake) => {
                self.stage = Stage::Handshaking(handshake);
                // TLS speaks first where it dials; the others have said it.
                if self.dialled {
                    self.receive(self.now, &mut BytesMut::new());
                }
            }
            Err(error) => self.finish(CloseCause::Session(error)),
        }
        self
    }

    fn new(
        local: Arc<LocalNode>,
        address: SocketAddr,
        dialled: bool,
        pending: BytesMut,
        now: Instant,
    ) -> Self {
        let link = Arc::new(Link::default());
        let orders = link.attend();
        Self {
            local,
            link,
            address,
            dialled,
            stage: Stage::Closed,
            pending,
            events: VecDeque::new(),
            orders,
            deadline: now + HANDSHAKE_TIMEOUT,
            last_received: now,
            closing_until: now,
            over: false,
            probe_wanted: false,
            probing: false,
            greeted: false,
            speak_at: now,
            now,
            unwritten: 0,
            written_at: now,
            writer_seen: now,
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
        self.dialled
    }

    /// Uses a link that the control plane holds already, instead of one of its own.
    #[must_use]
    pub fn over(mut self, link: Arc<Link>) -> Self {
        self.link = link;
        self.orders = self.link.attend();
        if self.over {
            self.link.shut();
        }
        self
    }

    /// Whether the driver is to leave bytes in the kernel: the manager has not decided yet, the
    /// peer's requests are being answered, or the connection is closing.
    #[must_use]
    pub const fn is_reading_paused(&self) -> bool {
        self.orders.paused
            || matches!(self.stage, Stage::Authenticated(..) | Stage::Closing | Stage::Closed)
    }

    /// Whether the connection is over: what still comes is to be read and thrown away for a while,
    /// so that the peer can read our Disconnect before the socket is gone.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing | Stage::Closed)
    }

    /// Whether all is over and the driver may close the socket. Bytes that the network did not
    /// take in time may be left in the out-buffer: nobody reads them.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Closed) && self.pending.is_empty()
    }

    /// The driver is awake: takes note of what others want of this connection.
    pub fn attend(&mut self, now: Instant) {
        let was_paused = self.orders.paused;
        self.now = now;
        self.orders = self.link.attend();
        self.probe_wanted |= self.link.take_probe();
        if was_paused && !self.orders.paused {
            // While reading was paused by us, silence was not the peer's fault.
            self.last_received = now;
        }
        if self.is_closing() {
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
                self.say_hello(&mut session);
                if session.peer_kind() != PeerKind::Own {
                    return self.open_foreign(session, peer, now);
                }
                self.stage = Stage::Greeting(session, peer);
            }
        }
        if let Stage::Open(open) = &mut self.stage
            && core::mem::take(&mut self.probe_wanted)
        {
            if open.session.peer_kind() == PeerKind::Own {
                open.ping(now, &mut self.pending);
                self.probing = true;
            } else if now.saturating_since(self.last_received) < HEARTBEAT_INTERVAL * 2 {
                // FISCO has no question that asks for an answer: its heartbeats must do.
                self.events.push_back(ConnectionEvent::Alive);
            }
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
                Stage::Proving(session, peer) => self.prove(session, peer, input, now),
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
                    // A module may have asked for something meanwhile.
                    return self.attend(now);
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

    fn check_established(&mut self) {
        if let Stage::Open(open) = &mut self.stage
            && !open.established
            && self.orders.handshakes == 0
        {
            open.established = true;
            self.events.push_back(ConnectionEvent::Established);
        }
    }

    /// Appends to `out` what is to be sent, until there are about 64 KiB in it (one large message
    /// may be more). Returns whether there may be more: to be called again when `out` was written.
    /// What is appended counts as on its way until the driver calls [`Connection::transmitted`].
    pub fn transmit(&mut self, out: &mut BytesMut) -> bool {
        let before = out.len();
        self.blocked = before >= TRANSMIT_TARGET;
        if self.blocked {
            return true;
        }
        if !self.pending.is_empty() {
            let pending = core::mem::take(&mut self.pending);
            out.extend_from_slice(&pending);
        }
        if let Stage::Open(open) = &mut self.stage {
            self.blocked = open.transmit(&self.link, out, TRANSMIT_TARGET);
        }
        if self.unwritten == 0 {
            self.written_at = self.now;
        }
        self.unwritten += out.len().saturating_sub(before);
        self.close_when_said();
        self.blocked
    }

    /// So many bytes went to the network.
    pub fn transmitted(&mut self, bytes: usize) {
        self.link.traffic().bytes_out.fetch_add(bytes as u64, Relaxed);
        self.unwritten = self.unwritten.saturating_sub(bytes);
        self.written_at = self.now;
        self.close_when_said();
    }

    /// A connection that is closing is closed once its Disconnect has left.
    fn close_when_said(&mut self) {
        if matches!(self.stage, Stage::Closing) && self.pending.is_empty() && self.unwritten == 0 {
            self.stage = Stage::Closed;
        }
    }

    /// The next thing that happened.
    pub fn poll(&mut self) -> Option<ConnectionEvent> {
        self.events.pop_front()
    }

    /// Whether the driver may sleep; if not, something came in and it is to begin again. The
    /// waker is called when others want something of this connection.
    pub fn sleep(&mut self, waker: &Waker) -> bool {
        (self.blocked || self.pending.is_empty())
            && self.link.sleep(waker, self.orders, self.blocked)
    }

    /// How many bytes the next read should have room for.
    #[must_use]
    pub fn wanted(&self, buffered: usize, step: usize) -> usize {
        match &self.stage {
            Stage::Open(open) => open.session.wanted(buffered, step),
            // Enough for the largest packet that is allowed here.
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
        self.say_why(&cause);
        let session = match &mut self.stage {
            // A handshake ends without a word: there is no key, and an answer is an oracle.
            Stage::Handshaking(_) | Stage::Closing | Stage::Closed => None,
            Stage::Proving(session, _)
            | Stage::Authenticated(session, _)
            | Stage::Greeting(session, _) => Some(session),
            Stage::Open(open) => Some(&mut open.session),
        };
        let farewell = match (&cause, session) {
            (CloseCause::Remote(_), _) | (_, None) => false,
            (_, Some(session)) => {
                // FISCO's nodes have no word for it: they see the end of TLS.
                if session.peer_kind() == PeerKind::Own {
                    session.write(code::DISCONNECT, &reason.encode_payload(), &mut self.pending);
                }
                session.close_notify(&mut self.pending);
                true
            }
        };
        self.finish(cause);
        if farewell {
            self.stage = Stage::Closing;
            self.closing_until = now + GOODBYE_TIMEOUT;
        }
    }

    /// A module found out in its handshake that the peer is of no use: what our modules have said leaves
    /// before the goodbye, so that the peer finds it out, too, and need not come again.
    fn say_why(&mut self, cause: &CloseCause) {
        if let (Stage::Open(open), CloseCause::Module { .. }) = (&mut self.stage, cause)
            && !open.established
            && self.link.queued() <= MAX_LAST_WORDS
        {
            open.transmit(&self.link, &mut self.pending, TRANSMIT_TARGET);
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

impl Drop for Connection {
    /// A driver that gives up on a connection (its task was cancelled) leaves nobody waiting.
    fn drop(&mut self) {
        if !self.over && !std::thread::panicking() {
            self.finish(CloseCause::Network(None));
        }
        self.link.shut();
    }
}

/// The reason that is told to the peer when the node itself shuts down.
pub const SHUTDOWN: DisconnectReason = DisconnectReason::ClientQuitting;

#[cfg(test)]
mod tests;
