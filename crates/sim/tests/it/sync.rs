//! Synchronisation: two nodes, and what each of them must not do.

use chainmesh_proto::eth::chain::{ChainReader, ChainWriter, SyncBlock};
use chainmesh_proto::eth::sync::SyncState;
use chainmesh_proto::peers::NodeKind;
use chainmesh_sim::chain::{ChainDefect, MemoryChain, Shape, blocks};
use chainmesh_sim::invariants::{Broken, Violation};
use chainmesh_sim::{ChainNode, Conduct};
use chainmesh_wire::eth::EthVersion;

use super::*;

/// Some of the blocks have a transaction.
pub(crate) const MIXED: Shape = Shape { salt: 0, difficulty: 2, transaction_every: 5 };

pub(crate) fn chain(length: usize) -> MemoryChain {
    let blocks = blocks::branch(&blocks::genesis(), length, MIXED);
    MemoryChain::with(&blocks).expect("a valid chain")
}

pub(crate) fn add(world: &mut World, chain: ChainNode) -> NodeIndex {
    world.add_node(NodeConfig { chain: Some(chain), ..NodeConfig::default() })
}

/// A full node and an empty one that dials it.
fn full_and_empty(world: &mut World, length: usize, version: EthVersion) -> [NodeIndex; 2] {
    let nodes = [chain(length), MemoryChain::default()]
        .map(|chain| add(world, ChainNode::new(chain).with_version(version)));
    world.want(nodes[1], nodes[0], NodeKind::Static);
    nodes
}

#[test]
fn two_nodes_come_to_one_head_in_every_version() -> Result<(), Broken> {
    for version in EthVersion::ALL {
        for length in [1, 2, 511, 512, 513, 1100] {
            let mut world = World::new(length as u64, CLEAR);
            let [full, empty] = full_and_empty(&mut world, length, version);
            let synced = |world: &World| world.head(empty) == world.head(full);
            assert!(world.run_until(seconds(30), synced)?, "{version}, {length} blocks");
            world.run_for(seconds(1))?;
            let report = world.sync_report(empty).expect("a running node");
            assert_eq!(report.state, SyncState::Following);
            assert_eq!(report.pending_bytes, 0);
            assert_eq!(report.imported, length as u64);
            assert_eq!(world.accusations(), []);
        }
    }
    Ok(())
}

#[test]
fn a_node_that_crashes_in_the_middle_goes_on_where_it_was() -> Result<(), Broken> {
    let mut world = World::new(1, CLEAR);
    let [full, empty] = full_and_empty(&mut world, 2000, EthVersion::Eth68);
    let half = |world: &World| world.head(empty).is_some_and(|head| head.number >= 700);
    assert!(world.run_until(seconds(30), half)?);
    world.power_off(empty);
    world.run_for(seconds(60))?;
    let kept = world.head(empty).expect("a chain").number;
    assert!((700..2000).contains(&kept));
    world.start(empty);
    let synced = |world: &World| world.head(empty) == world.head(full);
    assert!(world.run_until(seconds(100), synced)?);
    // What it had it has not fetched again.
    let report = world.sync_report(empty).expect("a running node");
    assert_eq!(report.imported, 2000 - kept);
    Ok(())
}

#[test]
fn a_lonely_branch_gives_way_to_a_heavier_one() -> Result<(), Broken> {
    let common = blocks::branch(&blocks::genesis(), 300, MIXED);
    let tip = common.last().expect("a block");
    let grown = |count, salt, difficulty| {
        let shape = Shape { salt, difficulty, ..MIXED };
        let chain = MemoryChain::with(&common).expect("a valid chain");
        let blocks = blocks::branch(tip, count, shape);
        chain.import(&blocks).expect("valid blocks");
        chain
    };
    // Shorter and heavier wins where the Status says the total difficulty.
    let mut world = World::new(1, CLEAR);
    let [heavy, long] = [grown(200, 1, 5), grown(250, 2, 2)]
        .map(|chain| add(&mut world, ChainNode::new(chain).with_version(EthVersion::Eth68)));
    let before = world.head(heavy);
    world.want(long, heavy, NodeKind::Static);
    let synced = |world: &World| world.head(long) == world.head(heavy);
    assert!(world.run_until(seconds(30), synced)?);
    assert_eq!(world.head(heavy), before);
    assert_eq!(world.accusations(), []);
    Ok(())
}

