//! Who is answered, and what proves it.

use core::net::IpAddr;

use chainmesh_wire::discv4::{Endpoint, FindNode, Ping};

use super::*;

#[test]
fn a_ping_is_answered_with_where_it_came_from_and_a_ping_of_ours() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    // What it says of addresses is wrong, and of a later version.
    let wrong = Endpoint::new([9, 9, 9, 9].into(), 1, 4444);
    let ping = Ping { version: 9, from: wrong, to: wrong, expiration: UNIX + 20, enr_seq: None };
    let hash = bed.hear(&other, &Packet::Ping(ping));
    let sent = bed.take_sent();
    assert_eq!(sent.len(), 2);
    let Packet::Pong(pong) = &sent[0].1.packet else { panic!("{sent:?}") };
    assert_eq!(pong.ping_hash, hash);
    assert_eq!(pong.to, Endpoint::new(other.address.ip(), 30303, 4444));
    assert!(pong.expiration > UNIX && pong.enr_seq == Some(1));
    assert!(matches!(sent[1].1.packet, Packet::Ping(_)));
    assert!(
        sent.iter().all(|(to, opened)| *to == other.address && opened.sender == key(0).peer_id())
    );
}

#[test]
fn whoever_proved_himself_is_not_pinged_again() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.bond(&other);
    bed.hear(&other, &other.ping());
    assert_eq!(bed.kinds_to(other.address), [2]);
}

#[test]
fn a_question_of_somebody_unproven_gets_no_answer_at_all() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.hear(&other, &other.find_node());
    bed.hear(&other, &enr_request());
    // A Ping alone is no proof.
    bed.hear(&other, &other.ping());
    bed.take_sent();
    bed.hear(&other, &other.find_node());
    assert_eq!(bed.take_sent(), []);
    assert_eq!(bed.dropped(DropReason::Unproven), 3);
}

#[test]
fn a_pong_with_another_hash_proves_nothing() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.hear(&other, &other.ping());
    bed.take_sent();
    bed.hear(&other, &pong_to(B256::repeat_byte(1)));
    bed.hear(&other, &other.find_node());
    assert_eq!(bed.take_sent(), []);
    assert_eq!(bed.dropped(DropReason::Unsolicited), 1);
    assert_eq!(bed.machine.sizes().bonds, 0);
}

#[test]
fn a_pong_of_another_node_or_from_another_address_proves_nothing() {
    let mut bed = Bed::new(config());
    let (other, liar, moved) = (Other::new(1), Other::at(2, ip(1)), Other::at(1, ip(3)));
    bed.hear(&other, &other.ping());
    let hash = bed.take_sent().last().unwrap().1.hash;
    bed.hear(&liar, &pong_to(hash));
    bed.hear(&moved, &pong_to(hash));
    assert_eq!(bed.machine.sizes().bonds, 0);
    bed.hear(&other, &pong_to(hash));
    assert_eq!(bed.machine.sizes().bonds, 1);
    bed.hear(&other, &pong_to(hash));
    assert_eq!(bed.dropped(DropReason::Unsolicited), 3, "and each Ping is answered once");
}

#[test]
fn a_proof_holds_for_one_address() {
    let mut bed = Bed::new(config());
    let (here, there) = (Other::new(1), Other::at(1, ip(2)));
    bed.bond(&here);
    bed.hear(&there, &there.find_node());
    assert_eq!(bed.take_sent(), [], "not even a Ping");
    bed.hear(&here, &here.find_node());
    assert_eq!(bed.kinds_to(here.address), [4], "neighbors, though there are none");
}

#[test]
fn a_proof_holds_for_a_day() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.bond(&other);
    bed.pass(BOND_LIFETIME - Duration::from_secs(2));
    bed.take_sent();
    bed.hear(&other, &other.find_node());
    assert_eq!(bed.kinds_to(other.address), [4]);
    bed.pass(Duration::from_secs(3));
    bed.take_sent();
    bed.hear(&other, &other.find_node());
    assert_eq!(bed.take_sent(), []);
    assert_eq!(bed.dropped(DropReason::Unproven), 1);
}

