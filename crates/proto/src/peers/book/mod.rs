//! The address book: nodes that this one has heard of, what came of dialling them, and what its
//! operator decided about them. It outlives the process; a driver keeps its records on disk.
//!
//! [`AddressBook`] has no timers and asks for nothing, so its verbs are not those of a machine: the
//! driver tells it what happened, asks it [whom to dial](AddressBook::candidates), and takes
//! [what changed](AddressBook::take_changes) to the disk.

mod bans;
mod buckets;
mod disk;
mod keeper;
mod mismatch;
mod record;
mod sample;
mod select;
mod tellers;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::B256;
use chainmesh_identity::{Enode, PeerId};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

pub use self::bans::BookError;
pub use self::buckets::{
    BUCKET_PLACES, MAX_RECORDS_PER_PREFIX, NEW_BUCKETS, NEW_BUCKETS_PER_SOURCE, TRIED_BUCKETS,
    TRIED_BUCKETS_PER_NETWORK,
};
pub use self::disk::{Changes, Loaded};
pub use self::keeper::{ACQUAINTANCES_FIRST, Bookkeeper, ConnectionFacts, LOOK_INTO_BOOK};
pub use self::mismatch::{
    FORK_MISMATCH_WAIT, Fingerprint, MISMATCH_WAIT, Mismatch, MismatchKind, RECORD_PATIENCE,
};
pub use self::record::{
    AddressOrigin, AttemptStage, Ban, Incident, MAX_INCIDENTS, MAX_RECORD_BYTES, MAX_TEXT,
    PeerRecord, RECORD_VERSION, RecordError, UnixTime,
};
pub use self::sample::{MAX_MET, SAMPLE_PERIOD, SampleLimits, TOLD_FOR};
pub use self::tellers::{TELLER_ALLOWANCE, TELLER_WAIT};

use self::buckets::{Half, Place, Places};
use self::sample::Meetings;
use self::tellers::Tellers;
use crate::discovery::Prefix;

/// Records that stand in no bucket: what the operator added, trusts or bans. Also the bans of
/// addresses, at most.
pub const MAX_PINNED: usize = 1024;
/// Good outbound peers that are dialled first after a restart: half of the sixteen that a node dials by default. (Bitcoin
/// has 2 of 10.)
pub const MAX_ANCHORS: usize = 8;
/// A session that we dialled and that lasted so long, seconds, makes its node an acquaintance. It is an attacker's
/// slot for this time, so he makes few of them.
pub const ACQUAINTED_AFTER: UnixTime = 30 * 60;
/// Newcomers that wait for the test of who has their place (Bitcoin: 10).
pub const MAX_COLLISIONS: usize = 10;
/// Who was a peer so lately keeps its place without a test (Bitcoin: 4 h).
pub const PROVEN_FOR: UnixTime = 4 * 60 * 60;
/// Failures after which a record that was never a peer makes room for another (Bitcoin: 3).
pub const MAX_FAILURES_NEW: u32 = 3;
/// Failures after which a record that was a peer makes room, when [`FORGET_FAILING`] is over, too
/// (Bitcoin: 10).
pub const MAX_FAILURES_TRIED: u32 = 10;
/// See [`MAX_FAILURES_TRIED`] (Bitcoin: 7 days).
pub const FORGET_FAILING: UnixTime = 7 * 24 * 60 * 60;
/// Who was not heard of for so long makes room (Bitcoin: 30 days).
pub const FORGET_SILENT: UnixTime = 30 * 24 * 60 * 60;

/// Changed records that are remembered one by one: twice as many as there are places.
const MAX_CHANGED: usize = 10_240;

/// What became of a node that the book was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the book now.
    New,
    /// It was already.
    Known,
    /// The place where it would stand is taken by a record that is no worse.
    NoRoom,
    /// The book has [`MAX_RECORDS_PER_PREFIX`] of its /24.
    TooManyOfPrefix,
    /// It is this node.
    Own,
}

#[derive(Debug)]
struct Entry {
    record: PeerRecord,
    /// Where it stands; only a pinned record stands nowhere.
    place: Option<Place>,
}

