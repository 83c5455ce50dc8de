//! A Merkle Patricia trie of which only the paths that change are in memory.

use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use alloy_trie::nodes::RlpNode;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieMask};

use super::node::{Link, Place, Root, StoredNode};
use crate::store::{Damage, StoreError};

/// Where stored nodes are read.
pub(crate) trait NodeSource {
    /// The node behind a link.
    ///
    /// # Errors
    /// When the store fails, or has another node there or none.
    fn node(&self, link: &Link) -> Result<Arc<StoredNode>, StoreError>;
}

/// A stored branch, and where it is.
pub(crate) type Base = (Place, Arc<StoredNode>);

/// Where new nodes go.
pub(crate) trait NodeSink {
    /// Takes a node and what its parent says of it; its children came before. `base` is the stored
    /// branch that it replaces.
    fn put(&mut self, node: StoredNode, rlp: RlpNode, base: Option<Base>) -> Link;
}

/// For roots of states that are not stored.
pub(crate) struct Forget;

impl NodeSink for Forget {
    fn put(&mut self, _: StoredNode, rlp: RlpNode, _: Option<Base>) -> Link {
        Link { rlp, place: Place::NONE }
    }
}

/// What stands at a key: the value, and for an account the root of its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) rlp: Box<[u8]>,
    pub(crate) below: Place,
}

/// A trie on its way from one root to the next. Its keys are of 32 bytes.
pub(crate) struct Trie {
    root: Node,
}

/// A node in memory, changed or about to be; or a link to one that is not.
#[derive(Default)]
enum Node {
    #[default]
    Empty,
    /// Not in a box: a branch that is loaded has up to sixteen of them.
    Stored(Link),
    Leaf(Box<Leaf>),
    Extension(Box<Extension>),
    Branch(Box<Branch>),
}

#[derive(Default)]
struct Branch {
    children: [Node; 16],
    /// What it was when it was loaded.
    base: Option<Base>,
}

struct Leaf {
    path: Nibbles,
    value: Value,
}

struct Extension {
    path: Nibbles,
    child: Node,
}

/// Where in a trie a key leads.
struct Walk<'a, S> {
    source: &'a S,
    key: Nibbles,
}

impl Trie {
    pub(crate) fn open(root: Root) -> Self {
        Self { root: root.link().map_or(Node::Empty, Node::Stored) }
    }

    pub(crate) fn insert(
        &mut self,
        source: &impl NodeSource,
        key: &B256,
        value: Value,
    ) -> Result<(), StoreError> {
        Walk { source, key: Nibbles::unpack(key) }.insert(&mut self.root, 0, value)
    }

    pub(crate) fn remove(
        &mut self,
        source: &impl NodeSource,
        key: &B256,
    ) -> Result<(), StoreError> {
        Walk { source, key: Nibbles::unpack(key) }.remove(&mut self.root, 0)
    }

    /// Hands out what has changed, and says what the new root is.
    pub(crate) fn commit(self, sink: &mut impl NodeSink) -> Root {
        let mut rlp = Vec::new();
        match self.root {
            Node::Empty => Root::EMPTY,
            changed => {
                let link = commit(changed, sink, &mut rlp);
                Root { hash: link.hash(), place: link.place }
            }
        }
    }
}

/// What stands at a key of a stored trie. `seen` is shown each node on the way.
pub(crate) fn get(
    source: &impl NodeSource,
    root: Root,
    key: &B256,
    mut seen: impl FnMut(&Link, &StoredNode),
) -> Result<Option<Value>, StoreError> {
    let Some(mut link) = root.link() else { return Ok(None) };
    let key = Nibbles::unpack(key);
    let mut depth = 0;
    loop {
        let node = source.node(&link)?;
        seen(&link, &node);
        let rest = slice(&key, depth);
        match &*node {
            StoredNode::Leaf { path, value, below } => {
                let found = *path == rest;
                return Ok(found.then(|| Value { rlp: value.clone(), below: *below }));
            }
            StoredNode::Extension { path, child } => {
                if path.is_empty() || !rest.starts_with(path) {
                    return Ok(None);
                }
                depth += path.len();
                link = child.clone();
            }
            StoredNode::Branch { mask, children, .. } => {
                let nibble = key.get(depth).ok_or_else(|| damaged(&link))?;
                let Some(child) = StoredNode::child(*mask, children, nibble) else {
                    return Ok(None);
                };
                depth += 1;
                link = child.clone();
            }
        }
    }
}

