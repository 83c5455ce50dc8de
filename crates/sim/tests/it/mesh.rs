//! Meshes in virtual time: their shapes, and what has to hold in each of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chainmesh_identity::PeerId;
use chainmesh_proto::mesh::{MeshCounters, Outcome};
use chainmesh_proto::peers::NodeKind;
use chainmesh_sim::MeshNode;
use chainmesh_sim::invariants::Broken;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// A way has nine links at most: at ten FISCO calls a node unreachable.
pub(super) const LONGEST_WAY: u32 = 9;
/// How closely times of convergence are looked at.
pub(super) const LOOK: Duration = millis(20);

/// Who is linked to whom, by the members' places. Each pair is there once, the smaller place first.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    pub(super) members: usize,
    pub(super) links: BTreeSet<(usize, usize)>,
}

impl Topology {
    pub(super) fn new(members: usize, links: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let links = links.into_iter().map(|(a, b)| (a.min(b), a.max(b)));
        Self { members, links: links.filter(|(a, b)| a != b).collect() }
    }

    /// Everybody with everybody, but each link is missing with this chance in a hundred.
    pub(super) fn dense(members: usize, missing: u64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pairs = (0..members).flat_map(|a| (a + 1..members).map(move |b| (a, b)));
        Self::new(members, pairs.filter(|_| rng.next_u64() % 100 >= missing))
    }

    /// Rings in `circles` random orders: each member has twice as many links, or a few less.
    pub(super) fn circles(members: usize, circles: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut links = Vec::new();
        for _ in 0..circles {
            let mut order: Vec<_> = (0..members).collect();
            for at in (1..members).rev() {
                let with = usize::try_from(rng.next_u64()).unwrap() % (at + 1);
                order.swap(at, with);
            }
            links.extend((0..members).map(|at| (order[at], order[(at + 1) % members])));
        }
        Self::new(members, links)
    }

    pub(super) fn ring(members: usize) -> Self {
        Self::new(members, (0..members).map(|at| (at, (at + 1) % members)))
    }

    pub(super) fn line(members: usize) -> Self {
        Self::new(members, (1..members).map(|at| (at - 1, at)))
    }

    /// The same without the links that `cut` names.
    pub(super) fn without(&self, cut: impl Fn(usize, usize) -> bool) -> Self {
        Self::new(self.members, self.links.iter().copied().filter(|(a, b)| !cut(*a, *b)))
    }

    /// The same without all links of this member.
    pub(super) fn without_member(&self, member: usize) -> Self {
        self.without(|a, b| a == member || b == member)
    }

    fn neighbours(&self) -> Vec<Vec<usize>> {
        let mut neighbours = vec![Vec::new(); self.members];
        for (a, b) in &self.links {
            neighbours[*a].push(*b);
            neighbours[*b].push(*a);
        }
        neighbours
    }

    /// For each member, the links to each other that can be reached.
    pub(super) fn distances(&self) -> Vec<BTreeMap<usize, u32>> {
        let neighbours = self.neighbours();
        (0..self.members).map(|from| distances_from(from, &neighbours)).collect()
    }
}

fn distances_from(from: usize, neighbours: &[Vec<usize>]) -> BTreeMap<usize, u32> {
    let mut found = BTreeMap::from([(from, 0)]);
    let mut todo = VecDeque::from([from]);
    while let Some(at) = todo.pop_front() {
        let next = found[&at] + 1;
        for neighbour in &neighbours[at] {
            if next <= LONGEST_WAY && !found.contains_key(neighbour) {
                found.insert(*neighbour, next);
                todo.push_back(*neighbour);
            }
        }
    }
    found.remove(&from);
    found
}

/// A world of members with these links. The smaller place dials.
pub(super) fn mesh_world(seed: u64, config: WorldConfig, topology: &Topology) -> World {
    mesh_world_with(seed, config, topology, |_| MeshNode::default())
}

/// The same, each member with its own part.
pub(super) fn mesh_world_with(
    seed: u64,
    config: WorldConfig,
    topology: &Topology,
    part: impl Fn(usize) -> MeshNode,
) -> World {
    let mut world = World::new(seed, config);
    for member in 0..topology.members {
        let mesh = Some(part(member));
        world.add_node(NodeConfig { mesh, max_peers: Some(200), ..NodeConfig::default() });
    }
    for (a, b) in &topology.links {
        world.want(NodeIndex(*a), NodeIndex(*b), NodeKind::Static);
    }
    world
}

/// Members by their names.
pub(super) fn places(world: &World) -> BTreeMap<PeerId, usize> {
    world.nodes().map(|node| (world.id(node), node.0)).collect()
}

