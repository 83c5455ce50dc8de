//! Discovery among a thousand nodes, and against those who want to be all that others see.

use std::time::Instant as Wall;

use chainmesh_identity::PeerId;
use chainmesh_proto::discovery::{BUCKET_SIZE, MAX_PER_PREFIX};
use chainmesh_sim::{DiscoveryNode, DiscoveryWorld, Hostile};
use core::net::SocketAddr;

use super::*;

/// Where the nth honest node is: two of them share each /24.
pub(super) fn address(n: usize) -> SocketAddr {
    let net = u32::try_from(n / 2).unwrap();
    let [_, a, b, c] = net.to_be_bytes();
    let last = u8::try_from(n % 2 + 1).unwrap();
    SocketAddr::from(([20 + a, b, c, last], 30303))
}

/// So many nodes, all of which know number 0 and nobody else.
pub(super) fn world(seed: u64, nodes: usize, loss_per_mille: u16) -> DiscoveryWorld {
    let conditions = Conditions { latency: millis(10), jitter: millis(90), loss_per_mille };
    let mut world = DiscoveryWorld::new(seed, conditions);
    let mut boot = DiscoveryNode::new(address(0), Vec::new());
    boot.max_inbound_per_bucket = Some(BUCKET_SIZE);
    let boot = world.add_node(boot);
    let known = vec![world.contact(boot)];
    for n in 1..nodes {
        world.add_node(DiscoveryNode::new(address(n), known.clone()));
    }
    world
}

pub(super) fn least_found(world: &DiscoveryWorld) -> usize {
    world.nodes().map(|node| world.found(node).len()).min().unwrap()
}

#[test]
fn a_thousand_nodes_find_each_other_from_one_boot_node_over_lossy_links() {
    let mut world = world(1, 1000, 50);
    let wall = Wall::now();
    for second in 0..40 {
        world.run_for(seconds(1));
        println!("{second} least {} datagrams {} wall {:?}", least_found(&world), world.datagrams(), wall.elapsed());
    }
}
