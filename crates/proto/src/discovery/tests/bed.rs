//! One machine, and others that say what a test wants.

use core::net::IpAddr;

use bytes::Bytes;
use chainmesh_identity::NodeKey;
use chainmesh_wire::discv4::{
    Endpoint, EnrRequest, FindNode, Neighbors, Opened, Ping, Pong, Seal, Sealed, open, seal,
};

use super::*;

/// Unix time at which tests begin.
pub(super) const UNIX: u64 = 1_700_000_000;

pub(super) fn key(number: u64) -> NodeKey {
    let mut entropy = [7; 32];
    entropy[..8].copy_from_slice(&number.to_be_bytes());
    NodeKey::from_entropy(entropy)
}

pub(super) fn clock() -> WallClock {
    WallClock { at: Instant::ZERO, unix: Duration::from_secs(UNIX) }
}

/// The configuration of the machine under test: no records, so that a test sees what it is about.
pub(super) fn config() -> DiscoveryConfig {
    let mut config = DiscoveryConfig::new(key(0), clock(), 30303, 30303);
    config.ip = Some(IpAddr::from([5, 5, 5, 5]));
    config.fetch_records = false;
    config
}

/// The address that number `n` has: each in a /24 of its own, the first 2^16 of them.
pub(super) fn ip(n: u64) -> IpAddr {
    let [.., a, b, c] = n.to_be_bytes();
    IpAddr::from([20 + a, b, c, 9])
}

/// Somebody else.
pub(super) struct Other {
    pub(super) key: NodeKey,
    pub(super) address: SocketAddr,
}

impl Other {
    pub(super) fn new(number: u64) -> Self {
        Self::at(number, ip(number))
    }

    pub(super) fn at(number: u64, ip: IpAddr) -> Self {
        Self { key: key(number), address: SocketAddr::new(ip, 30303) }
    }

    pub(super) fn id(&self) -> PeerId {
        self.key.peer_id()
    }

    pub(super) fn contact(&self) -> Contact {
        let endpoint = Endpoint::new(self.address.ip(), self.address.port(), 30303);
        Contact { endpoint, id: self.id() }
    }

    pub(super) fn ping(&self) -> Packet {
        let (from, to) = (self.contact().endpoint, Endpoint::new(ip(0), 30303, 0));
        Packet::Ping(Ping { version: 4, from, to, expiration: UNIX + 3600, enr_seq: None })
    }

    pub(super) fn find_node(&self) -> Packet {
        Packet::FindNode(FindNode { target: self.id(), expiration: UNIX + 1_000_000 })
    }

    pub(super) fn seal(&self, packet: &Packet) -> Sealed {
        seal(packet, &self.key, Seal::Signed).unwrap()
    }
}

pub(super) struct Bed {
    pub(super) now: Instant,
    pub(super) machine: Discovery,
    /// What it sent and nobody has looked at.
    pub(super) sent: Vec<(SocketAddr, Opened)>,
    pub(super) events: Vec<DiscoveryEvent>,
}

impl Bed {
    /// A machine whose first look around is over.
    pub(super) fn new(config: DiscoveryConfig) -> Self {
        let machine = Discovery::new(config, [1; 32]);
        let now = Instant::from_micros(1_000_000);
        let mut bed = Self { now, machine, sent: Vec::new(), events: Vec::new() };
        bed.machine.handle_timeout(now);
        bed.collect();
        bed
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Send { to, bytes } => {
                    self.sent.push((to, open(&bytes, Seal::Signed).unwrap()));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.collect();
    }

    pub(super) fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.handle(Input::Datagram { from, bytes: Bytes::copy_from_slice(bytes) });
    }

    /// Another one says something, from where it is.
    pub(super) fn hear(&mut self, other: &Other, packet: &Packet) -> B256 {
        let sealed = other.seal(packet);
        self.datagram(other.address, &sealed.bytes);
        sealed.hash
    }

    pub(super) fn take_sent(&mut self) -> Vec<(SocketAddr, Opened)> {
        core::mem::take(&mut self.sent)
    }

    /// The type bytes of what was sent to an address since somebody looked last.
    pub(super) fn kinds_to(&mut self, to: SocketAddr) -> Vec<u8> {
        let sent = self.take_sent().into_iter();
        sent.filter(|(other, _)| *other == to).map(|(_, opened)| opened.packet.kind()).collect()
    }

    /// Time goes by; everything that is due happens when it is due.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.machine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.machine.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Answers all Pings to `other` that were sent and not looked at, as it would.
    pub(super) fn pong(&mut self, other: &Other) -> usize {
        let mut answered = 0;
        for (to, opened) in self.take_sent() {
            if let (Packet::Ping(_), true) = (&opened.packet, to == other.address) {
                self.hear(other, &pong_to(opened.hash));
                answered += 1;
            }
        }
        answered
    }

    /// Answers all Pings and all questions to `other` that were sent and not looked at: it knows
    /// nobody.
    pub(super) fn answer(&mut self, other: &Other) {
        for (to, opened) in self.take_sent() {
            if to != other.address {
                continue;
            }
            match opened.packet {
                Packet::Ping(_) => {
                    self.hear(other, &pong_to(opened.hash));
                }
                Packet::FindNode(_) => {
                    self.hear(other, &neighbors(&[]));
                }
                _ => {}
            }
        }
    }

    /// The other one comes, and proves where it is.
    pub(super) fn bond(&mut self, other: &Other) {
        self.hear(other, &other.ping());
        assert_eq!(self.pong(other), 1, "a Ping of ours to {:?}", other.id());
        self.take_sent();
    }

    /// The other one is found by us, and proves where it is.
    pub(super) fn find(&mut self, other: &Other) {
        self.handle(Input::AddNode { contact: other.contact() });
        assert_eq!(self.pong(other), 1, "a Ping of ours to {:?}", other.id());
        self.take_sent();
    }

    pub(super) fn knows(&self, other: &Other) -> bool {
        self.machine.snapshot().table.iter().any(|entry| entry.contact.id == other.id())
    }

    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.machine.snapshot().counters.dropped_for(reason)
    }
}

pub(super) fn pong_to(ping_hash: B256) -> Packet {
    pong_seen(ping_hash, SocketAddr::new(IpAddr::from([5, 5, 5, 5]), 30303), None)
}

pub(super) fn pong_seen(ping_hash: B256, seen: SocketAddr, enr_seq: Option<u64>) -> Packet {
    let to = Endpoint::new(seen.ip(), seen.port(), 0);
    Packet::Pong(Pong { to, ping_hash, expiration: UNIX + 1_000_000, enr_seq })
}

pub(super) fn neighbors(contacts: &[Contact]) -> Packet {
    Packet::Neighbors(Neighbors::packets(contacts, UNIX + 1_000_000).next().unwrap())
}

pub(super) fn enr_request() -> Packet {
    Packet::EnrRequest(EnrRequest { expiration: UNIX + 1_000_000 })
}
