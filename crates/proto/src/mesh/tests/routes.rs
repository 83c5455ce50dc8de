//! Routes: who is reached over whom, and how fast that is known.

use chainmesh_wire::mesh::{PacketType, RouterTable};

use super::network::{LATENCY, Network, millis, seconds};
use crate::mesh::MeshEvent;

#[test]
fn in_a_row_of_four_everybody_reaches_everybody() {
    let network = Network::line(4);
    network.assert_converged();
    assert_eq!(network.distance(0, 3), Some(3));
    assert_eq!(network.next_hop(0, 3), Some(1));
    assert_eq!(network.next_hop(3, 0), Some(2));
}

/// Changes are told at once: a row of ten is known long before the first period is over.
#[test]
fn routes_do_not_wait_for_the_period() {
    let mut network = Network::new(10);
    for node in 1..10 {
        network.link(node - 1, node);
    }
    network.run_for(millis(1000));
    network.assert_converged();
    assert_eq!(network.distance(0, 9), Some(9));
}

/// Ten links away is unreachable, as in FISCO.
#[test]
fn ten_links_are_too_many() {
    let network = Network::line(12);
    network.assert_converged();
    assert_eq!(network.distance(0, 9), Some(9));
    assert_eq!(network.distance(0, 10), None);
    assert_eq!(network.distance(1, 10), Some(9));
}

#[test]
fn a_ring_goes_the_short_way_round() {
    let network = Network::ring(6);
    network.assert_converged();
    assert_eq!(network.next_hop(0, 2), Some(1));
    assert_eq!(network.next_hop(0, 4), Some(5));
}

/// What a neighbour told before is kept, so the way round is taken in the moment the link is lost.
/// In FISCO it would be found when the neighbour's number changes, which nothing makes it do.
#[test]
fn the_way_round_is_taken_at_once_though_no_number_changed() {
    let mut network = Network::ring(4);
    network.cut(0, 1);
    assert_eq!(network.next_hop(0, 1), Some(3), "without any packet");
    assert_eq!(network.distance(0, 1), Some(3));
    network.run_for(seconds(1));
    network.assert_converged();
}

#[test]
fn a_relay_that_dies_is_passed_by_and_used_again_when_it_is_back() {
    let mut network = Network::ring(4);
    assert_eq!(network.distance(0, 2), Some(2));
    let over = network.next_hop(0, 2).unwrap();
    let other = 4 - over;
    network.restart(over);
    network.run_for(millis(200));
    assert_eq!(network.next_hop(0, 2), Some(other));
    assert_eq!(network.distance(0, over), None);
    network.assert_converged();
    network.link(0, over);
    network.link(over, 2);
    network.run_for(seconds(1));
    network.assert_converged();
}

/// Three nodes in a circle and a fourth behind one of them: the case in which a distance vector
/// counts up. No way is left that leads to who is gone, and it does not take ten rounds.
#[test]
fn nobody_counts_to_infinity() {
    let mut network = Network::new(4);
    for (a, b) in [(0, 1), (1, 2), (2, 0), (2, 3)] {
        network.link(a, b);
    }
    network.run_for(seconds(5));
    network.assert_converged();
    network.tap = Some(Vec::new());
    network.cut(2, 3);
    network.run_for(millis(500));
    network.assert_converged();
    let tables = network.tapped(PacketType::RouterTableResponse).len();
    assert!(tables <= 20, "{tables} tables were sent");
}

/// The same with a large network: half of a grid falls off.
#[test]
fn a_grid_that_breaks_and_heals() {
    let side = 5;
    let mut network = Network::new(25);
    let at = |row: usize, column: usize| row * side + column;
    for row in 0..side {
        for column in 0..side {
            if column + 1 < side {
                network.link(at(row, column), at(row, column + 1));
            }
            if row + 1 < side {
                network.link(at(row, column), at(row + 1, column));
            }
        }
    }
    network.run_for(seconds(10));
    network.assert_converged();
    for column in 0..side {
        network.cut(at(1, column), at(2, column));
    }
    network.run_for(seconds(10));
    network.assert_converged();
    for column in 0..side {
        network.link(at(1, column), at(2, column));
    }
    network.run_for(seconds(10));
    network.assert_converged();
}

