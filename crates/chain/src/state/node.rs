//! Nodes of the tries as they lie on disk.
//!
//! Nodes are written in chunks and never changed: a node is found by the number of its chunk and
//! its place in it, and each node says both about its children, beside their hashes. So a state
//! is reached from its root alone, the nodes of one block lie together, and what a block adds is
//! written at the end of the table, however many accounts there are. A node that is read from
//! disk is held against the hash that led to it.
//!
//! | node | bytes |
//! |---|---|
//! | leaf | 0, path, length and bytes of the value, place of the storage root below it (or 0) |
//! | extension | 1, path, child |
//! | branch | 2, one bit for each child (2 bytes, little endian), the children |
//! | branch like an older one | 3, place of that one, one bit for each child, one bit for each that is another, these |
//! | path | count of nibbles (1 byte), two of them in each byte |
//! | child | length of its RLP (below 32) or 32, that RLP or its keccak256, place |
//!
//! Places and lengths are in LEB128: 7 bits in each byte, the lowest first.
//!
//! Of a branch that a block changes, mostly one child of 16 is another one. So a branch may be
//! written as what differs from the one that it replaces, which may be written so itself, up to
//! [`MOST_DELTAS`] of them in a row. What they add up to is what is held against the hash.

use alloy_primitives::{B256, keccak256};
use alloy_trie::nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode};
use alloy_trie::{Nibbles, TrieMask};

/// Most bytes in a chunk that holds more than one node: with its key, one page of redb.
pub(crate) const CHUNK_BYTES: usize = 4_000;

/// How many branches in a row may be written as what differs from the one before: more of them
/// take less room and more time to read.
pub(crate) const MOST_DELTAS: u8 = 7;

/// How many bits of a place are the offset in the chunk.
const OFFSET_BITS: u32 = 12;

/// Where a node lies on disk: the number of its chunk (from 1), and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u64);

impl Place {
    /// The place of what is nowhere: of an empty trie, and of nodes that are not stored.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn new(chunk: u64, offset: usize) -> Self {
        Self((chunk << OFFSET_BITS) | offset as u64)
    }

    pub(crate) const fn chunk(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    pub(crate) const fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize
    }

    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(self) -> u64 {
        self.0
    }
}

/// A node that is stored: what its parent says about it, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its RLP when that is shorter than 32 bytes, or the RLP of its hash.
    pub(crate) rlp: RlpNode,
    pub(crate) place: Place,
}

/// The root of a trie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) hash: B256,
    pub(crate) place: Place,
}

impl Root {
    pub(crate) const EMPTY: Self = Self { hash: alloy_trie::EMPTY_ROOT_HASH, place: Place::NONE };

    /// `None` for an empty trie.
    pub(crate) fn link(self) -> Option<Link> {
        (self.hash != alloy_trie::EMPTY_ROOT_HASH)
            .then(|| Link { rlp: RlpNode::word_rlp(&self.hash), place: self.place })
    }
}

impl Link {
    /// The hash of the node, as errors name it.
    pub(crate) fn hash(&self) -> B256 {
        self.rlp.as_hash().unwrap_or_else(|| keccak256(&self.rlp[..]))
    }

    /// Whether this is the RLP of the node.
    pub(crate) fn fits(&self, rlp: &[u8]) -> bool {
        match self.rlp.as_hash() {
            Some(hash) => keccak256(rlp) == hash,
            None => self.rlp[..] == *rlp,
        }
    }
}

/// A node, with its children on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredNode {
    Leaf {
        path: Nibbles,
        value: Box<[u8]>,
        /// Of an account: the root of its storage.
        below: Place,
    },
    Extension {
        path: Nibbles,
        child: Link,
    },
    Branch {
        mask: TrieMask,
        /// As many as there are bits in `mask`, in that order.
        children: Box<[Link]>,
        /// How many branches must be read before this one.
        deltas: u8,
    },
}

impl StoredNode {
    /// The child of a branch.
    pub(crate) fn child(mask: TrieMask, children: &[Link], nibble: u8) -> Option<&Link> {
        if !mask.is_bit_set(nibble) {
            return None;
        }
        let before = mask.get() & ((1_u16 << nibble) - 1);
        children.get(before.count_ones() as usize)
    }

