//! Crashes, cuts and silence.

use chainmesh_proto::peers::NodeKind;
use chainmesh_sim::invariants::Broken;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// Two connected nodes; `dialler` says which of them, by the order of IDs, dialled.
fn connected(seed: u64, dialler: usize) -> Result<(World, NodeIndex, NodeIndex), Broken> {
    let mut world = World::new(seed, CLEAR);
    let nodes = two_nodes(&mut world);
    let (from, to) = (nodes[dialler], nodes[1 - dialler]);
    world.want(from, to, NodeKind::Static);
    assert!(world.run_until(seconds(1), |world| world.connected(from, to))?);
    // Between two heartbeats: nothing is on its way.
    world.run_for(seconds(52))?;
    Ok((world, from, to))
}

#[test]
fn a_killed_process_is_noticed_at_once_and_dialled_when_it_is_back() -> Result<(), Broken> {
    for dialler in [0, 1] {
        let (mut world, from, to) = connected(1, dialler)?;
        world.kill(to);
        assert!(world.run_until(seconds(1), |world| !world.sees(from, to))?);
        world.run_for(seconds(20))?;
        world.start(to);
        assert!(world.run_until(seconds(40), |world| world.connected(from, to))?);
    }
    Ok(())
}

/// The other end of a session loses its power, comes back, and dials again: the side that has
/// heard nothing yet finds out by a probe and lets it in, long before its idle timeout.
#[test]
fn a_node_that_lost_its_power_gets_in_again_in_seconds() -> Result<(), Broken> {
    for dialler in [0, 1] {
        let (mut world, from, to) = connected(2, dialler)?;
        world.power_off(from);
        world.run_for(millis(500))?;
        assert!(world.sees(to, from), "nobody has told it");
        world.start(from);
        assert!(world.run_until(seconds(15), |world| world.connected(from, to))?, "{dialler}");
        world.run_for(seconds(120))?;
        assert!(world.connected(from, to));
    }
    Ok(())
}

#[test]
fn silence_is_noticed_at_the_idle_timeout_and_not_before() -> Result<(), Broken> {
    let (mut world, from, to) = connected(3, 0)?;
    world.power_off(from);
    world.run_for(seconds(29))?;
    assert!(world.sees(to, from), "the last heartbeat was at most 15 s before");
    assert!(world.run_until(seconds(17), |world| !world.sees(to, from))?);
    Ok(())
}

#[test]
fn a_cut_in_one_direction_ends_both_sides() -> Result<(), Broken> {
    for dialler in [0, 1] {
        let (mut world, from, to) = connected(4, dialler)?;
        world.block(from, to);
        assert!(world.run_until(seconds(50), |w| !w.sees(from, to) && !w.sees(to, from))?);
        world.heal();
        assert!(world.run_until(seconds(80), |world| world.connected(from, to))?);
    }
    Ok(())
}

#[test]
fn short_outages_end_no_session() -> Result<(), Broken> {
    let (mut world, from, to) = connected(5, 0)?;
    let dials = |world: &World| world.manager(from).expect("runs").snapshot().counters.dials;
    for _ in 0..75 {
        world.partition(&[from], &[to]);
        world.run_for(seconds(2))?;
        world.heal();
        world.run_for(seconds(2))?;
        assert!(world.connected(from, to));
    }
    assert_eq!(dials(&world), 1);
    Ok(())
}

#[test]
fn halves_of_a_network_merge_after_a_partition() -> Result<(), Broken> {
    let mut world = World::new(6, CLEAR);
    let nodes: Vec<_> = (0..7).map(|_| world.add_node(NodeConfig::default())).collect();
    for (n, a) in nodes.iter().enumerate() {
        for b in &nodes[..n] {
            world.want(*a, *b, NodeKind::Static);
            world.want(*b, *a, NodeKind::Static);
        }
    }
    let pairs = |world: &World| {
        let all = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
        all.filter(|(a, b)| a < b && world.connected(*a, *b)).count()
    };
    assert!(world.run_until(seconds(10), |world| pairs(world) == 21)?);
    world.partition(&nodes[..3], &nodes[3..]);
    world.run_for(seconds(60))?;
    assert_eq!(pairs(&world), 3 + 6, "each half goes on, and nobody counts the other");
    world.heal();
    assert!(world.run_until(seconds(20), |world| pairs(world) == 21)?);
    Ok(())
}

/// Two nodes with one key: whoever came first stays.
#[test]
fn a_second_holder_of_a_key_changes_nothing() -> Result<(), Broken> {
    let mut world = World::new(7, CLEAR);
    let [a, b] = two_nodes(&mut world);
    world.want(a, b, NodeKind::Static);
    assert!(world.run_until(seconds(1), |world| world.connected(a, b))?);
    world.run_for(seconds(30))?;
    let key = two_keys()[0].duplicate();
    let double = world.add_node(NodeConfig { key: Some(key), ..NodeConfig::default() });
    let kept = world.kept(b).next();
    world.want(double, b, NodeKind::Static);
    world.run_for(seconds(300))?;
    assert_eq!(world.kept(b).next(), kept, "no switch at all");
    let counters = world.manager(b).expect("runs").snapshot().counters;
    assert!(counters.duplicate_identity > 0);
    Ok(())
}

/// Faults of all kinds for five minutes, by seed; the rules hold at every step. Then the faults
/// end, and everybody finds everybody.
#[test]
fn after_any_faults_the_network_is_whole_again() -> Result<(), Broken> {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |limit: usize| usize::try_from(rng.next_u64()).unwrap() % limit;
        let loss_per_mille = u16::try_from(below(3) * 50).unwrap();
        let conditions = Conditions { latency: millis(5), jitter: millis(200), loss_per_mille };
        let mut world = World::new(seed, WorldConfig { conditions, ..CLEAR });
        let nodes: Vec<_> = (0..7).map(|_| world.add_node(NodeConfig::default())).collect();
        for a in &nodes {
            for b in &nodes {
                if a != b {
                    world.want(*a, *b, NodeKind::Static);
                }
            }
        }
        for _ in 0..60 {
            let (a, b) = (nodes[below(7)], nodes[below(7)]);
            match below(8) {
                0 => world.kill(a),
                1 => world.power_off(a),
                2..=3 => world.start(a),
                4 => world.block(a, b),
                5 => world.partition(&nodes[..below(7)], &[b]),
                6 => world.heal(),
                _ => {}
            }
            let time = u64::try_from(below(10_000)).unwrap();
            world.run_for(millis(time))?;
        }
        world.heal();
        nodes.iter().for_each(|node| world.start(*node));
        let whole = |world: &World| {
            nodes.iter().all(|a| nodes.iter().all(|b| a == b || world.connected(*a, *b)))
        };
        // The longest backoff and its jitter, and a dead session's idle timeout before it.
        assert!(world.run_until(seconds(125), whole)?, "seed {seed}");
        world.run_for(seconds(60))?;
        assert!(whole(&world), "seed {seed}: it stays whole");
    }
    Ok(())
}
