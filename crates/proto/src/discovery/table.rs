//! The table: nodes that proved where they are, by their distance from this one.

use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::B256;
use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_wire::discv4::Contact;
use rand_core::Rng;

use super::address::{Prefix, is_lan};
use super::config::{
    BUCKET_SIZE, BUCKETS, MAX_BOOT_PER_BUCKET, MAX_PER_ADDRESS_IN_BUCKET, MAX_PER_PREFIX,
    MAX_PER_PREFIX_IN_BUCKET, REPLACEMENTS,
};
use crate::time::Instant;

/// Failures of a node without a replacement, in a row, after which its place is free.
const MAX_FAILURES: u32 = 3;
/// Questions in a row that a node did not answer, although it is there, after which it goes.
const MAX_UNANSWERED: u32 = 5;

/// How a node became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// It came to us by itself.
    Inbound,
    /// It is a boot node.
    Boot,
    /// We found it: others, an address book or a person told us, and we went there.
    Found,
}

/// A node of the table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) contact: Contact,
    pub(super) hash: B256,
    pub(super) origin: Origin,
    /// When it came into the table.
    pub(super) added: Instant,
    /// When it proved last that it is there.
    pub(super) seen: Instant,
    /// When we last looked whether it is there.
    pub(super) checked: Instant,
    /// How often it was there when we looked.
    pub(super) checks: u32,
    failures: u32,
    unanswered: u32,
    pub(super) record: Option<Box<NodeRecord>>,
}

impl Entry {
    pub(super) fn new(now: Instant, contact: Contact, origin: Origin) -> Self {
        Self {
            hash: contact.id.node_hash(),
            contact,
            origin,
            added: now,
            seen: now,
            checked: now,
            checks: 0,
            failures: 0,
            unanswered: 0,
            record: None,
        }
    }
}

/// What came of an attempt to add a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Added {
    /// It has a place in its bucket.
    Placed,
    /// It had one already.
    Known,
    /// The bucket is full: it waits until one of those in it does not answer.
    Waiting,
    /// There are enough of its prefix or address.
    AddressLimit,
    /// There are enough of its origin.
    OriginLimit,
    /// It is this node.
    Own,
}

#[derive(Debug, Default)]
struct Bucket {
    entries: Vec<Entry>,
    /// The oldest goes first when there are too many.
    waiting: VecDeque<Entry>,
}

impl Bucket {
    fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().chain(&self.waiting)
    }
}

#[derive(Debug)]
pub(super) struct Table {
    own: B256,
    max_inbound: usize,
    buckets: Vec<Bucket>,
    prefixes: BTreeMap<Prefix, usize>,
    size: usize,
}

/// How far apart two nodes are: as a number, the first byte being the most important.
pub(super) fn distance(a: &B256, b: &B256) -> B256 {
    *a ^ *b
}

/// The bits of the distance: 0 for the same node, 256 for half of all nodes.
pub(super) fn log_distance(a: &B256, b: &B256) -> usize {
    let mut zeros = 0;
    for byte in distance(a, b) {
        if byte != 0 {
            return 256 - zeros - byte.leading_zeros() as usize;
        }
        zeros += 8;
    }
    0
}

impl Table {
    pub(super) fn new(own: B256, max_inbound: usize) -> Self {
        let buckets = (0..BUCKETS).map(|_| Bucket::default()).collect();
        Self { own, max_inbound, buckets, prefixes: BTreeMap::new(), size: 0 }
    }

    /// Nodes that have a place.
    pub(super) const fn len(&self) -> usize {
        self.size
    }

