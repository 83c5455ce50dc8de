//! Who follows what at other nodes, as the mesh tells.

use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;

use crate::module::PeerKind;

/// Another node with its topics.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: PeerId,
    pub(super) kind: PeerKind,
    pub(super) topics: Vec<Bytes>,
}

/// All nodes that can be reached and told their topics.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    known: BTreeMap<ShortId, Node>,
    by_topic: BTreeMap<Bytes, Vec<ShortId>>,
}

impl Nodes {
    pub(super) fn get(&self, node: &ShortId) -> Option<&Node> {
        self.known.get(node)
    }

    /// The nodes that follow a topic.
    pub(super) fn with(&self, topic: &[u8]) -> &[ShortId] {
        self.by_topic.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (&Bytes, &Vec<ShortId>)> {
        self.by_topic.iter()
    }

    /// A node follows these topics, each named once, and no others.
    pub(super) fn put(&mut self, id: ShortId, node: Node) {
        self.remove(&id);
        for topic in &node.topics {
            self.by_topic.entry(topic.clone()).or_default().push(id);
        }
        self.known.insert(id, node);
    }

    pub(super) fn remove(&mut self, id: &ShortId) -> Option<Node> {
        let node = self.known.remove(id)?;
        for topic in &node.topics {
            if let Some(nodes) = self.by_topic.get_mut(topic) {
                nodes.retain(|one| one != id);
                if nodes.is_empty() {
                    self.by_topic.remove(topic);
                }
            }
        }
        Some(node)
    }
}
