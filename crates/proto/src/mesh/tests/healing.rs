//! Links and relays that die while messages are on the way, and nodes that come back.

use chainmesh_wire::mesh::PacketType;

use super::network::{LATENCY, Network, millis, seconds};
use crate::mesh::{Outcome, SendFailure};

/// The relay dies with the message in its hands: it goes over the other one, and arrives once.
#[test]
fn a_unicast_takes_the_next_route_when_the_relay_dies() {
    let mut network = Network::ring(4);
    let relay = network.next_hop(0, 2).unwrap();
    let id = network.unicast(0, 2, b"precious");
    network.run_for(LATENCY / 2);
    network.restart(relay);
    network.run_for(millis(100));
    let gateway = network.nodes[2].id;
    let settled = network.settled(0, id).unwrap();
    assert_eq!(settled.result, Ok(Outcome::Delivered { gateway }));
    assert_eq!(settled.copies, 2);
    assert_eq!(network.payloads(2), [b"precious"]);
}

/// It arrived, but the acknowledgement died with the relay: it is sent again, delivered once.
#[test]
fn a_unicast_that_arrived_before_the_relay_died_is_delivered_once() {
    let mut network = Network::ring(4);
    let relay = network.next_hop(0, 2).unwrap();
    let id = network.unicast(0, 2, b"precious");
    network.run_for(LATENCY * 2);
    assert_eq!(network.payloads(2), [b"precious"]);
    network.restart(relay);
    network.run_for(millis(100));
    assert!(matches!(network.result(0, id), Some(Ok(Outcome::Delivered { .. }))));
    assert_eq!(network.payloads(2), [b"precious"]);
    assert_eq!(network.report(2).counters.duplicates, 1);
}

/// A relay that is no neighbour dies: no session of ours ends, the repetition finds the new way.
#[test]
fn a_far_relay_that_dies_is_passed_by() {
    // 0 - 1 - 2 - 4, and 1 - 3 - 4.
    let mut network = Network::new(5);
    for (a, b) in [(0, 1), (1, 2), (2, 4), (1, 3), (3, 4)] {
        network.link(a, b);
    }
    network.run_for(seconds(5));
    let relay = network.next_hop(1, 4).unwrap();
    let id = network.unicast(0, 4, b"precious");
    network.run_for(LATENCY * 3 / 2);
    network.restart(relay);
    network.run_for(seconds(4));
    assert!(matches!(network.result(0, id), Some(Ok(Outcome::Delivered { .. }))));
    assert_eq!(network.payloads(4), [b"precious"]);
}

/// No way at all for a while: the message waits, until the ten seconds are over.
#[test]
fn a_message_waits_for_a_way() {
    let mut network = Network::line(3);
    let id = network.unicast(0, 2, b"patient");
    network.cut(1, 2);
    network.run_for(seconds(5));
    assert_eq!(network.result(0, id), None);
    network.link(1, 2);
    network.run_for(seconds(1));
    assert!(matches!(network.result(0, id), Some(Ok(Outcome::Delivered { .. }))));
    assert_eq!(network.payloads(2), [b"patient"]);
    let id = network.unicast(0, 2, b"too long");
    network.cut(1, 2);
    network.run_for(seconds(11));
    assert_eq!(network.result(0, id), Some(Err(SendFailure::TimedOut)));
    assert_eq!(network.report(0).pending, 0);
}

#[test]
fn a_broadcast_reaches_everybody_once_though_a_relay_dies() {
    let mut network = Network::ring(8);
    let id = network.broadcast(0, b"all");
    network.run_for(LATENCY * 3 / 2);
    network.restart(2);
    network.run_for(seconds(10));
    for node in [1, 3, 4, 5, 6, 7] {
        assert_eq!(network.payloads(node), [b"all"], "{node}");
    }
    let Some(Ok(Outcome::Sent { members, confirmed })) = network.result(0, id) else {
        panic!("not sent")
    };
    assert_eq!((members, confirmed), (7, 6));
}

/// A partition that heals while broadcasts are repeated: once each.
#[test]
fn a_broadcast_during_a_partition_arrives_when_it_heals() {
    let mut network = Network::ring(6);
    let id = network.broadcast(0, b"all");
    network.cut(1, 2);
    network.cut(4, 5);
    network.run_for(seconds(5));
    assert!(network.payloads(3).is_empty());
    network.link(1, 2);
    network.run_for(seconds(1));
    for node in 1..6 {
        assert_eq!(network.payloads(node), [b"all"], "{node}");
    }
    let sent = Outcome::Sent { members: 5, confirmed: 5 };
    assert_eq!(network.result(0, id), Some(Ok(sent)));
}

