//! Discovery: who else is there, over UDP (discv4).
//!
//! [`Discovery`] keeps a table of nodes, looks for others, answers their questions, and says whom it
//! found. A driver hands it datagrams and sends what it says.

mod address;
pub(crate) use self::address::may_know;
pub use self::address::{Prefix, is_lan, is_special, may_relay};
mod announce;
mod bonds;
mod config;
mod io;
mod limiter;
mod lookup;
mod own;
mod packets;
mod ping;
mod predict;
mod proven;
mod query;
mod records;
mod refresh;
mod report;
mod requests;
mod table;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::B256;
use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_wire::discv4::{self, Contact, Packet};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

pub use self::config::*;
pub use self::io::{
    Answer, DiscoveryEvent, DropReason, Input, LookupId, Output, PingId, Protocol, Question,
    QuestionId,
};
pub use self::proven::MAX_PROVEN;
pub use self::report::{DiscoveryCounters, Report, Sizes, TableEntry};
pub use self::table::{Added, Origin};

use self::announce::Announced;
use self::bonds::{Bonds, PeerKey};
use self::limiter::Limiter;
use self::lookup::{Lookup, QueryId, Wanted};
use self::own::OwnRecord;
use self::predict::Statements;
use self::proven::Proven;
use self::query::Query;
use self::refresh::Refresh;
use self::requests::{RequestKey, Requests};
use self::table::Table;
use crate::time::Instant;
use crate::timers::Timers;

/// How long a node that came to us is left alone after it proved itself: it came with a question,
/// and the first datagram that it reads should be the answer. (geth's conformance suite reads one,
/// for 0.3 s.)
const QUIET_AFTER_BOND: Duration = Duration::from_secs(2);

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// An answer is overdue, or complete.
    Request(RequestKey),
    /// A question may be sent.
    Query(QueryId),
    /// The record of a node is wanted.
    Record(PeerKey),
    /// The table is to be looked after.
    Refresh,
    /// A node of the table is to be looked at.
    Revalidate,
}

/// Finds nodes, and lets itself be found.
///
/// # Who is believed
/// A node is in the table, is told to others, is asked, and is announced ([`DiscoveryEvent::Found`])
/// only after it has answered a Ping of ours, whoever spoke of it. Questions of a node are answered
/// only when it has done so from the same address within a day; anybody else gets no answer but the
/// Pong to a Ping, and one Ping of ours. So nobody can make this node send much to a third party:
/// less than three times what comes, and that only as often as [`PACKETS_PER_SECOND`] allows.
///
/// # What an attacker with few addresses gets
/// [`MAX_PER_PREFIX`] places in the table and [`MAX_PER_PREFIX_IN_BUCKET`] in a bucket for each /24; of
/// those that come by themselves, half a bucket ([`MAX_INBOUND_PER_BUCKET`]), and nothing before
/// the first refresh is over. A node that answers keeps its place against any newcomer.
#[derive(Debug)]
pub struct Discovery {
    config: DiscoveryConfig,
    local_id: PeerId,
    wall_clock: WallClock,
    rng: ChaCha8Rng,
    outputs: VecDeque<Output>,
    timers: Timers<Timer>,
    own: OwnRecord,
    boot_nodes: Vec<Contact>,
    table: Table,
    bonds: Bonds,
    requests: Requests,
    queries: BTreeMap<QueryId, Query>,
    next_query: u64,
    lookups: BTreeMap<LookupId, Lookup>,
    next_lookup: u64,
    next_ping: u64,
    /// Questions of the owner that are under way.
    questions: usize,
    next_question: u64,
    refresh: Refresh,
    limiter: Limiter,
    statements: Statements,
    /// Where others see this node, as far as that was said because it advertises another address.
    seen_elsewhere: Option<SocketAddr>,
    announced: Announced,
    proven: Proven,
    counters: DiscoveryCounters,
}

