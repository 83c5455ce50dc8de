//! The open stage of a connection: messages to and from the modules, and the heartbeat.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{
    BASE_CODES, Capability, DisconnectReason, EMPTY_LIST, MAX_BASE_MESSAGE, code,
};

use super::{CloseCause, PING_INTERVAL, ProtocolFault, SharedModule};
use crate::module::{PeerContext, PeerKind, TopicHandler};
use crate::session::link::Outgoing;
use crate::session::{Link, MAX_UNPACKED, Message, Session, Traffic};
use crate::time::Instant;

/// Messages and bytes that are taken from the queue under one lock.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 64 * 1024;

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
    dialled: bool,
    /// The next Ping, or on the accepting side only the next look at idle memory.
    tick: Instant,
    ping_sent: Option<Instant>,
    /// A Pong waits in the out-buffer: more Pings meanwhile get no second one.
    pong_owed: bool,
    busy: bool,
}

impl Open {
    pub(super) fn new(
        session: Session,
        peer: PeerId,
        address: SocketAddr,
        dialled: bool,
        shared: Vec<SharedModule>,
        link: &Arc<Link>,
        now: Instant,
    ) -> Self {
        let modules = shared
            .into_iter()
            .map(|SharedModule { module, offset }| {
                let count = module.message_count;
                let context = PeerContext {
                    id: peer,
                    address,
                    dialled,
                    capability: module.capability,
                    offset,
                    count,
                    kind: PeerKind::Own,
                    identity: None,
                    link: Arc::clone(link),
                };
                ActiveModule {
                    capability: module.capability,
                    offset,
                    end: offset + u64::from(count),
                    handler: module.handler.new_peer(context),
                }
            })
            .collect();
        Self {
            session,
            established: false,
            modules,
            batch: VecDeque::new(),
            dialled,
            tick: now + PING_INTERVAL,
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
            let Some(message) = self.batch.pop_front() else {
                if link.queued() > 0 && link.take(&mut self.batch, BATCH, BATCH_BYTES) {
                    continue;
                }
                break false;
            };
            if !out.is_empty() && message.len() > target {
                // Sealed when what is before it has left: the buffer need not hold both.
                self.batch.push_front(message);
                break true;
            }
            self.session.write_parts(message.code, message.head.as_deref(), &message.payload, out);
            messages += 1;
        };
        if messages > 0 {
            self.busy = true;
            link.traffic().messages_out.fetch_add(messages, Relaxed);
        }
        more
    }

    pub(super) fn ping(&mut self, now: Instant, pending: &mut BytesMut) {
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
        self.tick = now + PING_INTERVAL;
        if self.dialled {
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
