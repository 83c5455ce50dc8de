//! Who can be reached, and over whom: a distance vector with the numbers and merge rules of
//! FISCO's `RouterTableImpl`.
//!
//! Beyond FISCO each neighbour's last table is kept. When a link is lost, or a way grows longer,
//! the next best way is taken from these tables at once; FISCO would not find it before the
//! neighbour's number changes. A neighbour's way that leads over ourselves is none, which FISCO
//! does not look at and then counts to infinity.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::{P2pId, RouterTable, RouterTableEntry, UNREACHABLE};

use super::config::{FORGET_AFTER, ROUTER_PERIOD};
use crate::time::Instant;

/// Links to a node that cannot be reached.
const FAR: u8 = UNREACHABLE as u8;
/// A way that has been as long for this time is not growing.
const SETTLED: Duration = ROUTER_PERIOD.saturating_mul(2);
/// A way that grew so often without rest leads in circles.
const MAX_GROWTH: u8 = 2;

/// What a change of the routes means for others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The table is another.
    pub(super) table: bool,
    /// Nodes to which there is a way now.
    pub(super) reached: Vec<ShortId>,
    /// Nodes to which there is no way any more.
    pub(super) lost: Vec<ShortId>,
    /// Nodes that are reached over another neighbour now.
    pub(super) rerouted: Vec<ShortId>,
    /// Some way was given up although a neighbour has one: to be looked at again after
    /// `ROUTER_HOLD`.
    pub(super) held: bool,
    /// Routes of the neighbour's table that were passed over.
    pub(super) bad: u64,
}

/// The way to a node. Direct if `next` is the node itself.
#[derive(Debug)]
struct Route {
    long: P2pId,
    name: PeerId,
    /// 1 to 10; at 10 there is no way.
    distance: u8,
    next: Option<ShortId>,
    /// Since when it is as it is.
    since: Instant,
    /// How often it grew since it was settled, with or without being lost in between.
    growth: u8,
    /// How long it was before it grew.
    old: u8,
    /// How long it was when there was one last.
    last: u8,
}

/// What a neighbour told.
#[derive(Debug, Default)]
struct Neighbour {
    /// Its distances, by node; 10 where its way leads over us. Sorted.
    distances: Vec<(ShortId, u8)>,
    /// The links that can be seen from it.
    links: Vec<(ShortId, ShortId)>,
}

impl Neighbour {
    fn distance(&self, to: &ShortId) -> u8 {
        let found = self.distances.binary_search_by(|(id, _)| id.cmp(to)).ok();
        found.and_then(|at| self.distances.get(at)).map_or(FAR, |(_, distance)| *distance)
    }
}

/// The routes of a node.
#[derive(Debug)]
pub(super) struct Router {
    own: ShortId,
    /// Most nodes that are known at a time.
    max: usize,
    /// Starts at 1, as FISCO's.
    seq: u32,
    routes: BTreeMap<ShortId, Route>,
    neighbours: BTreeMap<ShortId, Neighbour>,
    /// The table as it is sent, while it holds.
    encoded: Option<Bytes>,
}

/// The name of a node by its long ID: its key if that is one of secp256k1.
pub(super) fn name_of(long: &P2pId, short: ShortId) -> PeerId {
    let point = const_hex::decode(long.as_bytes()).ok();
    let id = point.as_deref().and_then(|point| match point {
        [4, rest @ ..] => PeerId::from_slice(rest).ok(),
        _ => None,
    });
    id.filter(|id| id.public_key().is_ok()).unwrap_or_else(|| PeerId::of_certificate(short))
}

/// The short form of a long ID.
pub(super) fn short_of(long: &P2pId) -> Option<ShortId> {
    let bytes: [u8; 32] = long.to_short().as_bytes().as_ref().try_into().ok()?;
    Some(bytes.into())
}

impl Router {
    pub(super) fn new(own: ShortId, max: usize) -> Self {
        let (routes, neighbours) = (BTreeMap::new(), BTreeMap::new());
        Self { own, max, seq: 1, routes, neighbours, encoded: None }
    }

    /// Number of the table.
    pub(super) const fn seq(&self) -> u32 {
        self.seq
    }

    /// The neighbour on the way to a node; the node itself if it is one.
    pub(super) fn next_hop(&self, to: &ShortId) -> Option<ShortId> {
        self.routes.get(to).filter(|route| route.distance < FAR)?.next
    }

    /// Links on the way to a node.
    pub(super) fn distance(&self, to: &ShortId) -> Option<u8> {
        self.routes.get(to).map(|route| route.distance).filter(|distance| *distance < FAR)
    }