/// Nodes that this one has heard of.
///
/// # What an attacker gets
/// A record stands in one of [`NEW_BUCKETS`] × [`BUCKET_PLACES`] places until a dial of ours has led to a
/// session with it, and in one of [`TRIED_BUCKETS`] × [`BUCKET_PLACES`] from then on. The place follows
/// from a secret. What one /16 tells reaches [`NEW_BUCKETS_PER_SOURCE`] buckets, and what it owns
/// [`TRIED_BUCKETS_PER_NETWORK`]; a /24 has at most [`MAX_RECORDS_PER_PREFIX`] records. A record that was a
/// peer is displaced only by another one that was, and only after a dial of it has failed.
#[derive(Debug)]
pub struct AddressBook {
    local_id: PeerId,
    secret: B256,
    rng: ChaCha8Rng,
    entries: BTreeMap<PeerId, Entry>,
    places: Places,
    prefixes: BTreeMap<Prefix, usize>,
    pinned: usize,
    /// Newcomers to a tried place, and the place.
    collisions: VecDeque<(PeerId, Place)>,
    /// Good outbound peers of the last run and of this one.
    anchors: Vec<PeerId>,
    /// Anchors of the last run that were not reached yet in this one.
    anchors_due: VecDeque<PeerId>,
    /// Sessions that we dialled, and since when.
    outbound: BTreeMap<PeerId, UnixTime>,
    banned_ips: BTreeMap<IpAddr, Ban>,
    meetings: Meetings,
    tellers: Tellers,
    /// What others must fit.
    fingerprint: Fingerprint,
    changed: BTreeSet<PeerId>,
    /// So many have changed that everything is to be written.
    all_changed: bool,
    head_changed: bool,
}

impl AddressBook {
    /// An empty book of the node `local_id`. The seed also is the secret that places follow from: it
    /// is kept on disk with the records.
    #[must_use]
    pub fn new(local_id: PeerId, seed: [u8; 32]) -> Self {
        Self::with_secret(local_id, B256::from(seed), seed)
    }

    fn with_secret(local_id: PeerId, secret: B256, seed: [u8; 32]) -> Self {
        Self {
            local_id,
            secret,
            rng: ChaCha8Rng::from_seed(seed),
            entries: BTreeMap::new(),
            places: Places::new(secret),
            prefixes: BTreeMap::new(),
            pinned: 0,
            collisions: VecDeque::new(),
            anchors: Vec::new(),
            anchors_due: VecDeque::new(),
            outbound: BTreeMap::new(),
            banned_ips: BTreeMap::new(),
            meetings: Meetings::default(),
            tellers: Tellers::default(),
            fingerprint: Fingerprint::ZERO,
            changed: BTreeSet::new(),
            all_changed: false,
            head_changed: true,
        }
    }

