//! Members and links that fail while messages are under way.

use chainmesh_proto::mesh::{
    ACK_TIMEOUT, MessageId, Outcome, ROUTER_HOLD, ROUTER_SPACING, SendFailure,
};
use chainmesh_proto::peers::Input;
use chainmesh_sim::invariants::Broken;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::mesh::*;
use super::*;

const IDLE: Duration = chainmesh_proto::session::connection::IDLE_TIMEOUT;
/// Until a link is back: the longest time between two dials, and its jitter.
const DIALLED: Duration = seconds(125);
const REPLY: Option<Duration> = Some(seconds(5));

/// Two ends, and two relays between them.
fn two_relays() -> Topology {
    Topology::new(4, [(0, 1), (1, 3), (0, 2), (2, 3)])
}

/// The neighbour of 0 on the way to 3.
fn relay(world: &World) -> Option<usize> {
    ways(world, &places(world), 0).get(&3).map(|(_, next)| *next)
}

/// A message from 0 to 3 every 50 ms.
fn send_on(world: &mut World, left: usize) {
    if let Some(next) = left.checked_sub(1) {
        let payload = format!("message {left}");
        let _ = world.unicast(NodeIndex(0), NodeIndex(3), payload.as_bytes(), REPLY);
        world.after(millis(50), move |world| send_on(world, next));
    }
}

/// How the messages of a member ended, in the order in which they ended.
fn ends(world: &World, member: usize) -> Vec<(Duration, Result<Outcome, SendFailure>)> {
    let began = chainmesh_proto::time::Instant::from_micros(0);
    let settled = world.mesh_record(NodeIndex(member)).settled.values();
    let mut ends: Vec<_> =
        settled.map(|(at, end)| (at.saturating_since(began), end.result.clone())).collect();
    ends.sort_by_key(|(at, _)| *at);
    ends
}

/// Nothing came twice.
fn assert_once(world: &World) {
    for node in world.nodes() {
        let record = world.mesh_record(node);
        for delivered in &record.deliveries {
            assert_eq!(record.times(&delivered.payload), 1, "{delivered:?} at {node:?}");
        }
    }
}

/// The relay's process dies and its host says so: every message that was on its way over it takes
/// the other one.
#[test]
fn a_relay_is_killed_under_way_and_every_message_arrives_once() -> Result<(), Broken> {
    for seed in 0..10 {
        let mut world = mesh_world(seed, CLEAR, &two_relays());
        converge(&mut world, &two_relays(), seconds(2))?;
        send_on(&mut world, 200);
        world.run_for(millis(3000 + 7 * seed))?;
        let dying = relay(&world).expect("a way");
        world.kill(NodeIndex(dying));
        let other = 3 - dying;
        let began = world.now();
        assert!(world.run_until(seconds(1), move |world| relay(world) == Some(other))?);
        let took = world.now().saturating_since(began);
        assert!(took < millis(60), "the reset is one path away, not {took:?}");
        world.run_for(seconds(15))?;
        let ends = ends(&world, 0);
        assert_eq!(ends.len(), 200);
        assert!(ends.iter().all(|(_, end)| matches!(end, Ok(Outcome::Replied { .. }))), "{seed}");
        assert_eq!(world.mesh_record(NodeIndex(3)).deliveries.len(), 200);
        assert_once(&world);
    }
    Ok(())
}

