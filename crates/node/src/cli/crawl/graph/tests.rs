//! What is taken of what nodes tell.

use std::net::IpAddr;

use chainmesh_identity::NodeKey;
use chainmesh_wire::discv4::Endpoint;

use super::*;

fn contact(number: u8, ip: [u8; 4]) -> Contact {
    let id = NodeKey::from_entropy([number; 32]).peer_id();
    Contact { endpoint: Endpoint::new(IpAddr::from(ip), 30303, 30303), id }
}

#[test]
fn nobody_outside_makes_us_knock_in_our_own_network() {
    let mut network = Network::new(10);
    network.begin_at(contact(1, [9, 9, 9, 9]));
    for ip in [[127, 0, 0, 1], [192, 168, 1, 1], [10, 0, 0, 1], [224, 0, 0, 1]] {
        network.told(0, contact(2, ip));
    }
    assert_eq!((network.nodes.len(), network.unfit), (1, 4));
    network.told(0, contact(2, [8, 8, 8, 8]));
    assert_eq!((network.nodes.len(), network.edges.len()), (2, 1));
}

#[test]
fn a_full_network_takes_nobody_and_counts_them() {
    let mut network = Network::new(2);
    network.begin_at(contact(1, [9, 9, 9, 9]));
    for number in 2..6 {
        network.told(0, contact(number, [9, 9, 9, number]));
    }
    assert_eq!((network.nodes.len(), network.beyond), (2, 3));
    assert_eq!(network.edges.iter().collect::<Vec<_>>(), [&(0, 1)]);
}

#[test]
fn a_false_address_that_came_first_does_not_hide_a_node() {
    let mut network = Network::new(10);
    network.begin_at(contact(1, [9, 9, 9, 9]));
    network.told(0, contact(2, [6, 6, 6, 6]));
    network.told(0, contact(2, [8, 8, 8, 8]));
    assert_eq!(network.next(|_| true).unwrap().0, 0);
    let (number, first) = network.next(|_| true).unwrap();
    assert_eq!(first.endpoint.ip, IpAddr::from([6, 6, 6, 6]));
    assert_eq!(network.next(|_| true), None);
    network.silent(number);
    let (again, second) = network.next(|_| true).unwrap();
    assert_eq!((again, second.endpoint.ip), (number, IpAddr::from([8, 8, 8, 8])));
    network.silent(number);
    assert_eq!((network.next(|_| true), network.count(State::Silent)), (None, 1));
    // Told of at a third place after it was given up.
    network.told(0, contact(2, [7, 7, 7, 7]));
    assert_eq!(network.next(|_| true).unwrap().1.endpoint.ip, IpAddr::from([7, 7, 7, 7]));
}

#[test]
fn an_address_that_is_busy_is_asked_later() {
    let mut network = Network::new(10);
    network.begin_at(contact(1, [9, 9, 9, 9]));
    network.begin_at(contact(2, [8, 8, 8, 8]));
    let busy = IpAddr::from([9, 9, 9, 9]);
    assert_eq!(network.next(|ip| ip != busy).unwrap().0, 1);
    assert_eq!((network.next(|ip| ip != busy), network.waiting()), (None, 1));
    assert_eq!(network.next(|_| true).unwrap().0, 0);
}