    /// The record of a node.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<&PeerRecord> {
        Some(&self.entries.get(id)?.record)
    }

    /// All records, by ID.
    pub fn records(&self) -> impl Iterator<Item = &PeerRecord> {
        self.entries.values().map(|entry| &entry.record)
    }

    /// Records in the book: at most [`NEW_BUCKETS`] × [`BUCKET_PLACES`] + [`TRIED_BUCKETS`] ×
    /// [`BUCKET_PLACES`] + [`MAX_PINNED`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records that have been a peer, and those that have not.
    #[must_use]
    pub fn tried_and_new(&self) -> (usize, usize) {
        (self.places.len(Half::Tried), self.places.len(Half::New))
    }

    /// Somebody told of a node: `source` is the address of the teller, `None` the operator.
    pub fn add(
        &mut self,
        now: UnixTime,
        enode: &Enode,
        origin: AddressOrigin,
        source: Option<IpAddr>,
    ) -> Added {
        if enode.id == self.local_id {
            return Added::Own;
        }
        if let Some(entry) = self.entries.get_mut(&enode.id) {
            entry.record.last_seen = now;
            self.mark(enode.id);
            self.move_to(now, enode, origin, source);
            return Added::Known;
        }
        let record = PeerRecord::new(enode.clone(), origin, source, now);
        self.insert_new(now, record)
    }

    /// A known node is said to be somewhere else. Hearsay counts only when it is not where we know
    /// it to be, and then the record is one that was never tried.
    fn move_to(
        &mut self,
        now: UnixTime,
        enode: &Enode,
        origin: AddressOrigin,
        source: Option<IpAddr>,
    ) {
        let Some(entry) = self.entries.get(&enode.id) else { return };
        let record = &entry.record;
        let same = record.enode.host == enode.host && record.enode.tcp_port == enode.tcp_port;
        let unknown = record.enode.tcp_port == 0;
        // What a node says of itself is more than what others say of it.
        let own_word = origin == AddressOrigin::Inbound && tellers::is_hearsay(record);
        let believed =
            origin.is_firsthand() || own_word || unknown || record.failures >= MAX_FAILURES_NEW;
        if same || enode.tcp_port == 0 || !believed || self.outbound.contains_key(&enode.id) {
            return;
        }
        let mut record = record.clone();
        self.take_out(&enode.id);
        record.enode = enode.clone();
        (record.origin, record.source) = (origin, source);
        (record.tried, record.failures) = (false, 0);
        self.insert_new(now, record);
    }

    /// Puts a record into its new place, if it may stand there.
    fn insert_new(&mut self, now: UnixTime, mut record: PeerRecord) -> Added {
        let prefix = buckets::prefix(&record.enode.host);
        let pinned = record.is_pinned();
        let place = self.places.new_place(&record);
        let crowded = prefix.and_then(|prefix| self.prefixes.get(&prefix).copied());
        let refused = if crowded.is_some_and(|count| count >= MAX_RECORDS_PER_PREFIX) {
            Some(Added::TooManyOfPrefix)
        } else {
            let incumbent = self.places.at(place);
            let stays = incumbent.is_some_and(|id| !self.is_terrible(now, &id));
            stays.then_some(Added::NoRoom)
        };
        record.tried = false;
        match refused {
            None => {
                if let Some(incumbent) = self.places.at(place) {
                    self.displace(&incumbent);
                }
                self.put_in(record, Some(place));
                Added::New
            }
            Some(_) if pinned => {
                self.put_in(record, None);
                Added::New
            }
            Some(refused) => refused,
        }
    }

    /// Whether a record may make room for a newcomer that nobody has proved.
    fn is_terrible(&self, now: UnixTime, id: &PeerId) -> bool {
        let Some(entry) = self.entries.get(id) else { return true };
        let record = &entry.record;
        if record.tried || self.outbound.contains_key(id) {
            return false;
        }
        if record.mismatch.as_ref().is_some_and(|mark| !mark.kind.is_soft()) {
            return true;
        }
        // Where it listens is not known: it cannot be dialled, and is here for its story alone.
        if record.enode.tcp_port == 0 {
            return true;
        }
        let never = record.last_success == 0 && record.failures >= MAX_FAILURES_NEW;
        let long_ago = now.saturating_sub(record.last_success) > FORGET_FAILING
            && record.failures >= MAX_FAILURES_TRIED;
        never || long_ago || now.saturating_sub(record.last_seen) > FORGET_SILENT
    }

    /// A record is to be written, or to be removed from disk.
    fn mark(&mut self, id: PeerId) {
        if self.changed.len() >= MAX_CHANGED {
            self.changed.clear();
            self.all_changed = true;
        }
        if !self.all_changed {
            self.changed.insert(id);
        }
    }

    fn put_in(&mut self, record: PeerRecord, place: Option<Place>) {
        let id = record.enode.id;
        match place {
            Some(place) => {
                self.places.put(place, id);
                if let Some(prefix) = buckets::prefix(&record.enode.host) {
                    let count = self.prefixes.entry(prefix).or_default();
                    *count = count.saturating_add(1);
                }
            }
            None => self.pinned = self.pinned.saturating_add(1),
        }
        self.mark(id);
        self.entries.insert(id, Entry { record, place });
    }

    /// Takes a record out of every table.
    fn take_out(&mut self, id: &PeerId) -> Option<PeerRecord> {
        let Entry { record, place } = self.entries.remove(id)?;
        self.mark(*id);
        match place {
            Some(place) => {
                self.places.clear(place);
                if let Some(prefix) = buckets::prefix(&record.enode.host)
                    && let Some(count) = self.prefixes.get_mut(&prefix)
                {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.prefixes.remove(&prefix);
                    }
                }
            }
            None => self.pinned = self.pinned.saturating_sub(1),
        }
        Some(record)
    }

    /// Takes a record from its place. It stays in the book only if the operator wants it.
    fn displace(&mut self, id: &PeerId) {
        if let Some(record) = self.take_out(id)
            && record.is_pinned()
        {
            self.put_in(record, None);
        }
    }

    /// Something happened with a peer: it is part of its story. What is said of a node that is not in
    /// the book is not kept.
    pub fn remember(&mut self, id: &PeerId, incident: Incident) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.record.remember(incident);
            self.mark(*id);
        }
    }

    /// Whether nothing but the word of a peer is known of a node.
    #[must_use]
    pub fn is_hearsay(&self, id: &PeerId) -> bool {
        self.get(id).is_some_and(tellers::is_hearsay)
    }

    /// A node is being dialled.
    pub fn dialled(&mut self, now: UnixTime, id: &PeerId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.record.last_tried = now;
            self.mark(*id);
        }
    }

    /// A dial of a node led to no session.
    pub fn failed(&mut self, now: UnixTime, id: &PeerId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.record.last_tried = now;
        entry.record.failures = entry.record.failures.saturating_add(1);
        self.mark(*id);
        self.end_test(now, id, false);
    }

    /// A dial of a node reached it, and it has no slot for us: it is there, so this is no failure.
    pub fn refused(&mut self, now: UnixTime, id: &PeerId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.record.last_tried = now;
        entry.record.last_seen = now;
        entry.record.failures = 0;
        self.mark(*id);
        self.end_test(now, id, true);
    }

    /// A peer has a session. When we dialled it at the address of its record, that is proved now.
    pub fn connected(&mut self, now: UnixTime, id: &PeerId, outbound: bool) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let record = &mut entry.record;
        record.last_seen = now;
        record.mismatch = None;
        if outbound {
            if tellers::is_hearsay(record) {
                self.tellers.was_right(record);
            }
            record.last_success = now;
            record.successes = record.successes.saturating_add(1);
            record.failures = 0;
        }
        let tried = record.tried;
        self.mark(*id);
        if !outbound {
            return;
        }
        self.outbound.insert(*id, now);
        self.anchors_due.retain(|anchor| anchor != id);
        self.head_changed = true;
        if tried {
            self.end_test(now, id, true);
        } else {
            self.promote(now, id);
        }
    }

    /// A peer is gone.
    pub fn disconnected(&mut self, now: UnixTime, id: &PeerId) {
        self.anchors = self.current_anchors();
        let since = self.outbound.remove(id);
        self.meetings.left(now, id);
        self.head_changed = true;
        if let Some(entry) = self.entries.get_mut(id) {
            entry.record.last_seen = now;
            let lasted = since.map_or(0, |since| now.saturating_sub(since));
            entry.record.longest_session = entry.record.longest_session.max(lasted);
            self.mark(*id);
        }
    }

    /// A record goes to its tried place, if that is free; else whoever is there is tested first.
    fn promote(&mut self, now: UnixTime, id: &PeerId) {
        let Some(entry) = self.entries.get(id) else { return };
        let place = self.places.tried_place(&entry.record.enode);
        let Some(incumbent) = self.places.at(place) else { return self.move_to_tried(id, place) };
        let waits = self.collisions.iter().any(|(newcomer, _)| newcomer == id);
        if !waits && self.needs_test(now, &incumbent) && self.collisions.len() < MAX_COLLISIONS {
            self.collisions.push_back((*id, place));
        }
    }

    /// Whether it is time to see if a tried record still deserves its place.
    fn needs_test(&self, now: UnixTime, id: &PeerId) -> bool {
        let success = self.entries.get(id).map_or(0, |entry| entry.record.last_success);
        !self.outbound.contains_key(id) && now.saturating_sub(success) > PROVEN_FOR
    }

    fn move_to_tried(&mut self, id: &PeerId, place: Place) {
        if let Some(mut record) = self.take_out(id) {
            record.tried = true;
            self.put_in(record, Some(place));
        }
    }

    /// The incumbent of a tried place was dialled.
    fn end_test(&mut self, now: UnixTime, incumbent: &PeerId, passed: bool) {
        let Some(entry) = self.entries.get(incumbent) else { return };
        let Some(place) = entry.place.filter(|place| place.half == Half::Tried) else { return };
        let at = self.collisions.iter().position(|(_, wanted)| *wanted == place);
        let Some((newcomer, _)) = at.and_then(|at| self.collisions.remove(at)) else { return };
        let still = self.entries.get(&newcomer).is_some_and(|entry| {
            !entry.record.tried && self.places.tried_place(&entry.record.enode) == place
        });
        if passed || !still {
            return;
        }
        if let Some(record) = self.take_out(incumbent) {
            self.move_to_tried(&newcomer, place);
            // It goes back to those that are not proved, if there is room.
            self.insert_new(now, record);
        }
    }

    /// Good outbound peers, the longest session first, then those before them.
    fn current_anchors(&self) -> Vec<PeerId> {
        let mut live: Vec<(UnixTime, PeerId)> =
            self.outbound.iter().map(|(id, since)| (*since, *id)).collect();
        live.sort_unstable();
        let mut anchors: Vec<PeerId> = Vec::new();
        let all = live.into_iter().map(|(_, id)| id).chain(self.anchors.iter().copied());
        for id in all {
            if anchors.len() < MAX_ANCHORS && !anchors.contains(&id) {
                anchors.push(id);
            }
        }
        anchors
    }
}
