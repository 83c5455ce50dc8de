//! Row 41 of the matrix: half of the peers stall, lie, send giants or forge, and the node comes to the
//! head all the same, nearly as quickly.

use core::time::Duration;
use std::collections::BTreeSet;

use chainmesh_identity::PeerId;
use chainmesh_proto::peers::{Attempt, ClosedBy, NodeKind, Outcome};
use chainmesh_sim::chain::{MemoryChain, blocks};
use chainmesh_sim::invariants::Broken;
use chainmesh_sim::{ChainNode, Conduct};

use super::sync::{MIXED, add, chain};
use super::*;

const BLOCKS: usize = 8_000;
const PEERS: usize = 10;
const SEEDS: u64 = 3;
const BAD: [Conduct; 5] =
    [Conduct::Staller, Conduct::BodyStaller, Conduct::Gap, Conduct::Giant, Conduct::Forger];

/// The honest chain, whose second half is invalid.
fn forged(honest: &MemoryChain) -> MemoryChain {
    let forged = honest.clone();
    let from = honest.canonical_block((BLOCKS / 2) as u64).expect("a block");
    let mut tip = (*from).clone();
    for _ in BLOCKS / 2..=BLOCKS {
        tip = blocks::child(&tip, MIXED, chainmesh_sim::chain::INVALID);
        forged.force(tip.clone());
    }
    forged
}

/// How a node came to the head of its peers.
struct Course {
    took: Duration,
    /// The longest time in which its own head stood still.
    longest_stop: Duration,
    world: World,
}

fn synchronise(
    seed: u64,
    honest: &MemoryChain,
    bad: &[Conduct],
    forged: &MemoryChain,
) -> Result<Course, Broken> {
    let conditions = Conditions { latency: millis(10), jitter: millis(60), loss_per_mille: 0 };
    let mut world = World::new(seed, WorldConfig { conditions, ..CLEAR });
    let empty = add(&mut world, ChainNode::new(MemoryChain::default()));
    let mut last = empty;
    for n in 0..PEERS {
        let conduct = bad.get(n).copied().unwrap_or(Conduct::Honest);
        let own = if conduct == Conduct::Forger { forged } else { honest };
        last = add(&mut world, ChainNode::new(own.clone()).with_conduct(conduct));
        world.want(empty, last, NodeKind::Static);
    }
    let began = world.now();
    let (mut moved, mut longest_stop) = (began, Duration::ZERO);
    let mut head = world.head(empty);
    // The last peer is honest.
    while world.head(empty) != world.head(last) {
        let moves = |world: &World| world.head(empty) != head;
        assert!(world.run_until(seconds(120), moves)?, "{:?}", world.sync_report(empty));
        longest_stop = longest_stop.max(world.now().saturating_since(moved));
        (head, moved) = (world.head(empty), world.now());
    }
    Ok(Course { took: moved.saturating_since(began), longest_stop, world })
}

#[test]
fn half_of_the_peers_stall_lie_or_forge_and_the_node_comes_to_the_head() -> Result<(), Broken> {
    let honest = chain(BLOCKS);
    let forged = forged(&honest);
    let (mut clean, mut besieged, mut stop) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for seed in 0..SEEDS {
        let course = synchronise(seed, &honest, &[], &forged)?;
        assert_eq!(course.world.accusations(), []);
        clean += course.took;
        let mut course = synchronise(seed, &honest, &BAD, &forged)?;
        besieged += course.took;
        stop = stop.max(course.longest_stop);
        // Who never answers is given its time, also when others have answered.
        course.world.run_for(seconds(60))?;
        let manager = course.world.manager(NodeIndex(0)).expect("it runs");
        let cut =
            |attempt: &Attempt| matches!(attempt.outcome, Outcome::Ended { by: ClosedBy::Us, .. });
        let peers = manager.snapshot().peers.into_iter();
        let cut: BTreeSet<PeerId> =
            peers.filter(|peer| peer.history.iter().any(cut)).filter_map(|peer| peer.id).collect();
        // The empty node is number 0, the bad ones follow.
        let bad: BTreeSet<PeerId> =
            (1..=BAD.len()).map(|node| course.world.id(NodeIndex(node))).collect();
        assert_eq!(cut, bad, "seed {seed}");
    }
    println!("clean {clean:?}, besieged {besieged:?}, longest stop {stop:?}");
    assert!(clean >= besieged * 6 / 10, "clean {clean:?}, besieged {besieged:?}");
    assert!(stop < seconds(5), "it stood still for {stop:?}");
    Ok(())
}
