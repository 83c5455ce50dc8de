//! What a peer is told: who is in a sample, who is never, and that asking again shows no more.

use core::net::SocketAddr;

use chainmesh_identity::Host;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::discovery::{Prefix, is_lan, may_know};

const LIMITS: SampleLimits = SampleLimits { nodes: 32, per_prefix: 2, unproved: 16 };

fn outside() -> IpAddr {
    ip(0x0808_0808)
}

fn ids(sample: &[chainmesh_wire::discv4::Contact]) -> Vec<PeerId> {
    sample.iter().map(|contact| contact.id).collect()
}

/// A node that came to us and says where it listens.
fn guest(book: &mut AddressBook, enode: &Enode) {
    book.add(NOW, enode, AddressOrigin::Inbound, enode.host.ip());
    book.connected(NOW, &enode.id, false);
    book.met(&enode.id, SocketAddr::new(enode.host.ip().unwrap(), enode.tcp_port), false);
}

#[test]
fn peers_are_told_and_what_was_only_heard_of_is_not() {
    let mut book = book();
    let [lately, here, heard, found, banned, evil, nowhere] =
        core::array::from_fn(|n| node(n as u32));
    good(&mut book, NOW, &lately);
    guest(&mut book, &here);
    book.add(NOW, &heard, AddressOrigin::Exchange, Some(outside()));
    book.add(NOW, &found, AddressOrigin::Discovery, found.host.ip());
    for enode in [&banned, &evil] {
        guest(&mut book, enode);
    }
    book.ban(NOW, &banned.id, None, "a test").unwrap();
    book.ban_ip(NOW, evil.host.ip().unwrap(), None, "a test").unwrap();
    book.add(NOW, &nowhere, AddressOrigin::Inbound, nowhere.host.ip());
    book.met(&nowhere.id, SocketAddr::new(nowhere.host.ip().unwrap(), 0), false);

    let mut told = ids(&book.sample(NOW, outside(), &LIMITS));
    told.sort_unstable();
    assert_eq!(told, [lately.id, here.id]);

    // A session that goes on is no matter of time; one that is over is.
    let later = NOW + TOLD_FOR + 1;
    assert_eq!(ids(&book.sample(later, outside(), &LIMITS)), [here.id]);
    book.disconnected(later, &here.id);
    assert_eq!(ids(&book.sample(later + TOLD_FOR, outside(), &LIMITS)), [here.id]);
    assert!(book.sample(later + TOLD_FOR + 1, outside(), &LIMITS).is_empty());
}

#[test]
fn a_node_that_cannot_be_dialled_any_more_is_not_told() {
    let mut book = book();
    let enode = node(1);
    good(&mut book, NOW, &enode);
    assert_eq!(book.sample(NOW, outside(), &LIMITS).len(), 1);
    book.failed(NOW, &enode.id);
    assert!(book.sample(NOW, outside(), &LIMITS).is_empty());
}

/// Somebody tells that the node with his key is at the address of a victim, and then comes to us himself:
/// he has been a peer, but not there.
#[test]
fn who_comes_from_elsewhere_than_hearsay_says_is_told_at_where_it_came_from() {
    let mut book = book();
    let (liar, victim) = (node(1), node(2));
    let lie = Enode { id: liar.id, ..victim };
    book.add(NOW, &lie, AddressOrigin::Exchange, Some(outside()));
    guest(&mut book, &liar);
    let told = book.sample(NOW, outside(), &LIMITS);
    assert_eq!(told.len(), 1);
    assert_eq!(Some(told[0].endpoint.ip), liar.host.ip());
    assert_eq!(book.get(&liar.id).unwrap().enode, liar, "its own word is worth more");
}

#[test]
fn the_same_nodes_are_told_for_a_day_to_everybody_and_then_others() {
    let mut book = book();
    for number in 0..600 {
        good(&mut book, NOW, &node(number));
    }
    let known = book.sample(NOW, outside(), &SampleLimits { nodes: usize::MAX, ..LIMITS }).len();
    assert!(known > 400, "{known} have a place in the book");
    let first = book.sample(NOW, outside(), &LIMITS);
    assert_eq!(first.len(), 32);
    assert_eq!(book.sample(NOW + 60, ip(0x0101_0101), &LIMITS), first);
    // The whole day's worth of questions shows at most the samples of two periods.
    let mut seen: Vec<PeerId> = Vec::new();
    for hour in 0..24 {
        seen.extend(ids(&book.sample(NOW + hour * 3600, outside(), &LIMITS)));
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() <= 64, "{} of {known} nodes were shown in a day", seen.len());
    // Another book has another choice: nobody can make a name that is told.
    let mut other = AddressBook::new(id(u32::MAX), [8; 32]);
    for number in 0..600 {
        good(&mut other, NOW, &node(number));
    }
    assert_ne!(ids(&other.sample(NOW, outside(), &LIMITS)), ids(&first));
}

