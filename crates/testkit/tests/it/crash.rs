//! Rows 1 and 3: `kill -9`, of one node and of all.

use std::time::{Duration, Instant};

use chainmesh_testkit::blocks;
use chainmesh_testkit::fleet::{Fleet, Transport};
use chainmesh_testkit::process::Head;
use chainmesh_testkit::row::Row;
use chainmesh_testkit::wait;

/// How many of these nodes, which do not run, no longer have the block that was their head.
fn lost(fleet: &Fleet, heads: &[(usize, Head)]) -> usize {
    let data_dir = |at: usize| fleet.nodes[at].process.data_dir();
    heads.iter().filter(|(at, head)| !blocks::is_stored(data_dir(*at), head)).count()
}

/// The one that makes the blocks is killed: nobody else can make up for what it would lose.
fn one_node_is_killed(transport: Transport) {
    let mut fleet = Fleet::builder(transport, 4).start();
    let row = Row::new(1, "kill -9 one node, restart", fleet.bed());
    wait::until("there are blocks", || fleet.nodes[3].process.head().number >= 2);
    let id = fleet.nodes[0].id;
    let head = (0, fleet.nodes[0].process.head());

    fleet.nodes[0].process.kill();
    let killed = Instant::now();
    wait::until("all peers notice", || {
        fleet.nodes[1..].iter().all(|peer| peer.connected_to(id).is_none())
    });
    row.below("all peers notice", killed.elapsed(), Duration::from_secs(1));

    row.equals("blocks lost", lost(&fleet, &[head]), 0);
    let restarted = Instant::now();
    fleet.nodes[0].process.start();
    fleet.recovered(wait::PATIENCE);
    row.below("recovered after the restart", restarted.elapsed(), Duration::from_secs(10));
}

fn all_nodes_are_killed(transport: Transport) {
    let mut fleet = Fleet::builder(transport, 4).start();
    let row = Row::new(3, "kill -9 all nodes at once", fleet.bed());
    wait::until("there are blocks", || fleet.nodes[3].process.head().number >= 2);
    let heads: Vec<_> =
        fleet.nodes.iter().map(|member| member.process.head()).enumerate().collect();
    for member in &mut fleet.nodes {
        member.process.kill();
    }
    row.equals("blocks lost", lost(&fleet, &heads), 0);
    let restarted = Instant::now();
    fleet.start_all();
    fleet.recovered(wait::PATIENCE);
    row.below("recovered after the restart", restarted.elapsed(), Duration::from_secs(15));
}

#[test]
fn row_01_one_node_is_killed_over_rlpx() {
    one_node_is_killed(Transport::Rlpx);
}

#[test]
fn row_03_all_nodes_are_killed_over_rlpx() {
    all_nodes_are_killed(Transport::Rlpx);
}

#[test]
fn row_01_one_node_is_killed_over_tls() {
    one_node_is_killed(Transport::Consortium);
}

#[test]
fn row_03_all_nodes_are_killed_over_tls() {
    all_nodes_are_killed(Transport::Consortium);
}
