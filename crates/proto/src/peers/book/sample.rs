//! Which nodes of the book a peer is told of, when it asks.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use alloy_primitives::keccak256;
use chainmesh_identity::PeerId;
use chainmesh_wire::discv4::{Contact, Endpoint};

use super::{AddressBook, PeerRecord, UnixTime};
use crate::discovery::{Prefix, is_lan, may_know};

/// Who was a peer so lately is told of. Bitcoin tells of whoever was heard of within 30 days; here the
/// answers are small, and a dead address in one costs every asker a dial.
pub const TOLD_FOR: UnixTime = 24 * 60 * 60;
/// For so long the same nodes are told (Bitcoin: 21 to 27 h).
pub const SAMPLE_PERIOD: UnixTime = 24 * 60 * 60;
/// Peers, beside those that are connected, of which it is remembered that they were here.
pub const MAX_MET: usize = 1024;

/// What a sample may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Nodes at most.
    pub nodes: usize,
    /// Nodes of one /24 (IPv6: /48) at most. Local networks are exempt.
    pub per_prefix: usize,
    /// Nodes at most that came to us and were never dialled: where they listen is their word alone.
    pub unproved: usize,
}

/// A peer that has, or had, a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Met {
    /// Where it listens.
    address: SocketAddr,
    /// Whether we dialled it there; else it is what the peer said.
    proved: bool,
    /// When its session ended; `None` while there is one.
    ended: Option<UnixTime>,
}

/// Who was here lately, and where it listens. Not kept on disk.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    met: BTreeMap<PeerId, Met>,
}

impl Meetings {
    fn insert(&mut self, id: PeerId, met: Met) {
        let over = self.met.values().filter(|met| met.ended.is_some()).count();
        if over >= MAX_MET && !self.met.contains_key(&id) {
            let ended = |(id, met): (&PeerId, &Met)| Some((met.ended?, *id));
            if let Some((_, oldest)) = self.met.iter().filter_map(ended).min() {
                self.met.remove(&oldest);
            }
        }
        self.met.insert(id, met);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.met.len()
    }

    pub(super) fn forget(&mut self, id: &PeerId) {
        self.met.remove(id);
    }

    pub(super) fn left(&mut self, now: UnixTime, id: &PeerId) {
        if let Some(met) = self.met.get_mut(id) {
            met.ended = Some(now);
        }
    }
}

impl AddressBook {
    /// A peer has a session, and listens at `address`: there we dialled it, or it came from there and said
    /// that port; port 0 when it said none.
    pub fn met(&mut self, id: &PeerId, address: SocketAddr, dialled: bool) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let known = self.get(id).is_some_and(|record| record.tried && is_at(record, address));
        if address.port() != 0 {
            let met = Met { address, proved: dialled || known, ended: None };
            self.meetings.insert(*id, met);
        }
    }

    /// The nodes that somebody at `asker` is told of: peers of ours, now or within [`TOLD_FOR`], whose
    /// address is known and that are not banned; never one of a local network to somebody outside.
    ///
    /// The choice is by chance but the same for everybody and for [`SAMPLE_PERIOD`]: each node has
    /// a number that follows from the book's secret and the day, and the lowest are told. So asking
    /// again, from however many addresses, shows no more of the book than asking once; nor does it
    /// show who has just come, which would tell who is connected to whom (Miller et al. 2015 mapped
    /// Bitcoin's network so; it keeps its answers since 2020).
    #[must_use]
    pub fn sample(&self, now: UnixTime, asker: IpAddr, limits: &SampleLimits) -> Vec<Contact> {
        let asker = asker.to_canonical();
        let mut known: BTreeMap<PeerId, (SocketAddr, bool)> = BTreeMap::new();
        for record in self.records() {
            let lately = now.saturating_sub(record.last_success) <= TOLD_FOR;
            if let (true, Some(ip)) = (record.tried && lately, record.enode.host.ip()) {
                known.insert(record.enode.id, (SocketAddr::new(ip, record.enode.tcp_port), true));
            }
        }
        for (id, met) in &self.meetings.met {
            if met.ended.is_none_or(|ended| now.saturating_sub(ended) <= TOLD_FOR) {
                known.insert(*id, (met.address, met.proved));
            }
        }
        let banned: Vec<IpAddr> = self.banned_ips().map(|(ip, _)| ip).collect();
        known.retain(|id, (address, _)| {
            let failing = self.get(id).is_some_and(|record| record.failures > 0 || !record.fits());
            let ip = address.ip();
            address.port() != 0
                && may_know(asker, ip)
                && !failing
                && !self.is_banned(now, id)
                && !banned.contains(&ip)
        });
        let number = |id: &PeerId| self.sample_number(now, id);
        let mut drawn: Vec<_> = known
            .into_iter()
            .map(|(id, (address, proved))| (number(&id), id, address, proved))
            .collect();
        drawn.sort_unstable();
        self.within(limits, drawn.into_iter().map(|(_, id, address, proved)| (id, address, proved)))
    }

    fn within(
        &self,
        limits: &SampleLimits,
        drawn: impl Iterator<Item = (PeerId, SocketAddr, bool)>,
    ) -> Vec<Contact> {
        let mut prefixes: BTreeMap<Prefix, usize> = BTreeMap::new();
        let (mut sample, mut unproved) = (Vec::new(), 0_usize);
        for (id, address, proved) in drawn {
            if sample.len() >= limits.nodes {
                break;
            }
            if !proved && unproved >= limits.unproved {
                continue;
            }
            if !is_lan(address.ip()) {
                let count = prefixes.entry(Prefix::of(address.ip())).or_default();
                if *count >= limits.per_prefix {
                    continue;
                }
                *count = count.saturating_add(1);
            }
            unproved = unproved.saturating_add(usize::from(!proved));
            let record = self.get(&id).filter(|record| is_at(record, address));
            let udp_port = record.map_or(0, |record| record.enode.udp_port);
            let endpoint = Endpoint::new(address.ip(), udp_port, address.port());
            sample.push(Contact { endpoint, id });
        }
        sample
    }

    /// The number of a node in the sample of this time. It changes for all nodes at once, at an hour
    /// that only this node knows.
    fn sample_number(&self, now: UnixTime, id: &PeerId) -> [u8; 32] {
        let offset = self.secret.iter().take(4).fold(0, |n, byte| n << 8 | UnixTime::from(*byte));
        let period = now.saturating_add(offset % SAMPLE_PERIOD) / SAMPLE_PERIOD;
        let parts: [&[u8]; 4] =
            [self.secret.as_slice(), b"sample", &period.to_be_bytes(), id.as_bytes()];
        keccak256(parts.concat()).0
    }
}

/// Whether the record names this address.
fn is_at(record: &PeerRecord, address: SocketAddr) -> bool {
    record.enode.host.ip() == Some(address.ip()) && record.enode.tcp_port == address.port()
}