    pub(super) fn waiting(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.waiting.len()).sum()
    }

    /// Nodes that have a place, with the number of their bucket.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let buckets = self.buckets.iter().enumerate();
        buckets.flat_map(|(number, bucket)| bucket.entries.iter().map(move |e| (number, e)))
    }

    fn bucket_of(&self, hash: &B256) -> Option<usize> {
        let distance = log_distance(&self.own, hash);
        let lowest = 256 - BUCKETS;
        (distance > 0).then(|| distance.saturating_sub(lowest + 1).min(BUCKETS - 1))
    }

    fn bucket(&mut self, id: &PeerId) -> Option<&mut Bucket> {
        let number = self.bucket_of(&id.node_hash())?;
        self.buckets.get_mut(number)
    }

    pub(super) fn get_mut(&mut self, id: &PeerId) -> Option<&mut Entry> {
        let bucket = self.bucket(id)?;
        let all = bucket.entries.iter_mut().chain(&mut bucket.waiting);
        all.into_iter().find(|entry| entry.contact.id == *id)
    }

    pub(super) fn get(&self, id: &PeerId) -> Option<&Entry> {
        let bucket = self.buckets.get(self.bucket_of(&id.node_hash())?)?;
        bucket.all().find(|entry| entry.contact.id == *id)
    }

    /// A node proved that it is there.
    pub(super) fn add(&mut self, now: Instant, contact: Contact, origin: Origin) -> Added {
        let hash = contact.id.node_hash();
        let Some(number) = self.bucket_of(&hash) else { return Added::Own };
        let known = self.get(&contact.id).map(|entry| entry.contact.endpoint);
        let moved = match known {
            Some(endpoint) if endpoint.ip == contact.endpoint.ip => {
                let better = self.has_room_for_origin(number, origin);
                self.touch(now, contact, better.then_some(origin));
                // It may have waited for a place that nodes of its origin may not have.
                self.promote(number);
                return Added::Known;
            }
            known => known.is_some(),
        };
        if moved {
            // It answered there, so it is there: what it had elsewhere is worth nothing.
            self.remove(&contact.id);
        }
        if !self.has_room_for_address(number, contact.endpoint.ip) {
            return Added::AddressLimit;
        }
        let mut entry = Entry::new(now, contact, origin);
        entry.hash = hash;
        let allowed = self.has_room_for_origin(number, origin);
        let Some(bucket) = self.buckets.get_mut(number) else { return Added::Own };
        if bucket.entries.len() < BUCKET_SIZE && allowed {
            bucket.entries.push(entry);
            self.size += 1;
            self.count(contact.endpoint.ip);
            return Added::Placed;
        }
        bucket.waiting.push_back(entry);
        let oldest = (bucket.waiting.len() > REPLACEMENTS).then(|| bucket.waiting.pop_front());
        self.count(contact.endpoint.ip);
        if let Some(oldest) = oldest.flatten() {
            self.uncount(oldest.contact.endpoint.ip);
        }
        if allowed { Added::Waiting } else { Added::OriginLimit }
    }

    fn touch(&mut self, now: Instant, contact: Contact, origin: Option<Origin>) {
        let Some(entry) = self.get_mut(&contact.id) else { return };
        entry.contact.endpoint.udp_port = contact.endpoint.udp_port;
        // Its record says it best; what others say of it comes after that.
        if contact.endpoint.tcp_port != 0 && entry.record.is_none() {
            entry.contact.endpoint.tcp_port = contact.endpoint.tcp_port;
        }
        // Whom we found ourselves as well did not only come to us.
        entry.origin = origin.map_or(entry.origin, |origin| entry.origin.max(origin));
        entry.seen = now;
        entry.checked = now;
        entry.checks = entry.checks.saturating_add(1);
        entry.failures = 0;
    }

    fn has_room_for_address(&self, number: usize, ip: IpAddr) -> bool {
        if is_lan(ip) {
            return true;
        }
        let prefix = Prefix::of(ip);
        if self.prefixes.get(&prefix).is_some_and(|count| *count >= MAX_PER_PREFIX) {
            return false;
        }
        let Some(bucket) = self.buckets.get(number) else { return false };
        let addresses = || bucket.all().map(|entry| entry.contact.endpoint.ip);
        addresses().filter(|other| Prefix::of(*other) == prefix).count() < MAX_PER_PREFIX_IN_BUCKET
            && addresses().filter(|other| *other == ip).count() < MAX_PER_ADDRESS_IN_BUCKET
    }

    fn has_room_for_origin(&self, number: usize, origin: Origin) -> bool {
        let limit = match origin {
            Origin::Inbound => self.max_inbound,
            Origin::Boot => MAX_BOOT_PER_BUCKET,
            Origin::Found => return true,
        };
        let Some(bucket) = self.buckets.get(number) else { return false };
        bucket.entries.iter().filter(|entry| entry.origin == origin).count() < limit
    }

    fn count(&mut self, ip: IpAddr) {
        if !is_lan(ip) {
            *self.prefixes.entry(Prefix::of(ip)).or_default() += 1;
        }
    }

    fn uncount(&mut self, ip: IpAddr) {
        let prefix = Prefix::of(ip);
        if let Some(count) = self.prefixes.get_mut(&prefix) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }

    /// A node was not there when we looked; says whether it lost its place. It does at once when
    /// another one waits for it.
    pub(super) fn failed(&mut self, now: Instant, id: &PeerId) -> bool {
        let Some(number) = self.bucket_of(&id.node_hash()) else { return false };
        let Some(origin) = self.get(id).map(|entry| entry.origin) else { return false };
        let mut waiting = self.buckets.get(number).into_iter().flat_map(|b| &b.waiting);
        let has_replacement = waiting
            .any(|other| other.origin == origin || self.has_room_for_origin(number, other.origin));
        let Some(entry) = self.get_mut(id) else { return false };
        entry.checked = now;
        entry.failures = entry.failures.saturating_add(1);
        (has_replacement || entry.failures >= MAX_FAILURES) && self.remove(id)
    }

    /// A node did or did not answer a question for other nodes.
    pub(super) fn asked(&mut self, id: &PeerId, answered: bool) {
        let Some(entry) = self.get_mut(id) else { return };
        entry.unanswered = if answered { 0 } else { entry.unanswered.saturating_add(1) };
        if entry.unanswered >= MAX_UNANSWERED {
            self.remove(id);
        }
    }

    /// Takes a node out, and lets one that waits have its place.
    pub(super) fn remove(&mut self, id: &PeerId) -> bool {
        let Some(number) = self.bucket_of(&id.node_hash()) else { return false };
        let Some(bucket) = self.buckets.get_mut(number) else { return false };
        let placed = bucket.entries.iter().position(|entry| entry.contact.id == *id);
        let removed = match placed {
            Some(at) => {
                self.size -= 1;
                Some(bucket.entries.remove(at))
            }
            None => {
                let at = bucket.waiting.iter().position(|entry| entry.contact.id == *id);
                at.and_then(|at| bucket.waiting.remove(at))
            }
        };
        let Some(removed) = removed else { return false };
        self.uncount(removed.contact.endpoint.ip);
        if placed.is_some() {
            self.promote(number);
        }
        true
    }

    /// The newest of those that wait gets the free place: it is the likeliest to be there.
    fn promote(&mut self, number: usize) {
        let Some(bucket) = self.buckets.get(number) else { return };
        if bucket.entries.len() >= BUCKET_SIZE {
            return;
        }
        let at = (0..bucket.waiting.len()).rev().find(|at| {
            let origin = bucket.waiting.get(*at).map(|entry| entry.origin);
            origin.is_some_and(|origin| self.has_room_for_origin(number, origin))
        });
        let Some(bucket) = self.buckets.get_mut(number) else { return };
        if let Some(entry) = at.and_then(|at| bucket.waiting.remove(at)) {
            bucket.entries.push(entry);
            self.size += 1;
        }
    }

    /// The nodes closest to a target, closest first.
    pub(super) fn closest(
        &self,
        target: &B256,
        count: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<&Entry> {
        // The first eight bytes decide: that two nodes agree in them does not happen by chance, and
        // whoever makes it happen gains nothing.
        let rank = |entry: &Entry| {
            let first = distance(&entry.hash, target).0.first_chunk().copied().unwrap_or_default();
            u64::from_be_bytes(first)
        };
        let wanted = self.entries().map(|(_, entry)| entry).filter(|entry| wanted(entry));
        let mut ranked: Vec<(u64, &Entry)> = wanted.map(|entry| (rank(entry), entry)).collect();
        if ranked.len() > count {
            ranked.select_nth_unstable_by_key(count, |(rank, _)| *rank);
            ranked.truncate(count);
        }
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Of a random bucket, the node at which we have not looked for longest.
    pub(super) fn least_recently_checked(
        &self,
        rng: &mut impl Rng,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<&Entry> {
        let eligible = |bucket: &&Bucket| bucket.entries.iter().any(&wanted);
        let buckets: Vec<&Bucket> = self.buckets.iter().filter(eligible).collect();
        let count = u64::try_from(buckets.len()).ok().filter(|count| *count > 0)?;
        let at = usize::try_from(rng.next_u64() % count).ok()?;
        let entries = buckets.get(at)?.entries.iter().filter(|entry| wanted(entry));
        entries.min_by_key(|entry| (entry.checked, entry.hash))
    }
}
