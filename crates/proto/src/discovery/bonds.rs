//! Who proved that he is where he says, and to whom we proved it: the endpoint proofs.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_wire::discv4::Contact;

use super::address::{Prefix, is_lan};
use super::config::{BOND_LIFETIME, BOND_RELIED_ON, MAX_BONDS, MAX_BONDS_PER_PREFIX};
use crate::time::Instant;

/// A node at an address: a proof holds for both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PeerKey {
    pub(super) ip: IpAddr,
    pub(super) id: PeerId,
}

/// Whether a node is of our network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Verdict {
    /// Its record is not here yet.
    #[default]
    Open,
    /// It is.
    Ours,
    /// It is of another one.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Bond {
    /// When it answered a Ping of ours.
    pub(super) proved: Instant,
    /// When it pinged us last, and we answered.
    pub(super) pinged_us: Option<Instant>,
    /// The newest sequence number of its record that it spoke of.
    pub(super) claimed: Option<u64>,
    /// The sequence number of its record that we have seen.
    pub(super) fetched: Option<u64>,
    pub(super) verdict: Verdict,
    /// Where it was when it proved itself.
    pub(super) contact: Option<Contact>,
    /// Whether we found it, too, or a person named it.
    pub(super) found: bool,
    pub(super) announced: bool,
    /// Its record, until it is announced.
    pub(super) record: Option<Box<NodeRecord>>,
}

#[derive(Debug, Default)]
pub(super) struct Bonds {
    by_peer: BTreeMap<PeerKey, Bond>,
    by_age: BTreeSet<(Instant, PeerKey)>,
    /// How many there are of each prefix that is no local network.
    prefixes: BTreeMap<Prefix, usize>,
}

impl Bonds {
    pub(super) fn len(&self) -> usize {
        self.by_peer.len()
    }

    /// Whether this node proved, not too long ago, that it is there.
    pub(super) fn proved(&self, now: Instant, peer: &PeerKey) -> bool {
        let bond = self.by_peer.get(peer);
        bond.is_some_and(|bond| now.saturating_since(bond.proved) < BOND_LIFETIME)
    }

    /// Whether both sides have proved themselves so recently that questions are answered.
    pub(super) fn mutual(&self, now: Instant, peer: &PeerKey) -> bool {
        self.by_peer.get(peer).is_some_and(|bond| {
            now.saturating_since(bond.proved) < BOND_RELIED_ON
                && bond
                    .pinged_us
                    .is_some_and(|pinged| now.saturating_since(pinged) < BOND_RELIED_ON)
        })
    }

    /// Whether somebody at this address has proved that he is there.
    pub(super) fn any_at(&self, ip: IpAddr) -> bool {
        let first = PeerKey { ip, id: PeerId::from([0; 64]) };
        let last = PeerKey { ip, id: PeerId::from([0xff; 64]) };
        self.by_peer.range(first..=last).next().is_some()
    }

    /// Those whose proof is not older than `age`, and where they are.
    pub(super) fn fresh(&self, now: Instant, age: Duration) -> Vec<(PeerKey, Contact)> {
        let fresh = |bond: &Bond| now.saturating_since(bond.proved) <= age;
        let fresh = self.by_peer.iter().filter(|(_, bond)| fresh(bond));
        fresh.filter_map(|(peer, bond)| Some((*peer, bond.contact?))).collect()
    }

    pub(super) fn get_mut(&mut self, peer: &PeerKey) -> Option<&mut Bond> {
        self.by_peer.get_mut(peer)
    }

    /// Whatever its record says, a node is of another network.
    pub(super) fn condemn(&mut self, id: &PeerId) {
        let proofs = self.by_peer.iter_mut().filter(|(peer, _)| peer.id == *id);
        proofs.for_each(|(_, bond)| bond.verdict = Verdict::Foreign);
    }

    /// The node answered a Ping of ours. Gives those that had to make room for it.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        peer: PeerKey,
        pinged_us: Option<Instant>,
    ) -> Vec<PeerKey> {
        if let Some(bond) = self.by_peer.get_mut(&peer) {
            self.by_age.remove(&(bond.proved, peer));
            bond.proved = now;
            bond.pinged_us = bond.pinged_us.max(pinged_us);
            self.by_age.insert((now, peer));
            return Vec::new();
        }
        let forgotten = self.make_room(&peer);
        let bond = Bond {
            proved: now,
            pinged_us,
            claimed: None,
            fetched: None,
            verdict: Verdict::Open,
            contact: None,
            found: false,
            announced: false,
            record: None,
        };
        self.by_peer.insert(peer, bond);
        self.by_age.insert((now, peer));
        if !is_lan(peer.ip) {
            *self.prefixes.entry(Prefix::of(peer.ip)).or_default() += 1;
        }
        forgotten
    }

    fn make_room(&mut self, peer: &PeerKey) -> Vec<PeerKey> {
        let mut forgotten = Vec::new();
        let prefix = Prefix::of(peer.ip);
        let crowded = self.prefixes.get(&prefix).is_some_and(|n| *n >= MAX_BONDS_PER_PREFIX);
        if crowded && !is_lan(peer.ip) {
            let same = self.by_age.iter().find(|(_, other)| Prefix::of(other.ip) == prefix);
            if let Some((_, oldest)) = same.copied() {
                self.forget(&oldest);
                forgotten.push(oldest);
            }
        }
        while self.by_peer.len() >= MAX_BONDS
            && let Some((_, oldest)) = self.by_age.first().copied()
        {
            self.forget(&oldest);
            forgotten.push(oldest);
        }
        forgotten
    }

    fn forget(&mut self, peer: &PeerKey) {
        let Some(bond) = self.by_peer.remove(peer) else { return };
        self.by_age.remove(&(bond.proved, *peer));
        let prefix = Prefix::of(peer.ip);
        if let Some(count) = self.prefixes.get_mut(&prefix)
            && !is_lan(peer.ip)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }
}
