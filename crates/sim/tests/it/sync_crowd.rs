//! Synchronisation among many.

use chainmesh_proto::eth::sync::SyncFault;
use chainmesh_proto::peers::NodeKind;
use chainmesh_sim::chain::{MemoryChain, Shape};
use chainmesh_sim::invariants::Broken;
use chainmesh_sim::{Accusation, ChainNode, Conduct};
use chainmesh_wire::eth::{BlockId, EthVersion};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::sync::{MIXED, add, chain};
use super::*;

const ROUGH: Conditions =
    Conditions { latency: millis(10), jitter: millis(60), loss_per_mille: 10 };

/// Each node dials one that was there before it, and two others at random.
fn acquaint(world: &mut World, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |limit: usize| usize::try_from(rng.next_u64()).unwrap() % limit;
    let nodes: Vec<_> = world.nodes().collect();
    for (n, node) in nodes.iter().enumerate().skip(1) {
        let others = [nodes[below(n)], nodes[below(nodes.len())], nodes[below(nodes.len())]];
        for other in others.into_iter().filter(|other| other != node) {
            world.want(*node, other, NodeKind::Static);
        }
    }
}

/// A world of nodes with these chains, in a random graph.
fn crowd(seed: u64, nodes: impl IntoIterator<Item = ChainNode>) -> World {
    let mut world = World::new(seed, WorldConfig { conditions: ROUGH, ..CLEAR });
    for node in nodes {
        add(&mut world, node);
    }
    acquaint(&mut world, seed);
    world
}

/// One node with `length` blocks, and `others` with none.
fn one_full(seed: u64, length: usize, others: usize) -> World {
    let empty = (0..others).map(|_| ChainNode::new(MemoryChain::default()));
    crowd(seed, core::iter::once(ChainNode::new(chain(length))).chain(empty))
}

fn agree(world: &World) -> bool {
    let head = world.head(NodeIndex(0));
    world.nodes().all(|node| world.head(node) == head)
}

/// Whether nobody was accused of more than silence: who is cut off or dead is silent.
fn only_silence(world: &World) -> bool {
    let silence = |one: &Accusation| matches!(one.fault, SyncFault::Stalled { .. });
    world.accusations().iter().all(silence)
}

/// Makes a block now and then every second.
fn produce(world: &mut World, node: NodeIndex, shape: Shape, count: u32) {
    world.make_block(node, shape);
    if count > 1 {
        world.after(seconds(1), move |world| produce(world, node, shape, count - 1));
    }
}

#[test]
fn a_hundred_nodes_come_to_the_head_of_the_one_that_has_it() -> Result<(), Broken> {
    let mut world = one_full(1, 2000, 99);
    assert!(world.run_until(seconds(120), agree)?, "after {:?}", world.now());
    assert_eq!(world.accusations(), []);
    assert_eq!(world.head(NodeIndex(0)).map(|head| head.number), Some(2000));
    Ok(())
}

#[test]
fn a_third_crashes_in_the_middle_and_comes_back() -> Result<(), Broken> {
    let mut world = one_full(2, 2000, 39);
    let begun = |world: &World| {
        world.nodes().skip(1).filter(|node| world.head(*node).is_some_and(|h| h.number > 0)).count()
            > 13
    };
    assert!(world.run_until(seconds(60), begun)?);
    assert!(!agree(&world));
    for n in (3..40).step_by(3) {
        if n % 2 == 0 { world.kill(NodeIndex(n)) } else { world.power_off(NodeIndex(n)) }
    }
    world.run_for(seconds(20))?;
    for n in (3..40).step_by(3) {
        world.start(NodeIndex(n));
    }
    assert!(world.run_until(seconds(240), agree)?);
    assert!(only_silence(&world), "{:?}", world.accusations());
    Ok(())
}

/// A block a second, and nobody asks for it but by its announcement.
#[test]
fn a_new_block_is_everywhere_within_seconds_and_announced_once_by_each_peer() -> Result<(), Broken>
{
    let mut world = one_full(3, 20, 39);
    assert!(world.run_until(seconds(60), agree)?);
    world.run_for(seconds(10))?;
    let validator = NodeIndex(0);
    let shape = Shape { salt: 9, ..MIXED };
    let mut made: Vec<(BlockId, chainmesh_proto::time::Instant)> = Vec::new();
    for _ in 0..60 {
        made.push((world.make_block(validator, shape).expect("a running node"), world.now()));
        world.run_for(seconds(1))?;
    }
    world.run_for(seconds(5))?;
    assert!(agree(&world));
    assert_eq!(world.head(validator).map(|head| head.number), Some(80));
    for (block, at) in &made {
        for node in world.nodes() {
            let arrived = world.arrival(node, &block.hash).expect("it came");
            let took = arrived.saturating_since(*at);
            assert!(took < seconds(4), "block {} came to {node:?} after {took:?}", block.number);
            // Each peer tells it at most once: there is no storm.
            let told = usize::try_from(world.announcements(node, &block.hash)).unwrap();
            assert!(told <= world.kept(node).count());
            assert!(told >= 1 || node == validator);
        }
    }
    assert_eq!(world.accusations(), []);
    Ok(())
}

