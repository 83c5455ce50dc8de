//! The read model: what RPC, metrics and people see of discovery.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use chainmesh_identity::NodeRecord;
use chainmesh_wire::discv4::{Contact, Packet};

use super::table::{Added, Origin};
use super::{Discovery, DropReason};
use crate::time::Instant;

/// A node of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// Number of its bucket: 16 has those farthest away, half of all nodes.
    pub bucket: usize,
    /// Who and where.
    pub contact: Contact,
    /// How it became known.
    pub origin: Origin,
    /// When it came into the table.
    pub added: Instant,
    /// When it proved last that it is there.
    pub seen: Instant,
    /// How often it was there when we looked.
    pub checks: u32,
    /// Sequence number of its record, if it is here.
    pub record_sequence: Option<u64>,
}

/// How much is held: each number has a limit that no peer can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Nodes in the table: [`BUCKETS`](super::BUCKETS) × [`BUCKET_SIZE`](super::BUCKET_SIZE) at most.
    pub table: usize,
    /// Nodes that wait for a place: [`BUCKETS`](super::BUCKETS) × [`REPLACEMENTS`](super::REPLACEMENTS)
    /// at most.
    pub waiting: usize,
    /// Proofs: [`MAX_BONDS`](super::MAX_BONDS) at most.
    pub bonds: usize,
    /// Requests: [`MAX_REQUESTS`](super::MAX_REQUESTS) at most.
    pub requests: usize,
    /// Lookups: [`MAX_LOOKUPS`](super::MAX_LOOKUPS) at most, and one of the refresh.
    pub lookups: usize,
    /// Addresses whose packets are counted: [`MAX_COUNTED_ADDRESSES`](super::MAX_COUNTED_ADDRESSES) at
    /// most.
    pub addresses: usize,
    /// Nodes that another protocol found: [`MAX_PROVEN`](super::MAX_PROVEN) at most.
    pub proven: usize,
    /// Statements about our address: 256 at most.
    pub statements: usize,
    /// Timers: at most two for each proof, one for each request and question, and two more.
    pub timers: usize,
}

/// Counts since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiscoveryCounters {
    /// Packets taken, by type byte.
    pub received: BTreeMap<u8, u64>,
    /// Packets sent, by type byte.
    pub sent: BTreeMap<u8, u64>,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Datagrams dropped without an answer.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Nodes that proved themselves, by what became of them in the table.
    pub added: BTreeMap<Added, u64>,
    /// Nodes that lost their place because they were not there.
    pub lost: u64,
    /// Nodes that are of another network.
    pub foreign: u64,
    /// Nodes that were announced.
    pub found: u64,
    /// Refreshes of the table.
    pub refreshes: u64,
}

fn increment(count: &mut u64) {
    *count = count.saturating_add(1);
}

impl DiscoveryCounters {
    pub(super) fn received(&mut self, kind: u8) {
        increment(self.received.entry(kind).or_default());
    }

    pub(super) fn sent(&mut self, packet: &Packet, bytes: usize) {
        increment(self.sent.entry(packet.kind()).or_default());
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent_bytes = self.sent_bytes.saturating_add(bytes);
    }

    pub(super) fn dropped(&mut self, reason: DropReason) {
        increment(self.dropped.entry(reason).or_default());
    }

    pub(super) fn added(&mut self, added: Added) {
        increment(self.added.entry(added).or_default());
    }

    pub(super) const fn lost(&mut self, lost: bool) {
        self.lost = self.lost.saturating_add(lost as u64);
    }

    /// Datagrams dropped for this reason.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }
}

/// What [`Discovery::snapshot`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// This node's own record.
    pub record: Option<NodeRecord>,
    /// Where this node says that it is.
    pub endpoint: SocketAddr,
    /// Where others see this node, if more than half of enough of them agree (see
    /// [`MIN_STATEMENTS`](super::MIN_STATEMENTS)). It may differ from what an operator said.
    pub observed: Option<SocketAddr>,
    /// The table, nearest bucket first.
    pub table: Vec<TableEntry>,
    /// Whether the first look around is over.
    pub initialised: bool,
    /// How much is held.
    pub sizes: Sizes,
    /// Counts since the start.
    pub counters: DiscoveryCounters,
}

impl Discovery {
    /// How much is held.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            table: self.table.len(),
            waiting: self.table.waiting(),
            bonds: self.bonds.len(),
            requests: self.requests.len(),
            lookups: self.lookups.len(),
            addresses: self.limiter.counted(),
            proven: self.proven.len(),
            statements: self.statements.len(),
            timers: self.timers.len(),
        }
    }

    /// Everything there is to know, as of now.
    #[must_use]
    pub fn snapshot(&self) -> Report {
        let table = self.table.entries().map(|(bucket, entry)| TableEntry {
            bucket,
            contact: entry.contact,
            origin: entry.origin,
            added: entry.added,
            seen: entry.seen,
            checks: entry.checks,
            record_sequence: entry.record.as_ref().map(|record| record.seq()),
        });
        Report {
            record: self.own.record().cloned(),
            endpoint: self.own.endpoint().udp_address(),
            observed: self.statements.majority(),
            table: table.collect(),
            initialised: self.refresh.is_initialised(),
            sizes: self.sizes(),
            counters: self.counters.clone(),
        }
    }
}
