//! Rows 7 and 8: parts of a network that cannot hear each other, or only one way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chainmesh_testkit::fleet::{Fleet, Transport};
use chainmesh_testkit::process::Listener;
use chainmesh_testkit::proxy::{Direction, Proxy};
use chainmesh_testkit::row::Row;
use chainmesh_testkit::wait;

/// Time for a message to arrive, once there is a way.
const SOON: Duration = Duration::from_secs(5);

/// Sends a broadcast, and says how many of these listeners got it; each of them once.
fn heard_by(fleet: &Fleet, from: usize, listeners: &[(usize, Listener<'_>)], text: &str) -> usize {
    fleet.nodes[from].process.broadcast(text.as_bytes()).expect("a broadcast is sent");
    let wanted = chainmesh_testkit::process::hex(text.as_bytes());
    let heard = listeners.iter().filter(|(at, listener)| {
        // The sender's own listener is asked too: one that does not ask is forgotten.
        let (mut copies, began) = (0, Instant::now());
        loop {
            let came = listener.take(Duration::ZERO);
            copies += came.iter().filter(|message| message.payload == wanted).count();
            if copies > 0 || *at == from || began.elapsed() > SOON {
                break;
            }
            std::thread::sleep(wait::LOOK_EVERY);
        }
        assert!(copies < 2, "{text} came {copies} times");
        copies == 1
    });
    heard.count()
}

fn total(fleet: &Fleet, count: &str) -> u64 {
    fleet.nodes.iter().map(|member| member.process.mesh().count(count)).sum()
}

#[test]
#[ignore = "the network is parted for a minute"]
fn row_07_a_partition_heals_over_tls() {
    let (left, right) = ([0, 1, 2], [3, 4, 5, 6]);
    let fleet = Fleet::builder(Transport::Consortium, 7).quiet().split(&left, &right).start();
    let row = Row::new(7, "partition 3 and 4, 60 s", fleet.bed());
    let listen = |at: &usize| (*at, fleet.nodes[*at].process.listen());
    let (lefts, rights): (Vec<_>, Vec<_>) =
        (left.iter().map(listen).collect(), right.iter().map(listen).collect());

    fleet.proxies().for_each(Proxy::half_open);
    let parted = Instant::now();
    let mut rounds = 0;
    while parted.elapsed() < Duration::from_secs(60) {
        rounds += 1;
        let text = format!("round {rounds}");
        assert_eq!(heard_by(&fleet, 0, &lefts, &text), 2, "{text} in the left half");
        assert_eq!(heard_by(&fleet, 6, &rights, &text), 3, "{text} in the right half");
    }
    row.at_least("both halves worked for", parted.elapsed(), Duration::from_secs(60));
    fleet.proxies().for_each(Proxy::heal);
    let healed = fleet.recovered(4 * wait::PATIENCE);

    let (delivered, twice) = (total(&fleet, "delivered"), total(&fleet, "duplicates"));
    let late: BTreeMap<usize, usize> = [&lefts, &rights]
        .into_iter()
        .flatten()
        .map(|(at, it)| (*at, it.take(Duration::ZERO).len()))
        .collect();
    println!("what came late: {late:?}");
    let all: Vec<_> = lefts.into_iter().chain(rights).collect();
    for round in 0..20 {
        assert_eq!(heard_by(&fleet, round % 7, &all, &format!("healed {round}")), 6);
    }
    let delivered = total(&fleet, "delivered") - delivered;
    let copies = delivered + total(&fleet, "duplicates") - twice;
    row.number_at_most("copies for 100 deliveries", (copies * 100 / delivered) as usize, 130);
    row.equals("packets that ran out of TTL", total(&fleet, "droppedTtl"), 0);
    row.below("full mesh after healing", healed, Duration::from_secs(20));
}

#[test]
#[ignore = "silence has to be noticed, which takes a minute"]
fn row_08_an_asymmetric_partition_is_routed_around_over_tls() {
    let fleet = Fleet::builder(Transport::Consortium, 3).quiet().proxied(0, 1).start();
    let row = Row::new(8, "asymmetric partition", fleet.bed());
    let (one, other) = (&fleet.nodes[0], &fleet.nodes[1]);
    let id = other.id.to_string();
    one.process.send(&id, b"before").expect("a direct way");

    fleet.proxy(0, 1).discard(Direction::ToServer);
    let broken = Instant::now();
    let sees = || [one.connected_to(other.id).is_some(), other.connected_to(one.id).is_some()];
    let (mut closed, mut resumed) = (None, None);
    wait::within(4 * wait::PATIENCE, "both ends closed, and messages arrive", || {
        if sees() == [false, false] {
            closed.get_or_insert_with(|| broken.elapsed());
        }
        if resumed.is_none() && one.process.send(&id, b"around").is_ok() {
            resumed = Some(broken.elapsed());
        }
        (closed.is_some() && resumed.is_some()).then_some(())
    });
    row.note("both ends closed", closed.unwrap_or_default());
    row.equals("links on the new way", one.process.mesh().hops(&id).unwrap_or(0), 2);
    let zombies = sees().into_iter().filter(|sees| *sees).count();
    row.equals("ends that still say connected", zombies, 0);
    row.below("messages arrive again", resumed.unwrap_or_default(), Duration::from_secs(50));
}
