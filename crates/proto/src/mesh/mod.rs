//! The consortium mesh: sessions and versions, routes, statuses, topics, and messages to one, to
//! some and to all, as the gateways of FISCO BCOS 3.x do it, and the topics of 2.x neighbours.
//!
//! [`Mesh`] is the machine. A packet of it is a whole P2P packet of `chainmesh_wire::mesh`, and a
//! session is whatever carries such packets in order: TLS towards FISCO's nodes, any session of our
//! own among ours. [`MeshModule`] hangs it into a node.
//!
//! | file | decides |
//! |---|---|
//! | `sessions` | handshake and version, which part a packet is for |
//! | `router` | who can be reached, and over whom |
//! | `forward` | how a packet is addressed, packed and passed on |
//! | `status`, `topics`, `rc2` | what members tell of themselves |
//! | `messages`, `casts` | messages of ours to one, to all and to some |
//! | `pending`, `attempts` | what becomes of them, until their end |
//! | `amop` | what is carried for the broker of AMOP |
//! | `receive`, `recent` | messages of others, once each |
//! | `limits` | how much is too much |

mod amop;
mod attempts;
mod casts;
mod config;
mod forward;
mod io;
mod limits;
mod messages;
mod module;
mod pending;
mod rc2;
mod receive;
mod recent;
mod report;
mod router;
mod sessions;
mod status;
#[cfg(test)]
mod tests;
mod topics;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{Message, P2pId};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

pub use self::amop::{AmopAnswer, AmopEvent, AmopReplyTo, AmopSend, AmopWords};
pub use self::config::*;
pub use self::io::{
    Broadcast, Cast, Delivery, Input, MeshEvent, MeshFault, MessageId, Multicast, Outcome, Output,
    ReplyTo, SendFailure, SessionId, Settled, Unicast, Where,
};
pub(crate) use self::limits::Bucket;
pub use self::limits::{EXEMPT_MODULES, Limits, Rate};
pub use self::module::{MESH, MESH_VERSION, MeshModule, MeshSink, PACKET};
pub use self::report::{MemberReport, MeshCounters, MeshReport, RouteReport, SessionReport};

use self::limits::Limiter;
use self::pending::PendingTable;
use self::recent::Recent;
use self::router::Router;
use self::sessions::Session;
use self::status::Statuses;
use self::topics::Topics;
use crate::time::Instant;
use crate::timers::Timers;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The number of the router table is told.
    Router,
    /// The same, because of a change that had to wait a little.
    RouterChange,
    /// Ways that were given up are looked at again.
    RouterHold,
    /// The number of the status is told.
    Status,
    /// The number of the topic list is told.
    Topics,
    /// The same, because of a change that had to wait a little.
    TopicsChange,
    /// The same to 2.x neighbours.
    Rc2,
    /// A message of ours was not acknowledged and is sent again.
    Resend(u32),
    /// The time of a message of ours is over.
    Deadline(u32),
}

/// This node.
#[derive(Debug)]
struct Own {
    short: ShortId,
    name: PeerId,
    long: P2pId,
    short_wire: P2pId,
    /// Our front node ID, raw.
    front: Bytes,
}

/// The mesh of one node, as a machine.
///
/// It bounds what it holds: members and routes by [`MeshConfig::max_members`], what each tells by
/// [`MAX_STATUS_BYTES`], [`MAX_FRONT_NODES`] and [`MAX_LIST_BYTES`] of topics, its own messages by [`MAX_PENDING`]
/// and [`MAX_PENDING_BYTES`], what it remembers of others' by [`RECENT_PER_SOURCE`].
#[derive(Debug)]
pub struct Mesh {
    config: MeshConfig,
    own: Own,
    groups: BTreeSet<Bytes>,
    rng: ChaCha8Rng,
    /// The number of our last packet.
    seq: u32,
    sessions: BTreeMap<SessionId, Session>,
    /// The session that is used with each neighbour.
    by_peer: BTreeMap<ShortId, SessionId>,
    router: Router,
    /// When the number of our table was told last.
    table_told: Option<Instant>,
    statuses: Statuses,
    topics: Topics,
    pending: PendingTable,
    recent: Recent,
    /// The control payload that was packed last, and what came of it: all neighbours ask for one
    /// table at a time.
    packed_last: Option<(Bytes, Bytes)>,
    inbound: Limiter,
    outbound: Limiter,
    timers: Timers<Timer>,
    counters: MeshCounters,
    outputs: VecDeque<Output>,
}