/// The ways of a running member: to whom, how many links, over whom.
pub(super) fn ways(
    world: &World,
    places: &BTreeMap<PeerId, usize>,
    member: usize,
) -> BTreeMap<usize, (u32, usize)> {
    let routes = world.mesh(NodeIndex(member)).map(|mesh| mesh.routes()).unwrap_or_default();
    let way = |route: &chainmesh_proto::mesh::RouteReport| {
        (places[&route.member], (route.distance, places[&route.next_hop]))
    };
    routes.iter().map(way).collect()
}

/// Whether every running member's ways are the shortest that these links allow, to exactly those
/// who can be reached.
pub(super) fn converged(world: &World, distances: &[BTreeMap<usize, u32>]) -> bool {
    let places = places(world);
    world.nodes().filter(|node| world.mesh(*node).is_some()).all(|node| {
        let ways = ways(world, &places, node.0);
        let ways = ways.iter().map(|(to, (distance, _))| (to, distance));
        ways.eq(distances[node.0].iter())
    })
}

/// Runs until the ways are the shortest that these links allow, and says how long that took. Fails
/// after `limit`.
pub(super) fn converge(
    world: &mut World,
    links: &Topology,
    limit: Duration,
) -> Result<Duration, Broken> {
    let (began, distances) = (world.now(), links.distances());
    while !converged(world, &distances) {
        let lasts = world.now().saturating_since(began);
        assert!(lasts <= limit, "the ways are not the shortest after {limit:?}");
        world.run_for(LOOK)?;
    }
    assert_no_loop(world);
    Ok(world.now().saturating_since(began))
}

/// From every member to everybody it has a way to: the next hops lead there, over as many links as
/// it says, and each is one link nearer. To be asked in a quiet moment only.
pub(super) fn assert_no_loop(world: &World) {
    let places = places(world);
    let all: Vec<_> = world.nodes().map(|node| ways(world, &places, node.0)).collect();
    for (from, own) in all.iter().enumerate() {
        for (to, (distance, _)) in own {
            let (mut at, mut left) = (from, *distance);
            while at != *to {
                let (links, next) = all[at].get(to).copied().unwrap_or_else(|| {
                    panic!("the way from {from} to {to} ends at {at}, which knows none")
                });
                assert_eq!(links, left, "on the way from {from} to {to}, at {at}");
                (at, left) = (next, left - 1);
            }
            assert_eq!(left, 0, "the way from {from} to {to} is as long as it says");
        }
    }
}

/// The counters of all running members together.
pub(super) fn counters(world: &World) -> Vec<MeshCounters> {
    let of = |node| world.mesh(node).map(|mesh| mesh.counters()).unwrap_or_default();
    world.nodes().map(of).collect()
}

/// Everybody of `senders` broadcasts once. Each message reaches exactly those whom these links allow
/// it to reach, once each, and is confirmed by all of them. Says how many copies were on the wire:
/// on the whole way, for each receiver.
pub(super) fn broadcast_by_each(
    world: &mut World,
    links: &Topology,
    senders: impl IntoIterator<Item = usize>,
    tag: &str,
) -> Result<f64, Broken> {
    let (before, distances) = (counters(world), links.distances());
    let (mut receivers, mut longest, mut sent) = (0, 0, Vec::new());
    for from in senders {
        let payload = format!("{tag} {from}");
        let id = world.broadcast(NodeIndex(from), payload.as_bytes()).expect("a running member");
        receivers += distances[from].len() as u64;
        longest += distances[from].values().copied().map(u64::from).sum::<u64>();
        sent.push((from, id, payload));
    }
    // There and back over the longest way, on paths that take 25 ms at most.
    world.run_for(seconds(1))?;
    for (from, id, payload) in &sent {
        for node in world.nodes() {
            let times = usize::from(distances[*from].contains_key(&node.0));
            let came = world.mesh_record(node).times(payload.as_bytes());
            assert_eq!(came, times, "{payload:?} at {node:?}");
        }
        let end = world.mesh_record(NodeIndex(*from)).end_of(*id).expect("it came to an end");
        let members = u32::try_from(distances[*from].len()).unwrap();
        assert_eq!(end.result, Ok(Outcome::Sent { members, confirmed: members }), "{payload:?}");
        assert_eq!(end.copies, members, "one copy for each member leaves the sender");
    }
    let sum = |counters: &[MeshCounters]| -> u64 {
        counters.iter().map(|it| it.copies_sent + it.forwarded_messages).sum()
    };
    let copies = sum(&counters(world)) - sum(&before);
    assert_eq!(copies, longest, "a copy takes the shortest way to each receiver, and nothing else");
    Ok(copies as f64 / receivers as f64)
}