/// A node that comes back begins its numbers anew; everybody takes them all the same.
#[test]
fn a_node_that_restarts_is_believed_with_smaller_numbers() {
    let mut network = Network::line(3);
    for height in 1..10 {
        let role = network.report(2).role;
        network.input(2, crate::mesh::Input::Local { role, height });
    }
    network.input(2, crate::mesh::Input::Subscribe("old".into()));
    network.run_for(seconds(3));
    let seen = |network: &Network| {
        let report = network.report(0);
        let far = report.members.iter().find(|it| it.name == network.nodes[2].id).unwrap();
        (far.status_seq, far.height, far.topics.clone())
    };
    assert_eq!(seen(&network), (Some(10), Some(9), vec!["old".to_owned()]));
    network.restart(2);
    network.run_for(seconds(1));
    assert_eq!(seen(&network), (None, None, vec![]), "nothing old is kept");
    network.link(1, 2);
    network.run_for(seconds(1));
    assert_eq!(seen(&network), (Some(1), Some(0), vec![]));
    let id = network.unicast(0, 2, b"welcome back");
    network.run_for(seconds(1));
    assert!(matches!(network.result(0, id), Some(Ok(_))));
}

/// Its packet numbers begin anew too; nothing of it is taken for a repetition.
#[test]
fn the_messages_of_a_restarted_node_are_new() {
    let mut network = Network::line(2);
    for round in 0..3 {
        network.unicast(0, 1, b"again");
        network.broadcast(0, b"and again");
        network.run_for(seconds(1));
        assert_eq!(network.payloads(1).len(), 2 * (round + 1));
        network.restart(0);
        network.link(0, 1);
        network.run_for(seconds(1));
    }
}

/// A crash of one leaves the others talking.
#[test]
fn the_others_go_on() {
    let mut network = Network::new(6);
    for a in 0..6 {
        for b in a + 1..6 {
            network.link(a, b);
        }
    }
    network.run_for(seconds(5));
    network.restart(3);
    network.tap = Some(Vec::new());
    for from in [0, 1, 2, 4, 5] {
        for to in [0, 1, 2, 4, 5].into_iter().filter(|to| *to != from) {
            let id = network.unicast(from, to, b"still here");
            network.run_for(millis(5));
            assert_eq!(network.settled(from, id).unwrap().copies, 1);
        }
    }
    assert_eq!(network.tapped(PacketType::PeerToPeerMessage).len(), 20, "one link each");
}

/// Two sessions with one peer for a moment, as when both dialled: the newer is used, and what was
/// sent over the older is sent again when that closes.
#[test]
fn a_session_that_is_replaced_loses_nothing() {
    use super::network::{Lone, identity, unicast_to};
    use crate::mesh::Input;
    use crate::module::PeerKind;
    use chainmesh_wire::mesh::Version;
    let mut lone = Lone::new();
    let old = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let id = lone.mesh.next_id();
    let message = unicast_to(identity(1).name(), b"x");
    lone.input(Input::Unicast { id, message });
    assert_eq!(lone.take_type(old, PacketType::PeerToPeerMessage).len(), 1);
    let new = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    assert_eq!(lone.take_type(new, PacketType::PeerToPeerMessage).len(), 1);
    lone.input(Input::Closed { session: old });
    let ways = [old, new].map(|it| lone.take_type(it, PacketType::PeerToPeerMessage).len());
    assert_eq!(ways, [0, 0], "it is on its way over the new one");
    assert_eq!(lone.mesh.snapshot().members[0].distance, Some(1), "never lost");
    lone.input(Input::Closed { session: new });
    assert_eq!(lone.mesh.snapshot().members[0].distance, None);
}

/// Forty members with every third link missing; a third of them falls off and comes back.
#[test]
fn a_crowd_is_parted_and_comes_together() {
    const MEMBERS: usize = 40;
    const THIRD: usize = MEMBERS / 3;
    let mut network = Network::new(MEMBERS as u8);
    let linked = |a: usize, b: usize| (a * 7 + b * 13) % 10 < 7;
    let links: Vec<_> = (0..MEMBERS)
        .flat_map(|a| (a + 1..MEMBERS).map(move |b| (a, b)))
        .filter(|(a, b)| linked(*a, *b))
        .collect();
    for (a, b) in &links {
        network.link(*a, *b);
    }
    network.run_for(seconds(5));
    network.assert_converged();
    let across = |(a, b): &&(usize, usize)| (*a < THIRD) != (*b < THIRD);
    for (a, b) in links.iter().filter(across) {
        network.cut(*a, *b);
    }
    network.run_for(seconds(5));
    network.assert_converged();
    network.broadcast(0, b"third");
    network.run_for(seconds(1));
    for (a, b) in links.iter().filter(across) {
        network.link(*a, *b);
    }
    network.run_for(seconds(5));
    network.assert_converged();
    let id = network.broadcast(0, b"all");
    network.run_for(seconds(1));
    for node in 1..MEMBERS {
        let third: &[&[u8]] = if node < THIRD { &[b"third", b"all"] } else { &[b"all"] };
        assert_eq!(network.payloads(node), third, "{node}");
    }
    assert_eq!(network.settled(0, id).unwrap().copies as usize, MEMBERS - 1);
}
