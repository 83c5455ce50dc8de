//! Whole control planes: discovery, address book, peer manager.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use chainmesh_identity::Host;
use chainmesh_proto::discovery::BUCKET_SIZE;
use chainmesh_proto::peers::{DIAL_RATIO, DialTarget, NodeKind, PeerState};
use chainmesh_sim::invariants::Broken;
use chainmesh_sim::peers::eclipse::{self, Attack};
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
    const NODES: usize = 1000;
    let mut world = crowd(1, NODES);
    let enough = |world: &PeersWorld| least_connected(world) >= MINIMUM;
    let met = world.run_until(seconds(120), enough)?;
    assert!(met, "{} peers, {MINIMUM} are to be", least_connected(&world));
    assert_eq!(reached(&world), (NODES, NODES));
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

/// Nearly a third of the nodes go in an hour, half of them without a word, and come back ten minutes later.
#[test]
fn churn_leaves_the_network_whole_and_the_books_as_they_are() -> Result<(), Broken> {
    const NODES: usize = 40;
    let mut world = crowd(4, NODES);
    assert!(world.run_until(seconds(120), |world| least_connected(world) >= MINIMUM)?);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut away: Vec<NodeIndex> = Vec::new();
    // Twelve in an hour: one each five minutes. Each is away for ten.
    for round in 0..12 {
        let node = NodeIndex(1 + usize::try_from(rng.next_u64()).unwrap() % (NODES - 1));
        if !away.contains(&node) {
            if round % 2 == 0 {
                world.stop(node);
            } else {
                world.kill(node);
            }
            away.push(node);
        }
        if away.len() > 2 {
            world.start(away.remove(0));
        }
        world.run_for(seconds(300))?;
        let (reached, running) = reached(&world);
        assert_eq!(reached, running, "round {round}");
        assert!(least_connected(&world) >= MINIMUM, "{} in {round}", least_connected(&world));
        let books = world.nodes().filter_map(|node| Some(world.book(node)?.len()));
        assert!(books.max().unwrap() < NODES, "a book has each node once");
    }
    Ok(())
}

/// Row 35: two nodes with one key. Their peers keep one of them, and do not change their minds.
#[test]
fn two_nodes_with_one_key_do_not_flip_flop() -> Result<(), Broken> {
    let mut world = PeersWorld::new(6, conditions(0));
    let offline = |n| PeersNode { discovery: false, ..PeersNode::new(address(n), 50, Vec::new()) };
    let peer = world.add_node(offline(0));
    let twins = [1, 2].map(|n| {
        let mut node = offline(n);
        node.key = Some(NodeKey::from_entropy([9; 32]));
        let enode = world.enode(peer);
        node.targets = vec![((&enode).into(), NodeKind::Static)];
        world.add_node(node)
    });
    world.start(peer);
    twins.iter().for_each(|node| world.start(*node));
    world.run_for(seconds(60))?;
    let session = |world: &PeersWorld| {
        world.manager(peer).unwrap().connected_peers().map(|(_, conn)| conn).collect::<Vec<_>>()
    };
    let first = session(&world);
    assert_eq!(first.len(), 1);
    let mut switches = 0;
    let mut last = first;
    for _ in 0..600 {
        world.run_for(seconds(1))?;
        let now = session(&world);
        switches += usize::from(now != last);
        last = now;
    }
    assert!(switches <= 10, "{switches} switches in ten minutes");
    let counters = world.manager(peer).unwrap().snapshot().counters;
    assert!(counters.duplicate_identity > 0, "somebody is told");
    Ok(())
}

/// Row 37: by address, by name and through a NAT; each is dialled once and never again.
#[test]
fn a_node_dials_itself_once_by_each_name() -> Result<(), Broken> {
    let mut world = PeersWorld::new(8, conditions(0));
    let own = address(3);
    let outside = SocketAddr::from(([203, 0, 113, 7], 30303));
    let name = |name: &str| Host::Name(name.to_owned());
    let hosts =
        [Host::Ip(own.ip()), name("self.example"), Host::Ip(outside.ip()), name("nat.example")];
    let mut node = PeersNode::new(own, 50, Vec::new());
    for host in &hosts {
        let target = DialTarget { id: None, host: host.clone(), port: 30303 };
        node.targets.push((target, NodeKind::Static));
    }
    let node = world.add_node(node);
    world.name("self.example", own.ip());
    world.name("nat.example", outside.ip());
    world.forward(outside, node);
    world.start(node);
    world.run_for(seconds(3600))?;
    // Somebody says it again, a day later as on the first.
    for host in &hosts {
        let target = DialTarget { id: None, host: host.clone(), port: 30303 };
        world.want(node, target, NodeKind::Static);
    }
    world.run_for(seconds(600))?;
    assert_eq!(world.dials(), hosts.len() as u64);
    let report = world.manager(node).unwrap().snapshot();
    assert!(report.peers.iter().all(|peer| peer.state == PeerState::OwnAddress), "{report:?}");
    Ok(())
}

/// Row 39, a few seeds of what `--example eclipse` does with a thousand.
#[test]
fn attackers_do_not_eclipse_a_node_that_restarts() -> Result<(), Broken> {
    for attack in Attack::ALL {
        for seed in 5000..5002 {
            let outcome = eclipse::run(attack, false, seed)?;
            assert!(!outcome.is_eclipsed(), "{attack:?}, seed {seed}: {outcome:?}");
            assert!(outcome.two_honest.is_some(), "{attack:?}, seed {seed}: {outcome:?}");
            // They did come, and were known.
            assert!(outcome.inbound > 0 && outcome.book.0 > 0, "{attack:?}: {outcome:?}");
        }
    }
    Ok(())
}