/// The relay's host loses its power: nobody says so, and its neighbours hear it from its silence.
/// Until then what went over it is lost, and its sender is told; from then on the other relay has it
/// all.
#[test]
fn a_relay_falls_silent_and_the_other_takes_over_within_the_idle_timeout() -> Result<(), Broken> {
    let mut world = mesh_world(1, CLEAR, &two_relays());
    converge(&mut world, &two_relays(), seconds(2))?;
    send_on(&mut world, 1200);
    world.run_for(seconds(3))?;
    let dying = relay(&world).expect("a way");
    world.power_off(NodeIndex(dying));
    let (began, other) = (world.now(), 3 - dying);
    let over = move |world: &World| {
        let back = ways(world, &places(world), 3).get(&0).map(|(_, next)| *next);
        relay(world) == Some(other) && back == Some(other)
    };
    assert!(world.run_until(IDLE + seconds(1), over)?);
    let taken = world.now();
    println!("a silent relay is passed by after {:?}", taken.saturating_since(began));
    world.run_for(seconds(40))?;
    let ends = ends(&world, 0);
    assert_eq!(ends.len(), 1200, "each message has an end");
    let lost: Vec<_> = ends.iter().filter(|(_, end)| end.is_err()).collect();
    let reasons = [Err(SendFailure::TimedOut), Err(SendFailure::NoReply)];
    assert!(lost.iter().all(|(_, end)| reasons.contains(end)));
    // Whoever waited for less than the time of an acknowledgement when the way changed is served.
    let last = lost.iter().map(|(at, _)| *at).max().expect("some were lost");
    let began = chainmesh_proto::time::Instant::from_micros(0);
    assert!(last <= taken.saturating_since(began) + REPLY.unwrap(), "{last:?}");
    let fewest = (IDLE - ACK_TIMEOUT).as_millis() / 50 - 40;
    println!("{} of 1200 messages were lost in the silence", lost.len());
    assert!(lost.len() as u128 >= fewest, "it was silent for long: {}", lost.len());
    assert_once(&world);
    Ok(())
}

/// Whether everybody else knows this height and these topics of a member.
fn known(world: &World, member: usize, height: u64, topics: &[&str]) -> bool {
    let name = world.id(NodeIndex(member));
    world.nodes().filter(|node| node.0 != member).all(|node| {
        let report = world.mesh_report(node).expect("a running member");
        let seen = report.members.iter().find(|it| it.name == name);
        seen.is_some_and(|it| it.height == Some(height) && it.topics == topics)
    })
}

/// A member comes back with all its numbers at 1, sooner or later, said or silent: everybody takes
/// what it tells now in place of what it told with greater numbers, and its messages are new.
#[test]
fn a_member_that_restarts_is_believed_with_smaller_numbers() -> Result<(), Broken> {
    for (seed, pause, said) in [
        (1, millis(0), true),
        (2, millis(30), true),
        (3, millis(100), true),
        (4, seconds(5), true),
        (5, millis(100), false),
        (6, seconds(60), false),
    ] {
        let topology = Topology::circles(12, 2, seed);
        let mut world = mesh_world(seed, CLEAR, &topology);
        converge(&mut world, &topology, seconds(2))?;
        let member = NodeIndex(5);
        let role = chainmesh_wire::mesh::NodeType::CONSENSUS;
        for height in 1..=20 {
            world.mesh(member).expect("runs").set_local(role, height);
        }
        for topic in ["a", "b", "c"] {
            world.mesh(member).expect("runs").subscribe(topic.to_owned());
        }
        world.run_for(seconds(4))?;
        assert!(known(&world, 5, 20, &["a", "b", "c"]));
        let first = world.broadcast(member, b"before").expect("runs");
        world.run_for(seconds(1))?;
        if said {
            world.kill(member);
        } else {
            world.power_off(member);
        }
        world.run_for(pause)?;
        world.start(member);
        world.mesh(member).expect("runs").set_local(role, 3);
        world.mesh(member).expect("runs").subscribe("d".to_owned());
        // When those whom nothing was said find out, and dial again.
        let limit = if said { seconds(20) } else { IDLE + seconds(20) };
        converge(&mut world, &topology, limit)?;
        world.run_for(seconds(3))?;
        assert!(known(&world, 5, 3, &["d"]), "seed {seed}, {pause:?}");
        let again = world.broadcast(member, b"after").expect("runs");
        world.run_for(seconds(1))?;
        for (id, payload) in [(first, "before"), (again, "after")] {
            let sent = Outcome::Sent { members: 11, confirmed: 11 };
            assert_eq!(
                world.mesh_record(member).end_of(id).map(|it| it.result.clone()),
                Some(Ok(sent))
            );
            for node in world.nodes().filter(|node| *node != member) {
                assert_eq!(
                    world.mesh_record(node).times(payload.as_bytes()),
                    1,
                    "{payload} {node:?}"
                );
            }
        }
    }
    Ok(())
}

