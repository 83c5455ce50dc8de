//! Node Discovery v5.1, by the crate `discv5`, on the socket of our discv4.
//!
//! The crate reads the socket and gives back, as an unrecognised frame, each datagram that is none of its
//! protocol. So both protocols have one port and one record, as other nodes expect. The record is that of
//! the discv4 machine, which tells this side when it changes; the crate itself never changes it.

mod asked;
mod gate;
mod limits;
mod report;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use chainmesh_identity::record::record_peer_id;
use chainmesh_identity::{NodeKey, NodeRecord, PeerId};
use chainmesh_proto::discovery::{BUCKET_SIZE, Input, NodeFilter, is_lan, is_special};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::{Contact, Endpoint};
use discv5::{ConfigBuilder, Discv5, Enr, Event, ListenConfig};
use enr::{CombinedKey, NodeId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zeroize::Zeroize;

use self::asked::Asked;
use self::gate::{Gate, HELD_OFF};
use crate::clock::Clock;
use crate::entropy;

pub use self::report::{Discv5Entry, Discv5Report};

/// How often a node of the table is asked whether it is there (the crate: 300 s).
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long a node that came to us is left alone after its handshake: it came with a question, and the
/// first datagrams that it reads should be the answers. The same as in our discv4.
const QUIET_AFTER_SESSION: Duration = Duration::from_secs(2);
/// Time before the second lookup; each further one waits twice as long.
const FIRST_LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time between two lookups for a random target (reth: 20 s, geth: one after the other).
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Longest time between two while there are fewer nodes than a bucket holds.
const LONELY_LOOKUP_INTERVAL: Duration = Duration::from_secs(30);
/// Work of ours under way, beyond which nobody is pinged because others tell of him: they can tell of as
/// many as they like.
const MAX_ASKING: usize = 16;
/// Work of ours under way, beyond which nobody is pinged because he came. Lookups are begun always: they
/// are few.
const MAX_PINGING: usize = 32;
/// Nodes that wait for their Ping.
const MAX_GREETINGS: usize = 256;

/// What happened on this side.
pub(super) enum Step {
    /// The crate says something; `None`: it has ended.
    Heard(Option<Box<Event>>),
    /// A Ping or a lookup of ours is over.
    Done(Done),
    /// Something is due.
    Due,
}

/// What came of a Ping or a lookup.
pub(super) enum Done {
    Pong { by: SocketAddr, id: PeerId, seen: SocketAddr },
    Silence,
    Lookup,
}

/// What the discv4 side has to do with a step.
pub(super) enum Outcome {
    Nothing,
    /// The machine shall know.
    Tell(Input),
    /// The crate has ended: the socket is to be read by ourselves.
    Over,
}

pub(super) struct V5 {
    discv5: Discv5,
    events: mpsc::Receiver<Event>,
    filter: Option<NodeFilter>,
    boot: Vec<Enr>,
    work: JoinSet<Done>,
    greetings: VecDeque<(Instant, Enr)>,
    asked: Asked,
    record_sequence: u64,
    next_lookup: Instant,
    lookup_interval: Duration,
    gate: Gate,
    counts: report::Counts,
}

/// What the discv5 side is made from.
pub(super) struct V5Options {
    pub(super) filter: Option<NodeFilter>,
    pub(super) boot: Vec<NodeRecord>,
    pub(super) max_inbound_per_bucket: usize,
    /// Whether others reach this node under an address that is not of a local network.
    pub(super) public: bool,
}

/// Whom the table takes: nobody at an address that nobody has.
fn anybody(enr: &Enr) -> bool {
    enr.ip4().is_none_or(|ip| !is_special(ip.into()))
        && enr.ip6().is_none_or(|ip| !is_special(ip.into()))
}

/// Whom the table of a node with a public address takes: nobody else knows its local network.
fn public_only(enr: &Enr) -> bool {
    anybody(enr)
        && enr.ip4().is_none_or(|ip| !is_lan(ip.into()))
        && enr.ip6().is_none_or(|ip| !is_lan(ip.into()))
}

/// The record in the type of the crate, whose keys are of any kind.
fn to_crate(record: &NodeRecord) -> Option<Enr> {
    alloy_rlp::decode_exact(alloy_rlp::encode(record)).ok()
}

/// The record in our type; `None` for keys that are not of secp256k1, which no peer of ours has.
fn from_crate(enr: &Enr) -> Option<NodeRecord> {
    alloy_rlp::decode_exact(alloy_rlp::encode(enr)).ok()
}

/// Where a node is that proved itself from `at`, and where its record says that it listens.
fn contact(record: &NodeRecord, at: SocketAddr) -> Contact {
    let ip = at.ip().to_canonical();
    let tcp_port = match ip {
        core::net::IpAddr::V4(_) => record.tcp4(),
        core::net::IpAddr::V6(_) => record.tcp6().or_else(|| record.tcp4()),
    };
    let endpoint = Endpoint::new(ip, at.port(), tcp_port.unwrap_or(0));
    Contact { endpoint, id: record_peer_id(record) }
}

fn combined_key(key: &NodeKey) -> Option<CombinedKey> {
    let mut bytes = [0; 32];
    const_hex::decode_to_slice(key.to_hex().as_str(), &mut bytes).ok()?;
    let combined = CombinedKey::secp256k1_from_bytes(&mut bytes).ok();
    bytes.zeroize();
    combined
}

impl V5 {
    /// Starts the crate on a socket that is open already.
    ///
    /// # Errors
    /// When the crate refuses record or key, which it has no reason to, or cannot begin.
    pub(super) async fn start(
        key: &NodeKey,
        record: &NodeRecord,
        socket: &Arc<UdpSocket>,
        options: V5Options,
        now: Instant,
    ) -> io::Result<Self> {
        let socket = Arc::clone(socket);
        let listen = match socket.local_addr()?.is_ipv4() {
            true => ListenConfig::FromSockets { ipv4: Some(socket), ipv6: None },
            false => ListenConfig::FromSockets { ipv4: None, ipv6: Some(socket) },
        };
        let config = ConfigBuilder::new(listen)
            .disable_enr_update()
            .ping_interval(PING_INTERVAL)
            .incoming_bucket_limit(options.max_inbound_per_bucket.min(BUCKET_SIZE))
            .table_filter(if options.public { public_only } else { anybody })
            // The filter's own limits ban whoever exceeds them for minutes at least, and a sender of
            // datagrams can name anybody as their source: so it has none, see `gate`. It is on
            // because only then a reader goes on after the socket failed once.
            .enable_packet_filter()
            .filter_rate_limiter(None)
            .filter_max_nodes_per_ip(None)
            .filter_max_bans_per_ip(None)
            .build();
        let refused = || io::Error::other("the node's record is of no use for discv5");
        let enr = to_crate(record).ok_or_else(refused)?;
        let key = combined_key(key).ok_or_else(refused)?;
        let mut discv5 = Discv5::new(enr, key, config).map_err(io::Error::other)?;
        discv5.start().await.map_err(|error| io::Error::other(error.to_string()))?;
        let events = discv5.event_stream().await;
        let events = events.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            discv5,
            events,
            filter: options.filter,
            boot: options.boot.iter().filter_map(to_crate).collect(),
            work: JoinSet::new(),
            greetings: VecDeque::new(),
            asked: Asked::default(),
            record_sequence: record.seq(),
            next_lookup: now,
            lookup_interval: FIRST_LOOKUP_INTERVAL,
            gate: Gate::default(),
            counts: report::Counts::default(),
        })
    }

    /// Waits until something happens. Nothing is lost when the wait is broken off.
    pub(super) async fn next(&mut self, clock: Clock) -> Step {
        let due = [self.greetings.front().map(|(at, _)| *at), self.gate.deadline()];
        let due = due.into_iter().flatten().fold(self.next_lookup, Instant::min);
        tokio::select! {
            event = self.events.recv() => Step::Heard(event.map(Box::new)),
            Some(done) = self.work.join_next() => Step::Done(done.unwrap_or(Done::Silence)),
            () = clock.sleep_until(Some(due)) => Step::Due,
        }
    }

    /// Does what a step is about.
    pub(super) fn step(&mut self, now: Instant, step: Step) -> Outcome {
        match step {
            Step::Heard(None) => return Outcome::Over,
            Step::Heard(Some(event)) => return self.event(now, *event),
            Step::Done(Done::Pong { by, id, seen }) => {
                return Outcome::Tell(Input::SeenAt { by, id, seen });
            }
            Step::Done(Done::Silence | Done::Lookup) => {}
            Step::Due => self.due(now),
        }
        Outcome::Nothing
    }

    fn event(&mut self, now: Instant, event: Event) -> Outcome {
        match event {
            Event::UnrecognizedFrame(frame) => {
                let from = frame.src_address;
                self.counts.frames = self.counts.frames.saturating_add(1);
                if self.gate.note(now, from.ip()) {
                    // Lifted by ourselves when its time is over: the crate looks every 5 minutes.
                    self.discv5.ban_ip(from.ip(), Some(HELD_OFF));
                }
                let bytes = frame.packet.into();
                return Outcome::Tell(Input::Datagram { from, bytes });
            }
            Event::SessionEstablished(enr, at) => {
                self.counts.sessions = self.counts.sessions.saturating_add(1);
                let record = from_crate(&enr).map(Box::new);
                if self.greetings.len() < MAX_GREETINGS {
                    self.greetings.push_back((now + QUIET_AFTER_SESSION, enr));
                }
                if let Some(record) = record {
                    let contact = contact(&record, at);
                    return Outcome::Tell(Input::Proven { contact, record });
                }
            }
            Event::Discovered(enr) => self.told_of(now, enr),
            Event::NodeInserted { node_id, .. } => limits::keep(&self.discv5, Some(node_id)),
            // A TalkRequest that is dropped is answered with an empty response, as the specification
            // wants it for protocols that are not known.
            _ => {}
        }
        Outcome::Nothing
    }

    /// Somebody told of a node. Whoever may be of our network is asked himself.
    fn told_of(&mut self, now: Instant, enr: Enr) {
        let id = enr.node_id();
        let busy = self.work.len() >= MAX_ASKING;
        if busy || self.discv5.find_enr(&id).is_some() || !self.asked.note(now, id.raw()) {
            return;
        }
        let of_ours = |filter: &NodeFilter| from_crate(&enr).is_some_and(|r| filter(Some(&r)));
        if self.filter.as_ref().is_none_or(of_ours) {
            self.ping(enr);
        }
    }

    fn ping(&mut self, enr: Enr) {
        let Some(by) = self.discv5.ip_mode().get_contactable_addr(&enr) else { return };
        let Some(id) = from_crate(&enr).as_ref().map(record_peer_id) else { return };
        let ping = self.discv5.send_ping(enr);
        self.work.spawn(async move {
            match ping.await {
                Ok(pong) => Done::Pong { by, id, seen: SocketAddr::new(pong.ip, pong.port) },
                Err(_) => Done::Silence,
            }
        });
    }

    fn due(&mut self, now: Instant) {
        for ip in self.gate.let_in_again(now) {
            self.discv5.ban_ip_remove(&ip);
        }
        while let Some((at, enr)) = self.greetings.pop_front() {
            if at > now {
                self.greetings.push_front((at, enr));
                break;
            }
            if self.work.len() < MAX_PINGING {
                self.ping(enr);
            }
        }
        if now >= self.next_lookup {
            self.look_around(now);
        }
    }

    /// A lookup: the first for the own ID, the others for random targets.
    fn look_around(&mut self, now: Instant) {
        limits::keep(&self.discv5, None);
        let nodes = self.discv5.table_entries_id().len();
        if nodes < BUCKET_SIZE {
            for enr in &self.boot {
                self.add(enr.clone());
            }
        }
        if !self.discv5.table_entries_id().is_empty() {
            let target = match self.counts.lookups {
                0 => self.discv5.local_enr().node_id(),
                _ => NodeId::new(&entropy()),
            };
            self.counts.lookups = self.counts.lookups.saturating_add(1);
            let lookup = self.discv5.find_node(target);
            // Whom it finds is said by events.
            self.work.spawn(async move {
                let _ = lookup.await;
                Done::Lookup
            });
        }
        let longest = match nodes < BUCKET_SIZE {
            true => LONELY_LOOKUP_INTERVAL,
            false => LOOKUP_INTERVAL,
        };
        self.next_lookup = now + self.lookup_interval.min(longest);
        self.lookup_interval = (self.lookup_interval * 2).min(LOOKUP_INTERVAL);
    }

    /// The own record has changed.
    pub(super) fn set_record(&mut self, record: &NodeRecord) {
        if record.seq() == self.record_sequence {
            return;
        }
        self.record_sequence = record.seq();
        if let Some(enr) = to_crate(record) {
            *self.discv5.external_enr().write() = enr;
        }
    }

    /// The record of a boot node came, by discv4.
    pub(super) fn add_boot(&mut self, now: Instant, record: &NodeRecord) {
        let Some(enr) = to_crate(record) else { return };
        self.boot.retain(|known| known.node_id() != enr.node_id());
        if self.boot.is_empty() {
            self.next_lookup = now;
        }
        self.boot.push(enr);
    }

    /// Names a node that may be there. One that is known already would be taken for one that does not
    /// answer.
    fn add(&self, enr: Enr) {
        if self.discv5.find_enr(&enr.node_id()).is_none_or(|known| known.seq() < enr.seq()) {
            // The table may be full, or there are enough of the prefix.
            let _ = self.discv5.add_enr(enr);
        }
    }

    /// A node that discv4 found: where there are not even as many as a bucket holds, it is a beginning.
    pub(super) fn hint(&self, record: &NodeRecord) {
        if self.discv5.table_entries_id().len() < BUCKET_SIZE
            && let Some(enr) = to_crate(record)
        {
            self.add(enr);
        }
    }
}