#[test]
fn what_changes_is_told_once() {
    let mut network = Network::line(3);
    let (far, middle) = (network.nodes[2].id, network.nodes[1].id);
    let reached = |distance| move |event: &&MeshEvent| matches!(event, MeshEvent::Reached { distance: it, .. } if *it == distance);
    assert_eq!(network.nodes[0].events.iter().filter(reached(1)).count(), 1);
    assert_eq!(network.nodes[0].events.iter().filter(reached(2)).count(), 1);
    network.link(0, 2);
    network.run_for(seconds(1));
    let rerouted = MeshEvent::Rerouted { member: far, next_hop: far, distance: 1 };
    assert!(network.nodes[0].events.contains(&rerouted));
    network.cut(0, 2);
    let rerouted = MeshEvent::Rerouted { member: far, next_hop: middle, distance: 2 };
    assert!(network.nodes[0].events.contains(&rerouted));
    network.cut(1, 2);
    network.run_for(seconds(1));
    assert!(network.nodes[0].events.contains(&MeshEvent::Lost { member: far }));
}

/// FISCO 3.14 and later learn the short IDs of far nodes from tables only.
#[test]
fn tables_always_have_the_short_ids() {
    let mut network = Network::line(3);
    network.tap = Some(Vec::new());
    network.link(0, 2);
    network.run_for(seconds(1));
    let tables = network.tapped(PacketType::RouterTableResponse);
    assert!(!tables.is_empty());
    for seen in tables {
        let table = RouterTable::decode(seen.packet.payload.clone()).unwrap();
        assert!(!table.entries.is_empty());
        for entry in table.entries {
            assert_eq!(entry.info.unwrap().short, entry.destination.to_short());
        }
    }
}

/// Numbers go to neighbours every 3 s and no further; without changes no table is sent.
#[test]
fn a_quiet_mesh_sends_numbers_only() {
    let mut network = Network::line(3);
    network.tap = Some(Vec::new());
    network.run_for(seconds(30));
    let numbers = network.tapped(PacketType::RouterTableSyncSeq);
    assert_eq!(numbers.len(), 4 * 10, "four ends of links, ten periods");
    assert!(numbers.iter().all(|seen| seen.packet.route.ttl == 10));
    for quiet in [
        PacketType::RouterTableRequest,
        PacketType::RouterTableResponse,
        PacketType::RequestNodeStatus,
        PacketType::ResponseNodeStatus,
    ] {
        assert!(network.tapped(quiet).is_empty(), "{quiet}");
    }
    let statuses = network.tapped(PacketType::SyncNodeSeq);
    // Each of three nodes to two others every second; two of the six ways have two links.
    assert_eq!(statuses.len(), 30 * (4 + 2 * 2));
}

/// A table that does not come is asked for again, at the latest after two periods.
#[test]
fn a_lost_table_is_asked_for_again() {
    let mut network = Network::new(3);
    network.link(1, 2);
    network.run_for(seconds(1));
    network.lose.push((1, 0, PacketType::RouterTableResponse));
    network.link(0, 1);
    network.run_for(seconds(1));
    assert_eq!(network.distance(0, 2), None);
    network.lose.clear();
    network.run_for(seconds(6) + LATENCY * 2);
    assert_eq!(network.distance(0, 2), Some(2));
}

/// A link that comes and goes many times leaves nothing behind.
#[test]
fn flapping_leaves_no_trace() {
    let mut network = Network::ring(5);
    for round in 0..40 {
        network.cut(0, 1);
        network.run_for(millis(7 * (round % 5)));
        network.link(0, 1);
        network.run_for(millis(11 * (round % 3)));
    }
    network.run_for(seconds(10));
    network.assert_converged();
}
