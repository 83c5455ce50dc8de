//! Discovery among a thousand nodes, and against those who want to be all that others see.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;

use chainmesh_identity::PeerId;
use chainmesh_proto::discovery::{
    BUCKET_SIZE, BUCKETS, MAX_BONDS, MAX_BONDS_PER_PREFIX, MAX_PER_PREFIX, MAX_REQUESTS,
    REPLACEMENTS, Sizes,
};
use chainmesh_sim::{DiscoveryNode, DiscoveryWorld, Hostile, LookupResult};

use super::*;

/// Where the nth honest node is: two of them share each /24.
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
fn world(seed: u64, nodes: usize, loss_per_mille: u16) -> DiscoveryWorld {
    let mut world = DiscoveryWorld::new(seed, conditions(loss_per_mille));
    let mut boot = DiscoveryNode::new(address(0), Vec::new());
    boot.max_inbound_per_bucket = Some(BUCKET_SIZE);
    let boot = world.add_node(boot);
    let known = vec![world.contact(boot)];
    for n in 1..nodes {
        world.add_node(DiscoveryNode::new(address(n), known.clone()));
    }
    world
}

fn least_found(world: &DiscoveryWorld) -> usize {
    world.nodes().map(|node| world.found(node).len()).min().unwrap()
}

fn target(n: u64) -> PeerId {
    let mut id = [0x77; 64];
    id[..8].copy_from_slice(&n.to_be_bytes());
    PeerId::from(id)
}

/// What came of so many lookups, of as many nodes, all under way at once.
fn lookups(world: &mut DiscoveryWorld, count: usize) -> Vec<(PeerId, LookupResult)> {
    let nodes: Vec<NodeIndex> = world.nodes().collect();
    let begin = |n: usize| {
        let (node, target) = (nodes[n * nodes.len() / count], target(u64::try_from(n).unwrap()));
        (node, target, world.lookup(node, target).expect("the node runs"))
    };
    let begun: Vec<_> = (0..count).map(begin).collect();
    let over = |world: &DiscoveryWorld| {
        begun.iter().all(|(node, _, lookup)| world.result(*node, *lookup).is_some())
    };
    assert!(world.run_until(seconds(60), over), "a lookup does not end");
    let result = |node, lookup| world.result(node, lookup).expect("it is over").clone();
    begun.iter().map(|(node, target, lookup)| (*target, result(*node, *lookup))).collect()
}

/// The nodes of the world closest to a target.
fn closest(world: &DiscoveryWorld, target: PeerId) -> Vec<PeerId> {
    let mut ids: Vec<PeerId> = world.nodes().map(|node| world.contact(node).id).collect();
    ids.sort_by_cached_key(|id| id.node_hash() ^ target.node_hash());
    ids.truncate(BUCKET_SIZE);
    ids
}

fn percentile(mut values: Vec<u32>, percent: usize) -> u32 {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100) - 1]
}

/// Row 49 of the matrix.
#[test]
fn a_thousand_nodes_find_each_other_from_one_boot_node_over_lossy_links() {
    let mut world = world(1, 1000, 50);
    let enough = |world: &DiscoveryWorld| least_found(world) >= BUCKET_SIZE;
    assert!(world.run_until(seconds(120), enough), "{}", least_found(&world));
    let results = lookups(&mut world, 100);
    let hops: Vec<u32> = results.iter().map(|(_, result)| result.hops).collect();
    let p99 = percentile(hops, 99);
    // log2(1000) + 3
    assert!(p99 <= 13, "{p99} hops");
    assert!(results.iter().all(|(_, result)| result.nodes.len() >= BUCKET_SIZE / 2));
    println!("{:?} virtual, {} datagrams, p99 {p99} hops", world.elapsed(), world.datagrams());
}

/// A minute after all of them started at once, with one datagram of twenty lost. (While those who came
/// before the first look around was over got no place after it, a thousand nodes found 66 % so.)
#[test]
fn lookups_find_those_that_are_closest() {
    let mut world = world(6, 200, 50);
    world.run_for(seconds(60));
    let results = lookups(&mut world, 100);
    let found = results.iter().map(|(target, result)| {
        let expected: BTreeSet<PeerId> = closest(&world, *target).into_iter().collect();
        result.nodes.iter().filter(|contact| expected.contains(&contact.id)).count()
    });
    let (right, wanted) = (found.sum::<usize>(), results.len() * BUCKET_SIZE);
    assert!(right * 100 >= wanted * 95, "{right} of {wanted}");
}

