//! Many nodes.

use std::collections::BTreeSet;

use chainmesh_proto::peers::NodeKind;
use chainmesh_sim::invariants::Broken;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

const NODES: usize = 100;

/// A hundred nodes; each knows one that was there before it, and three others at random.
fn crowd(seed: u64) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(
        seed,
        WorldConfig {
            conditions: Conditions { latency: millis(10), jitter: millis(90), loss_per_mille: 10 },
            ..CLEAR
        },
    );
    let nodes: Vec<_> = (0..NODES).map(|_| world.add_node(NodeConfig::default())).collect();
    let mut below = |limit: usize| usize::try_from(rng.next_u64()).unwrap() % limit;
    for (n, node) in nodes.iter().enumerate().skip(1) {
        let boot = nodes[below(n)];
        world.want(*node, boot, NodeKind::Boot);
        for _ in 0..3 {
            let other = nodes[below(NODES)];
            if other != *node {
                world.want(*node, other, NodeKind::Static);
            }
        }
    }
    world
}

/// The pairs of which one wants the other.
fn wanted(world: &World) -> BTreeSet<(NodeIndex, NodeIndex)> {
    let ids: Vec<_> = world.nodes().map(|node| world.id(node)).collect();
    let index = |id| NodeIndex(ids.iter().position(|other| *other == id).expect("a node"));
    let pairs = world.nodes().flat_map(|node| {
        let targets = world.wanted(node).filter_map(|(target, _)| target.id);
        targets.map(move |id| (node, id)).collect::<Vec<_>>()
    });
    pairs.map(|(node, id)| (node.min(index(id)), node.max(index(id)))).collect()
}

fn missing(world: &World) -> usize {
    wanted(world).into_iter().filter(|(a, b)| !world.connected(*a, *b)).count()
}

#[test]
fn a_hundred_nodes_find_together_through_latency_and_loss() -> Result<(), Broken> {
    let mut world = crowd(1);
    world.run_for(seconds(30))?;
    assert_eq!(missing(&world), 0);
    // And nothing flaps: no connection more than pairs, none dialled twice without need.
    let pairs = wanted(&world).len();
    let sessions: usize = world.nodes().map(|node| world.kept(node).count()).sum();
    assert_eq!(sessions, 2 * pairs);
    Ok(())
}

#[test]
fn a_third_of_the_crowd_dies_and_comes_back() -> Result<(), Broken> {
    let mut world = crowd(2);
    world.run_for(seconds(30))?;
    for n in 0..NODES / 3 {
        let node = NodeIndex(n * 3);
        if n % 2 == 0 {
            world.kill(node);
        } else {
            world.power_off(node);
        }
    }
    world.run_for(seconds(60))?;
    for n in 0..NODES / 3 {
        world.start(NodeIndex(n * 3));
    }
    world.run_for(seconds(90))?;
    assert_eq!(missing(&world), 0);
    Ok(())
}

#[test]
fn the_same_seed_makes_the_same_decisions_and_another_seed_others() -> Result<(), Broken> {
    let run = |seed| -> Result<(u64, u64), Broken> {
        let mut world = crowd(seed);
        world.run_for(seconds(10))?;
        world.kill(NodeIndex(7));
        world.run_for(seconds(5))?;
        world.start(NodeIndex(7));
        world.run_for(seconds(10))?;
        Ok((world.decision_hash(), world.steps()))
    };
    assert_eq!(run(3)?, run(3)?);
    assert_ne!(run(3)?, run(4)?);
    Ok(())
}

/// Whoever has no slot free is not overrun, and the others go on.
#[test]
fn a_popular_node_keeps_to_its_slots() -> Result<(), Broken> {
    let mut world = World::new(5, CLEAR);
    let config = NodeConfig { max_peers: Some(9), ..NodeConfig::default() };
    let popular = world.add_node(config);
    let others: Vec<_> = (0..30).map(|_| world.add_node(NodeConfig::default())).collect();
    for node in &others {
        world.want(*node, popular, NodeKind::Boot);
    }
    world.run_for(seconds(120))?;
    let peers =
        |world: &World| others.iter().filter(|node| world.connected(popular, **node)).count();
    assert_eq!(peers(&world), 6, "three of nine slots are for those whom it dials itself");
    for node in &others[..3] {
        world.want(popular, *node, NodeKind::Static);
    }
    world.run_for(seconds(5))?;
    assert!(others[..3].iter().all(|node| world.connected(popular, *node)));
    Ok(())
}
