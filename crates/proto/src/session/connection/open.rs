//! The open stage of a connection: messages to and from the modules, and the heartbeat.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{
    BASE_CODES, Capability, DisconnectReason, EMPTY_LIST, MAX_BASE_MESSAGE, code,
};
use chainmesh_wire::role;

use super::{
    CloseCause, FISCO_IDLE_TIMEOUT, HEARTBEAT_INTERVAL, IDLE_TIMEOUT, PING_INTERVAL, ProtocolFault,
    SharedModule,
};
use crate::module::{PeerContext, PeerKind, TopicHandler};
use crate::session::link::Outgoing;
use crate::session::{Link, MAX_UNPACKED, Message, Session, Traffic};
use crate::time::Instant;

/// Messages and bytes that are taken from the queue under one lock.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 64 * 1024;

/// How often a session says that it lives, and how long it waits for the peer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    interval: Duration,
    pub(super) idle: Duration,
}

impl Pulse {
    fn of(session: &Session) -> Self {
        match session {
            Session::Tls(tls) if tls.kind() == PeerKind::Own => {
                Self { interval: HEARTBEAT_INTERVAL, idle: IDLE_TIMEOUT }
            }
            Session::Tls(_) => Self { interval: HEARTBEAT_INTERVAL, idle: FISCO_IDLE_TIMEOUT },
            Session::Rlpx(_) | Session::Clear(_) => {
                Self { interval: PING_INTERVAL, idle: IDLE_TIMEOUT }
            }
        }
    }
}

struct ActiveModule {
    capability: Capability,
    offset: u64,
    end: u64,
    handler: Box<dyn TopicHandler>,
}

pub(super) struct Open {
    pub(super) session: Session,
    pub(super) established: bool,
    modules: Vec<ActiveModule>,
    /// Taken from the queue, not yet sealed.
    batch: VecDeque<Outgoing>,
    /// What is left of a large message that is sent in pieces.
    rest: Bytes,
    dialled: bool,
    pub(super) pulse: Pulse,
    /// The next heartbeat, or on the accepting side only the next look at idle memory.
    tick: Instant,
    next_ping: Instant,
    ping_sent: Option<Instant>,
    /// A Pong waits in the out-buffer: more Pings meanwhile get no second one.
    pong_owed: bool,
    busy: bool,
}

/// Who is at the other end, and where.
pub(super) struct Context<'a> {
    pub(super) peer: PeerId,
    pub(super) address: SocketAddr,
    pub(super) dialled: bool,
    pub(super) link: &'a Arc<Link>,
}

impl Open {
    pub(super) fn new(
        session: Session,
        at: &Context<'_>,
        mut shared: Vec<SharedModule>,
        now: Instant,
    ) -> Self {
        let identity = session.identity().map(Arc::new);
        // What this one says goes before everything else, whatever its codes.
        shared.sort_by_key(|shared| shared.module.capability.name.as_str() != role::NAME);
        let active = |SharedModule { module, offset }: SharedModule| {
            let count = module.message_count;
            let context = PeerContext {
                id: at.peer,
                address: at.address,
                dialled: at.dialled,
                capability: module.capability,
                offset,
                count,
                kind: session.peer_kind(),
                identity: identity.clone(),
                link: Arc::clone(at.link),
            };
            ActiveModule {
                capability: module.capability,
                offset,
                end: offset + u64::from(count),
                handler: module.handler.new_peer(context),
            }
        };
        let mut modules: Vec<ActiveModule> = shared.into_iter().map(active).collect();
        modules.sort_by_key(|module| module.offset);
        let pulse = Pulse::of(&session);
        Self {
            session,
            established: false,
            modules,
            batch: VecDeque::new(),
            rest: Bytes::new(),
            dialled: at.dialled,
            pulse,
            tick: now + pulse.interval,
            next_ping: now + PING_INTERVAL,
            ping_sent: None,
            pong_owed: false,
            busy: true,
        }
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        link: &Arc<Link>,
        pending: &mut BytesMut,
    ) -> Result<(), CloseCause> {
        let mut messages = 0;
        let result = loop {
            if link.is_paused() {
                break Ok(());
            }
            let message = match self.session.read(input, MAX_UNPACKED) {
                Ok(None) => break Ok(()),
                Ok(Some(message)) => message,
                Err(error) => break Err(error.into()),
            };
            messages += 1;
            if let Err(cause) = self.dispatch(now, message, link.traffic(), pending) {
                break Err(cause);
            }
        };
        if messages > 0 {
            self.busy = true;
            link.traffic().messages_in.fetch_add(messages, Relaxed);
        }
        result
    }

