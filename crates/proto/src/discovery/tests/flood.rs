//! A hundred thousand identities.

use std::collections::BTreeMap;

use chainmesh_wire::discv4::{Contact, Endpoint, HEADER, Neighbors, Ping, Pong, Seal, seal};
use core::net::IpAddr;

use super::*;

const IDENTITIES: u64 = 100_000;
/// Where fewer show the same: some times each limit.
const FEWER: u64 = 20_000;

/// Identities that all answer, without the cost of 100,000 signatures.
struct Crowd {
    machine: Discovery,
    now: Instant,
    largest: Sizes,
}

impl Crowd {
    fn new() -> Self {
        let mut config = config();
        config.seal = Seal::Clear;
        let mut machine = Discovery::new(config, [1; 32]);
        let now = Instant::from_micros(1);
        machine.handle_timeout(now);
        Self { machine, now, largest: Sizes::default() }
    }

    /// The nth identity comes to us, and answers everything.
    fn comes(&mut self, identity: PeerId, address: SocketAddr) {
        let endpoint = Endpoint::new(address.ip(), address.port(), 30303);
        let expiration = UNIX + 1_000_000;
        let ping = Ping { version: 4, from: endpoint, to: endpoint, expiration, enr_seq: None };
        self.says(identity, address, &Packet::Ping(ping));
        while let Some(output) = self.machine.poll() {
            let Output::Send { to, bytes } = output else { continue };
            if to == address && bytes[HEADER - 1] == 1 {
                let hash = B256::from_slice(&bytes[..32]);
                let pong = Pong { to: endpoint, ping_hash: hash, expiration, enr_seq: None };
                self.says(identity, address, &Packet::Pong(pong));
            }
        }
        let sizes = self.machine.sizes();
        let largest = &mut self.largest;
        largest.table = largest.table.max(sizes.table);
        largest.waiting = largest.waiting.max(sizes.waiting);
        largest.bonds = largest.bonds.max(sizes.bonds);
        largest.requests = largest.requests.max(sizes.requests);
        largest.addresses = largest.addresses.max(sizes.addresses);
        largest.timers = largest.timers.max(sizes.timers);
    }

    fn says(&mut self, identity: PeerId, from: SocketAddr, packet: &Packet) {
        // In the clear the sender is what stands where the signature belongs.
        let sealed = seal(packet, &key(0), Seal::Clear).unwrap().bytes;
        let mut bytes = sealed.to_vec();
        bytes[32..96].copy_from_slice(identity.as_bytes());
        let hash = alloy_primitives::keccak256(&bytes[32..]);
        bytes[..32].copy_from_slice(hash.as_slice());
        self.machine.handle(self.now, Input::Datagram { from, bytes: bytes.into() });
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.machine.handle_timeout(self.now);
        while self.machine.poll().is_some() {}
    }
}

fn identity(n: u64) -> PeerId {
    let mut id = [3; 64];
    id[..8].copy_from_slice(&n.to_be_bytes());
    PeerId::from(id)
}

fn assert_bounded(sizes: Sizes) {
    assert!(sizes.table <= BUCKETS * BUCKET_SIZE, "{sizes:?}");
    assert!(sizes.waiting <= BUCKETS * REPLACEMENTS, "{sizes:?}");
    assert!(sizes.bonds <= MAX_BONDS && sizes.requests <= MAX_REQUESTS, "{sizes:?}");
    assert!(sizes.addresses <= MAX_COUNTED_ADDRESSES, "{sizes:?}");
    assert!(sizes.timers <= 2 * MAX_BONDS + MAX_REQUESTS + 64, "{sizes:?}");
}

