//! Rows 14 and 15: a peer that does not read, and a line on which nobody hears the other.

use std::time::{Duration, Instant};

use chainmesh_identity::Enode;
use chainmesh_testkit::fleet::{Fleet, Transport};
use chainmesh_testkit::proxy::{Direction, Proxy};
use chainmesh_testkit::row::Row;
use chainmesh_testkit::wait;

use crate::flood::Flood;

/// Bytes that may wait for one peer (`chainmesh_proto`, `MAX_QUEUED`).
const QUEUE_CAP: u64 = 16 << 20;

#[test]
#[ignore = "the peer is given 20 s to read"]
fn row_14_a_peer_that_does_not_read_is_cut_over_rlpx() {
    let fleet = Fleet::builder(Transport::Rlpx, 1).quiet().blocks(1024).start();
    let row = Row::new(14, "slow reader", "1 node, 1 flooding peer, RLPx");
    let node = &fleet.nodes[0];
    let proxy = Proxy::start(node.address).unwrap();
    let flood = Flood::dial(Enode::new(node.id, proxy.address().ip(), proxy.address().port()));
    let peer = flood.peer();
    wait::until("it is connected", || node.connected_to(flood.id()).is_some());
    let before = node.process.usage();

    proxy.stall(Direction::ToClient);
    flood.ask(&peer, 1000);
    // The queue is at its cap when the node has stopped to take requests and to send answers.
    let (mut moved, mut last) = (Instant::now(), None);
    wait::within(Duration::from_secs(60), "it is cut", || {
        let peer = node.connected_to(flood.id());
        let counts = peer.as_ref().map(|peer| (peer.bytes_in, peer.bytes_out));
        if counts.is_some() && counts != last {
            (moved, last) = (Instant::now(), counts);
        }
        peer.is_none().then_some(())
    });
    let took = moved.elapsed();
    let grown = node.process.usage().most_memory.saturating_sub(before.memory);
    row.bytes_at_most("memory that it cost", grown, QUEUE_CAP);
    row.below("cut after the cap", took, Duration::from_secs(10));
}

fn a_line_is_half_open(transport: Transport) {
    let fleet = Fleet::builder(transport, 2).quiet().proxied(0, 1).start();
    let row = Row::new(15, "half-open TCP", fleet.bed());
    let proxy = fleet.proxy(0, 1);
    let (one, other) = (&fleet.nodes[0], &fleet.nodes[1]);
    // So that the last byte was heard before the line broke, however long a look takes.
    wait::until("the line is quiet", || proxy.quiet_for() >= Duration::from_secs(1));
    let files = [one, other].map(|member| member.process.usage().files);

    // New dials are refused: what is counted is the old connection.
    proxy.refuse(true);
    proxy.half_open();
    let broken = Instant::now();
    let gone = || one.connected_to(other.id).is_none() && other.connected_to(one.id).is_none();
    wait::within(Duration::from_secs(60), "both ends notice", || gone().then_some(()));
    let last = broken.elapsed();
    row.at_most("both ends notice", last, Duration::from_secs(45));
    wait::until("both sockets are given back", || {
        let now = [one, other].map(|member| member.process.usage().files);
        now[0] < files[0] && now[1] < files[1]
    });
    row.note("both sockets given back", broken.elapsed());

    proxy.heal();
    let healed = fleet.recovered(4 * wait::PATIENCE);
    row.below("recovered after healing", healed, Duration::from_secs(20));
}

#[test]
#[ignore = "45 s of silence"]
fn row_15_a_half_open_line_is_noticed_over_rlpx() {
    a_line_is_half_open(Transport::Rlpx);
}