    fn dispatch(
        &mut self,
        now: Instant,
        message: Message,
        traffic: &Traffic,
        pending: &mut BytesMut,
    ) -> Result<(), CloseCause> {
        let Message { code, payload } = message;
        if code < BASE_CODES {
            return self.base(now, code, &payload, traffic, pending);
        }
        let module = self.modules.iter_mut().find(|module| code < module.end);
        let Some(module) = module else { return Err(ProtocolFault::UnknownCode(code).into()) };
        let own = u32::try_from(code.saturating_sub(module.offset)).unwrap_or(u32::MAX);
        module
            .handler
            .handle(own, payload)
            .map_err(|error| CloseCause::Module { capability: module.capability, error })
    }

    fn base(
        &mut self,
        now: Instant,
        code: u64,
        payload: &[u8],
        traffic: &Traffic,
        pending: &mut BytesMut,
    ) -> Result<(), CloseCause> {
        if payload.len() > MAX_BASE_MESSAGE {
            return Err(ProtocolFault::BaseTooLarge(payload.len()).into());
        }
        match code {
            code::HELLO => Err(ProtocolFault::SecondHello.into()),
            code::DISCONNECT => {
                let reason =
                    DisconnectReason::decode_payload(payload).map_err(ProtocolFault::Disconnect)?;
                Err(CloseCause::Remote(reason))
            }
            code::PING => {
                if !self.pong_owed {
                    self.session.write(code::PONG, EMPTY_LIST, pending);
                    self.pong_owed = true;
                }
                Ok(())
            }
            code::PONG => {
                if let Some(sent) = self.ping_sent.take() {
                    let micros = now.saturating_since(sent).as_micros();
                    traffic
                        .round_trip
                        .store(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Relaxed);
                }
                Ok(())
            }
            // Numbers that the base protocol keeps for itself.
            other => Err(ProtocolFault::UnknownCode(other).into()),
        }
    }

    pub(super) fn transmit(&mut self, link: &Link, out: &mut BytesMut, target: usize) -> bool {
        self.pong_owed = false;
        let mut messages = 0;
        let more = loop {
            if out.len() >= target {
                break true;
            }
            if !self.rest.is_empty() {
                let room = self.rest.len().min(target - out.len());
                let piece = self.rest.split_to(room);
                self.session.append(&piece, out);
                continue;
            }
            let Some(message) = self.batch.pop_front() else {
                if link.queued() > 0 && link.take(&mut self.batch, BATCH, BATCH_BYTES) {
                    continue;
                }
                break false;
            };
            if message.len() > target && self.session.begin(&message, out) {
                self.rest = message.payload;
                messages += 1;
                continue;
            }
            if !out.is_empty() && message.len() > target {
                // Sealed when what is before it has left: the buffer need not hold both.
                self.batch.push_front(message);
                break true;
            }
            self.session.write_parts(message.code, message.head.as_deref(), &message.payload, out);
            messages += 1;
        };
        self.session.flush(out);
        if messages > 0 {
            self.busy = true;
            link.traffic().messages_out.fetch_add(messages, Relaxed);
        }
        more
    }

    pub(super) fn ping(&mut self, now: Instant, pending: &mut BytesMut) {
        if self.session.peer_kind() != PeerKind::Own {
            return;
        }
        self.session.write(code::PING, EMPTY_LIST, pending);
        self.ping_sent = Some(now);
    }

    pub(super) const fn is_ping_open(&self) -> bool {
        self.ping_sent.is_some()
    }

    pub(super) const fn next_tick(&self) -> Option<Instant> {
        Some(self.tick)
    }

    /// Every heartbeat: the dialling side pings, and both give back memory that was not used.
    pub(super) fn tick(&mut self, now: Instant, pending: &mut BytesMut) {
        if now < self.tick {
            return;
        }
        self.tick = now + self.pulse.interval;
        self.session.heartbeat(pending);
        if self.dialled && now >= self.next_ping {
            self.next_ping = now + PING_INTERVAL;
            self.ping(now, pending);
        }
        if !self.busy {
            self.session.rest();
            self.batch = VecDeque::new();
        }
        self.busy = false;
    }

    pub(super) fn close_modules(&mut self, reason: &DisconnectReason) {
        for module in &mut self.modules {
            module.handler.closed(reason);
        }
    }
}