    /// Appends the RLP of the node.
    pub(crate) fn rlp(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf { path, value, .. } => {
                alloy_rlp::Encodable::encode(&LeafNodeRef::new(path, value), out);
            }
            Self::Extension { path, child } => {
                alloy_rlp::Encodable::encode(&ExtensionNodeRef::new(path, &child.rlp), out);
            }
            Self::Branch { mask, children, .. } => {
                let stack: Vec<RlpNode> = children.iter().map(|child| child.rlp.clone()).collect();
                alloy_rlp::Encodable::encode(&BranchNodeRef::new(&stack, *mask), out);
            }
        }
    }

    /// About how much memory it takes, bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Leaf { value, .. } => value.len(),
                Self::Extension { .. } => 0,
                Self::Branch { children, .. } => size_of_val(&**children),
            }
    }

    /// Appends the bytes of the node on disk. A branch with `deltas` is written as what differs
    /// from `base`.
    pub(crate) fn encode(&self, base: Option<(Place, &Self)>, out: &mut Vec<u8>) {
        match self {
            Self::Leaf { path, value, below } => {
                out.push(0);
                put_path(out, path);
                put_number(out, value.len() as u64);
                out.extend_from_slice(value);
                put_number(out, below.raw());
            }
            Self::Extension { path, child } => {
                out.push(1);
                put_path(out, path);
                put_link(out, child);
            }
            Self::Branch { mask, children, deltas } => {
                let base = base.filter(|_| *deltas > 0);
                out.push(if base.is_some() { 3 } else { 2 });
                if let Some((place, _)) = base {
                    put_number(out, place.raw());
                }
                out.extend_from_slice(&mask.get().to_le_bytes());
                let written = match base {
                    Some((_, base)) => {
                        let changed = self.changed(base);
                        out.extend_from_slice(&changed.get().to_le_bytes());
                        changed
                    }
                    None => *mask,
                };
                for nibble in 0..16 {
                    if written.is_bit_set(nibble)
                        && let Some(child) = Self::child(*mask, children, nibble)
                    {
                        put_link(out, child);
                    }
                }
            }
        }
    }

    /// The children of a branch that another one has not.
    fn changed(&self, base: &Self) -> TrieMask {
        let mut changed = TrieMask::default();
        for nibble in 0..16 {
            let of = |node: &Self| match node {
                Self::Branch { mask, children, .. } => {
                    Self::child(*mask, children, nibble).cloned()
                }
                _ => None,
            };
            let child = of(self);
            if child.is_some() && child != of(base) {
                changed.set_bit(nibble);
            }
        }
        changed
    }

    /// How a branch that replaces `base` is best written: the number of its deltas.
    pub(crate) fn deltas_on(&self, base: &Self) -> u8 {
        match base {
            // Half of the children: it would not be much shorter.
            Self::Branch { deltas, .. }
                if *deltas < MOST_DELTAS && self.changed(base).count_bits() <= 8 =>
            {
                deltas + 1
            }
            _ => 0,
        }
    }

    /// The node at the beginning of these bytes; `None` when there is none. `base` reads another
    /// node, and is asked [`MOST_DELTAS`] times at most, each time from within.
    pub(crate) fn decode<E>(
        bytes: &[u8],
        base: impl FnOnce(Place) -> Result<Option<Self>, E>,
    ) -> Result<Option<Self>, E> {
        let mut at = bytes;
        match take_byte(&mut at) {
            Some(0) => Ok(take_leaf(&mut at)),
            Some(1) => Ok(take_extension(&mut at)),
            Some(2) => Ok(take_branch(&mut at)),
            Some(3) => {
                let Some(place) = take_number(&mut at).map(Place) else { return Ok(None) };
                let base = base(place)?;
                Ok(base.and_then(|base| take_delta(&mut at, &base)))
            }
            _ => Ok(None),
        }
    }
}

fn take_leaf(at: &mut &[u8]) -> Option<StoredNode> {
    let path = take_path(at)?;
    let length = usize::try_from(take_number(at)?).ok()?;
    let value = take(at, length)?.into();
    Some(StoredNode::Leaf { path, value, below: Place(take_number(at)?) })
}

fn take_extension(at: &mut &[u8]) -> Option<StoredNode> {
    Some(StoredNode::Extension { path: take_path(at)?, child: take_link(at)? })
}

fn take_branch(at: &mut &[u8]) -> Option<StoredNode> {
    let mask = take_mask(at)?;
    let children = (0..mask.count_bits()).map(|_| take_link(at));
    let children = children.collect::<Option<Vec<Link>>>()?.into();
    Some(StoredNode::Branch { mask, children, deltas: 0 })
}

fn take_delta(at: &mut &[u8], base: &StoredNode) -> Option<StoredNode> {
    let StoredNode::Branch { mask: old_mask, children: old, deltas } = base else { return None };
    let (mask, changed) = (take_mask(at)?, take_mask(at)?);
    let mut children = Vec::with_capacity(16);
    for nibble in 0..16 {
        if !mask.is_bit_set(nibble) {
            continue;
        }
        children.push(if changed.is_bit_set(nibble) {
            take_link(at)?
        } else {
            StoredNode::child(*old_mask, old, nibble)?.clone()
        });
    }
    let deltas = deltas.checked_add(1).filter(|deltas| *deltas <= MOST_DELTAS)?;
    Some(StoredNode::Branch { mask, children: children.into(), deltas })
}

fn take_mask(at: &mut &[u8]) -> Option<TrieMask> {
    Some(TrieMask::new(u16::from_le_bytes(take(at, 2)?.try_into().ok()?)))
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_path(out: &mut Vec<u8>, path: &Nibbles) {
    out.push(path.len() as u8);
    out.extend_from_slice(&path.pack());
}

fn put_link(out: &mut Vec<u8>, link: &Link) {
    match link.rlp.as_hash() {
        Some(hash) => {
            out.push(32);
            out.extend_from_slice(hash.as_slice());
        }
        None => {
            out.push(link.rlp.len() as u8);
            out.extend_from_slice(&link.rlp);
        }
    }
    put_number(out, link.place.raw());
}

fn take<'a>(at: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = at.split_at_checked(count)?;
    *at = rest;
    Some(taken)
}

fn take_byte(at: &mut &[u8]) -> Option<u8> {
    take(at, 1)?.first().copied()
}

fn take_number(at: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(at)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_path(at: &mut &[u8]) -> Option<Nibbles> {
    let count = usize::from(take_byte(at)?);
    if count > 64 {
        return None;
    }
    let mut path = Nibbles::unpack(take(at, count.div_ceil(2))?);
    path.truncate(count);
    Some(path)
}

fn take_link(at: &mut &[u8]) -> Option<Link> {
    let rlp = match usize::from(take_byte(at)?) {
        32 => RlpNode::word_rlp(&B256::from_slice(take(at, 32)?)),
        length if length < 32 => RlpNode::from_raw(take(at, length)?)?,
        _ => return None,
    };
    Some(Link { rlp, place: Place(take_number(at)?) })
}
