//! Routes: after the start, after a cut, after its end; and who is reached over them.
//!
//! The numbers in `docs/src/mesh-simulated.md` are printed by these tests, the long ones included:
//!
//! ```text
//! cargo test -p chainmesh-sim --test it -- mesh_ --nocapture --include-ignored
//! ```

use chainmesh_sim::invariants::Broken;

use super::mesh::*;
use super::*;

/// Until a cut is felt: a session whose peer is silent ends.
const FELT: Duration = chainmesh_proto::session::connection::IDLE_TIMEOUT;
/// Until a link is back after a cut: the longest time between two dials, and its jitter.
const DIALLED: Duration = seconds(125);

/// Start, broadcasts by `senders`, and nothing else.
fn starts(name: &str, topology: &Topology, senders: usize) -> Result<(), Broken> {
    let mut world = mesh_world(1, CLEAR, topology);
    let took = converge(&mut world, topology, seconds(2))?;
    let step = topology.members.div_ceil(senders);
    let copies = broadcast_by_each(&mut world, topology, (0..topology.members).step_by(step), "a")?;
    println!("| {name} | start | {} ms | {copies:.2} |", took.as_millis());
    let all = counters(&world);
    assert_eq!(all.iter().map(|it| it.dropped_ttl).sum::<u64>(), 0);
    assert_eq!(all.iter().map(|it| it.duplicates + it.looped + it.bad_routes).sum::<u64>(), 0);
    Ok(())
}

#[test]
fn a_line_of_nine() -> Result<(), Broken> {
    starts("line of 9", &Topology::line(9), 9)
}

/// Nine links are a way, ten are none: the ends do not know each other, and nothing is sent in
/// vain.
#[test]
fn a_line_of_twelve_ends_after_nine_links() -> Result<(), Broken> {
    let topology = Topology::line(12);
    let distances = topology.distances();
    assert_eq!(distances[0].get(&9), Some(&9));
    assert_eq!(distances[0].get(&10), None);
    starts("line of 12", &topology, 12)
}

#[test]
fn a_ring_of_thirty_reaches_nine_links_each_way() -> Result<(), Broken> {
    let topology = Topology::ring(30);
    assert!(topology.distances().iter().all(|members| members.len() == 18));
    starts("ring of 30", &topology, 30)
}

#[test]
fn a_hundred_members_with_six_links_each_are_cut_in_two_and_whole_again() -> Result<(), Broken> {
    is_cut_and_heals("100 members, 6 links each", &Topology::circles(100, 3, 2), 20)
}

#[test]
fn a_sparse_mesh_is_cut_in_two_and_whole_again() -> Result<(), Broken> {
    is_cut_and_heals("30 members, 4 links each", &Topology::circles(30, 2, 2), 30)
}

/// Start, broadcasts, a cut through the middle, broadcasts, the end of the cut, broadcasts.
fn is_cut_and_heals(name: &str, topology: &Topology, senders: usize) -> Result<(), Broken> {
    let (members, seed) = (topology.members, 2);
    let mut world = mesh_world(seed, CLEAR, topology);
    let step = members.div_ceil(senders);
    let some = || (0..members).step_by(step);
    let took = converge(&mut world, topology, seconds(2))?;
    let copies = broadcast_by_each(&mut world, topology, some(), "before")?;
    println!("| {name} | start | {} ms | {copies:.2} |", took.as_millis());

    let left = |member: usize| member < members / 2;
    let halves: (Vec<_>, Vec<_>) = world.nodes().partition(|node| left(node.0));
    world.partition(&halves.0, &halves.1);
    let cut = topology.without(|a, b| left(a) != left(b));
    let took = converge(&mut world, &cut, FELT + seconds(2))?;
    let copies = broadcast_by_each(&mut world, &cut, some(), "during")?;
    println!("| {name} | cut | {} ms | {copies:.2} |", took.as_millis());

    world.heal();
    let took = converge(&mut world, topology, DIALLED)?;
    let copies = broadcast_by_each(&mut world, topology, some(), "after")?;
    println!("| {name} | healed | {} ms | {copies:.2} |", took.as_millis());
    Ok(())
}

#[test]
fn thirty_members_are_cut_in_two_and_whole_again() -> Result<(), Broken> {
    is_cut_and_heals("30 members, 30 % of links missing", &Topology::dense(30, 30, 7), 30)
}

#[test]
fn a_hundred_members_without_a_third_of_their_links() -> Result<(), Broken> {
    starts("100 members, 30 % of links missing", &Topology::dense(100, 30, 1), 10)
}

/// Minutes without optimisation: 3,465 sessions. The same with thirty members runs always.
#[test]
#[ignore = "takes minutes: see the first lines of this file"]
fn a_hundred_members_are_cut_in_two_and_whole_again() -> Result<(), Broken> {
    is_cut_and_heals("100 members, 30 % of links missing", &Topology::dense(100, 30, 7), 10)
}
