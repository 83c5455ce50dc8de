//! Lookups: nearer and nearer to a target, three questions at a time.

use core::net::IpAddr;
use std::collections::BTreeMap;

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::discv4::Contact;

use super::address::{Prefix, is_lan, may_relay};
use super::bonds::PeerKey;
use super::config::{ALPHA, BUCKET_SIZE, MAX_LOOKUPS, MAX_PER_PREFIX_IN_BUCKET};
use super::io::{DiscoveryEvent, LookupId, Output};
use super::query::Asker;
use super::table::{Origin, distance};
use super::{Discovery, QUIET_AFTER_BOND};
use crate::time::Instant;

/// Nodes that a lookup remembers: some buckets full, since those that do not answer stay among them.
const MAX_CANDIDATES: usize = 8 * BUCKET_SIZE;
/// With fewer nodes than this in the table, lookups begin at the boot nodes as well.
const FEW: usize = 3;

/// The name of one question within a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueryId(pub(super) u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untried,
    Asking,
    Answered,
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    contact: Contact,
    /// Over how many others it was found.
    hops: u32,
    progress: Progress,
}

/// Who wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    ByRefresh,
    ByUser,
}

#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) wanted: Wanted,
    target: PeerId,
    hash: B256,
    /// By their distance from the target.
    candidates: BTreeMap<B256, Candidate>,
    asking: usize,
    asked: u32,
}

impl Lookup {
    fn new(target: PeerId, wanted: Wanted) -> Self {
        let hash = target.node_hash();
        Self { wanted, target, hash, candidates: BTreeMap::new(), asking: 0, asked: 0 }
    }

    pub(super) const fn target(&self) -> PeerId {
        self.target
    }

    fn add(&mut self, contact: Contact, hops: u32) {
        let at = distance(&contact.id.node_hash(), &self.hash);
        if self.candidates.contains_key(&at) || !self.make_room(&at, contact.endpoint.ip) {
            return;
        }
        let candidate = Candidate { contact, hops, progress: Progress::Untried };
        self.candidates.insert(at, candidate);
        if self.candidates.len() > MAX_CANDIDATES {
            let untried = |(_, c): &(&B256, &Candidate)| c.progress == Progress::Untried;
            let farthest = self.candidates.iter().rev().find(untried).map(|(at, _)| *at);
            if let Some(farthest) = farthest {
                self.candidates.remove(&farthest);
            }
        }
    }

    /// Whether there is a place for one more of its prefix: the nearer ones have it. So one owner
    /// cannot be all that a lookup sees, wherever the identities are that he made.
    fn make_room(&mut self, at: &B256, ip: IpAddr) -> bool {
        if is_lan(ip) {
            return true;
        }
        let prefix = Prefix::of(ip);
        let same = self.candidates.iter().filter(|(_, other)| {
            other.progress != Progress::Failed && Prefix::of(other.contact.endpoint.ip) == prefix
        });
        let same: Vec<(B256, Progress)> = same.map(|(at, c)| (*at, c.progress)).collect();
        if same.len() < MAX_PER_PREFIX_IN_BUCKET {
            return true;
        }
        let untried = same.iter().rev().find(|(_, progress)| *progress == Progress::Untried);
        match untried {
            Some((farthest, _)) if farthest > at => self.candidates.remove(farthest).is_some(),
            _ => false,
        }
    }

    /// The next node to ask, if another question may be under way, and over how many others it was
    /// found.
    fn next(&mut self) -> Option<(Contact, u32)> {
        if self.asking >= ALPHA {
            return None;
        }
        let near = self.candidates.values_mut().filter(|c| c.progress != Progress::Failed);
        let mut untried = near.take(BUCKET_SIZE).filter(|c| c.progress == Progress::Untried);
        let candidate = untried.next()?;
        candidate.progress = Progress::Asking;
        self.asking += 1;
        self.asked = self.asked.saturating_add(1);
        Some((candidate.contact, candidate.hops))
    }

    /// What came of a question; says over how many others what it brought is found.
    fn settle(&mut self, id: &PeerId, answered: bool) -> u32 {
        let at = distance(&id.node_hash(), &self.hash);
        let Some(candidate) = self.candidates.get_mut(&at) else { return 1 };
        candidate.progress = if answered { Progress::Answered } else { Progress::Failed };
        self.asking = self.asking.saturating_sub(1);
        candidate.hops.saturating_add(1)
    }

    fn done(self, lookup: LookupId) -> DiscoveryEvent {
        let answered = self.candidates.values().filter(|c| c.progress == Progress::Answered);
        let nearest: Vec<&Candidate> = answered.take(BUCKET_SIZE).collect();
        DiscoveryEvent::LookupDone {
            lookup,
            nodes: nearest.iter().map(|candidate| candidate.contact).collect(),
            hops: nearest.iter().map(|candidate| candidate.hops).max().unwrap_or(0),
            asked: self.asked,
        }
    }
}

impl Discovery {
    pub(super) fn start_lookup(
        &mut self,
        now: Instant,
        id: LookupId,
        target: PeerId,
        wanted: Wanted,
    ) {
        let mut lookup = Lookup::new(target, wanted);
        if self.lookups.len() >= MAX_LOOKUPS && wanted == Wanted::ByUser {
            self.outputs.push_back(Output::Event(lookup.done(id)));
            return;
        }
        // Whom nobody told us of is not asked at once: see `QUIET_AFTER_BOND`.
        let hash = lookup.hash;
        let near = self.table.closest(&hash, BUCKET_SIZE, |entry| {
            entry.origin != Origin::Inbound || now.saturating_since(entry.added) >= QUIET_AFTER_BOND
        });
        for entry in near {
            lookup.add(entry.contact, 0);
        }
        if self.table.len() < FEW {
            for contact in &self.boot_nodes {
                lookup.add(*contact, 0);
            }
        }
        self.lookups.insert(id, lookup);
        self.step(now, id);
    }

    /// Asks the next nodes of a lookup, or ends it.
    pub(super) fn step(&mut self, now: Instant, id: LookupId) {
        while let Some((contact, hops)) = self.lookups.get_mut(&id).and_then(Lookup::next) {
            let asker = Asker::Lookup(id);
            if !self.ask(now, asker, contact, hops > 0)
                && let Some(lookup) = self.lookups.get_mut(&id)
            {
                lookup.settle(&contact.id, false);
            }
        }
        if self.lookups.get(&id).is_none_or(|lookup| lookup.asking > 0) {
            return;
        }
        let Some(lookup) = self.lookups.remove(&id) else { return };
        match lookup.wanted {
            Wanted::ByUser => self.outputs.push_back(Output::Event(lookup.done(id))),
            Wanted::ByRefresh => self.continue_refresh(now),
        }
    }

    /// A question of a lookup is over: `nodes` is `None` when there was no answer.
    pub(super) fn lookup_heard(
        &mut self,
        now: Instant,
        id: LookupId,
        peer: &PeerKey,
        nodes: Option<&[Contact]>,
    ) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        let hops = lookup.settle(&peer.id, nodes.is_some());
        for contact in nodes.unwrap_or_default() {
            if contact.id != self.local_id && may_relay(peer.ip, contact) {
                lookup.add(*contact, hops);
            }
        }
        self.step(now, id);
    }
}
