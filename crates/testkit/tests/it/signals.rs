//! Rows 4 to 6: a node is asked to end, and a node stands still.

use std::time::{Duration, Instant};

use chainmesh_testkit::fleet::{Fleet, Member, Transport};
use chainmesh_testkit::row::Row;
use chainmesh_testkit::wait;

/// What peers are told when a node ends in peace.
const GOODBYE: &str = "client quitting";

fn a_node_is_asked_to_end(transport: Transport) {
    let mut fleet = Fleet::builder(transport, 4).start();
    let row = Row::new(4, "SIGTERM", fleet.bed());
    let id = fleet.nodes[1].id;

    let began = Instant::now();
    let (status, _) = fleet.nodes[1].process.terminate();
    row.below("exit", began.elapsed(), Duration::from_secs(5));
    row.equals("exit code", status.code().unwrap_or(-1), 0);
    // What is dialled by its address has no history of what came to us: the log has.
    let words = ["peer disconnected", &id.short(), GOODBYE, "by=Peer"];
    let told = |peer: &Member| !peer.process.logged(&words).is_empty();
    let others = [0, 2, 3].map(|at| &fleet.nodes[at]);
    wait::until("it is gone", || others.iter().all(|peer| peer.connected_to(id).is_none()));
    let told = others.map(told);
    row.equals("peers told why", told.into_iter().filter(|told| *told).count(), 3);

    let restarted = Instant::now();
    fleet.nodes[1].process.start();
    fleet.recovered(wait::PATIENCE);
    row.below("recovered after the restart", restarted.elapsed(), Duration::from_secs(10));
}

/// How often the connection between each of `peers` and `id` has ended so far.
fn ends(peers: &[&Member], id: chainmesh_identity::PeerId) -> usize {
    let ends = |peer: &&Member| peer.connected_to(id).map_or(1_000, |peer| peer.history.len());
    peers.iter().map(ends).sum()
}

fn a_node_stands_still_for_10_s(transport: Transport) {
    let fleet = Fleet::builder(transport, 4).start();
    let row = Row::new(5, "SIGSTOP 10 s then CONT", fleet.bed());
    let id = fleet.nodes[1].id;
    let others = [0, 2, 3].map(|at| &fleet.nodes[at]);
    let before = ends(&others, id);
    let age = fleet.nodes[1].connected_to(fleet.nodes[0].id).expect("a mesh").connected_seconds;

    let stopped = fleet.nodes[1].process.stop();
    // Nobody can be asked whether a connection ended and came back: the history tells below.
    wait::holds_for(Duration::from_secs(10), "its peers keep it", || {
        others.iter().all(|peer| peer.connected_to(id).is_some())
    });
    drop(stopped);
    let resumed = Instant::now();
    let recovered = fleet.recovered(wait::PATIENCE);
    row.below("recovered after CONT", recovered, Duration::from_secs(3));
    row.equals("disconnects", ends(&others, id) - before, 0);
    // The node itself blames nobody either: its sessions are the old ones.
    let since = fleet.nodes[1].connected_to(fleet.nodes[0].id).expect("a mesh").connected_seconds;
    let grown = since.unwrap_or(0.0) - age.unwrap_or(0.0);
    assert!(grown >= 10.0, "the session is {grown} s older after {:?}", resumed.elapsed());
}

fn a_node_stands_still_for_120_s(transport: Transport) {
    let fleet = Fleet::builder(transport, 4).start();
    let row = Row::new(6, "SIGSTOP 120 s", fleet.bed());
    let id = fleet.nodes[1].id;
    let others = [0, 2, 3].map(|at| &fleet.nodes[at]);

    let stopped = fleet.nodes[1].process.stop();
    let began = Instant::now();
    let (least, most) = (Duration::from_secs(40), Duration::from_secs(50));
    wait::holds_for(least, "its peers keep it", || {
        others.iter().all(|peer| peer.connected_to(id).is_some())
    });
    wait::until("it is dropped", || others.iter().all(|peer| peer.connected_to(id).is_none()));
    row.between("dropped by all", began.elapsed(), least, most);
    let rest = Duration::from_secs(120).saturating_sub(began.elapsed());
    wait::holds_for(rest, "it stays dropped", || {
        others.iter().all(|peer| peer.connected_to(id).is_none())
    });
    drop(stopped);
    let recovered = fleet.recovered(2 * wait::PATIENCE);
    row.below("rejoined after CONT", recovered, Duration::from_secs(5));
}

#[test]
fn row_04_a_node_is_asked_to_end_over_rlpx() {
    a_node_is_asked_to_end(Transport::Rlpx);
}

#[test]
fn row_05_a_node_stands_still_for_10_s_over_rlpx() {
    a_node_stands_still_for_10_s(Transport::Rlpx);
}

#[test]
#[ignore = "stands still for two minutes"]
fn row_06_a_node_stands_still_for_120_s_over_rlpx() {
    a_node_stands_still_for_120_s(Transport::Rlpx);
}

#[test]
fn row_04_a_node_is_asked_to_end_over_tls() {
    a_node_is_asked_to_end(Transport::Consortium);
}

#[test]
fn row_05_a_node_stands_still_for_10_s_over_tls() {
    a_node_stands_still_for_10_s(Transport::Consortium);
}

#[test]
#[ignore = "stands still for two minutes"]
fn row_06_a_node_stands_still_for_120_s_over_tls() {
    a_node_stands_still_for_120_s(Transport::Consortium);
}