/// A node that comes shows itself in the sample of few who ask: so nobody sees when it came.
#[test]
fn a_full_sample_changes_little_when_a_node_comes() {
    let mut book = book();
    for number in 0..600 {
        good(&mut book, NOW, &node(number));
    }
    let before = ids(&book.sample(NOW, outside(), &LIMITS));
    let mut changed = 0;
    for number in 600..700 {
        good(&mut book, NOW, &node(number));
        changed += usize::from(ids(&book.sample(NOW, outside(), &LIMITS)) != before);
        book.forget(&node(number).id);
    }
    assert!(changed < 20, "{changed} of 100 comers were seen");
}

#[test]
fn at_most_half_of_a_sample_are_nodes_that_only_said_where_they_listen() {
    let mut book = book();
    for number in 0..100 {
        guest(&mut book, &node(number));
    }
    assert_eq!(book.sample(NOW, outside(), &LIMITS).len(), LIMITS.unproved);
    // Who was dialled at the very address before is proved, whoever dials now.
    let mut proved = AddressBook::new(id(u32::MAX), [7; 32]);
    for number in 0..100 {
        good(&mut proved, NOW, &node(number));
        guest(&mut proved, &node(number));
    }
    assert_eq!(proved.sample(NOW, outside(), &LIMITS).len(), LIMITS.nodes);
}

#[test]
fn names_that_connect_and_go_take_no_more_room_than_there_is() {
    let mut book = book();
    for number in 0..3000 {
        let enode = node(number);
        guest(&mut book, &enode);
        book.disconnected(NOW + u64::from(number), &enode.id);
    }
    assert_eq!(book.meetings.len(), MAX_MET);
}

proptest! {
    #[test]
    fn a_sample_keeps_its_limits(
        nodes in vec((any::<u32>(), 0_u8..4, any::<u16>(), any::<bool>(), any::<bool>()), 0..200),
        asker in prop_oneof![Just(0x7f00_0001_u32), Just(0x0a00_0001), any::<u32>()],
        now in NOW..NOW + 3 * TOLD_FOR,
        (most, per_prefix, unproved) in (0_usize..40, 0_usize..4, 0_usize..40),
    ) {
        let mut book = book();
        let mut banned = Vec::new();
        for (at, (bits, kind, port, dialled, ban)) in nodes.iter().enumerate() {
            // Of all addresses, of one /16, of a local network, of loopback.
            let bits = match kind {
                0 => *bits,
                1 => 0x1415_0000 | (bits & 0x3ff),
                2 => 0x0a00_0000 | (bits & 0xff),
                _ => 0x7f00_0001,
            };
            let enode = Enode::new(id(at as u32), ip(bits), *port);
            if *dialled {
                good(&mut book, NOW, &enode);
            } else {
                guest(&mut book, &enode);
            }
            if *ban {
                banned.push(enode.id);
                book.ban(NOW, &enode.id, None, "a test").unwrap();
            }
        }
        let limits = SampleLimits { nodes: most, per_prefix, unproved };
        let asker = ip(asker);
        let sample = book.sample(now, asker, &limits);
        prop_assert!(sample.len() <= most);
        prop_assert_eq!(&book.sample(now, asker, &limits), &sample);
        let mut prefixes: BTreeMap<Prefix, usize> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for contact in &sample {
            let ip = contact.endpoint.ip;
            prop_assert!(may_know(asker, ip), "{} is told to {}", ip, asker);
            prop_assert!(contact.endpoint.tcp_port != 0);
            prop_assert!(!banned.contains(&contact.id));
            prop_assert!(names.insert(contact.id));
            if !is_lan(ip) {
                *prefixes.entry(Prefix::of(ip)).or_default() += 1;
            }
            let proved = book.get(&contact.id).is_some_and(|record| {
                record.tried && record.enode.host == Host::Ip(ip)
            });
            prop_assert!(proved || unproved > 0);
        }
        prop_assert!(prefixes.values().all(|count| *count <= per_prefix));
    }
}
