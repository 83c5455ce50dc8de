//! Whom to dial next.

use std::collections::BTreeMap;

use chainmesh_identity::{Enode, PeerId};
use rand_core::Rng;

use super::buckets::{Half, Network, network, teller};
use super::{AddressBook, UnixTime};

/// Wait after the first failure before a record is a candidate again, seconds; it doubles with each.
const RETRY_BASE: UnixTime = 30;
/// The wait doubles so often at most: about an hour.
const RETRY_DOUBLINGS: u32 = 7;

impl AddressBook {
    /// Up to `count` nodes that are worth a dial now, of those that `wanted` does not refuse: the anchors
    /// of the last run until each has been reached, then those whose place a newcomer waits for, then by chance: one that was a
    /// peer and one that never was, in turn. Of those that were a peer, each network has the same chance; of
    /// those that never were, each network of tellers, however many nodes it has told of.
    pub fn candidates(
        &mut self,
        now: UnixTime,
        count: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Enode> {
        self.candidates_with(now, count, usize::MAX, wanted)
    }

    /// As [`candidates`](Self::candidates), with at most `strangers` that have never been a peer.
    pub(super) fn candidates_with(
        &mut self,
        now: UnixTime,
        count: usize,
        mut strangers: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Enode> {
        let mut chosen: Vec<PeerId> = Vec::new();
        let usable = |book: &Self, id: &PeerId| {
            wanted(id) && book.is_due(now, id) && !book.is_banned(now, id)
        };
        let tests = self.collisions.iter().filter_map(|(_, place)| self.places.at(*place));
        for id in self.anchors_due.iter().copied().chain(tests) {
            if chosen.len() < count && !chosen.contains(&id) && usable(self, &id) {
                chosen.push(id);
            }
        }
        let mut tried: BTreeMap<Network, Vec<PeerId>> = BTreeMap::new();
        let mut new: BTreeMap<Network, Vec<PeerId>> = BTreeMap::new();
        for (half, id) in self.places.all() {
            if chosen.contains(&id) || !usable(self, &id) {
                continue;
            }
            let Some(record) = self.get(&id) else { continue };
            match half {
                Half::Tried => {
                    let network = network(&record.enode.host, record.enode.tcp_port);
                    tried.entry(network).or_default().push(id);
                }
                Half::New if strangers > 0 => new.entry(teller(record)).or_default().push(id),
                Half::New => {}
            }
        }
        let mut of_tried = self.rng.next_u32() & 1 == 0;
        while chosen.len() < count {
            let rng = &mut self.rng;
            let mut stranger = |rng: &mut _| {
                let id = (strangers > 0).then(|| draw(&mut new, rng)).flatten()?;
                strangers = strangers.saturating_sub(1);
                Some(id)
            };
            let id = match of_tried {
                true => draw(&mut tried, rng).or_else(|| stranger(rng)),
                false => stranger(rng).or_else(|| draw(&mut tried, rng)),
            };
            let Some(id) = id else { break };
            chosen.push(id);
            of_tried = !of_tried;
        }
        chosen.iter().filter_map(|id| Some(self.get(id)?.enode.clone())).collect()
    }

    /// Nodes that have been a peer and have a UDP port, for discovery to begin with: the anchors, then by
    /// chance, each network with the same. (Not those with the lowest IDs: an attacker chooses his.)
    pub(super) fn acquaintances(&mut self, now: UnixTime, count: usize) -> Vec<Enode> {
        let usable = |book: &Self, id: &PeerId| {
            let record = book.get(id).filter(|record| record.tried && record.enode.udp_port != 0);
            record.is_some() && !book.is_banned(now, id)
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
            0 => 0,
            failures => RETRY_BASE << failures.saturating_sub(1).min(RETRY_DOUBLINGS),
        };
        Some(if wait == 0 { 0 } else { record.last_tried.saturating_add(wait) })
    }

    fn is_due(&self, now: UnixTime, id: &PeerId) -> bool {
        // A clock that was set back makes nobody wait for ever.
        let set_back = self.get(id).is_some_and(|record| record.last_tried > now);
        self.due_at(id).is_some_and(|at| at <= now || set_back)
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