impl Discovery {
    /// A node that knows its boot nodes and nobody else. It begins at the first
    /// [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn new(mut config: DiscoveryConfig, seed: [u8; 32]) -> Self {
        let local_id = config.key.peer_id();
        let entries = core::mem::take(&mut config.record_entries);
        let ports = (config.udp_port, config.tcp_port);
        let own = OwnRecord::new(&config.key, config.ip, ports, entries, config.record_sequence);
        let mut timers = Timers::new();
        if config.look_around {
            timers.set(Timer::Refresh, Instant::ZERO);
            timers.set(Timer::Revalidate, config.wall_clock.at + REVALIDATION_INTERVAL);
        }
        Self {
            local_id,
            wall_clock: config.wall_clock,
            rng: ChaCha8Rng::from_seed(seed),
            outputs: VecDeque::new(),
            timers,
            own,
            boot_nodes: core::mem::take(&mut config.boot_nodes),
            table: Table::new(local_id.node_hash(), config.max_inbound_per_bucket),
            bonds: Bonds::default(),
            requests: Requests::default(),
            queries: BTreeMap::new(),
            next_query: 0,
            lookups: BTreeMap::new(),
            next_lookup: 0,
            next_ping: 0,
            questions: 0,
            next_question: 0,
            refresh: Refresh::new(),
            limiter: Limiter::new(config.packets_per_second, config.packet_burst),
            statements: Statements::new(config.min_statements),
            seen_elsewhere: None,
            announced: Announced::default(),
            proven: Proven::default(),
            counters: DiscoveryCounters::default(),
            config,
        }
    }

    /// A name for a lookup.
    pub const fn next_lookup(&mut self) -> LookupId {
        let lookup = LookupId(self.next_lookup);
        self.next_lookup = self.next_lookup.saturating_add(1);
        lookup
    }

    /// A name for a Ping.
    pub const fn next_ping(&mut self) -> PingId {
        let ping = PingId(self.next_ping);
        self.next_ping = self.next_ping.saturating_add(1);
        ping
    }

    /// A name for a question to one node.
    pub const fn next_question(&mut self) -> QuestionId {
        let question = QuestionId(self.next_question);
        self.next_question = self.next_question.saturating_add(1);
        question
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Datagram { from, bytes } => self.datagram(now, from, &bytes),
            Input::WallClock { unix } => self.wall_clock = WallClock { at: now, unix },
            Input::AddNode { contact } => {
                self.ping(now, contact, Origin::Found, 1);
            }
            Input::SetBootNodes { contacts } => self.boot_nodes = contacts,
            Input::SetRecordEntries { entries } => self.own.set_entries(&self.config.key, entries),
            Input::SetAddress { ip, udp_port, tcp_port } => {
                self.config.ip = Some(ip);
                self.own.set_address(&self.config.key, ip, (udp_port, tcp_port));
            }
            Input::NotOurs { id } => self.not_ours(&id),
            Input::Lookup { lookup, target } => {
                self.start_lookup(now, lookup, target, Wanted::ByUser);
            }
            Input::Proven { contact, record } => self.proven_elsewhere(now, contact, record),
            Input::SeenAt { by, id, seen } => self.note_own_address(now, by, id, seen),
            Input::Ping { ping, contact } => self.ping_for(now, ping, contact),
            Input::Query { query, contact, question } => {
                self.question(now, query, contact, question);
            }
        }
    }

    /// The next thing to do; call it until it gives `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Request(key) => self.request_timed_out(now, &key),
                Timer::Query(query) => self.send_question(now, query),
                Timer::Record(peer) => self.fetch_record(now, &peer),
                Timer::Refresh => self.start_refresh(now),
                Timer::Revalidate => self.revalidate(now),
            }
        }
    }

    /// This node's own ID.
    #[must_use]
    pub const fn local_id(&self) -> PeerId {
        self.local_id
    }

    /// This node's record, as others get it.
    #[must_use]
    pub const fn record(&self) -> Option<&NodeRecord> {
        self.own.record()
    }

    /// Where the own record says that this node is, if it says so.
    #[must_use]
    pub fn advertised(&self) -> Option<SocketAddr> {
        let endpoint = self.own.endpoint().udp_address();
        (!endpoint.ip().is_unspecified()).then_some(endpoint)
    }

    /// Where enough other nodes see this one, and more than half of them agree.
    #[must_use]
    pub fn observed(&self) -> Option<SocketAddr> {
        self.statements.majority()
    }

    /// Nodes in the table.
    #[must_use]
    pub const fn table_len(&self) -> usize {
        self.table.len()
    }

    fn request_timed_out(&mut self, now: Instant, key: &RequestKey) {
        match key.kind {
            requests::Kind::Ping => self.ping_timed_out(now, key),
            requests::Kind::FindNode => self.question_over(now, key),
            requests::Kind::Record => self.record_timed_out(now, key),
        }
    }

    /// Until when what is sent now is valid.
    fn expiration(&self, now: Instant) -> u64 {
        self.wall_clock.seconds(now).saturating_add(EXPIRATION.as_secs())
    }

    /// Sends a packet; gives the hash by which its answer will name it.
    fn send(&mut self, to: SocketAddr, packet: &Packet) -> Option<B256> {
        let sealed = discv4::seal(packet, &self.config.key, self.config.seal).ok()?;
        self.counters.sent(packet, sealed.bytes.len());
        self.outputs.push_back(Output::Send { to, bytes: sealed.bytes });
        Some(sealed.hash)
    }

    /// A moment within `longest` from now.
    fn within(&mut self, now: Instant, longest: Duration) -> Instant {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX).max(1);
        now + Duration::from_micros(self.rng.next_u64() % micros)
    }
}
