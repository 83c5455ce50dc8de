//! Discovery among as many nodes as the arguments say, one run for each number:
//!
//! ```text
//! cargo run --release -p chainmesh-sim --example discovery -- 1000 10000
//! ```
//!
//! Prints a line of a table for each: when every node had found so many others, what 500 lookups took then,
//! and what the run cost. The memory is the most that the process has had, so the largest number comes
//! last.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use chainmesh_identity::PeerId;
use chainmesh_proto::discovery::BUCKET_SIZE;
use chainmesh_sim::{Conditions, DiscoveryNode, DiscoveryWorld, NodeIndex};

/// How long the network runs, from its start on.
const RUN: u64 = 120;
/// Lookups at the end.
const LOOKUPS: usize = 500;
const CONDITIONS: Conditions = Conditions {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(90),
    loss_per_mille: 50,
};

fn address(n: usize) -> SocketAddr {
    let net = u32::try_from(n / 2).unwrap_or(u32::MAX);
    let [_, a, b, c] = net.to_be_bytes();
    SocketAddr::from((
        [20_u8.saturating_add(a), b, c, if n.is_multiple_of(2) { 1 } else { 2 }],
        30303,
    ))
}

fn world(nodes: usize) -> DiscoveryWorld {
    let mut world = DiscoveryWorld::new(1, CONDITIONS);
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
    world.nodes().map(|node| world.found(node).len()).min().unwrap_or(0)
}

fn percentile<T: Ord + Copy + Default>(values: &mut [T], percent: usize) -> T {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or_default()
}

/// Hops and times of lookups, all under way at once, and how many of the closest nodes they found, of
/// a hundred.
fn lookups(world: &mut DiscoveryWorld, nodes: usize) -> (Vec<u32>, Vec<Duration>, usize) {
    let hashes: Vec<_> = world.nodes().map(|node| world.contact(node).id.node_hash()).collect();
    let mut begun = Vec::new();
    for n in 0..LOOKUPS {
        let node = NodeIndex(n * nodes / LOOKUPS);
        let mut target = [0x77; 64];
        for (to, from) in target.iter_mut().zip(n.to_be_bytes()) {
            *to = from;
        }
        let target = PeerId::from(target);
        begun.extend(world.lookup(node, target).map(|lookup| (node, target, lookup)));
    }
    world.run_until(Duration::from_secs(60), |world| {
        begun.iter().all(|(node, _, lookup)| world.result(*node, *lookup).is_some())
    });
    let (mut hops, mut times, mut right) = (Vec::new(), Vec::new(), 0);
    for (node, target, lookup) in begun {
        let Some(result) = world.result(node, lookup) else { continue };
        hops.push(result.hops);
        times.push(result.took);
        let mut near: Vec<_> =
            hashes.iter().map(|hash| (*hash ^ target.node_hash(), *hash)).collect();
        near.sort_unstable();
        near.truncate(BUCKET_SIZE);
        let found = |hash| result.nodes.iter().any(|contact| contact.id.node_hash() == hash);
        right += near.iter().filter(|(_, hash)| found(*hash)).count();
    }
    (hops, times, right * 100 / (LOOKUPS * BUCKET_SIZE))
}

/// The most memory that this process has had, MiB; Linux says it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn run(nodes: usize) {
    let began = Instant::now();
    let mut world = world(nodes);
    let mut enough = None;
    for second in 1..=RUN {
        world.run_for(Duration::from_secs(1));
        if enough.is_none() && least_found(&world) >= BUCKET_SIZE {
            enough = Some(second);
        }
    }
    let least = least_found(&world);
    let tables: Vec<usize> =
        world.nodes().filter_map(|node| Some(world.report(node)?.sizes.table)).collect();
    let table = tables.iter().sum::<usize>() / tables.len().max(1);
    let (mut hops, mut times, right) = lookups(&mut world, nodes);
    let enough = enough.map_or_else(|| "never".to_owned(), |second| format!("{second} s"));
    println!(
        "| {nodes} | {enough} | {least} | {table} | {} / {} | {:?} / {:?} | {right} % | {} | {:.0?} | {} |",
        percentile(&mut hops, 50),
        percentile(&mut hops, 99),
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        world.datagrams(),
        began.elapsed(),
        peak_memory().map_or_else(|| "?".to_owned(), |memory| format!("{memory} MiB")),
    );
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    println!(
        "| nodes | each has found 16 after | least found in {RUN} s | mean table | hops p50 / p99 | lookup \
         p50 / p99 | of the closest | datagrams | took | memory |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for nodes in if numbers.is_empty() { vec![1000] } else { numbers } {
        run(nodes);
    }
}