fn damaged(link: &Link) -> StoreError {
    StoreError::Inconsistent(Damage::StateNode(link.hash()))
}

fn slice(path: &Nibbles, from: usize) -> Nibbles {
    path.slice(from.min(path.len())..)
}

fn nibble(n: u8) -> Nibbles {
    let mut path = Nibbles::new();
    path.push(n);
    path
}

impl<S: NodeSource> Walk<'_, S> {
    /// Brings a stored node into memory, for it to be changed.
    fn load(&self, node: &mut Node) -> Result<(), StoreError> {
        let Node::Stored(link) = node else { return Ok(()) };
        let stored = |link: &Link| Node::Stored(link.clone());
        let loaded = self.source.node(link)?;
        *node = match &*loaded {
            StoredNode::Leaf { path, value, below } => {
                let value = Value { rlp: value.clone(), below: *below };
                Node::Leaf(Box::new(Leaf { path: *path, value }))
            }
            StoredNode::Extension { path, child } => {
                Node::Extension(Box::new(Extension { path: *path, child: stored(child) }))
            }
            StoredNode::Branch { mask, children, .. } => {
                let mut all: Box<Branch> = Box::default();
                all.base = Some((link.place, Arc::clone(&loaded)));
                for (n, place) in (0..16).zip(&mut all.children) {
                    if let Some(child) = StoredNode::child(*mask, children, n) {
                        *place = stored(child);
                    }
                }
                Node::Branch(all)
            }
        };
        Ok(())
    }

    /// The nibble of the key at a depth. The keys of a trie are equally long, so that there is
    /// one at each branch, unless the trie is damaged.
    fn nibble(&self, depth: usize) -> Result<u8, StoreError> {
        let damaged = StoreError::Inconsistent(Damage::StateKey(B256::from_slice(
            self.key.pack().get(..32).unwrap_or(&[0; 32]),
        )));
        self.key.get(depth).ok_or(damaged)
    }

    fn child<'n>(&self, branch: &'n mut Branch, depth: usize) -> Result<&'n mut Node, StoreError> {
        let nibble = self.nibble(depth)?;
        let child = branch.children.get_mut(usize::from(nibble));
        child.ok_or(StoreError::Inconsistent(Damage::Structure))
    }

    fn insert(&self, node: &mut Node, depth: usize, value: Value) -> Result<(), StoreError> {
        self.load(node)?;
        let rest = slice(&self.key, depth);
        let path = match node {
            Node::Empty | Node::Stored(_) => {
                *node = Node::Leaf(Box::new(Leaf { path: rest, value }));
                return Ok(());
            }
            Node::Branch(branch) => {
                return self.insert(self.child(branch, depth)?, depth + 1, value);
            }
            Node::Leaf(leaf) if leaf.path == rest => {
                leaf.value = value;
                return Ok(());
            }
            Node::Extension(extension) if rest.starts_with(&extension.path) => {
                let below = depth + extension.path.len();
                return self.insert(&mut extension.child, below, value);
            }
            Node::Leaf(leaf) => leaf.path,
            Node::Extension(extension) => extension.path,
        };
        // The paths part: a branch there, below an extension when they have something in common.
        let common = path.common_prefix_length(&rest);
        let mut branch: Box<Branch> = Box::default();
        let parted = path.get(common).ok_or(StoreError::Inconsistent(Damage::Structure))?;
        let old = branch
            .children
            .get_mut(usize::from(parted))
            .ok_or(StoreError::Inconsistent(Damage::Structure))?;
        *old = shortened(core::mem::take(node), common + 1);
        self.insert(self.child(&mut branch, depth + common)?, depth + common + 1, value)?;
        *node = Node::Branch(branch);
        if common > 0 {
            let child = core::mem::take(node);
            *node = Node::Extension(Box::new(Extension { path: path.slice(..common), child }));
        }
        Ok(())
    }

    fn remove(&self, node: &mut Node, depth: usize) -> Result<(), StoreError> {
        self.load(node)?;
        let rest = slice(&self.key, depth);
        match node {
            Node::Leaf(leaf) if leaf.path == rest => *node = Node::Empty,
            Node::Extension(extension) if rest.starts_with(&extension.path) => {
                self.remove(&mut extension.child, depth + extension.path.len())?;
                let path = extension.path;
                match core::mem::take(&mut extension.child) {
                    branch @ (Node::Branch(_) | Node::Stored(_)) => extension.child = branch,
                    other => *node = lengthened(other, &path),
                }
            }
            Node::Branch(branch) => {
                self.remove(self.child(branch, depth)?, depth + 1)?;
                let mut left = (0..).zip(&mut branch.children).filter(|(_, c)| !c.is_empty());
                match (left.next(), left.next()) {
                    (None, _) => *node = Node::Empty,
                    (Some((n, only)), None) => *node = self.alone(n, core::mem::take(only))?,
                    _ => {}
                }
            }
            Node::Empty | Node::Stored(_) | Node::Leaf(_) | Node::Extension(_) => {}
        }
        Ok(())
    }

    /// What takes the place of a branch that has one child left.
    fn alone(&self, n: u8, mut only: Node) -> Result<Node, StoreError> {
        if let Node::Stored(link) = &only
            && !matches!(&*self.source.node(link)?, StoredNode::Branch { .. })
        {
            self.load(&mut only)?;
        }
        Ok(lengthened(only, &nibble(n)))
    }
}

