//! What a member holds, whatever happens around it; and the mesh over encrypted sessions.

use chainmesh_proto::mesh::{FORGET_AFTER, MeshReport, ROUTER_PERIOD};
use chainmesh_proto::session::SessionKind;
use chainmesh_sim::MeshNode;
use chainmesh_sim::invariants::Broken;

use super::mesh::*;
use super::*;

fn report(world: &World, member: usize) -> MeshReport {
    world.mesh_report(NodeIndex(member)).expect("a running member")
}

/// Each of a hundred members holds one entry for each other, one for each session, and nothing of
/// the messages that came to their end.
#[test]
fn a_member_of_a_hundred_holds_one_entry_for_each_other() -> Result<(), Broken> {
    let topology = Topology::circles(100, 2, 5);
    let mut world = mesh_world(5, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    broadcast_by_each(&mut world, &topology, (0..100).step_by(10), "a")?;
    for member in 0..100 {
        let report = report(&world, member);
        let links = topology.links.iter().filter(|(a, b)| [*a, *b].contains(&member)).count();
        assert_eq!(report.members.len(), 99);
        assert_eq!(report.sessions.len(), links);
        assert_eq!(report.pending, 0, "no message waits for anything");
        assert!(report.members.iter().all(|it| it.front_nodes == 1 && it.topics.is_empty()));
        // Links are its own, its neighbours', and those one step on: never more than there are.
        assert!(report.links.len() <= topology.links.len());
    }
    Ok(())
}

/// More members than are allowed for: each holds as many as it may and its neighbours, and the
/// others are not harmed.
#[test]
fn a_table_that_is_full_takes_no_more_members() -> Result<(), Broken> {
    let topology = Topology::circles(30, 2, 6);
    let part = |member: usize| MeshNode {
        configure: (member == 7).then_some(|config| config.max_members = 12),
        ..MeshNode::default()
    };
    let mut world = mesh_world_with(6, CLEAR, &topology, part);
    for _ in 0..50 {
        world.run_for(millis(100))?;
        assert!(report(&world, 7).members.len() <= 12);
    }
    assert_eq!(report(&world, 7).members.len(), 12);
    for member in (0..30).filter(|member| *member != 7) {
        assert_eq!(report(&world, member).members.len(), 29, "member {member}");
    }
    Ok(())
}

/// Who has been gone for ten minutes is forgotten by everybody, and welcome when it comes back.
#[test]
fn a_member_that_left_is_forgotten() -> Result<(), Broken> {
    let topology = Topology::ring(5);
    let mut world = mesh_world(7, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    world.kill(NodeIndex(4));
    let knows = |world: &World| (0..4).filter(|at| report(world, *at).members.len() == 4).count();
    let left = topology.without_member(4);
    let took = converge(&mut world, &left, seconds(10))?;
    println!("a member that left a ring of 5 is given up by all after {took:?}");
    assert_eq!(knows(&world), 4);
    world.run_for(FORGET_AFTER.saturating_sub(seconds(20)))?;
    assert_eq!(knows(&world), 4, "not before its time");
    world.run_for(seconds(20) + ROUTER_PERIOD * 2)?;
    assert_eq!(knows(&world), 0);
    world.start(NodeIndex(4));
    converge(&mut world, &topology, seconds(125))?;
    broadcast_by_each(&mut world, &topology, 0..5, "again")?;
    Ok(())
}

/// The same mesh over RLPx: its machine does not see the difference.
#[test]
fn a_mesh_over_encrypted_sessions() -> Result<(), Broken> {
    let topology = Topology::circles(10, 2, 8);
    let config = WorldConfig { session: SessionKind::Rlpx, ..CLEAR };
    let mut world = mesh_world(8, config, &topology);
    let took = converge(&mut world, &topology, seconds(2))?;
    println!("10 members over RLPx: {took:?}");
    broadcast_by_each(&mut world, &topology, 0..10, "sealed")?;
    Ok(())
}
