//! Tests of the address book: its limits, who displaces whom, and its bytes on disk.

mod disk;
mod keeper;
mod limits;
mod mismatch;
mod sample;
mod tellers;

use core::net::{IpAddr, Ipv4Addr};

use chainmesh_identity::{Enode, PeerId};

use super::*;

const NOW: UnixTime = 1_700_000_000;

fn id(number: u32) -> PeerId {
    let mut bytes = [1; 64];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::from(bytes)
}

fn ip(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

/// A node with the number as its ID, in a /16 of its own for each number below 2^16: 20.0.0.1 and on.
fn node(number: u32) -> Enode {
    Enode::new(id(number), ip(0x1400_0001 + (number << 16)), 30303)
}

fn book() -> AddressBook {
    AddressBook::new(id(u32::MAX), [7; 32])
}

/// A node that was dialled, and had a session that is over.
fn good(book: &mut AddressBook, now: UnixTime, enode: &Enode) {
    book.add(now, enode, AddressOrigin::Discovery, enode.host.ip());
    book.connected(now, &enode.id, true);
    book.disconnected(now, &enode.id);
}

/// Two nodes that have the same tried place: the first that are found among many.
fn rivals(book: &AddressBook) -> (Enode, Enode) {
    let mut seen = BTreeMap::new();
    for number in 0..100_000 {
        let enode = node(number % 1000 + 1000 * (number / 1000));
        if let Some(first) = seen.insert(book.places.tried_place(&enode), enode.clone()) {
            return (first, enode);
        }
    }
    panic!("no two nodes have one place");
}

#[test]
fn a_peer_in_its_place_is_tested_before_a_newcomer_gets_it() {
    let mut book = book();
    let (old, newcomer) = rivals(&book);
    good(&mut book, NOW, &old);
    assert!(book.get(&old.id).unwrap().tried);

    // Proved four hours ago: no test is needed.
    good(&mut book, NOW + PROVEN_FOR, &newcomer);
    assert!(!book.get(&newcomer.id).unwrap().tried);
    assert!(book.collisions.is_empty());

    // Later it is to be dialled, and keeps its place when it answers.
    let later = NOW + PROVEN_FOR + 1;
    good(&mut book, later, &newcomer);
    assert_eq!(book.candidates(later, 1, |_| true), core::slice::from_ref(&old));
    book.connected(later, &old.id, true);
    book.disconnected(later, &old.id);
    assert!(book.get(&old.id).unwrap().tried && !book.get(&newcomer.id).unwrap().tried);

    // When it does not, the newcomer has the place.
    let later = later + PROVEN_FOR + 1;
    good(&mut book, later, &newcomer);
    book.failed(later, &old.id);
    assert!(book.get(&newcomer.id).unwrap().tried);
    assert!(book.get(&old.id).is_none_or(|record| !record.tried));
}

#[test]
fn the_good_outbound_peers_of_the_last_run_are_dialled_first() {
    let mut first = book();
    for number in 0..40 {
        good(&mut first, NOW, &node(number));
    }
    for number in 10..20 {
        first.connected(NOW + u64::from(number), &id(number), true);
    }
    first.connected(NOW, &id(30), false);
    let changes = first.take_changes();
    let records: Vec<Vec<u8>> = changes.records.into_iter().filter_map(|(_, r)| r).collect();
    let records = records.iter().map(Vec::as_slice);
    let head = changes.head.unwrap();
    let mut second = AddressBook::load(id(u32::MAX), [8; 32], NOW, &head, records).unwrap().book;
    let candidates = second.candidates(NOW + 100, MAX_ANCHORS + 1, |_| true);
    let first_ids: Vec<PeerId> = candidates.iter().take(MAX_ANCHORS).map(|node| node.id).collect();
    // Those whose sessions had lasted longest.
    assert_eq!(first_ids, (10..18).map(id).collect::<Vec<_>>());
    let again = second.candidates(NOW + 100, 40, |peer| !first_ids.contains(peer));
    assert_eq!(again.len(), 40 - MAX_ANCHORS);
}

#[test]
fn an_anchor_survives_a_restart_in_which_nobody_was_reached() {
    let mut first = book();
    good(&mut first, NOW, &node(1));
    let mut head = first.take_changes().head.unwrap();
    let record = first.get(&id(1)).unwrap().encode();
    for _ in 0..3 {
        let records = [record.as_slice()].into_iter();
        let mut book = AddressBook::load(id(9), [8; 32], NOW, &head, records).unwrap().book;
        assert_eq!(book.candidates(NOW, 1, |_| true), [node(1)]);
        book.failed(NOW, &id(1));
        book.head_changed = true;
        head = book.take_changes().head.unwrap();
    }
}

#[test]
fn hearsay_does_not_move_a_node_that_is_where_we_know_it() {
    let mut book = book();
    good(&mut book, NOW, &node(1));
    let elsewhere = Enode { tcp_port: 1, ..node(1) };
    book.add(NOW, &elsewhere, AddressOrigin::Exchange, Some(ip(0x0909_0909)));
    assert_eq!(book.get(&id(1)).unwrap().enode, node(1));
    for _ in 0..MAX_FAILURES_NEW {
        book.failed(NOW, &id(1));
    }
    book.add(NOW, &elsewhere, AddressOrigin::Exchange, Some(ip(0x0909_0909)));
    let record = book.get(&id(1)).unwrap();
    assert_eq!((&record.enode, record.tried), (&elsewhere, false));
    // Whoever holds the key is believed at once.
    book.add(NOW, &node(1), AddressOrigin::Discovery, node(1).host.ip());
    assert_eq!(book.get(&id(1)).unwrap().enode, node(1));
}

#[test]
fn who_fails_is_left_alone_for_longer_each_time() {
    let mut book = book();
    book.add(NOW, &node(1), AddressOrigin::Discovery, None);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..10 {
        book.failed(now, &id(1));
        let begin = now;
        while book.candidates(now, 1, |_| true).is_empty() {
            now += 1;
        }
        waits.push(now - begin);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]);
}

