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
//! | path | count of nibbles (1 byte), two of them in each byte |
//! | child | length of its RLP (below 32) or 32, that RLP or its keccak256, place |
//!
//! Places and lengths are in LEB128: 7 bits in each byte, the lowest first.

use alloy_primitives::{B256, keccak256};
use alloy_trie::nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode};
use alloy_trie::{Nibbles, TrieMask};

/// Most bytes in a chunk that holds more than one node: with its key, one page of redb.
pub(crate) const CHUNK_BYTES: usize = 4_000;

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
            Self::Branch { mask, children } => {
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

    /// Appends the bytes of the node on disk.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
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
            Self::Branch { mask, children } => {
                out.push(2);
                out.extend_from_slice(&mask.get().to_le_bytes());
                for child in children {
                    put_link(out, child);
                }
            }
        }
    }

    /// The node at the beginning of these bytes; `None` when there is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut at = bytes;
        let (kind, rest) = at.split_first()?;
        at = rest;
        match kind {
            0 => {
                let path = take_path(&mut at)?;
                let length = usize::try_from(take_number(&mut at)?).ok()?;
                let value = take(&mut at, length)?.into();
                Some(Self::Leaf { path, value, below: Place(take_number(&mut at)?) })
            }
            1 => Some(Self::Extension { path: take_path(&mut at)?, child: take_link(&mut at)? }),
            2 => {
                let mask = u16::from_le_bytes(take(&mut at, 2)?.try_into().ok()?);
                let children = (0..mask.count_ones()).map(|_| take_link(&mut at));
                let children = children.collect::<Option<Vec<Link>>>()?.into();
                Some(Self::Branch { mask: TrieMask::new(mask), children })
            }
            _ => None,
        }
    }
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
