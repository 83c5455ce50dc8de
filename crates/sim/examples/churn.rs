//! A network from which a third of all nodes goes in each hour, and to which as many strangers come:
//!
//! ```text
//! cargo run --release -p chainmesh-sim --example churn -- 300 4
//! ```
//!
//! The arguments are the nodes and the virtual hours. Prints a row of a table: whether all that run were
//! connected to each other whenever it was looked, and what was the least.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_proto::discovery::BUCKET_SIZE;
use chainmesh_proto::peers::DIAL_RATIO;
use chainmesh_sim::invariants::Broken;
use chainmesh_sim::{Conditions, NodeIndex, PeersNode, PeersWorld};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const MAX_PEERS: usize = 24;
/// What a node looks for by itself: its share of outbound slots.
const MINIMUM: usize = MAX_PEERS / DIAL_RATIO;
/// Of a hundred nodes so many go in an hour.
const CHURN: usize = 30;
/// How often it is looked.
const STEP: Duration = Duration::from_secs(60);
/// Who has come within this time may still be looking.
const NEW: u32 = 2;

/// Where the nth node is: two of them share each /24.
fn address(n: usize) -> SocketAddr {
    let net = u32::try_from(n / 2).unwrap_or(u32::MAX);
    let [_, a, b, c] = net.to_be_bytes();
    let last = if n.is_multiple_of(2) { 1 } else { 2 };
    SocketAddr::from(([20 + a, b, c, last], 30303))
}

/// What was seen.
struct Seen {
    left: usize,
    /// How often not everybody was connected to everybody.
    parted: usize,
    least_peers: usize,
    /// How often somebody who is no newcomer had fewer than the minimum.
    below: usize,
    looks: usize,
    largest_book: usize,
}

struct Network {
    world: PeersWorld,
    /// Who runs, and in which step he came.
    running: BTreeMap<NodeIndex, u32>,
    boot: NodeIndex,
    rng: ChaCha8Rng,
    step: u32,
}

impl Network {
    fn new(nodes: usize) -> Self {
        let conditions = Conditions {
            latency: Duration::from_millis(10),
            jitter: Duration::from_millis(90),
            loss_per_mille: 50,
        };
        let mut world = PeersWorld::new(1, conditions);
        let mut boot = PeersNode::new(address(0), MAX_PEERS, Vec::new());
        boot.max_inbound_per_bucket = Some(BUCKET_SIZE);
        let boot = world.add_node(boot);
        world.start(boot);
        let running = BTreeMap::from([(boot, 0)]);
        let rng = ChaCha8Rng::seed_from_u64(1);
        let mut network = Self { world, running, boot, rng, step: 0 };
        (1..nodes).for_each(|_| network.join());
        network
    }

    /// A node that was never there before, and knows the boot node.
    fn join(&mut self) {
        let number = self.world.nodes().count();
        let known = vec![self.world.contact(self.boot)];
        let node = self.world.add_node(PeersNode::new(address(number), MAX_PEERS, known));
        self.world.start(node);
        self.running.insert(node, self.step);
    }

    /// Somebody goes, with a word or without; never the boot node.
    fn leave(&mut self) {
        let others: Vec<NodeIndex> =
            self.running.keys().copied().filter(|node| *node != self.boot).collect();
        let at = usize::try_from(self.rng.next_u32()).unwrap_or_default() % others.len().max(1);
        let Some(node) = others.get(at).copied() else { return };
        self.running.remove(&node);
        if self.rng.next_u32() & 1 == 0 { self.world.stop(node) } else { self.world.kill(node) }
    }

    fn reached(&self) -> usize {
        let mut reached = BTreeSet::from([self.boot]);
        let mut open = vec![self.boot];
        while let Some(node) = open.pop() {
            for other in self.world.neighbours(node) {
                if self.world.connected(node, other) && reached.insert(other) {
                    open.push(other);
                }
            }
        }
        reached.len()
    }

    fn run(&mut self, hours: usize) -> Result<Seen, Broken> {
        let mut seen = Seen {
            left: 0,
            parted: 0,
            least_peers: usize::MAX,
            below: 0,
            looks: 0,
            largest_book: 0,
        };
        let (nodes, steps) = (self.running.len(), hours * 60);
        self.world.run_for(2 * STEP)?;
        for step in 1..=steps {
            self.step += 1;
            // As many as are due by now.
            let due = nodes * CHURN * step / (100 * 60);
            while seen.left < due {
                self.leave();
                self.join();
                seen.left += 1;
            }
            self.world.run_for(STEP)?;
            seen.looks += 1;
            seen.parted += usize::from(self.reached() < self.running.len());
            let settled = self.running.iter().filter(|(_, came)| **came + NEW <= self.step);
            let least = settled.map(|(node, _)| self.world.peers(*node).count()).min();
            // In the first minutes all are newcomers.
            let Some(least) = least else { continue };
            seen.below += usize::from(least < MINIMUM);
            seen.least_peers = seen.least_peers.min(least);
            let books = self.running.keys().filter_map(|node| Some(self.world.book(*node)?.len()));
            seen.largest_book = seen.largest_book.max(books.max().unwrap_or(0));
        }
        Ok(seen)
    }
}

fn main() -> Result<(), Broken> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    let nodes = numbers.first().copied().unwrap_or(100);
    let hours = numbers.get(1).copied().unwrap_or(1);
    let began = std::time::Instant::now();
    let seen = Network::new(nodes).run(hours)?;
    println!(
        "| nodes | hours | left and came | looks | network in parts | least peers of those who are \
         there for {NEW} min | looks with fewer than {MINIMUM} | largest book | took |\n\
         |---|---|---|---|---|---|---|---|---|\n\
         | {nodes} | {hours} | {} | {} | {} | {} | {} | {} | {:.0?} |",
        seen.left,
        seen.looks,
        seen.parted,
        seen.least_peers,
        seen.below,
        seen.largest_book,
        began.elapsed(),
    );
    Ok(())
}
