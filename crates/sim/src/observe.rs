//! What can be seen of a [`World`] from outside.

use core::hash::Hasher;

use chainmesh_identity::PeerId;
use chainmesh_proto::peers::{ConnectionId, DialTarget, NodeKind, PeerManager};
use chainmesh_proto::time::Instant;

use crate::{NodeIndex, World};

impl World {
    pub(crate) fn observe(&mut self, node: NodeIndex, peer: PeerId, connected: bool) {
        let Some(seen) = self.seen.get_mut(node.0) else { return };
        let changed = if connected { seen.insert(peer) } else { seen.remove(&peer) };
        if !changed {
            self.repeated.insert(node, (peer, connected));
        }
        self.compare(node, &peer);
    }

    /// Notes since when two nodes disagree about each other.
    pub(crate) fn compare(&mut self, node: NodeIndex, peer: &PeerId) {
        let Some(other) = self.by_id.get(peer).copied() else { return };
        let pair = (node.min(other), node.max(other));
        if self.sees(node, other) == self.sees(other, node) {
            self.disagreements.remove(&pair);
        } else {
            self.disagreements.entry(pair).or_insert(self.now);
        }
    }

    /// A node has new evidence that its peer is there: a disagreement counts from now.
    pub(crate) fn renewed(&mut self, node: NodeIndex, peer: &PeerId) {
        let Some(other) = self.by_id.get(peer).copied() else { return };
        if let Some(since) = self.disagreements.get_mut(&(node.min(other), node.max(other))) {
            *since = self.now;
        }
    }

    /// Whether observers of `node` take `other` for connected.
    #[must_use]
    pub fn sees(&self, node: NodeIndex, other: NodeIndex) -> bool {
        let id = self.nodes.get(other.0).map(|other| other.id);
        let seen = self.seen.get(node.0);
        id.zip(seen).is_some_and(|(id, seen)| seen.contains(&id))
    }

    /// Whether both nodes take each other for connected.
    #[must_use]
    pub fn connected(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.sees(a, b) && self.sees(b, a)
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Events so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).map(NodeIndex)
    }

    /// A number for every decision of every machine so far, with its time and in its order. Not
    /// for what was encrypted on the way.
    #[must_use]
    pub fn decision_hash(&self) -> u64 {
        self.hash.finish()
    }

    /// A node's ID.
    #[must_use]
    pub fn id(&self, node: NodeIndex) -> PeerId {
        self.nodes.get(node.0).map_or(PeerId::from([0; 64]), |node| node.id)
    }

    /// A running node's peer manager.
    #[must_use]
    pub fn manager(&self, node: NodeIndex) -> Option<&PeerManager> {
        self.nodes.get(node.0)?.running.as_ref().map(|running| &running.manager)
    }

    /// Peers at most.
    #[must_use]
    pub fn max_peers(&self, node: NodeIndex) -> usize {
        self.nodes.get(node.0).map_or(0, |node| node.max_peers)
    }

    /// Whom a node wants.
    pub fn wanted(&self, node: NodeIndex) -> impl Iterator<Item = (&DialTarget, NodeKind)> {
        let wanted = self.nodes.get(node.0).into_iter().flat_map(|node| &node.wanted);
        wanted.map(|(target, kind)| (target, *kind))
    }

    /// The connections that a node has decided to keep, and who is at their other end.
    pub fn kept(&self, node: NodeIndex) -> impl Iterator<Item = (ConnectionId, PeerId)> {
        let running = self.nodes.get(node.0).and_then(|node| node.running.as_ref());
        let conns = running.into_iter().flat_map(|running| &running.conns);
        conns.filter(|(_, conn)| !conn.closing).filter_map(|(name, conn)| Some((*name, conn.peer?)))
    }

    /// The connection to `peer` that a node has decided to keep, by a name that is the same at
    /// both of its ends.
    #[must_use]
    pub fn shared_name(&self, node: NodeIndex, peer: NodeIndex) -> Option<u64> {
        let id = self.id(peer);
        let (conn, _) = self.kept(node).find(|(_, peer)| *peer == id)?;
        let running = self.nodes.get(node.0)?.running.as_ref()?;
        running.conns.get(&conn).map(|conn| conn.stream.number())
    }

    /// The connections that a node holds and that are not closing.
    pub fn held(&self, node: NodeIndex) -> impl Iterator<Item = ConnectionId> {
        let running = self.nodes.get(node.0).and_then(|node| node.running.as_ref());
        let conns = running.into_iter().flat_map(|running| &running.conns);
        conns.filter(|(_, conn)| !conn.closing).map(|(name, _)| *name)
    }

    /// Pairs that disagree about each other, and since when.
    pub fn disagreements(&self) -> impl Iterator<Item = ((NodeIndex, NodeIndex), Instant)> {
        self.disagreements.iter().map(|(pair, since)| (*pair, *since))
    }

    /// An observer's event that came twice, if there was one.
    #[must_use]
    pub fn repeated(&self, node: NodeIndex) -> Option<(PeerId, bool)> {
        self.repeated.get(&node).copied()
    }
}