/// From this machine, where nothing is limited by address: the limits in all are what holds.
#[test]
fn a_hundred_thousand_identities_on_loopback_stay_within_the_limits() {
    let mut crowd = Crowd::new();
    for n in 0..IDENTITIES {
        crowd.comes(identity(n), SocketAddr::from(([127, 0, 0, 1], 30000)));
        if n % 64 == 0 {
            crowd.pass(Duration::from_millis(10));
        }
    }
    assert_bounded(crowd.largest);
    assert_eq!(crowd.largest.bonds, MAX_BONDS, "the flood reached the limit");
    let table = crowd.machine.snapshot().table;
    let mut inbound: BTreeMap<usize, usize> = BTreeMap::new();
    for entry in &table {
        *inbound.entry(entry.bucket).or_default() += 1;
    }
    assert!(inbound.values().all(|count| *count <= MAX_INBOUND_PER_BUCKET), "{inbound:?}");
    assert!(
        table.len() >= 8 * MAX_INBOUND_PER_BUCKET,
        "the farthest buckets are as full as may be"
    );
}

/// Three hosts, two of them of one /24, with as many identities as they like, at full speed.
#[test]
fn any_number_of_identities_of_three_hosts_gets_their_prefixes_places() {
    let mut crowd = Crowd::new();
    let hosts = [[20, 0, 0, 1], [20, 0, 0, 2], [20, 0, 1, 1]];
    for n in 0..FEWER {
        let host = hosts[usize::try_from(n).unwrap() % hosts.len()];
        crowd.comes(identity(n), SocketAddr::from((host, 30000)));
        if n % 64 == 0 {
            crowd.pass(Duration::from_millis(10));
        }
    }
    assert_bounded(crowd.largest);
    assert!(crowd.largest.bonds <= 2 * MAX_BONDS_PER_PREFIX);
    let snapshot = crowd.machine.snapshot();
    assert!(snapshot.table.len() <= 2 * MAX_PER_PREFIX, "{}", snapshot.table.len());
    assert!(snapshot.counters.dropped_for(DropReason::RateLimited) > FEWER / 2);
}

/// Each with an address of its own that it has forged: nobody answers our Pings.
#[test]
fn forged_addresses_leave_nothing_behind() {
    let mut crowd = Crowd::new();
    for n in 0..FEWER {
        let from = SocketAddr::new(ip(n), 30303);
        let endpoint = Endpoint::new(from.ip(), 30303, 30303);
        let expiration = UNIX + 1_000_000;
        let ping = Ping { version: 4, from: endpoint, to: endpoint, expiration, enr_seq: None };
        crowd.says(identity(n), from, &Packet::Ping(ping));
        let sizes = crowd.machine.sizes();
        assert_bounded(sizes);
        if n % 64 == 0 {
            crowd.pass(Duration::from_millis(10));
        }
    }
    crowd.pass(Duration::from_secs(10));
    crowd.pass(Duration::from_secs(10));
    let sizes = crowd.machine.sizes();
    assert_eq!((sizes.table, sizes.bonds, sizes.requests), (0, 0, 0));
}

/// Whom we ask may name whom it likes, as often as it likes.
#[test]
fn an_answer_is_read_up_to_a_bucket_and_a_prefix() {
    let mut bed = Bed::new(config());
    let liar = Other::new(1);
    bed.find(&liar);
    bed.hear(&liar, &liar.ping());
    bed.pass(Duration::from_millis(200));
    bed.take_sent();
    let lookup = bed.machine.next_lookup();
    bed.handle(Input::Lookup { lookup, target: key(99).peer_id() });
    assert_eq!(bed.kinds_to(liar.address), [3]);
    let planted = |n: u64| {
        let ip = IpAddr::from([30, 0, 0, u8::try_from(n).unwrap()]);
        Contact { endpoint: Endpoint::new(ip, 30303, 30303), id: identity(n) }
    };
    let planted: Vec<Contact> = (1..=36).map(planted).collect();
    for packet in Neighbors::packets(&planted, UNIX + 1_000_000) {
        bed.hear(&liar, &Packet::Neighbors(packet));
    }
    assert_eq!(bed.dropped(DropReason::Unsolicited), 1, "the third packet is one too many");
    bed.pass(Duration::from_secs(60));
    let mut pinged: Vec<_> = bed.take_sent().into_iter().map(|(to, _)| to).collect();
    pinged.sort();
    pinged.dedup();
    pinged.retain(|to| to.ip() != liar.address.ip());
    assert_eq!(pinged.len(), MAX_PER_PREFIX_IN_BUCKET, "of those sixteen, all of one prefix");
}