#[test]
fn what_has_expired_is_not_answered_however_it_is_written() {
    let mut bed = Bed::new(config());
    let (other, known) = (Other::new(1), Other::new(2));
    bed.bond(&known);
    let past = [0, UNIX - 1, 0_u64.wrapping_sub(UNIX + 20), u64::MAX];
    for expiration in past {
        let Packet::Ping(ping) = other.ping() else { unreachable!() };
        bed.hear(&other, &Packet::Ping(Ping { expiration, ..ping }));
        bed.hear(&known, &Packet::FindNode(FindNode { target: known.id(), expiration }));
    }
    assert_eq!(bed.take_sent(), []);
    assert_eq!(bed.dropped(DropReason::Expired), 8);
    // The clock is set right, and what was late is not.
    bed.handle(Input::WallClock { unix: Duration::from_secs(UNIX - 100) });
    let Packet::Ping(ping) = other.ping() else { unreachable!() };
    bed.hear(&other, &Packet::Ping(Ping { expiration: UNIX - 1, ..ping }));
    assert_eq!(bed.kinds_to(other.address), [2, 1]);
}

#[test]
fn neighbors_that_nobody_asked_for_are_not_known_afterwards() {
    let mut bed = Bed::new(config());
    let (other, planted) = (Other::new(1), Other::new(2));
    bed.bond(&other);
    bed.hear(&other, &neighbors(&[planted.contact()]));
    assert_eq!(bed.take_sent(), []);
    assert_eq!(bed.dropped(DropReason::Unsolicited), 1);
    assert!(!bed.knows(&planted));
}

#[test]
fn our_own_datagrams_and_impossible_addresses_are_dropped() {
    let mut bed = Bed::new(config());
    let own = Other::at(0, ip(1));
    bed.hear(&own, &own.ping());
    assert_eq!(bed.dropped(DropReason::Own), 1);
    for address in ["0.0.0.0:30303", "224.0.0.1:30303", "20.1.1.1:0", "[ff02::1]:30303"] {
        let other = Other { key: key(1), address: address.parse().unwrap() };
        bed.hear(&other, &other.ping());
    }
    assert_eq!(bed.dropped(DropReason::Address), 4);
    assert_eq!(bed.take_sent(), []);
}

#[test]
fn each_kind_of_rubbish_is_counted_under_its_name() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    let good = other.seal(&other.ping()).bytes;
    bed.datagram(other.address, &good[..20]);
    bed.datagram(other.address, &[0; 1281]);
    let mut changed = good.to_vec();
    changed[120] ^= 1;
    bed.datagram(other.address, &changed);
    let counters = bed.machine.snapshot().counters;
    assert_eq!(counters.dropped_for(DropReason::Size), 2);
    assert_eq!(counters.dropped_for(DropReason::Hash), 1);
    assert_eq!(counters.dropped.values().sum::<u64>(), 3);
    assert_eq!(bed.take_sent(), []);
}

#[test]
fn a_mapped_address_is_the_ipv4_address_in_it() {
    let mut bed = Bed::new(config());
    let other = Other::new(1);
    bed.bond(&other);
    let IpAddr::V4(v4) = other.address.ip() else { unreachable!() };
    let mapped = SocketAddr::new(v4.to_ipv6_mapped().into(), 30303);
    bed.datagram(mapped, &other.seal(&other.find_node()).bytes);
    assert_eq!(bed.kinds_to(other.address), [4]);
}

/// geth's conformance suite reads one datagram after its question, for 0.3 s.
#[test]
fn a_node_that_came_to_us_is_left_alone_for_a_while() {
    let mut config = config();
    config.fetch_records = true;
    let mut bed = Bed::new(config);
    let other = Other::new(1);
    bed.hear(&other, &other.ping());
    let ping = bed.take_sent().last().unwrap().1.hash;
    let seen = SocketAddr::new([5, 5, 5, 5].into(), 30303);
    bed.hear(&other, &pong_seen(ping, seen, Some(1)));
    let lookup = bed.machine.next_lookup();
    bed.handle(Input::Lookup { lookup, target: key(77).peer_id() });
    bed.pass(Duration::from_millis(1999));
    assert_eq!(
        bed.kinds_to(other.address),
        [0; 0],
        "no question, no Ping, no request for a record"
    );
    bed.pass(Duration::from_millis(2));
    assert_eq!(bed.kinds_to(other.address), [5]);
}