/// The sessions between all pairs but those of the members that `except` names, by names that change
/// when a session is made anew.
fn sessions(world: &World, topology: &Topology, except: &[usize]) -> Vec<Option<u64>> {
    let links = topology.links.iter();
    let others = links.filter(|(a, b)| !except.contains(a) && !except.contains(b));
    others.map(|(a, b)| world.shared_name(NodeIndex(*a), NodeIndex(*b))).collect()
}

/// A third of the members dies and comes back, in any order: no session of the others ends, and the
/// others reach each other all the time.
#[test]
fn crashes_and_returns_do_not_touch_the_sessions_of_others() -> Result<(), Broken> {
    for seed in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |limit: usize| usize::try_from(rng.next_u64()).unwrap() % limit;
        let topology = Topology::dense(18, 30, seed);
        let mut world = mesh_world(seed, CLEAR, &topology);
        converge(&mut world, &topology, seconds(2))?;
        let shaken: Vec<_> = (0..6).map(|at| at * 3).collect();
        let before = sessions(&world, &topology, &shaken);
        assert!(before.iter().all(Option::is_some));
        for _ in 0..40 {
            let member = NodeIndex(shaken[below(6)]);
            match below(4) {
                0 => world.kill(member),
                1 => world.power_off(member),
                _ => world.start(member),
            }
            let pause = u64::try_from(below(1500)).unwrap();
            world.run_for(millis(pause))?;
            assert_eq!(sessions(&world, &topology, &shaken), before, "seed {seed}");
        }
        shaken.iter().for_each(|member| world.start(NodeIndex(*member)));
        converge(&mut world, &topology, DIALLED)?;
        assert_eq!(sessions(&world, &topology, &shaken), before, "seed {seed}");
        world.run_for(seconds(3))?;
        broadcast_by_each(&mut world, &topology, 0..18, "whole")?;
        assert_once(&world);
    }
    Ok(())
}

