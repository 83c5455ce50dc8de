//! Whole control planes: discovery, address book, peer manager.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;

use chainmesh_identity::Host;
use chainmesh_proto::discovery::BUCKET_SIZE;
use chainmesh_proto::peers::{DIAL_RATIO, DialTarget, Direction, NodeKind, TargetKey};
use chainmesh_sim::invariants::Broken;
use chainmesh_sim::{PeersNode, PeersWorld};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

const MAX_PEERS: usize = 24;
/// What a node looks for by itself: its share of outbound slots.
const MINIMUM: usize = MAX_PEERS / DIAL_RATIO;

/// Where the nth node is: two of them share each /24.
fn address(n: usize) -> SocketAddr {
    let net = u32::try_from(n / 2).unwrap();
    let [_, a, b, c] = net.to_be_bytes();
    let last = u8::try_from(n % 2 + 1).unwrap();
    SocketAddr::from(([20 + a, b, c, last], 30303))
}

fn conditions(loss_per_mille: u16) -> Conditions {
    Conditions { latency: millis(10), jitter: millis(90), loss_per_mille }
}

/// So many nodes, all of which know number 0 and nobody else.
fn crowd(seed: u64, nodes: usize) -> PeersWorld {
    let mut world = PeersWorld::new(seed, conditions(50));
    let mut boot = PeersNode::new(address(0), MAX_PEERS, Vec::new());
    boot.max_inbound_per_bucket = Some(BUCKET_SIZE);
    let boot = world.add_node(boot);
    let known = vec![world.contact(boot)];
    for n in 1..nodes {
        world.add_node(PeersNode::new(address(n), MAX_PEERS, known.clone()));
    }
    world.nodes().for_each(|node| world.start(node));
    world
}

fn least_connected(world: &PeersWorld) -> usize {
    let running = world.nodes().filter(|node| world.manager(*node).is_some());
    running.map(|node| world.peers(node).count()).min().unwrap()
}

/// Nodes that are reached from the first one that runs, of those that run.
fn reached(world: &PeersWorld) -> (usize, usize) {
    let running: BTreeSet<NodeIndex> =
        world.nodes().filter(|node| world.manager(*node).is_some()).collect();
    let mut reached: BTreeSet<NodeIndex> = running.iter().take(1).copied().collect();
    let mut open: Vec<NodeIndex> = reached.iter().copied().collect();
    while let Some(node) = open.pop() {
        for other in world.neighbours(node).filter(|other| world.connected(node, *other)) {
            if running.contains(&other) && reached.insert(other) {
                open.push(other);
            }
        }
    }
    (reached.len(), running.len())
}

/// Row 49 of the matrix, with sessions.
#[test]
fn a_thousand_nodes_are_connected_from_one_boot_node() -> Result<(), Broken> {
    let mut world = crowd(1, 1000);
    let enough = |world: &PeersWorld| least_connected(world) >= MINIMUM;
    let met = world.run_until(seconds(120), enough)?;
    assert!(met, "{} peers, {MINIMUM} are to be", least_connected(&world));
    assert_eq!(reached(&world), (1000, 1000));
    println!("{:?} virtual, {} dials", world.elapsed(), world.dials());
    Ok(())
}

#[test]
fn the_same_seed_makes_the_same_decisions_and_another_seed_others() -> Result<(), Broken> {
    let run = |seed| -> Result<_, Broken> {
        let mut world = crowd(seed, 40);
        world.run_for(seconds(20))?;
        world.kill(NodeIndex(7));
        world.stop(NodeIndex(8));
        world.run_for(seconds(10))?;
        world.start(NodeIndex(7));
        world.run_for(seconds(60))?;
        Ok((world.decision_hash(), world.dials()))
    };
    assert_eq!(run(3)?, run(3)?);
    assert_ne!(run(3)?, run(4)?);
    Ok(())
}