/// A quarter of the crowd lies or says nothing, and the honest come to the head all the same.
#[test]
fn liars_among_the_crowd_do_not_stop_it() -> Result<(), Broken> {
    let lies = [
        Conduct::Staller,
        Conduct::BodyStaller,
        Conduct::Gap,
        Conduct::Empty,
        Conduct::WrongBodies,
    ];
    let nodes = (0..40).map(|n| match n {
        0 => ChainNode::new(chain(1500)),
        n if n % 4 == 1 => ChainNode::new(chain(1500)).with_conduct(lies[n / 4 % lies.len()]),
        _ => ChainNode::new(MemoryChain::default()),
    });
    let mut world = crowd(4, nodes);
    assert!(world.run_until(seconds(600), agree)?, "{:?}", world.accusations().len());
    for accusation in world.accusations() {
        let liar = accusation.accused.0 % 4 == 1;
        assert!(liar || matches!(accusation.fault, SyncFault::Stalled { .. }), "{accusation:?}");
    }
    assert!(!world.accusations().is_empty());
    Ok(())
}

/// Two halves, each with a validator, go on by themselves; when they meet again the heavier branch
/// is everybody's.
#[test]
fn a_partition_heals_to_the_heavier_branch() -> Result<(), Broken> {
    let mut world = one_full(5, 50, 19);
    assert!(world.run_until(seconds(60), agree)?);
    let (left, right): (Vec<_>, Vec<_>) = world.nodes().partition(|node| node.0 < 10);
    world.partition(&left, &right);
    let (heavy, light) = (left[0], right[0]);
    produce(&mut world, heavy, Shape { salt: 1, difficulty: 2, ..MIXED }, 100);
    produce(&mut world, light, Shape { salt: 2, difficulty: 1, ..MIXED }, 80);
    world.run_for(seconds(110))?;
    assert!(!agree(&world));
    let numbers = [heavy, light].map(|node| world.head(node).map(|head| head.number));
    assert_eq!(numbers, [Some(150), Some(130)]);
    let best = world.head(heavy);
    world.heal();
    // Those who were cut off from each other dial again when their backoff is over.
    assert!(world.run_until(seconds(240), agree)?);
    assert_eq!(world.head(heavy), best);
    assert!(only_silence(&world), "{:?}", world.accusations());
    Ok(())
}

#[test]
fn the_same_seed_synchronises_by_the_same_decisions() -> Result<(), Broken> {
    let run = |seed| -> Result<(u64, u64), Broken> {
        let mut world = one_full(seed, 600, 19);
        produce(&mut world, NodeIndex(0), MIXED, 20);
        world.run_for(seconds(4))?;
        world.kill(NodeIndex(7));
        world.run_for(seconds(10))?;
        world.start(NodeIndex(7));
        world.run_for(seconds(30))?;
        assert!(agree(&world));
        Ok((world.decision_hash(), world.steps()))
    };
    assert_eq!(run(6)?, run(6)?);
    assert_ne!(run(6)?, run(7)?);
    Ok(())
}

/// Where difficulty decides, the heavier branch may be the shorter one. (eth/69 leaves the total
/// difficulty out of Status: there a peer with a lower number is not asked, and two halves that
/// grow at the same pace stay apart. Such chains are for eth/68.)
#[test]
fn a_partition_heals_to_a_heavier_branch_that_is_shorter() -> Result<(), Broken> {
    let full = || ChainNode::new(chain(50)).with_version(EthVersion::Eth68);
    let mut world = crowd(8, (0..12).map(|_| full()));
    world.run_for(seconds(10))?;
    let (left, right): (Vec<_>, Vec<_>) = world.nodes().partition(|node| node.0 < 6);
    world.partition(&left, &right);
    let (heavy, light) = (left[0], right[0]);
    produce(&mut world, heavy, Shape { salt: 1, difficulty: 2, ..MIXED }, 80);
    produce(&mut world, light, Shape { salt: 2, difficulty: 1, ..MIXED }, 110);
    world.run_for(seconds(112))?;
    let numbers = [heavy, light].map(|node| world.head(node).map(|head| head.number));
    assert_eq!(numbers, [Some(130), Some(160)]);
    let best = world.head(heavy);
    world.heal();
    assert!(world.run_until(seconds(240), agree)?);
    assert_eq!(world.head(heavy), best);
    Ok(())
}