impl Node {
    const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// A leaf or an extension without the first nibbles of its path.
fn shortened(node: Node, by: usize) -> Node {
    match node {
        Node::Leaf(mut leaf) => {
            leaf.path = slice(&leaf.path, by);
            Node::Leaf(leaf)
        }
        Node::Extension(mut extension) => {
            extension.path = slice(&extension.path, by);
            if extension.path.is_empty() { extension.child } else { Node::Extension(extension) }
        }
        other => other,
    }
}

/// A node below this path.
fn lengthened(node: Node, path: &Nibbles) -> Node {
    match node {
        Node::Leaf(mut leaf) => {
            leaf.path = path.join(&leaf.path);
            Node::Leaf(leaf)
        }
        Node::Extension(mut extension) => {
            extension.path = path.join(&extension.path);
            Node::Extension(extension)
        }
        Node::Empty => Node::Empty,
        child @ (Node::Branch(_) | Node::Stored(_)) => {
            Node::Extension(Box::new(Extension { path: *path, child }))
        }
    }
}

/// Hands out a node after what is below it. `rlp` is for use again.
fn commit(node: Node, sink: &mut impl NodeSink, rlp: &mut Vec<u8>) -> Link {
    let mut base = None;
    let stored = match node {
        Node::Stored(link) => return link,
        Node::Empty => {
            return Link { rlp: RlpNode::word_rlp(&EMPTY_ROOT_HASH), place: Place::NONE };
        }
        Node::Leaf(leaf) => {
            StoredNode::Leaf { path: leaf.path, value: leaf.value.rlp, below: leaf.value.below }
        }
        Node::Extension(extension) => {
            let child = commit(extension.child, sink, rlp);
            StoredNode::Extension { path: extension.path, child }
        }
        Node::Branch(branch) => {
            let mut mask = TrieMask::default();
            let mut links = Vec::with_capacity(16);
            for (n, child) in (0..).zip(branch.children) {
                if !child.is_empty() {
                    mask.set_bit(n);
                    links.push(commit(child, sink, rlp));
                }
            }
            let mut stored = StoredNode::Branch { mask, children: links.into(), deltas: 0 };
            if let Some((_, before)) = &branch.base {
                let on_it = stored.deltas_on(before);
                if let StoredNode::Branch { deltas, .. } = &mut stored {
                    *deltas = on_it;
                }
                base = branch.base;
            }
            stored
        }
    };
    rlp.clear();
    stored.rlp(rlp);
    sink.put(stored, RlpNode::from_rlp(rlp), base)
}

/// The hash of what is stored at a key: tries of the state have hashed keys.
pub(crate) fn hashed(key: impl AsRef<[u8]>) -> B256 {
    keccak256(key)
}
