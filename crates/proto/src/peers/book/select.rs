//! Whom to dial next.

use std::collections::BTreeMap;

use chainmesh_identity::{Enode, PeerId};
use rand_core::Rng;

use super::buckets::{Half, teller};
use super::{AddressBook, Mismatch, UnixTime, tellers};

/// Wait after the first failure before a record is a candidate again, seconds; it doubles with each.
const RETRY_BASE: UnixTime = 30;
/// The wait doubles so often at most: about an hour.
const RETRY_DOUBLINGS: u32 = 7;

impl AddressBook {
    /// Up to `count` nodes that are worth a dial now, of those that `wanted` does not refuse: the anchors
    /// of the last run, then those whose place a newcomer waits for, then by chance: one that was a
    /// peer and one that never was, in turn. Of those that never were, each network of tellers
    /// has the same chance, however many nodes it has told of; and what peers told is dialled only as long as
    /// their word proves true often enough ([`TELLER_ALLOWANCE`](super::TELLER_ALLOWANCE)).
    pub fn candidates(
        &mut self,
        now: UnixTime,
        count: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Enode> {
        let mut chosen: Vec<PeerId> = Vec::new();
        while chosen.len() < count
            && let Some(anchor) = self.anchors_due.pop_front()
        {
            if self.get(&anchor).is_some_and(|record| !record.is_misfit(now))
                && wanted(&anchor)
                && !self.is_banned(now, &anchor)
            {
                chosen.push(anchor);
            }
        }
        let tests: Vec<PeerId> =
            self.collisions.iter().filter_map(|(_, place)| self.places.at(*place)).collect();
        let usable = |book: &Self, id: &PeerId| {
            wanted(id) && book.is_due(now, id) && !book.is_banned(now, id)
        };
        for id in tests {
            if chosen.len() < count && !chosen.contains(&id) && usable(self, &id) {
                chosen.push(id);
            }
        }
        let mut tried: BTreeMap<Vec<u8>, Vec<PeerId>> = BTreeMap::new();
        let mut new: BTreeMap<Vec<u8>, Vec<PeerId>> = BTreeMap::new();
        for (bucket, id) in self.places.of(Half::Tried) {
            if !chosen.contains(&id) && usable(self, &id) {
                tried.entry(bucket.to_be_bytes().to_vec()).or_default().push(id);
            }
        }
        for (_, id) in self.places.of(Half::New) {
            if !chosen.contains(&id) && usable(self, &id) {
                let teller = self.get(&id).map(teller).unwrap_or_default();
                new.entry(teller).or_default().push(id);
            }
        }
        self.keep_hearsay_in_bounds(now, &mut new);
        let mut of_tried = self.rng.next_u32() & 1 == 0;
        while chosen.len() < count && !(tried.is_empty() && new.is_empty()) {
            let (first, second) =
                if of_tried { (&mut tried, &mut new) } else { (&mut new, &mut tried) };
            let rng = &mut self.rng;
            let Some(id) = draw(first, rng).or_else(|| draw(second, rng)) else { break };
            of_tried = !of_tried;
            if let Some(record) = self.entries.get(&id).map(|entry| &entry.record)
                && tellers::is_hearsay(record)
            {
                // One of the same teller may have been chosen just now.
                if !self.tellers.may_dial(now, record) {
                    continue;
                }
                self.tellers.dialled(now, record);
            }
            chosen.push(id);
        }
        chosen.iter().filter_map(|id| Some(self.get(id)?.enode.clone())).collect()
    }

    /// Leaves out what tellers said whose word has been worth little.
    fn keep_hearsay_in_bounds(&self, now: UnixTime, new: &mut BTreeMap<Vec<u8>, Vec<PeerId>>) {
        new.retain(|_, ids| {
            ids.retain(|id| {
                self.get(id).is_some_and(|record| {
                    !tellers::is_hearsay(record) || self.tellers.may_dial(now, record)
                })
            });
            !ids.is_empty()
        });
    }

    /// When a node is a candidate again after its failures; zero when it is one already, and `None`
    /// when it is none: nothing is known of where it listens, or it has a session.
    #[must_use]
    pub fn due_at(&self, id: &PeerId) -> Option<UnixTime> {
        let record = self.get(id)?;
        if record.enode.tcp_port == 0 || self.outbound.contains_key(id) {
            return None;
        }
        let wait = match record.failures {
            0 => 0,
            failures => RETRY_BASE << failures.saturating_sub(1).min(RETRY_DOUBLINGS),
        };
        let due = if wait == 0 { 0 } else { record.last_tried.saturating_add(wait) };
        Some(due.max(record.mismatch.as_ref().map_or(0, Mismatch::until)))
    }

    fn is_due(&self, now: UnixTime, id: &PeerId) -> bool {
        // A clock that was set back makes nobody wait for ever.
        let set_back = self.get(id).is_some_and(|record| {
            let seen = record.mismatch.as_ref().map_or(0, |mark| mark.at);
            record.last_tried.max(seen) > now && !record.is_misfit(now)
        });
        self.due_at(id).is_some_and(|at| at <= now || set_back)
    }
}

/// Takes one of a group by chance, each group with the same chance.
fn draw(groups: &mut BTreeMap<Vec<u8>, Vec<PeerId>>, rng: &mut impl Rng) -> Option<PeerId> {
    let below = |rng: &mut dyn FnMut() -> u64, count: usize| {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(rng() % count).unwrap_or_default()
    };
    let mut next = || rng.next_u64();
    let at = below(&mut next, groups.len());
    let key = groups.keys().nth(at)?.clone();
    let group = groups.get_mut(&key)?;
    let at = below(&mut next, group.len());
    let id = (at < group.len()).then(|| group.swap_remove(at));
    if group.is_empty() {
        groups.remove(&key);
    }
    id
}
