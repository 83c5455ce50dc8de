//! A host with many identities that wants to be all that its victims see.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_proto::time::Instant;
use chainmesh_wire::discv4::{Contact, Endpoint, Neighbors, Packet, Ping, Pong, Seal, open, seal};

use super::world::EPOCH;

/// How often it knocks at its victims' doors, unless somebody says otherwise.
const INTERVAL: Duration = Duration::from_millis(100);
/// The first of the ports at which its identities are.
const FIRST_PORT: u16 = 10_000;
/// Contacts in an answer.
const ANSWERED: usize = 16;
/// Expirations: far away.
const LATER: Duration = Duration::from_secs(1_000_000);

/// One machine with one address and as many identities as it likes, each at a port of its own. It
/// pings its victims in the name of each, proves itself, and answers every question with nothing but
/// its own kind, those nearest to what was asked for first.
pub struct Hostile {
    ip: IpAddr,
    key: NodeKey,
    identities: Vec<PeerId>,
    /// Its own and its friends', by hash.
    band: BTreeMap<B256, Contact>,
    victims: Vec<SocketAddr>,
    knocks: VecDeque<(SocketAddr, u16)>,
    knocks_at_once: usize,
    interval: Duration,
}

impl Hostile {
    /// A host at this address with identities made from `salt`.
    #[must_use]
    pub fn new(ip: IpAddr, salt: u64, identities: u16, victims: Vec<SocketAddr>) -> Self {
        let identity = |n: u16| {
            let mut id = [0xee; 64];
            for (to, from) in
                id.iter_mut().zip(keccak256((salt ^ (u64::from(n) << 40)).to_be_bytes()))
            {
                *to = from;
            }
            PeerId::from(id)
        };
        let identities: Vec<PeerId> = (0..identities).map(identity).collect();
        let mut hostile = Self {
            ip,
            key: NodeKey::from_entropy([9; 32]),
            identities,
            band: BTreeMap::new(),
            victims,
            knocks: VecDeque::new(),
            knocks_at_once: 2,
            interval: INTERVAL,
        };
        hostile.band =
            hostile.contacts().map(|contact| (contact.id.node_hash(), contact)).collect();
        hostile
    }

    /// It speaks of these as well: one band, more than one host.
    pub fn befriend(&mut self, friends: impl IntoIterator<Item = Contact>) {
        self.band.extend(friends.into_iter().map(|contact| (contact.id.node_hash(), contact)));
    }

    /// It knocks so often, with so many identities at a time.
    pub const fn pace(&mut self, interval: Duration, knocks_at_once: usize) {
        self.interval = interval;
        self.knocks_at_once = knocks_at_once;
    }

    /// Its identities.
    pub fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.addresses().zip(&self.identities).map(|(address, id)| Contact {
            endpoint: Endpoint::new(address.ip(), address.port(), 30303),
            id: *id,
        })
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let (ip, count) = (self.ip, u16::try_from(self.identities.len()).unwrap_or(u16::MAX));
        (0..count).map(move |n| SocketAddr::new(ip, FIRST_PORT.saturating_add(n)))
    }

    fn seal(&self, from: SocketAddr, packet: &Packet) -> Option<(SocketAddr, Bytes)> {
        let id = self.identities.get(usize::from(from.port().checked_sub(FIRST_PORT)?))?;
        let mut bytes = seal(packet, &self.key, Seal::Clear).ok()?.bytes.to_vec();
        bytes.get_mut(32..96)?.copy_from_slice(id.as_bytes());
        let hash = keccak256(bytes.get(32..)?);
        bytes.get_mut(..32)?.copy_from_slice(hash.as_slice());
        Some((from, bytes.into()))
    }

    fn expiration(now: Instant) -> u64 {
        (EPOCH + now.saturating_since(Instant::ZERO) + LATER).as_secs()
    }

    fn ping(&self, now: Instant, from: SocketAddr, to: SocketAddr) -> Option<(SocketAddr, Bytes)> {
        let endpoint = |address: SocketAddr| Endpoint::new(address.ip(), address.port(), 30303);
        let (expiration, enr_seq) = (Self::expiration(now), None);
        let ping = Ping { version: 4, from: endpoint(from), to: endpoint(to), expiration, enr_seq };
        self.seal(from, &Packet::Ping(ping))
    }

    /// Knocks at the next doors: who says where from, to whom, what; and when to wake it again.
    pub(super) fn wakes(
        &mut self,
        now: Instant,
    ) -> (Vec<(SocketAddr, SocketAddr, Bytes)>, Instant) {
        if self.knocks.is_empty() {
            let count = u16::try_from(self.identities.len()).unwrap_or(u16::MAX);
            let each = (0..count).flat_map(|n| self.victims.iter().map(move |victim| (*victim, n)));
            self.knocks = each.collect();
        }
        let mut said = Vec::new();
        for _ in 0..self.knocks_at_once {
            let Some((victim, n)) = self.knocks.pop_front() else { break };
            let from = SocketAddr::new(self.ip, FIRST_PORT.saturating_add(n));
            if let Some((from, bytes)) = self.ping(now, from, victim) {
                said.push((from, victim, bytes));
            }
        }
        (said, now + self.interval)
    }

    /// Something came to one of its identities.
    pub(super) fn hears(
        &mut self,
        now: Instant,
        at: SocketAddr,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Vec<(SocketAddr, SocketAddr, Bytes)> {
        let Ok(opened) = open(bytes, Seal::Clear) else { return Vec::new() };
        let expiration = Self::expiration(now);
        let mut said = Vec::new();
        match opened.packet {
            Packet::Ping(_) => {
                let to = Endpoint::new(from.ip(), from.port(), 0);
                let pong = Pong { to, ping_hash: opened.hash, expiration, enr_seq: None };
                said.extend(self.seal(at, &Packet::Pong(pong)));
                // The other side shall answer its questions, so it proves itself to it.
                said.extend(self.ping(now, at, from));
            }
            Packet::FindNode(find) => {
                let target = find.target.node_hash();
                let mut near: Vec<(B256, &Contact)> = Vec::new();
                for (hash, contact) in &self.band {
                    let distance = *hash ^ target;
                    let at = near.partition_point(|(other, _)| *other < distance);
                    if at < ANSWERED {
                        near.truncate(ANSWERED - 1);
                        near.insert(at, (distance, contact));
                    }
                }
                let contacts: Vec<Contact> = near.iter().map(|(_, contact)| **contact).collect();
                for packet in Neighbors::packets(&contacts, expiration) {
                    said.extend(self.seal(at, &Packet::Neighbors(packet)));
                }
            }
            _ => {}
        }
        said.into_iter().map(|(at, bytes)| (at, from, bytes)).collect()
    }
}
