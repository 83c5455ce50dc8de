//! Two nodes dial each other in the same instant: both keep the same one connection.

use std::collections::BTreeSet;

use chainmesh_proto::peers::{Direction, NodeKind};
use chainmesh_proto::session::SessionKind;
use chainmesh_sim::invariants::Broken;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// Which connection was kept, and whether both dials came to a connection at all.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fate {
    kept_of_the_lower: bool,
    both_dialled: bool,
    replaced: bool,
}

/// The two dials are up to three round trips apart, latency and jitter differ from seed to seed.
fn crossed_dials(seed: u64, session: SessionKind, keys: &[NodeKey; 2]) -> Result<Fate, Broken> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let mut up_to = |limit: u64| rng.next_u64() % (limit + 1);
    let latency = Duration::from_micros(100 + up_to(100_000));
    let jitter = Duration::from_micros(up_to(100) * up_to(1000));
    let round_trip = (latency + jitter) * 2;
    let apart = Duration::from_micros(up_to(3 * u64::try_from(round_trip.as_micros()).unwrap()));
    let lower_first = up_to(1) == 0;

    let conditions = Conditions { latency, jitter, loss_per_mille: 0 };
    let mut world = World::new(seed, WorldConfig { conditions, session });
    let [low, high] = keys.each_ref().map(|key| {
        world.add_node(NodeConfig { key: Some(key.duplicate()), ..NodeConfig::default() })
    });
    let (first, second) = if lower_first { (low, high) } else { (high, low) };
    world.want(first, second, NodeKind::Static);
    world.run_for(apart)?;
    world.want(second, first, NodeKind::Static);

    // The connection takes one round trip, the proof another: then both have decided. In RLPx the
    // accepting side has its proof half a round trip later, with the first frame: the auth packet
    // could be a replay, and nobody's session is closed for that.
    let proof = match session {
        SessionKind::Rlpx => round_trip * 3 / 2,
        SessionKind::Clear => round_trip,
        SessionKind::Tls => unreachable!("rustls is not simulated"),
    };
    world.run_for(round_trip + proof)?;
    let names = [world.shared_name(low, high), world.shared_name(high, low)];
    assert!(names[0].is_some(), "seed {seed}: no connection after the proof");
    assert_eq!(names[0], names[1], "seed {seed}: each keeps another connection");

    // And it stays the one, and becomes a session that observers hear of once.
    world.run_for(seconds(10))?;
    assert!(world.connected(low, high), "seed {seed}");
    let end = [world.shared_name(low, high), world.shared_name(high, low)];
    assert_eq!(end, names, "seed {seed}: another connection was kept in the end");
    let report = world.manager(low).expect("runs").snapshot();
    assert_eq!(report.peers.len(), 1, "seed {seed}: {:?}", report.peers);
    let dials =
        [low, high].map(|node| world.manager(node).expect("runs").snapshot().counters.dials);
    assert!(dials.iter().all(|dials| *dials <= 1), "seed {seed}: {dials:?} dials");
    let kept_of_the_lower = report.peers[0].direction == Some(Direction::Outbound);
    let replaced = [low, high]
        .iter()
        .any(|node| world.manager(*node).expect("runs").snapshot().counters.replaced > 0);
    Ok(Fate { kept_of_the_lower, both_dialled: dials == [1, 1], replaced })
}

fn run(seeds: u64, session: SessionKind) -> Result<(), Broken> {
    let keys = two_keys();
    let fates: BTreeSet<Fate> =
        (0..seeds).map(|seed| crossed_dials(seed, session, &keys)).collect::<Result<_, _>>()?;
    // The seeds do reach what is to be tested: crossed dials, replacements, and both winners.
    assert!(fates.iter().any(|fate| fate.both_dialled && fate.replaced), "{fates:?}");
    assert!(fates.iter().any(|fate| !fate.kept_of_the_lower), "{fates:?}");
    assert!(fates.iter().any(|fate| fate.both_dialled && !fate.replaced), "{fates:?}");
    Ok(())
}

#[test]
fn ten_thousand_seeds_keep_the_same_connection_on_both_sides() -> Result<(), Broken> {
    run(10_000, SessionKind::Clear)
}

#[test]
fn so_does_rlpx_where_the_sides_learn_of_each_other_at_different_times() -> Result<(), Broken> {
    run(500, SessionKind::Rlpx)
}

/// With loss, a cut handshake or a retransmission may take its time; but nothing else changes.
#[test]
fn lost_segments_delay_the_decision_and_do_not_split_it() -> Result<(), Broken> {
    let keys = two_keys();
    for seed in 0..500 {
        let conditions =
            Conditions { latency: millis(40), jitter: millis(40), loss_per_mille: 200 };
        let mut world = World::new(seed, WorldConfig { conditions, session: SessionKind::Clear });
        let [low, high] = keys.each_ref().map(|key| {
            world.add_node(NodeConfig { key: Some(key.duplicate()), ..NodeConfig::default() })
        });
        world.want(low, high, NodeKind::Static);
        world.want(high, low, NodeKind::Static);
        world.run_for(seconds(60))?;
        assert!(world.connected(low, high), "seed {seed}");
        assert_eq!(world.shared_name(low, high), world.shared_name(high, low), "seed {seed}");
    }
    Ok(())
}