#[test]
fn the_same_seed_makes_the_same_decisions_and_another_seed_others() {
    let run = |seed| {
        let mut world = world(seed, 60, 100);
        world.run_for(seconds(15));
        world.kill(NodeIndex(7));
        world.run_for(seconds(10));
        world.start(NodeIndex(7));
        world.run_for(seconds(10));
        (world.decision_hash(), world.datagrams())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// Row 11: a fifth of all datagrams lost.
#[test]
fn a_hundred_nodes_find_each_other_though_a_fifth_is_lost() {
    let mut world = world(2, 100, 200);
    let enough = |world: &DiscoveryWorld| least_found(world) >= 60;
    assert!(world.run_until(seconds(120), enough), "{}", least_found(&world));
}

#[test]
fn records_are_fetched_and_a_node_that_comes_back_is_found_again() {
    let mut world = DiscoveryWorld::new(5, conditions(20));
    let mut boot = DiscoveryNode::new(address(0), Vec::new());
    boot.fetch_records = true;
    let boot = world.add_node(boot);
    let known = vec![world.contact(boot)];
    for n in 1..20 {
        let mut node = DiscoveryNode::new(address(n), known.clone());
        node.fetch_records = true;
        world.add_node(node);
    }
    assert!(world.run_until(seconds(60), |world| least_found(world) == 19));
    let fetched = |world: &DiscoveryWorld, of: NodeIndex| {
        let id = world.contact(of).id;
        let others = world.nodes().filter(|node| *node != of);
        let reports = others.filter_map(|node| world.report(node));
        reports
            .flat_map(|report| report.table)
            .filter(|entry| entry.contact.id == id)
            .filter_map(|entry| entry.record_sequence)
            .collect::<Vec<_>>()
    };
    let first = fetched(&world, NodeIndex(3));
    assert!(first.len() > 10 && first.iter().all(|sequence| *sequence == 1 << 32), "{first:?}");
    world.kill(NodeIndex(3));
    world.run_for(seconds(5));
    world.start(NodeIndex(3));
    let renewed = |world: &DiscoveryWorld| {
        fetched(world, NodeIndex(3)).iter().filter(|sequence| **sequence == 2 << 32).count() > 10
    };
    assert!(world.run_until(seconds(120), renewed), "{:?}", fetched(&world, NodeIndex(3)));
}

/// A band of hosts, each of which speaks of all.
fn band(
    hosts: &[IpAddr],
    identities: u16,
    victims: &[SocketAddr],
) -> (Vec<Hostile>, BTreeSet<PeerId>) {
    let salted = hosts.iter().zip(1_u64..);
    let mut band: Vec<Hostile> =
        salted.map(|(ip, salt)| Hostile::new(*ip, salt, identities, victims.to_vec())).collect();
    let all: Vec<_> = band.iter().flat_map(|host| host.contacts().collect::<Vec<_>>()).collect();
    for host in &mut band {
        host.befriend(all.iter().copied());
    }
    (band, all.into_iter().map(|contact| contact.id).collect())
}

/// Rows 38 and 39, Marcus and Henningsen: two hosts in different /24s with as many identities as they
/// like knock at the victim's door from the moment when it starts with an empty table, and answer
/// every question with nothing but themselves.
#[test]
fn two_hosts_do_not_eclipse_a_node_that_restarts() {
    let mut world = world(7, 150, 20);
    world.run_for(seconds(25));
    let victim = NodeIndex(60);
    let hosts = [IpAddr::from([66, 0, 0, 1]), IpAddr::from([77, 0, 0, 1])];
    let (hostile, identities) = band(&hosts, 400, &[address(60)]);
    world.kill(victim);
    for host in hostile {
        world.add_hostile(host);
    }
    // They have been at it for long when the victim comes.
    world.run_for(seconds(5));
    world.start(victim);
    world.run_for(seconds(60));

    let report = world.report(victim).expect("it runs");
    let share = |ids: &mut dyn Iterator<Item = PeerId>| {
        let (mut bad, mut all) = (0_usize, 0_usize);
        for id in ids {
            all += 1;
            bad += usize::from(identities.contains(&id));
        }
        (bad, all)
    };
    let (bad, all) = share(&mut report.table.iter().map(|entry| entry.contact.id));
    assert!(bad <= hosts.len() * MAX_PER_PREFIX, "{bad} of {all} in the table");
    assert!(bad > 0, "the attack reaches the victim");
    assert!(all - bad >= 2 * BUCKET_SIZE && bad * 3 <= all, "{bad} of {all} in the table");
    let (bad, all) = share(&mut world.found(victim).iter().copied());
    assert!(bad * 3 <= all, "{bad} of {all} would be dialled");
    // Its lookups reach honest nodes, whatever is looked for.
    for n in 0..10 {
        let lookup = world.lookup(victim, target(n)).expect("it runs");
        assert!(world.run_until(seconds(60), |world| world.result(victim, lookup).is_some()));
        let result = world.result(victim, lookup).expect("it is over");
        let (bad, all) = share(&mut result.nodes.iter().map(|contact| contact.id));
        assert!(bad <= 4 && all - bad >= 8, "{bad} of {all} in a lookup");
    }
}

/// Row 38, and the memory of a victim: a host with 2,000 identities for an hour.
#[test]
fn a_flood_of_identities_from_one_host_leaves_the_limits_as_they_are() {
    let mut world = world(9, 30, 0);
    world.run_for(seconds(20));
    let (hostile, identities) = band(&[IpAddr::from([66, 0, 0, 1])], 2000, &[address(3)]);
    for host in hostile {
        world.add_hostile(host);
    }
    world.run_for(seconds(600));
    let report = world.report(NodeIndex(3)).expect("it runs");
    let bad = report.table.iter().filter(|entry| identities.contains(&entry.contact.id)).count();
    assert!((1..=MAX_PER_PREFIX).contains(&bad), "{bad}");
    let Sizes { table, waiting, bonds, requests, .. } = report.sizes;
    assert!(table <= BUCKETS * BUCKET_SIZE && waiting <= BUCKETS * REPLACEMENTS);
    assert!(requests <= MAX_REQUESTS && bonds <= MAX_BONDS);
    assert!(bonds <= 29 + MAX_BONDS_PER_PREFIX, "{bonds}");
    let dialled = world.found(NodeIndex(3)).iter().filter(|id| identities.contains(id)).count();
    assert!(dialled <= MAX_PER_PREFIX, "{dialled}");
}
