//! Messages to one and to some, and what members know of each other.

use std::collections::BTreeSet;

use chainmesh_proto::mesh::{MessageId, Outcome, SendFailure, TOPIC_PERIOD};
use chainmesh_sim::invariants::Broken;
use chainmesh_sim::{Application, DeliveredCast, MeshNode};
use chainmesh_wire::mesh::NodeType;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::mesh::*;
use super::*;

const REPLY: Option<Duration> = Some(seconds(5));

/// Pairs of two different members.
fn pairs(members: usize, count: usize, seed: u64) -> Vec<(usize, usize)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |limit: usize| usize::try_from(rng.next_u64()).unwrap() % limit;
    let pair = |_| {
        let from = below(members);
        (from, (from + 1 + below(members - 1)) % members)
    };
    (0..count).map(pair).collect()
}

/// Sends a message for each pair. It comes to the other member once and to nobody else; the sender
/// gets the reply, or is told at once why it cannot be sent.
fn between_pairs(
    world: &mut World,
    links: &Topology,
    pairs: &[(usize, usize)],
    without_way: SendFailure,
    tag: &str,
) -> Result<(usize, usize), Broken> {
    let distances = links.distances();
    let send = |(at, (from, to)): (usize, &(usize, usize))| {
        let payload = format!("{tag} {at}: {from} to {to}");
        let id = world.unicast(NodeIndex(*from), NodeIndex(*to), payload.as_bytes(), REPLY);
        (*from, *to, id.expect("a running member"), payload)
    };
    let sent: Vec<_> = pairs.iter().enumerate().map(send).collect();
    world.run_for(seconds(2))?;
    let (mut replied, mut refused) = (0, 0);
    for (from, to, id, payload) in &sent {
        let there = distances[*from].contains_key(to);
        let result = end(world, *from, *id);
        match there {
            true => {
                let gateway = world.id(NodeIndex(*to));
                let payload = payload.clone().into_bytes().into();
                assert_eq!(result, Ok(Outcome::Replied { gateway, payload }));
                replied += 1;
            }
            false => {
                assert_eq!(result, Err(without_way), "{payload:?}");
                refused += 1;
            }
        }
        for node in world.nodes() {
            let times = usize::from(there && node.0 == *to);
            assert_eq!(world.mesh_record(node).times(payload.as_bytes()), times, "{payload:?}");
        }
    }
    Ok((replied, refused))
}

/// How a message ended.
fn end(world: &World, from: usize, id: MessageId) -> Result<Outcome, SendFailure> {
    let record = world.mesh_record(NodeIndex(from));
    record.end_of(id).expect("it came to an end").result.clone()
}

