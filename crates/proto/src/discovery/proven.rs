//! Nodes that another protocol of discovery on the same socket has found.

use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::record::record_peer_id;
use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_wire::discv4::Contact;

use super::Discovery;
use super::address::is_special;
use super::io::{DiscoveryEvent, Output, Protocol};
use crate::time::Instant;

/// Nodes of other protocols that are remembered, so that each is announced once for each of its records;
/// the one that has been there for longest goes first.
pub const MAX_PROVEN: usize = 1024;

/// Whom the other protocols have found: the sequence number of the record that was announced.
#[derive(Debug, Default)]
pub(super) struct Proven {
    by_id: BTreeMap<PeerId, (Instant, u64)>,
    by_time: BTreeSet<(Instant, PeerId)>,
}

impl Proven {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The sequence number of the record of a node that was announced.
    fn sequence(&mut self, id: &PeerId) -> Option<&mut u64> {
        self.by_id.get_mut(id).map(|(_, sequence)| sequence)
    }

    fn insert(&mut self, now: Instant, id: PeerId, sequence: u64) {
        if self.by_id.len() >= MAX_PROVEN
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id, (now, sequence));
        self.by_time.insert((now, id));
    }
}

impl Discovery {
    /// The same filter and the same limits decide as for those that this machine finds, and it counts
    /// against the same: a second protocol gives nobody a second chance.
    pub(super) fn proven_elsewhere(
        &mut self,
        now: Instant,
        contact: Contact,
        record: Box<NodeRecord>,
    ) {
        let ip = contact.endpoint.ip;
        let himself = record_peer_id(&record) == contact.id && contact.id != self.local_id;
        if !himself || is_special(ip) {
            return;
        }
        if !self.config.filter.as_ref().is_none_or(|filter| filter(Some(&record))) {
            self.counters.foreign = self.counters.foreign.saturating_add(1);
            return;
        }
        if contact.endpoint.tcp_port == 0 {
            return;
        }
        match self.proven.sequence(&contact.id) {
            Some(sequence) if *sequence >= record.seq() => return,
            Some(sequence) => *sequence = record.seq(),
            None if !self.announced.allow(now, ip) => return,
            None => self.proven.insert(now, contact.id, record.seq()),
        }
        self.counters.found = self.counters.found.saturating_add(1);
        let (record, protocol) = (Some(record), Protocol::Discv5);
        self.outputs.push_back(Output::Event(DiscoveryEvent::Found { contact, record, protocol }));
    }
}
