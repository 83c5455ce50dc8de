//! Which addresses are passed on, and where others see us.

use core::net::IpAddr;

use chainmesh_wire::discv4::Endpoint;

use super::super::address::{is_special, may_relay};
use super::super::predict::Statements;
use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn relayed(other: &str, ip: &str, port: u16) -> bool {
    let endpoint = Endpoint::new(address(ip), port, 30303);
    may_relay(address(other), &Contact { endpoint, id: PeerId::from([1; 64]) })
}

#[test]
fn local_addresses_are_passed_on_to_those_who_can_reach_them() {
    assert!(relayed("20.0.0.1", "21.0.0.1", 30303));
    assert!(!relayed("20.0.0.1", "10.0.0.1", 30303));
    assert!(!relayed("20.0.0.1", "127.0.0.1", 30303));
    assert!(!relayed("10.0.0.1", "127.0.0.1", 30303));
    assert!(relayed("10.0.0.1", "192.168.0.1", 30303));
    assert!(relayed("127.0.0.1", "127.0.0.2", 30303));
    assert!(relayed("127.0.0.1", "10.0.0.1", 30303));
    assert!(!relayed("2a00::1", "fd00::1", 30303));
    assert!(relayed("fd00::2", "fd00::1", 30303));
    assert!(!relayed("fd00::2", "::1", 30303));
}

#[test]
fn low_ports_are_not_passed_on() {
    assert!(!relayed("20.0.0.1", "21.0.0.1", 1024));
    assert!(!relayed("20.0.0.1", "21.0.0.1", 53));
    assert!(!relayed("20.0.0.1", "21.0.0.1", 0));
    assert!(relayed("20.0.0.1", "21.0.0.1", 1025));
}

#[test]
fn addresses_that_nobody_has_are_special() {
    for ip in [
        "0.0.0.0",
        "0.1.2.3",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "198.19.9.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "2001:db8::1",
        "ff02::1",
    ] {
        assert!(is_special(address(ip)), "{ip}");
    }
    for ip in ["1.1.1.1", "127.0.0.1", "10.0.0.1", "198.20.0.1", "2a00::1", "::1", "fe80::1"] {
        assert!(!is_special(address(ip)), "{ip}");
    }
}

#[test]
fn neighbors_are_told_only_what_they_can_reach_and_not_of_themselves() {
    let mut bed = Bed::new(config());
    let (near, far) = (Other::at(1, address("10.0.0.1")), Other::new(2));
    let (low, asker) = (Other { key: key(3), address: SocketAddr::new(ip(3), 53) }, Other::new(4));
    for other in [&near, &far, &low, &asker] {
        bed.find(other);
    }
    let told = |bed: &mut Bed, asker: &Other| {
        bed.hear(asker, &asker.find_node());
        let sent = bed.take_sent();
        let answers = sent.iter().filter_map(|(_, opened)| match &opened.packet {
            Packet::Neighbors(neighbors) => Some(neighbors.nodes().to_vec()),
            _ => None,
        });
        answers.flatten().map(|contact| contact.id).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut bed, &asker), [far.id()]);
    let mut ids = [far.id(), asker.id()];
    ids.sort();
    let mut heard = told(&mut bed, &near);
    heard.sort();
    assert_eq!(heard, ids);
}