/// A link comes and goes. The ends of a ring have another way, which is used meanwhile; nothing runs
/// in circles, and nothing comes twice.
#[test]
fn a_link_that_flaps_is_passed_by() -> Result<(), Broken> {
    let topology = Topology::ring(8);
    let mut world = mesh_world(9, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    world.run_for(seconds(2))?;
    let (a, b) = (NodeIndex(0), NodeIndex(1));
    let without = topology.without(|x, y| (x, y) == (0, 1));
    let mut ids: Vec<MessageId> = Vec::new();
    for flap in 0..6 {
        assert!(world.connected(a, b), "flap {flap}");
        // The configured link is dialled again after its backoff.
        let reason = chainmesh_wire::devp2p::DisconnectReason::Requested;
        let id = world.id(b);
        world.tell(a, Input::Disconnect { id, reason });
        let took = converge(&mut world, &without, seconds(2))?;
        println!("flap {flap}: passed by after {took:?}");
        ids.extend(world.unicast(a, b, format!("down {flap}").as_bytes(), REPLY));
        world.run_for(seconds(1))?;
        let took = converge(&mut world, &topology, DIALLED)?;
        println!("flap {flap}: taken again after {took:?}");
        ids.extend(world.unicast(a, b, format!("up {flap}").as_bytes(), REPLY));
        world.run_for(seconds(1))?;
    }
    for id in &ids {
        let end = world.mesh_record(a).end_of(*id).map(|end| end.result.clone());
        assert!(matches!(end, Some(Ok(Outcome::Replied { .. }))), "{end:?}");
    }
    assert_eq!(world.mesh_record(b).deliveries.len(), 12);
    assert_once(&world);
    Ok(())
}

#[test]
fn the_same_seed_makes_the_same_mesh_and_another_seed_another() -> Result<(), Broken> {
    let run = |seed| -> Result<(u64, u64), Broken> {
        let topology = Topology::circles(20, 2, 1);
        let mut world = mesh_world(seed, CLEAR, &topology);
        world.run_for(seconds(1))?;
        let _ = world.broadcast(NodeIndex(3), b"one");
        let _ = world.unicast(NodeIndex(4), NodeIndex(15), b"two", REPLY);
        world.kill(NodeIndex(7));
        world.run_for(seconds(5))?;
        world.start(NodeIndex(7));
        let _ = world.broadcast(NodeIndex(15), b"three");
        world.run_for(seconds(5))?;
        Ok((world.decision_hash(), world.steps()))
    };
    assert_eq!(run(6)?, run(6)?);
    assert_ne!(run(6)?, run(7)?);
    Ok(())
}

/// A broadcast of 0 every 50 ms.
fn broadcast_on(world: &mut World, left: usize) {
    if let Some(next) = left.checked_sub(1) {
        let _ = world.broadcast(NodeIndex(0), format!("broadcast {left}").as_bytes());
        world.after(millis(50), move |world| broadcast_on(world, next));
    }
}

/// Three relays die with this time between them, while broadcasts are under way. Whoever had a way
/// when a broadcast began gets it, once, and confirms it; only the dead do not. Says how many of the
/// broadcasts began without a way to somebody who lives on.
fn relays_die(seed: u64, between: Duration, broadcasts: usize) -> Result<usize, Broken> {
    let topology = Topology::circles(20, 2, seed);
    let mut world = mesh_world(seed, CLEAR, &topology);
    converge(&mut world, &topology, seconds(2))?;
    world.run_for(seconds(7))?;
    broadcast_on(&mut world, broadcasts);
    let mut left = topology.clone();
    for dying in [5, 9, 14] {
        world.run_for(between)?;
        world.kill(NodeIndex(dying));
        left = left.without_member(dying);
    }
    world.run_for(between + seconds(15))?;
    let alive = left.distances()[0].len();
    assert_eq!(alive, 16, "nobody is cut off by these deaths");
    let (mut without_way, mut confirmed) = (0, 0);
    let settled = &world.mesh_record(NodeIndex(0)).settled;
    assert_eq!(settled.len(), broadcasts);
    for (_, end) in settled.values() {
        let Ok(Outcome::Sent { members, confirmed: by }) = end.result else { panic!("{end:?}") };
        assert!(by <= members && members <= by + 3, "only the dead are silent: {end:?}");
        without_way += usize::from(usize::try_from(by).unwrap() < alive);
        confirmed += usize::try_from(by).unwrap();
    }
    assert_once(&world);
    let came: usize = world.nodes().map(|node| world.mesh_record(node).deliveries.len()).sum();
    // A dead member may have taken confirmations with it, those of a path's time each.
    assert!((confirmed..=confirmed + 3).contains(&came), "{confirmed} confirmed, {came} came");
    Ok(without_way)
}

#[test]
fn relays_die_under_broadcasts_and_each_arrives_once() -> Result<(), Broken> {
    for seed in 0..3 {
        assert_eq!(relays_die(seed, seconds(7), 500)?, 0, "seed {seed}");
    }
    Ok(())
}

/// A way that grows twice in a row is not used for [`ROUTER_HOLD`]: a broadcast that begins just then
/// does not go to the member at its end, and none that begins later misses it.
#[test]
fn relays_die_in_a_row_and_ways_are_held_back_for_their_time_only() -> Result<(), Broken> {
    let most = (ROUTER_HOLD + ROUTER_SPACING * 2).as_millis().div_ceil(50);
    for seed in 0..4 {
        let without_way = relays_die(seed, millis(713), 60)?;
        println!("{without_way} of 60 broadcasts began without a way to somebody");
        assert!(without_way as u128 <= 2 * most, "the last two deaths hold a way back at most");
    }
    Ok(())
}