#[test]
fn this_node_is_not_in_its_book() {
    let mut book = book();
    let own = Enode { id: id(u32::MAX), ..node(1) };
    assert_eq!(book.add(NOW, &own, AddressOrigin::Discovery, None), Added::Own);
    assert_eq!(book.ban(NOW, &own.id, None, ""), Err(BookError::Own));
    assert!(book.is_empty());
}

#[test]
fn a_ban_ends_when_it_is_over_or_lifted() {
    let mut book = book();
    book.ban(NOW, &id(1), Some(NOW + 10), "spam").unwrap();
    book.ban(NOW, &id(2), None, "spam").unwrap();
    assert!(book.is_banned(NOW + 9, &id(1)) && !book.is_banned(NOW + 10, &id(1)));
    assert_eq!(book.lift_bans(NOW + 10), (vec![id(1)], vec![]));
    // Nothing is known of it but the ban.
    assert_eq!(book.get(&id(1)), None);
    assert!(book.unban(&id(2)) && !book.unban(&id(2)));
    let banned: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    book.ban_ip(NOW, banned, None, "").unwrap();
    assert!(book.unban_ip("10.0.0.1".parse().unwrap()));
    assert_eq!(book.ban_ip(NOW, Ipv4Addr::LOCALHOST.into(), None, ""), Err(BookError::Loopback));
}

#[test]
fn a_banned_node_is_no_candidate() {
    let mut book = book();
    good(&mut book, NOW, &node(1));
    book.ban(NOW, &id(1), None, "").unwrap();
    assert!(book.candidates(NOW + 100_000, 1, |_| true).is_empty());
    book.unban(&id(1));
    assert_eq!(book.candidates(NOW + 100_000, 1, |_| true), [node(1)]);
}

#[test]
fn what_the_operator_wants_stays_until_he_takes_it_back() {
    let mut book = book();
    book.want(NOW, &node(1), false).unwrap();
    book.want(NOW, &node(1), true).unwrap();
    assert!(book.distrust(&id(1)), "it is still static");
    assert!(book.get(&id(1)).unwrap().is_static);
    book.forget(&id(1));
    assert!(book.is_empty());
}
