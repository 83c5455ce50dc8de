//! What another protocol on the same socket found, and what an operator or a gateway says.

use core::net::IpAddr;

use chainmesh_wire::discv4::Endpoint;

use super::records::{OURS, THEIRS, answer, record, requested, with_filter};
use super::*;

fn proven(other: &Other, sequence: u64, entry: &'static [u8]) -> Input {
    let endpoint = Endpoint::new(other.address.ip(), other.address.port(), 7777);
    let contact = Contact { endpoint, id: other.id() };
    Input::Proven { contact, record: record(other, sequence, entry) }
}

fn found(bed: &mut Bed) -> Vec<(PeerId, Protocol, u64)> {
    let events = core::mem::take(&mut bed.events).into_iter();
    let found = events.filter_map(|event| match event {
        DiscoveryEvent::Found { contact, record, protocol } => {
            Some((contact.id, protocol, record.map_or(0, |record| record.seq())))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn a_node_of_our_network_is_announced_once_for_each_record() {
    let mut bed = Bed::new(with_filter());
    let other = Other::new(1);
    for sequence in [3, 3, 2] {
        bed.handle(proven(&other, sequence, OURS));
    }
    assert_eq!(found(&mut bed), [(other.id(), Protocol::Discv5, 3)]);
    bed.handle(proven(&other, 4, OURS));
    assert_eq!(found(&mut bed), [(other.id(), Protocol::Discv5, 4)]);
    assert!(bed.take_sent().is_empty(), "neither protocol believes the other");
    assert!(!bed.knows(&other));
}

#[test]
fn nodes_of_other_networks_and_those_nowhere_are_not_announced() {
    let mut bed = Bed::new(with_filter());
    bed.handle(proven(&Other::new(1), 3, THEIRS));
    assert_eq!(bed.machine.snapshot().counters.foreign, 1);
    for nowhere in ["224.0.0.1", "0.0.0.0", "255.255.255.255"] {
        bed.handle(proven(&Other::at(2, nowhere.parse().unwrap()), 3, OURS));
    }
    // Itself, and somebody with a record that is another's.
    let own = Other { key: key(0), address: Other::new(3).address };
    bed.handle(proven(&own, 3, OURS));
    let Input::Proven { contact, .. } = proven(&Other::new(4), 3, OURS) else { unreachable!() };
    bed.handle(Input::Proven { contact, record: record(&Other::new(5), 3, OURS) });
    // One that listens for no sessions.
    let Input::Proven { mut contact, record } = proven(&Other::new(6), 3, OURS) else {
        unreachable!()
    };
    contact.endpoint.tcp_port = 0;
    bed.handle(Input::Proven { contact, record });
    assert_eq!(found(&mut bed), []);
    assert_eq!(bed.machine.sizes().proven, 0);
}

#[test]
fn one_prefix_has_the_same_limit_by_both_protocols_together() {
    let mut bed = Bed::new(with_filter());
    let of_prefix = |n: u8| Other::at(u64::from(n) + 1, IpAddr::from([66, 6, 6, n]));
    let first = of_prefix(0);
    let request = requested(&mut bed, &first, 3);
    answer(&mut bed, &first, request, record(&first, 3, OURS));
    assert_eq!(found(&mut bed), [(first.id(), Protocol::Discv4, 3)]);
    for n in 1..60 {
        bed.handle(proven(&of_prefix(n), 3, OURS));
    }
    assert_eq!(found(&mut bed).len(), MAX_ANNOUNCED_PER_PREFIX - 1);
    bed.pass(ANNOUNCE_WINDOW);
    bed.events.clear();
    // Those who were too many are not forgotten for ever.
    bed.handle(proven(&of_prefix(59), 3, OURS));
    assert_eq!(found(&mut bed).len(), 1);
}

#[test]
fn what_is_remembered_of_them_is_bounded() {
    let mut config = with_filter();
    config.filter = None;
    let mut bed = Bed::new(config);
    let one = Other::new(1);
    let Input::Proven { contact, record } = proven(&one, 3, OURS) else { unreachable!() };
    bed.handle(Input::Proven { contact, record });
    bed.pass(Duration::from_millis(1));
    for n in 2..=u64::try_from(MAX_PROVEN).unwrap() + 50 {
        bed.handle(proven(&Other::new(n), 3, OURS));
    }
    assert_eq!(bed.machine.sizes().proven, MAX_PROVEN);
    found(&mut bed);
    bed.handle(proven(&one, 3, OURS));
    assert_eq!(found(&mut bed).len(), 1, "it was forgotten, and is new again");
}

#[test]
fn the_record_of_a_boot_node_is_passed_on() {
    let boot = Other::new(1);
    let mut config = with_filter();
    config.boot_nodes = vec![boot.contact()];
    let mut bed = Bed::new(config);
    let request = requested(&mut bed, &boot, 3);
    let theirs = record(&boot, 3, THEIRS);
    answer(&mut bed, &boot, request, theirs.clone());
    assert_eq!(bed.events, [DiscoveryEvent::BootRecord { record: theirs }]);
}

fn seen_at(bed: &mut Bed, nodes: core::ops::Range<u64>, seen: &str) {
    for n in nodes {
        let other = Other::new(n);
        let seen = seen.parse().unwrap();
        bed.handle(Input::SeenAt { by: other.address, id: other.id(), seen });
    }
}

#[test]
fn what_others_say_by_the_other_protocol_counts_too() {
    let mut config = config();
    (config.ip, config.record_sequence) = (None, 41);
    let mut bed = Bed::new(config);
    seen_at(&mut bed, 1..11, "20.9.9.9:40404");
    let endpoint = "20.9.9.9:40404".parse().unwrap();
    assert_eq!(bed.events, [DiscoveryEvent::EndpointChanged { endpoint, sequence: 42 }]);
    assert_eq!(bed.machine.snapshot().observed, Some(endpoint));
}

#[test]
fn an_address_that_others_do_not_see_is_warned_of_once() {
    let mut bed = Bed::new(config());
    seen_at(&mut bed, 1..11, "5.5.5.5:40404");
    assert_eq!(bed.events, [], "another port is the gateway's business");
    seen_at(&mut bed, 1..11, "20.9.9.9:40404");
    let (advertised, observed) =
        ("5.5.5.5:30303".parse().unwrap(), "20.9.9.9:40404".parse().unwrap());
    assert_eq!(bed.events, [DiscoveryEvent::SeenElsewhere { advertised, observed }]);
    assert_eq!(bed.machine.record().unwrap().ip4(), Some([5, 5, 5, 5].into()));
    let report = bed.machine.snapshot();
    assert_eq!((report.endpoint, report.observed), (advertised, Some(observed)));
}

#[test]
fn an_address_of_a_gateway_goes_before_what_others_see() {
    let mut config = config();
    (config.ip, config.record_sequence) = (None, 41);
    let mut bed = Bed::new(config);
    let set = Input::SetAddress { ip: [20, 1, 1, 1].into(), udp_port: 7, tcp_port: 8 };
    bed.handle(set.clone());
    bed.handle(set);
    seen_at(&mut bed, 1..11, "20.9.9.9:40404");
    let record = bed.machine.record().unwrap();
    assert_eq!(record.udp4_socket(), Some("20.1.1.1:7".parse().unwrap()));
    assert_eq!((record.tcp4(), record.seq()), (Some(8), 42));
}