fn seen(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn where_we_are_is_what_more_than_half_of_enough_prefixes_say() {
    let mut statements = Statements::new(10);
    let now = Instant::from_micros(1);
    let note = |statements: &mut Statements, n: u64, at: &str| {
        statements.note(now, SocketAddr::new(ip(n), 30303), key(n).peer_id(), seen(at));
    };
    for n in 0..9 {
        note(&mut statements, n, "20.9.9.9:30303");
    }
    assert_eq!(statements.majority(), None, "nine are not enough");
    note(&mut statements, 9, "20.9.9.9:30303");
    assert_eq!(statements.majority(), Some(seen("20.9.9.9:30303")));
    for n in 10..19 {
        note(&mut statements, n, "66.6.6.6:30303");
    }
    assert_eq!(statements.majority(), Some(seen("20.9.9.9:30303")), "ten against nine");
    note(&mut statements, 19, "66.6.6.6:30303");
    assert_eq!(statements.majority(), None, "ten against ten");
    note(&mut statements, 0, "66.6.6.6:30303");
    assert_eq!(statements.majority(), Some(seen("66.6.6.6:30303")), "it changed its mind");
}

#[test]
fn one_prefix_has_one_voice_however_many_nodes_it_has() {
    let mut statements = Statements::new(3);
    let now = Instant::from_micros(1);
    for n in 0..200 {
        let by = SocketAddr::from(([66, 6, 6, u8::try_from(n).unwrap()], 30303));
        statements.note(now, by, key(n).peer_id(), seen("66.6.6.6:1"));
    }
    assert_eq!((statements.len(), statements.majority()), (1, None));
    for n in 0..200 {
        let by = SocketAddr::from(([10, 0, 0, 1], 30303));
        statements.note(now, by, key(n).peer_id(), seen("10.0.0.9:1"));
    }
    assert_eq!(statements.len(), 201, "in a local network each node has one");
}

#[test]
fn statements_grow_old_and_impossible_ones_do_not_count() {
    let mut statements = Statements::new(2);
    let by = |n: u64| (SocketAddr::new(ip(n), 30303), key(n).peer_id());
    let start = Instant::from_micros(1);
    for (n, at) in
        ["127.0.0.1:1", "10.0.0.1:1", "0.0.0.0:1", "20.1.1.1:0", "[::]:1"].iter().enumerate()
    {
        let (from, id) = by(u64::try_from(n).unwrap());
        statements.note(start, from, id, seen(at));
    }
    assert_eq!(statements.len(), 0);
    statements.note(start, by(1).0, by(1).1, seen("20.9.9.9:1"));
    let later = start + STATEMENT_LIFETIME + Duration::from_secs(1);
    statements.note(later, by(2).0, by(2).1, seen("20.9.9.9:1"));
    assert_eq!((statements.len(), statements.majority()), (1, None));
}

#[test]
fn our_record_follows_where_others_see_us() {
    let mut config = config();
    config.ip = None;
    config.record_sequence = 41;
    let mut bed = Bed::new(config);
    assert_eq!(bed.machine.record().unwrap().ip4(), None);
    let moved = seen("20.9.9.9:40404");
    for n in 1..=10 {
        let other = Other::new(n);
        bed.handle(Input::AddNode { contact: other.contact() });
        let ping = bed.take_sent().pop().unwrap().1;
        assert_eq!(
            bed.events
                .iter()
                .filter(|e| matches!(e, DiscoveryEvent::EndpointChanged { .. }))
                .count(),
            0
        );
        bed.hear(&other, &pong_seen(ping.hash, moved, None));
    }
    assert!(
        bed.events.contains(&DiscoveryEvent::EndpointChanged { endpoint: moved, sequence: 42 })
    );
    let record = bed.machine.record().unwrap();
    assert_eq!(
        (record.ip4(), record.udp4(), record.seq()),
        (Some([20, 9, 9, 9].into()), Some(40404), 42)
    );
    assert_eq!(record.tcp4(), Some(30303));
    assert!(record.verify());
}

#[test]
fn an_address_that_was_set_is_not_overruled() {
    let mut bed = Bed::new(config());
    for n in 1..=20 {
        let other = Other::new(n);
        bed.handle(Input::AddNode { contact: other.contact() });
        let ping = bed.take_sent().pop().unwrap().1;
        bed.hear(&other, &pong_seen(ping.hash, seen("66.6.6.6:1"), None));
    }
    assert_eq!(bed.machine.record().unwrap().ip4(), Some([5, 5, 5, 5].into()));
    assert_eq!(bed.machine.record().unwrap().seq(), 1);
}
