//! Whom to dial next.

use std::collections::BTreeMap;

use chainmesh_identity::{Enode, PeerId};
use rand_core::Rng;

use super::buckets::{Half, Network, network, teller};
use super::{ACQUAINTED_AFTER, AddressBook, Mismatch, PeerRecord, UnixTime, tellers};

/// Nobody is dialled again within this time, seconds: whoever had no slot is asked four times a minute.
const DIALLED_AGAIN: UnixTime = 15;
/// Wait after the first failure before a record is a candidate again, seconds; it doubles with each.
const RETRY_BASE: UnixTime = 30;
/// The wait doubles so often at most: about an hour.
const RETRY_DOUBLINGS: u32 = 7;

impl AddressBook {
    /// Up to `count` nodes that are worth a dial now, of those that `wanted` does not refuse: the anchors
    /// of the last run until each has been reached, then those whose place a newcomer waits for, then
    /// by chance: in turn an [acquaintance](Self::is_acquaintance) and a stranger. Each network has the same chance,
    /// of nodes that were never a peer that of their teller, however many nodes it has told of; and what peers
    /// told is dialled only as long as their word proves true often enough
    /// ([`TELLER_ALLOWANCE`](super::TELLER_ALLOWANCE)).
    pub fn candidates(
        &mut self,
        now: UnixTime,
        count: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Enode> {
        self.candidates_with(now, count, usize::MAX, wanted)
    }

    /// As [`candidates`](Self::candidates), with so many strangers at most.
    pub(super) fn candidates_with(
        &mut self,
        now: UnixTime,
        count: usize,
        strangers: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Enode> {
        let usable = |book: &Self, id: &PeerId| {
            wanted(id) && book.is_due(now, id) && !book.is_banned(now, id)
        };
        let mut chosen: Vec<PeerId> = Vec::new();
        let tests = self.collisions.iter().filter_map(|(_, place)| self.places.at(*place));
        for id in self.anchors_due.iter().copied().chain(tests) {
            if chosen.len() < count && !chosen.contains(&id) && usable(self, &id) {
                chosen.push(id);
            }
        }
        let mut groups = Groups::default();
        for (half, id) in self.places.all() {
            let Some(record) = self.get(&id) else { continue };
            if chosen.contains(&id) || !usable(self, &id) {
                continue;
            }
            let (group, network) = match half {
                Half::Tried => {
                    let known = self.is_acquaintance(&id);
                    let group =
                        if known { &mut groups.acquaintances } else { &mut groups.strangers };
                    (group, network(&record.enode.host, record.enode.tcp_port))
                }
                Half::New if self.is_worthless(now, record) => continue,
                Half::New => (&mut groups.strangers, teller(record)),
            };
            group.entry(network).or_default().push(id);
        }
        let Self { entries, tellers, rng, .. } = self;
        groups.choose(&mut chosen, count, strangers, rng, |id| {
            let record = entries.get(id).map(|entry| &entry.record);
            let Some(told) = record.filter(|record| tellers::is_hearsay(record)) else {
                return true;
            };
            // One of the same teller may have been chosen just now.
            let may = tellers.may_dial(now, told);
            if may {
                tellers.dialled(now, told);
            }
            may
        });
        chosen.iter().filter_map(|id| Some(self.get(id)?.enode.clone())).collect()
    }

    /// Whether a record is the word of a teller whose word has been worth little.
    fn is_worthless(&self, now: UnixTime, record: &PeerRecord) -> bool {
        tellers::is_hearsay(record) && !self.tellers.may_dial(now, record)
    }

    /// Whether a dial of a node has led to a session that lasted [`ACQUAINTED_AFTER`], or it was among the
    /// good peers when the last run ended.
    #[must_use]
    pub fn is_acquaintance(&self, id: &PeerId) -> bool {
        let record = self.get(id).filter(|record| record.tried);
        record.is_some_and(|record| record.longest_session >= ACQUAINTED_AFTER)
            || self.anchors_due.contains(id)
    }

    /// Nodes that are [acquaintances](Self::is_acquaintance).
    #[must_use]
    pub fn acquaintances(&self) -> usize {
        self.entries.keys().filter(|id| self.is_acquaintance(id)).count()
    }

    /// Nodes that have been a peer and have a UDP port, for discovery to begin with: the anchors, then by
    /// chance, each network with the same. (Not those with the lowest IDs: an attacker chooses his.)
    pub(super) fn contacts(&mut self, now: UnixTime, count: usize) -> Vec<Enode> {
        let usable = |book: &Self, id: &PeerId| {
            let record = book.get(id).filter(|record| record.tried && record.enode.udp_port != 0);
            record.is_some_and(PeerRecord::fits) && !book.is_banned(now, id)
        };
        let mut chosen: Vec<PeerId> =
            self.anchors.iter().copied().filter(|id| usable(self, id)).take(count).collect();
        let mut others: BTreeMap<Network, Vec<PeerId>> = BTreeMap::new();
        for (id, entry) in &self.entries {
            if !chosen.contains(id) && usable(self, id) {
                let Enode { host, tcp_port, .. } = &entry.record.enode;
                others.entry(network(host, *tcp_port)).or_default().push(*id);
            }
        }
        while chosen.len() < count
            && let Some(id) = draw(&mut others, &mut self.rng)
        {
            chosen.push(id);
        }
        chosen.iter().filter_map(|id| Some(self.get(id)?.enode.clone())).collect()
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
            0 => DIALLED_AGAIN,
            failures => RETRY_BASE << failures.saturating_sub(1).min(RETRY_DOUBLINGS),
        };
        let tried = record.last_tried;
        let due = if tried == 0 { 0 } else { tried.saturating_add(wait) };
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

/// Those that are worth a dial, by network.
#[derive(Default)]
struct Groups {
    acquaintances: BTreeMap<Network, Vec<PeerId>>,
    strangers: BTreeMap<Network, Vec<PeerId>>,
}

impl Groups {
    fn choose(
        &mut self,
        chosen: &mut Vec<PeerId>,
        count: usize,
        strangers: usize,
        rng: &mut impl Rng,
        mut may_dial: impl FnMut(&PeerId) -> bool,
    ) {
        let mut of_known = rng.next_u32() & 1 == 0;
        let mut left = strangers;
        while chosen.len() < count {
            let mut id = if of_known { draw(&mut self.acquaintances, rng) } else { None };
            if id.is_none() && left > 0 {
                while let Some(drawn) = draw(&mut self.strangers, rng) {
                    if may_dial(&drawn) {
                        id = Some(drawn);
                        left = left.saturating_sub(1);
                        break;
                    }
                }
            }
            let Some(id) = id.or_else(|| draw(&mut self.acquaintances, rng)) else { break };
            chosen.push(id);
            of_known = !of_known;
        }
    }
}

/// Takes one of a group by chance, each group with the same chance.
fn draw(groups: &mut BTreeMap<Network, Vec<PeerId>>, rng: &mut impl Rng) -> Option<PeerId> {
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
