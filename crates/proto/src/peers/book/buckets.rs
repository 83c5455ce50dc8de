//! Where in the book a record may stand: buckets that only this node can compute.
//!
//! The idea is Bitcoin's `addrman`: the place of an address follows from a secret, its network and the
//! network of whoever told it. So nobody can aim at a place, and one teller reaches few of them.

use core::net::IpAddr;
use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use chainmesh_identity::{Enode, Host, PeerId};

use super::record::{AddressOrigin, PeerRecord};
use crate::discovery::{Prefix, is_lan};

/// Buckets for records that no dial of ours has proved. Bitcoin has 1,024 for a network of 10^5 nodes and
/// 64 places in each; here 4,096 places are eighty times the default number of peers.
pub const NEW_BUCKETS: u16 = 256;
/// Buckets for records that have been a peer of ours. Bitcoin has 256.
pub const TRIED_BUCKETS: u16 = 64;
/// Places in a bucket. Bitcoin has 64.
pub const BUCKET_PLACES: u16 = 16;
/// New buckets that the tellers of one network (/16, IPv6 /32) reach: 256 places of 4,096. Bitcoin
/// has 64 of 1,024, the same share.
pub const NEW_BUCKETS_PER_SOURCE: u16 = 16;
/// Tried buckets that the nodes of one network (/16, IPv6 /32) reach: 64 places of 1,024. Bitcoin
/// has 8 of 256, half of this share, with four times the buckets.
pub const TRIED_BUCKETS_PER_NETWORK: u16 = 4;
/// Records of one /24 (IPv6 /48), as many as half a /16 may have in the tried buckets. Local
/// networks are exempt.
pub const MAX_RECORDS_PER_PREFIX: usize = 32;

/// Addresses that are likely to have one owner, coarsely: an IPv4 /16, an IPv6 /32. Of a local
/// network each address and port is one, a host name is one.
pub(super) type Network = Vec<u8>;

pub(super) fn network(host: &Host, port: u16) -> Network {
    match host {
        Host::Ip(ip) if is_lan(*ip) => {
            let mut network = vec![0];
            network.extend_from_slice(super::record::encode_ip(*ip).as_slice());
            network.extend_from_slice(&port.to_be_bytes());
            network
        }
        Host::Ip(ip) => network_of_ip(*ip),
        Host::Name(name) => keccak256(name.as_bytes()).to_vec(),
    }
}

fn network_of_ip(ip: IpAddr) -> Network {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            vec![4, a, b]
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.octets();
            vec![6, a, b, c, d]
        }
    }
}

/// The network of whoever told of a record. One that discovery found, or that came to us, is its own
/// teller; all that this node's operator says is of one.
pub(super) fn teller(record: &PeerRecord) -> Network {
    match (record.origin, record.source) {
        (AddressOrigin::Discovery | AddressOrigin::Discv5 | AddressOrigin::Inbound, _) => {
            network(&record.enode.host, record.enode.tcp_port)
        }
        (_, Some(ip)) => network_of_ip(ip),
        (_, None) => Vec::new(),
    }
}

/// The /24 (IPv6 /48) of an address; `None` for local networks and names.
pub(super) const fn prefix(host: &Host) -> Option<Prefix> {
    match host {
        Host::Ip(ip) if !is_lan(*ip) => Some(Prefix::of(*ip)),
        _ => None,
    }
}

/// Which half of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Half {
    New,
    Tried,
}

/// One place in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) half: Half,
    bucket: u16,
    slot: u16,
}

/// The places, and who stands there.
#[derive(Debug)]
pub(super) struct Places {
    secret: B256,
    taken: BTreeMap<Place, PeerId>,
}

impl Places {
    pub(super) const fn new(secret: B256) -> Self {
        Self { secret, taken: BTreeMap::new() }
    }

    /// A number below `limit` that only this node can compute.
    fn number(&self, purpose: u8, parts: &[&[u8]], limit: u16) -> u16 {
        let mut bytes = self.secret.to_vec();
        bytes.push(purpose);
        for part in parts {
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        let hash = keccak256(bytes);
        let number = hash.iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        u16::try_from(number % u64::from(limit.max(1))).unwrap_or_default()
    }

    /// Where a record stands that has not been a peer.
    pub(super) fn new_place(&self, record: &PeerRecord) -> Place {
        let enode = &record.enode;
        let (network, source) = (network(&enode.host, enode.tcp_port), teller(record));
        // One that is its own teller: else all that is found in one /16 would stand in one bucket.
        let own: &[u8] = if source == network { enode.id.as_bytes() } else { &[] };
        let one = self.number(0, &[&source, &network, own], NEW_BUCKETS_PER_SOURCE);
        let bucket = self.number(1, &[&source, &one.to_be_bytes()], NEW_BUCKETS);
        self.place(Half::New, bucket, &enode.id)
    }

    /// Where a record stands that has been a peer.
    pub(super) fn tried_place(&self, enode: &Enode) -> Place {
        let network = network(&enode.host, enode.tcp_port);
        let one = self.number(2, &[enode.id.as_bytes()], TRIED_BUCKETS_PER_NETWORK);
        let bucket = self.number(3, &[&network, &one.to_be_bytes()], TRIED_BUCKETS);
        self.place(Half::Tried, bucket, &enode.id)
    }

    fn place(&self, half: Half, bucket: u16, id: &PeerId) -> Place {
        let purpose = if half == Half::New { 4 } else { 5 };
        let slot = self.number(purpose, &[&bucket.to_be_bytes(), id.as_bytes()], BUCKET_PLACES);
        Place { half, bucket, slot }
    }

    pub(super) fn at(&self, place: Place) -> Option<PeerId> {
        self.taken.get(&place).copied()
    }

    pub(super) fn put(&mut self, place: Place, id: PeerId) {
        self.taken.insert(place, id);
    }

    pub(super) fn clear(&mut self, place: Place) {
        self.taken.remove(&place);
    }

    /// Everybody, and in which half.
    pub(super) fn all(&self) -> impl Iterator<Item = (Half, PeerId)> {
        self.taken.iter().map(|(place, id)| (place.half, *id))
    }

    pub(super) fn len(&self, half: Half) -> usize {
        self.all().filter(|(of, _)| *of == half).count()
    }
}