impl Mesh {
    /// A mesh without sessions. `seed` makes the ids of its messages.
    #[must_use]
    pub fn new(config: MeshConfig, seed: [u8; 32]) -> Self {
        let (short, name) = (config.identity.short(), config.identity.name());
        let own = Own {
            short,
            name,
            // A key is far below the limit of an ID.
            long: P2pId::new(config.identity.long()).unwrap_or_default(),
            short_wire: P2pId::new(Bytes::copy_from_slice(short.as_bytes())).unwrap_or_default(),
            front: Bytes::copy_from_slice(name.as_bytes()),
        };
        Self {
            groups: config.groups.iter().map(|group| Bytes::from(group.clone())).collect(),
            own,
            rng: ChaCha8Rng::from_seed(seed),
            seq: 1,
            sessions: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            router: Router::new(short, config.max_members),
            table_told: None,
            statuses: Statuses::new(),
            topics: Topics::new(),
            pending: PendingTable::default(),
            recent: Recent::new(RECENT_PER_SOURCE, RECENT_IN_ALL),
            packed_last: None,
            inbound: Limiter::new(config.limits.clone()),
            outbound: Limiter::new(config.limits.clone()),
            timers: Timers::new(),
            counters: MeshCounters::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// A new id for a message.
    pub fn next_id(&mut self) -> MessageId {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        // RFC 9562 section 5.4: version 4, variant 10.
        let random = u128::from_be_bytes(bytes);
        MessageId(random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened { session, peer, kind } => self.opened(now, session, &peer, kind),
            Input::Closed { session } => self.closed(now, session),
            Input::Frame { session, frame } => {
                if let Err(fault) = self.frame(now, session, frame) {
                    // Nothing more is taken from it, and nothing sent to it.
                    self.closed(now, session);
                    self.outputs.push_back(Output::Close { session, fault });
                }
            }
            Input::Refused { session, message } => self.refused(session, message),
            Input::Unicast { id, message } => self.send_unicast(now, id, message),
            Input::Broadcast { id, message } => self.send_broadcast(now, id, message),
            Input::Multicast { id, message } => self.send_multicast(now, id, message),
            Input::Reply { to, payload } => self.reply(now, to, payload),
            Input::Subscribe(topic) => self.subscribe(now, topic),
            Input::Unsubscribe(topic) => self.unsubscribe(now, &topic),
            Input::Amop(send) => self.amop_send(now, send),
            Input::Local { role, height } => self.set_local(role, height),
            Input::SetLimits(limits) => {
                self.inbound = Limiter::new(limits.clone());
                self.outbound = Limiter::new(limits.clone());
                self.config.limits = limits;
            }
        }
    }

    /// What the driver has to do next; `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Mesh::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Router => {
                    let changes = self.router.tick(now);
                    self.routes_changed(now, changes);
                    self.announce_table(now);
                    self.ask_for_tables_again(now);
                }
                Timer::RouterChange => self.announce_table(now),
                Timer::RouterHold => {
                    let changes = self.router.tick(now);
                    self.routes_changed(now, changes);
                }
                Timer::Status => self.announce_status(),
                Timer::Topics => self.announce_topics(),
                Timer::TopicsChange => self.announce_changed_topics(now),
                Timer::Rc2 => self.rc2_announce(),
                Timer::Resend(seq) => self.resend_due(now, seq),
                Timer::Deadline(seq) => self.deadline(now, seq),
            }
            if let Some(period) = timer.period()
                && !self.sessions.is_empty()
            {
                self.timers.set(timer, now + period);
            }
        }
    }

    /// The session on the way to a front node of a group now.
    #[must_use]
    pub fn way_to(&self, group: &[u8], to: &PeerId) -> Option<SessionId> {
        let front = Bytes::copy_from_slice(to.as_bytes());
        let gateways = self.gateways(&Bytes::copy_from_slice(group), &front, to).ok()?;
        self.way(gateways.first()?)
    }

    /// Sets the timers that run while there are sessions.
    fn arm(&mut self, now: Instant) {
        for timer in [Timer::Router, Timer::Status, Timer::Topics, Timer::Rc2] {
            if let Some(period) = timer.period()
                && self.timers.deadline(&timer).is_none()
            {
                self.timers.set(timer, now + period);
            }
        }
    }

    /// Tells all neighbours the number of our table, at once unless that was done just now.
    fn announce_table_soon(&mut self, now: Instant) {
        let next = self.table_told.map(|told| told + ROUTER_SPACING);
        match next.filter(|next| *next > now) {
            Some(next) => self.timers.set(Timer::RouterChange, next),
            None => self.announce_table(now),
        }
    }

    fn announce_table(&mut self, now: Instant) {
        self.table_told = Some(now);
        self.timers.cancel(&Timer::RouterChange);
        let message = Message::RouterTableSyncSeq(self.router.seq());
        for neighbour in self.by_peer.keys().copied().collect::<Vec<_>>() {
            self.send_control(neighbour, &message);
        }
    }
}

impl Timer {
    /// How often it comes again.
    const fn period(self) -> Option<Duration> {
        match self {
            Self::Router => Some(ROUTER_PERIOD),
            Self::Status => Some(STATUS_PERIOD),
            Self::Topics => Some(TOPIC_PERIOD),
            Self::Rc2 => Some(RC2_PERIOD),
            Self::RouterChange
            | Self::RouterHold
            | Self::TopicsChange
            | Self::Resend(_)
            | Self::Deadline(_) => None,
        }
    }
}