    /// Whether anything was ever heard of a node.
    pub(super) fn knows(&self, node: &ShortId) -> bool {
        self.routes.contains_key(node)
    }

    /// The long ID of a node.
    pub(super) fn long(&self, node: &ShortId) -> Option<&P2pId> {
        self.routes.get(node).map(|route| &route.long)
    }

    /// The name of a node.
    pub(super) fn name(&self, node: &ShortId) -> PeerId {
        let name = self.routes.get(node).map(|route| route.name);
        name.unwrap_or_else(|| PeerId::of_certificate(*node))
    }

    /// Everybody who is known, with or without a way.
    pub(super) fn known(&self) -> impl Iterator<Item = &ShortId> {
        self.routes.keys()
    }

    /// Everybody to whom there is a way.
    pub(super) fn reachable(&self) -> impl Iterator<Item = ShortId> {
        self.routes.iter().filter(|(_, route)| route.distance < FAR).map(|(id, _)| *id)
    }

    /// Links between others that can be seen from the neighbours' tables, and our own.
    pub(super) fn links(&self) -> impl Iterator<Item = (ShortId, ShortId)> {
        let own = self.own;
        let own = self.neighbours.keys().map(move |neighbour| (own, *neighbour));
        own.chain(self.neighbours.values().flat_map(|neighbour| neighbour.links.iter().copied()))
    }

    /// The table as it is sent; encoded once for all who ask.
    pub(super) fn table(&mut self) -> Bytes {
        if let Some(encoded) = &self.encoded {
            return encoded.clone();
        }
        let entries = self.routes.iter().map(|(id, route)| {
            let next = route.next.filter(|next| next != id);
            let next = next.and_then(|next| self.long(&next).cloned()).unwrap_or_default();
            RouterTableEntry::new(route.long.clone(), next, route.distance.into())
        });
        let encoded = RouterTable { entries: entries.collect() }.encode();
        self.encoded = Some(encoded.clone());
        encoded
    }

    /// A session with this node has begun.
    pub(super) fn up(&mut self, now: Instant, id: ShortId, long: P2pId, name: PeerId) -> Changes {
        let mut changes = Changes::default();
        self.neighbours.entry(id).or_default();
        if !self.routes.contains_key(&id) {
            // A neighbour is always taken: sessions have their own limit.
            let _ = self.make_room();
            let (distance, next) = (FAR, None);
            let route =
                Route { long, name, distance, next, since: now, growth: 0, old: FAR, last: FAR };
            self.routes.insert(id, route);
        }
        self.reconsider(now, &id, &mut changes);
        self.finish(changes)
    }