#[test]
fn random_pairs_exchange_messages_and_replies() -> Result<(), Broken> {
    let topology = Topology::circles(40, 2, 3);
    let mut world = mesh_world(3, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    let pairs = pairs(40, 200, 3);
    let ends = between_pairs(&mut world, &topology, &pairs, SendFailure::UnknownNode, "whole")?;
    assert_eq!(ends, (200, 0));
    let (left, right): (Vec<_>, Vec<_>) = world.nodes().partition(|node| node.0 < 20);
    world.partition(&left, &right);
    let cut = topology.without(|a, b| (a < 20) != (b < 20));
    converge(&mut world, &cut, seconds(47))?;
    // Whoever was known once is not unknown because there is no way.
    let ends = between_pairs(&mut world, &cut, &pairs, SendFailure::NotReachable, "cut")?;
    assert_eq!(ends.0 + ends.1, 200);
    assert!(ends.0 > 50 && ends.1 > 50, "{ends:?}");
    Ok(())
}

/// Nine links away a message arrives and its reply comes back; beyond that nobody is known.
#[test]
fn a_message_crosses_nine_links_and_no_more() -> Result<(), Broken> {
    let topology = Topology::line(12);
    let mut world = mesh_world(4, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    let pairs = [(0, 9), (9, 0), (11, 2), (0, 10), (11, 0)];
    let ends = between_pairs(&mut world, &topology, &pairs, SendFailure::UnknownNode, "far")?;
    assert_eq!(ends, (3, 2));
    assert_eq!(counters(&world).iter().map(|it| it.dropped_ttl).sum::<u64>(), 0);
    Ok(())
}

#[test]
fn an_application_that_says_nothing_is_told_from_a_node_that_is_gone() -> Result<(), Broken> {
    let topology = Topology::line(3);
    let silent = |_| MeshNode { application: Application::Silent, ..MeshNode::default() };
    let mut world = mesh_world_with(5, CLEAR, &topology, silent);
    converge(&mut world, &topology, seconds(2))?;
    let [from, to] = [NodeIndex(0), NodeIndex(2)];
    let told = world.unicast(from, to, b"no reply wanted", None).expect("runs");
    let asked = world.unicast(from, to, b"a reply wanted", REPLY).expect("runs");
    world.run_for(seconds(6))?;
    assert_eq!(end(&world, 0, told), Ok(Outcome::Delivered { gateway: world.id(to) }));
    assert_eq!(end(&world, 0, asked), Err(SendFailure::NoReply));
    Ok(())
}

fn followers(members: usize, every: usize) -> BTreeSet<usize> {
    (0..members).step_by(every).collect()
}

/// Multicasts on a topic by everybody of `senders`: each follower gets each of them once, nobody
/// else gets any.
fn multicast_by_each(
    world: &mut World,
    followers: &BTreeSet<usize>,
    senders: &[usize],
    topic: &str,
    tag: &str,
) -> Result<(), Broken> {
    let mut sent = Vec::new();
    for from in senders {
        let payload = format!("{tag} {from}");
        let id = world.multicast(NodeIndex(*from), topic, payload.as_bytes()).expect("runs");
        sent.push((*from, id, payload));
    }
    world.run_for(seconds(1))?;
    for (from, id, payload) in sent {
        let others = followers.iter().filter(|follower| **follower != from).count();
        let members = u32::try_from(others).unwrap();
        assert_eq!(end(world, from, id), Ok(Outcome::Sent { members, confirmed: 0 }));
        for node in world.nodes() {
            let record = world.mesh_record(node);
            let times = usize::from(followers.contains(&node.0));
            assert_eq!(record.times(payload.as_bytes()), times, "{payload:?} at {node:?}");
        }
    }
    Ok(())
}

#[test]
fn a_multicast_reaches_each_follower_once_and_nobody_else() -> Result<(), Broken> {
    let topology = Topology::circles(40, 2, 6);
    let part = |member: usize| MeshNode {
        topics: if member.is_multiple_of(3) { vec!["blocks".to_owned()] } else { Vec::new() },
        ..MeshNode::default()
    };
    let mut world = mesh_world_with(6, CLEAR, &topology, part);
    converge(&mut world, &topology, seconds(2))?;
    // Who had no way back yet when a list was announced hears of it with the next announcement.
    world.run_for(TOPIC_PERIOD + millis(500))?;
    let senders: Vec<_> = (0..40).step_by(4).collect();
    multicast_by_each(&mut world, &followers(40, 3), &senders, "blocks", "first")?;
    let cast = DeliveredCast::Multicast("blocks".into());
    assert!(world.mesh_record(NodeIndex(3)).deliveries.iter().all(|it| it.cast == cast));

    // Others follow now; lists need no more than a round trip.
    for member in 0..40 {
        let mesh = world.mesh(NodeIndex(member)).expect("runs");
        if member % 3 == 0 {
            mesh.unsubscribe("blocks".to_owned());
        }
        if member % 5 == 0 {
            mesh.subscribe("blocks".to_owned());
        }
    }
    world.run_for(seconds(1))?;
    multicast_by_each(&mut world, &followers(40, 5), &senders, "blocks", "second")?;
    multicast_by_each(&mut world, &BTreeSet::new(), &senders, "nothing", "third")
}

/// Whether everybody knows role and height of everybody else.
fn all_know(world: &World, expected: impl Fn(usize) -> (NodeType, u64)) -> bool {
    let places = places(world);
    world.nodes().all(|node| {
        let report = world.mesh_report(node).expect("a running member");
        report.members.len() == places.len() - 1
            && report.members.iter().all(|member| {
                let (role, height) = expected(places[&member.name]);
                (member.role, member.height) == (Some(role), Some(height))
            })
    })
}

fn role(member: usize) -> NodeType {
    if member.is_multiple_of(4) { NodeType::OBSERVER } else { NodeType::CONSENSUS }
}

/// Statuses are announced once a second, so that all know a change a second and the ways there and
/// back later.
#[test]
fn role_and_height_of_all_are_known_to_all_within_two_seconds() -> Result<(), Broken> {
    let topology = Topology::circles(40, 2, 7);
    let mut world = mesh_world(7, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    for height in [5, 6, 70] {
        for member in world.nodes() {
            let mesh = world.mesh(member).expect("a running member");
            mesh.set_local(role(member.0), height + member.0 as u64);
        }
        let began = world.now();
        while !all_know(&world, |member| (role(member), height + member as u64)) {
            assert!(world.now().saturating_since(began) <= seconds(2));
            world.run_for(millis(100))?;
        }
        println!("height {height} is known by all after {:?}", world.now().saturating_since(began));
    }
    Ok(())
}
