//! Rows 9, 14 and 15: a line that comes and goes, a peer that does not read, and a line on which
//! nobody hears the other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chainmesh_identity::Enode;
use chainmesh_testkit::fleet::{Fleet, Transport};
use chainmesh_testkit::proxy::{Direction, Proxy};
use chainmesh_testkit::row::Row;
use chainmesh_testkit::wait;

use crate::flood::Flood;

/// Calls at once, fewer than a node answers at once.
const CALLERS: usize = 24;

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

#[test]
#[ignore = "the peer is given time to read"]
fn row_14_a_peer_that_does_not_read_is_cut_over_tls() {
    let fleet = Fleet::builder(Transport::Consortium, 3).quiet().proxied(0, 1).start();
    let row = Row::new(14, "slow reader", fleet.bed());
    let (node, slow, other) = (&fleet.nodes[0], &fleet.nodes[1], &fleet.nodes[2]);
    // A call of the JSON-RPC has 1 MiB at most, and waits until everybody has confirmed the message
    // or 10 s are over. What such calls cost by themselves is not counted: they are made before.
    let payload = vec![0x5a; 450 << 10];
    let (sent, cut) = (AtomicUsize::new(0), AtomicBool::new(false));
    let broadcast = || {
        node.process.broadcast(&payload).expect("a broadcast is sent");
        sent.fetch_add(1, Relaxed);
    };
    let several = || (0..4).for_each(|_| broadcast());
    std::thread::scope(|scope| (0..CALLERS).for_each(|_| drop(scope.spawn(several))));
    let before = node.process.usage().most_memory;

    fleet.proxy(0, 1).stall(Direction::ToServer);
    let (mut full, mut took) = (None, Duration::ZERO);
    std::thread::scope(|scope| {
        let flood = || {
            while !cut.load(Relaxed) {
                broadcast();
            }
        };
        (0..CALLERS).for_each(|_| drop(scope.spawn(flood)));
        wait::until("it is cut", || {
            if full.is_none() && node.process.mesh().count("droppedFull") > 0 {
                full = Some(Instant::now());
            }
            node.connected_to(slow.id).is_none()
        });
        took = full.map_or(Duration::MAX, |full| full.elapsed());
        cut.store(true, Relaxed);
    });
    let grown = node.process.usage().most_memory.saturating_sub(before);
    let heard = || other.process.mesh().count("delivered") as usize;
    wait::until("the other one has all", || heard() >= sent.load(Relaxed));
    row.equals("broadcasts that another member got", heard(), sent.load(Relaxed));
    row.bytes_at_most("memory that it cost", grown, QUEUE_CAP);
    row.below("cut after the cap", took, Duration::from_secs(10));
}

fn a_line_is_half_open(transport: Transport) {
    let fleet = Fleet::builder(transport, 2).quiet().proxied(0, 1).start();
    let row = Row::new(15, "half-open TCP", fleet.bed());
    let proxy = fleet.proxy(0, 1);
    let (one, other) = (&fleet.nodes[0], &fleet.nodes[1]);
    // So that the last byte was heard before the line broke, however long a look takes.
    wait::until("the line is quiet", || proxy.quiet_for() >= Duration::from_millis(200));
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

#[test]
#[ignore = "45 s of silence"]
fn row_15_a_half_open_line_is_noticed_over_tls() {
    a_line_is_half_open(Transport::Consortium);
}

fn a_line_flaps(transport: Transport) {
    let fleet = Fleet::builder(transport, 3).quiet().proxied(0, 1).start();
    let row = Row::new(9, "flapping link, 2 s up, 2 s down, 5 min", fleet.bed());
    let (proxy, dialler, other) = (fleet.proxy(0, 1), &fleet.nodes[0], &fleet.nodes[1]);
    let before = [dialler, other].map(|member| member.process.usage().processor);
    let (began, phase) = (Instant::now(), Duration::from_secs(2));
    // Each look costs processor time, too.
    let look = Duration::from_millis(500);
    let mut dials = 0;
    while began.elapsed() < Duration::from_secs(300) {
        proxy.refuse(true);
        proxy.cut();
        // The other links do not notice.
        let others =
            || [dialler, other].iter().all(|it| it.connected_to(fleet.nodes[2].id).is_some());
        wait::holds_for_with(look, phase, "the others stay connected", others);
        let wanted = dialler.process.wanted();
        dials = wanted.iter().map(|wanted| wanted.dials).max().unwrap_or(0).max(dials);
        proxy.refuse(false);
        wait::holds_for_with(look, phase, "the others stay connected", others);
    }
    let spent = began.elapsed();
    let after = [dialler, other].map(|member| member.process.usage().processor);
    let used = (0..2).map(|at| (after[at] - before[at]).as_secs_f64() / spent.as_secs_f64());
    // The questions of this test (five a second) are in it.
    let percent = (used.fold(0.0, f64::max) * 100.0).ceil() as usize;
    row.number_at_most("dials", usize::try_from(dials).unwrap_or(usize::MAX), 40);
    row.number_at_most("% of a processor", percent, 5);
    row.note("recovered", fleet.recovered(4 * wait::PATIENCE));
}

#[test]
#[ignore = "five minutes"]
fn row_09_a_line_flaps_over_rlpx() {
    a_line_flaps(Transport::Rlpx);
}

#[test]
#[ignore = "five minutes"]
fn row_09_a_line_flaps_over_tls() {
    a_line_flaps(Transport::Consortium);
}