/// Each kind of liar beside one honest node: the liar is found out, the honest one is not, and
/// nothing of a lie is kept (see the invariants).
#[test]
fn a_liar_is_found_out_and_an_honest_node_is_enough() -> Result<(), Broken> {
    let conducts = [
        Conduct::Staller,
        Conduct::BodyStaller,
        Conduct::Gap,
        Conduct::Empty,
        Conduct::WrongBodies,
    ];
    for (seed, conduct) in conducts.into_iter().enumerate() {
        let mut world = World::new(seed as u64, CLEAR);
        let liar = add(&mut world, ChainNode::new(chain(1500)).with_conduct(conduct));
        let honest = add(&mut world, ChainNode::new(chain(1500)));
        let empty = add(&mut world, ChainNode::new(MemoryChain::default()));
        world.want(empty, liar, NodeKind::Static);
        world.want(empty, honest, NodeKind::Static);
        let synced = |world: &World| world.head(empty) == world.head(honest);
        assert!(world.run_until(seconds(120), synced)?, "{conduct:?}");
        // Who never answers is given its time, also when others have answered.
        world.run_for(seconds(60))?;
        let accused =
            |node| world.accusations().iter().any(|accusation| accusation.accused == node);
        // Empty answers are counted, and three in a row are a fault: here the others were quicker.
        let report = world.sync_report(empty).expect("a running node");
        let counted = report.peers.iter().any(|one| one.peer == world.id(liar) && one.strikes > 0);
        assert!(accused(liar) || counted, "{conduct:?}: {:?}", world.accusations());
        assert_eq!(counted, conduct == Conduct::Empty);
        assert!(!accused(honest), "{conduct:?}: {:?}", world.accusations());
    }
    Ok(())
}

/// A chain that claims more than all others and breaks the rules at block 900: the valid part of it
/// is as good as any, the rest is refused, and the honest chain is taken in the end.
#[test]
fn a_forged_chain_is_refused_where_it_becomes_invalid() -> Result<(), Broken> {
    let forged = chain(900);
    let mut tip = (*forged.block(&forged.head().hash).expect("its head")).clone();
    for _ in 0..300 {
        let shape = Shape { difficulty: 1000, ..MIXED };
        tip = blocks::child(&tip, shape, chainmesh_sim::chain::INVALID);
        forged.force(tip.clone());
    }
    for version in [EthVersion::Eth68, EthVersion::Eth69] {
        let mut world = World::new(3, CLEAR);
        let forger = ChainNode::new(forged.clone()).with_conduct(Conduct::Forger);
        let forger = add(&mut world, forger.with_version(version));
        let honest = add(&mut world, ChainNode::new(chain(1000)).with_version(version));
        let empty = add(&mut world, ChainNode::new(MemoryChain::default()).with_version(version));
        world.want(empty, forger, NodeKind::Static);
        world.want(empty, honest, NodeKind::Static);
        let synced = |world: &World| world.head(empty) == world.head(honest);
        assert!(
            world.run_until(seconds(120), synced)?,
            "{version}: {:?}",
            world.sync_report(empty)
        );
        let accused: Vec<_> = world.accusations().iter().map(|one| one.accused).collect();
        assert!(accused.contains(&forger), "{version}");
        assert!(!accused.contains(&honest), "{version}");
    }
    Ok(())
}

/// The judge of the other tests: it sees a chain that is not one, and a head that went back.
#[test]
fn a_broken_chain_and_a_head_that_sinks_are_seen() {
    let invalid = chain(10);
    let tip = (*invalid.block(&invalid.head().hash).expect("its head")).clone();
    invalid.force(blocks::child(&tip, MIXED, chainmesh_sim::chain::INVALID));
    let orphan = chain(10);
    orphan.force(blocks::child(&blocks::child(&tip, MIXED, b"a"), MIXED, b"b"));
    let stranger = chain(10);
    let elsewhere = blocks::branch(&blocks::genesis(), 11, Shape { salt: 7, ..MIXED });
    stranger.force(elsewhere[10].clone());
    let body = chain(10);
    let next = blocks::child(&tip, MIXED, b"z");
    body.force(SyncBlock { body_rlp: tip.body_rlp, ..next });
    for (chain, number, expected) in [
        (invalid, 11, ChainDefect::Invalid),
        (orphan, 12, ChainDefect::Missing),
        (stranger, 11, ChainDefect::WrongParent),
        (body, 11, ChainDefect::WrongBody),
    ] {
        let mut world = World::new(1, CLEAR);
        let node = add(&mut world, ChainNode::new(chain));
        // The rules are checked when something happens.
        world.after(seconds(1), |_| {});
        let broken = world.run_for(seconds(2));
        let violation = Violation::BrokenChain { node, number, defect: expected };
        assert_eq!(broken.map_err(|broken| broken.violation), Err(violation));
    }

    let mut world = World::new(1, CLEAR);
    let node = add(&mut world, ChainNode::new(chain(10)));
    let genesis = blocks::genesis();
    world.chain(node).expect("a chain").force(blocks::child(&genesis, MIXED, b"w"));
    world.after(seconds(1), move |world| {
        world.make_block(node, MIXED);
    });
    let broken = world.run_for(seconds(2)).map_err(|broken| broken.violation);
    assert!(matches!(broken, Err(Violation::HeadSank { .. })), "{broken:?}");
}