    /// The last session with this node is over.
    pub(super) fn down(&mut self, now: Instant, id: &ShortId) -> Changes {
        let mut changes = Changes::default();
        self.neighbours.remove(id);
        let over = self.routes.iter().filter(|(_, route)| route.next == Some(*id));
        for node in over.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.reconsider(now, &node, &mut changes);
        }
        self.finish(changes)
    }

    /// A neighbour's table came.
    pub(super) fn merge(&mut self, now: Instant, from: &ShortId, table: &RouterTable) -> Changes {
        let mut changes = Changes::default();
        if !self.neighbours.contains_key(from) {
            return changes;
        }
        let (mut distances, mut links) = (Vec::new(), Vec::new());
        for entry in &table.entries {
            let id = short_of(&entry.destination).filter(|_| !entry.destination.is_short());
            let (Some(id), 1..) = (id, entry.distance) else {
                changes.bad += 1;
                continue;
            };
            let over = short_of(&entry.next_hop).unwrap_or(id);
            match entry.distance {
                1 => links.push((*from, id)),
                2 => links.push((over, id)),
                _ => {}
            }
            if id == self.own {
                continue;
            }
            let distance = match over == self.own {
                true => FAR,
                false => u8::try_from(entry.distance).unwrap_or(FAR).min(FAR),
            };
            if !self.routes.contains_key(&id) && !self.learn(now, id, &entry.destination, distance)
            {
                continue;
            }
            distances.push((id, distance));
        }
        distances.sort_unstable();
        distances.dedup_by_key(|(id, _)| *id);
        self.take(now, from, Neighbour { distances, links }, &mut changes);
        self.finish(changes)
    }

    /// Every [`ROUTER_PERIOD`], and a while after a way was given up: such ways are looked for
    /// again, and who has been gone for long is forgotten.
    pub(super) fn tick(&mut self, now: Instant) -> Changes {
        let mut changes = Changes::default();
        let gone = self.routes.iter().filter(|(_, route)| route.distance == FAR);
        for node in gone.map(|(node, _)| *node).collect::<Vec<_>>() {
            if let Some(route) = self.routes.get_mut(&node) {
                route.growth = 0;
            }
            self.reconsider(now, &node, &mut changes);
        }
        let before = self.routes.len();
        self.routes.retain(|_, route| {
            route.distance < FAR || now.saturating_since(route.since) < FORGET_AFTER
        });
        changes.table |= self.routes.len() != before;
        self.finish(changes)
    }

    /// A node of which nothing was known. Says whether there was room for it.
    fn learn(&mut self, now: Instant, id: ShortId, long: &P2pId, distance: u8) -> bool {
        if distance + 1 >= FAR || !self.make_room() {
            return false;
        }
        let long = long.detached();
        let name = name_of(&long, id);
        let route = Route {
            long,
            name,
            distance: FAR,
            next: None,
            since: now,
            growth: 0,
            old: FAR,
            last: FAR,
        };
        self.routes.insert(id, route);
        true
    }

    /// Forgets somebody who cannot be reached, if the table is full.
    fn make_room(&mut self) -> bool {
        if self.routes.len() < self.max {
            return true;
        }
        let gone = self.routes.iter().filter(|(_, route)| route.distance == FAR);
        let oldest = gone.min_by_key(|(_, route)| route.since).map(|(id, _)| *id);
        oldest.is_some_and(|id| self.routes.remove(&id).is_some())
    }

    /// Puts a neighbour's table in place of its last one and looks at all ways that it changes.
    fn take(&mut self, now: Instant, from: &ShortId, table: Neighbour, changes: &mut Changes) {
        let Some(old) = self.neighbours.insert(*from, table) else { return };
        let new = self.neighbours.get(from).map(|table| table.distances.as_slice());
        let mut affected: Vec<ShortId> = Vec::new();
        for (node, distance) in new.unwrap_or_default() {
            let route = self.routes.get(node);
            let better = route.is_some_and(|route| distance + 1 < route.distance);
            let over = route.is_some_and(|route| route.next == Some(*from));
            if better || over {
                affected.push(*node);
            }
        }
        // What it told of before and does not tell of now it cannot reach any more.
        affected.extend(old.distances.iter().map(|(node, _)| *node).filter(|node| {
            let route = self.routes.get(node);
            route.is_some_and(|route| route.next == Some(*from) && route.distance > 1)
        }));
        for node in affected {
            self.reconsider(now, &node, changes);
        }
    }

    /// The shortest way to a node by all that the neighbours told; the present one among equals.
    fn best(&self, node: &ShortId, present: Option<ShortId>) -> (u8, Option<ShortId>) {
        if self.neighbours.contains_key(node) {
            return (1, Some(*node));
        }
        let ways = self.neighbours.iter().map(|(id, table)| (table.distance(node) + 1, *id));
        let best = ways.min_by_key(|(distance, id)| (*distance, present != Some(*id), *id));
        match best {
            Some((distance, id)) if distance < FAR => (distance, Some(id)),
            _ => (FAR, None),
        }
    }

    fn reconsider(&mut self, now: Instant, node: &ShortId, changes: &mut Changes) {
        let present = self.routes.get(node).and_then(|route| route.next);
        let (mut distance, mut next) = self.best(node, present);
        let Some(route) = self.routes.get_mut(node) else { return };
        if (distance, next) == (route.distance, route.next) {
            return;
        }
        if now.saturating_since(route.since) >= SETTLED || distance <= route.old {
            route.growth = 0;
        }
        if distance < FAR && route.last < distance {
            if route.growth == 0 {
                route.old = route.last;
            }
            route.growth = route.growth.saturating_add(1);
        }
        if route.growth >= MAX_GROWTH && distance < FAR {
            // Until the next tick, or until there is a way as short as before.
            (distance, next) = (FAR, None);
            changes.held = true;
        }
        match (route.distance < FAR, distance < FAR) {
            (false, true) => changes.reached.push(*node),
            (true, false) => changes.lost.push(*node),
            (true, true) if route.next != next => changes.rerouted.push(*node),
            _ => {}
        }
        changes.table |= (distance, next) != (route.distance, route.next);
        if (distance, next) != (route.distance, route.next) {
            (route.distance, route.next, route.since) = (distance, next, now);
        }
        if distance < FAR {
            route.last = distance;
        }
    }

    fn finish(&mut self, changes: Changes) -> Changes {
        if changes.table {
            self.seq = self.seq.wrapping_add(1);
            self.encoded = None;
        }
        changes
    }
}
