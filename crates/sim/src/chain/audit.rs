//! Looks at what a node has stored, block by block as they come, and believes nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use chainmesh_proto::eth::chain::{ChainReader, SyncBlock};
use chainmesh_proto::time::Instant;
use chainmesh_wire::eth::{BlockBody, BlockHeader};

use super::{INVALID, MemoryChain};

/// What is wrong with a stored block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainDefect {
    /// There is no block with this number.
    #[error("is missing")]
    Missing,
    /// It is not the child of the canonical block below it.
    #[error("is not the child of the block below it")]
    WrongParent,
    /// Its number is not one more than that of the block below it.
    #[error("has another number in its header")]
    WrongNumber,
    /// Hash, header and the header's bytes are not of one block.
    #[error("has a header that is not the one with its hash")]
    WrongHeader,
    /// Its body is not the one that its header was sealed with.
    #[error("has the body of another block")]
    WrongBody,
    /// It breaks the rule of validity.
    #[error("is invalid")]
    Invalid,
}

/// A head that went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sank {
    pub(crate) from: U256,
    pub(crate) to: U256,
}

/// Blocks that were found to be without defect, at whatever node: one that is equal to such a block
/// in each byte need not be looked at again.
pub(crate) type Sound = BTreeMap<B256, Arc<SyncBlock>>;

/// What was seen of one node's chain.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    canonical: Vec<B256>,
    total_difficulty: U256,
    /// When each block became canonical for the first time.
    pub(crate) arrived: BTreeMap<B256, Instant>,
    /// The first block with a defect.
    pub(crate) defect: Option<(u64, ChainDefect)>,
    pub(crate) sank: Option<Sank>,
}

impl Audit {
    /// Looks at what is new since the last time.
    pub(crate) fn look(&mut self, now: Instant, chain: &MemoryChain, sound: &mut Sound) {
        let head = chain.head();
        if head.total_difficulty < self.total_difficulty {
            let (from, to) = (self.total_difficulty, head.total_difficulty);
            self.sank.get_or_insert(Sank { from, to });
        }
        self.total_difficulty = head.total_difficulty;
        let mut fresh = Vec::new();
        for number in (0..=head.number).rev() {
            let Some(block) = chain.canonical_block(number) else {
                self.defect.get_or_insert((number, ChainDefect::Missing));
                return;
            };
            if self.at(number) == Some(block.hash) {
                break;
            }
            fresh.push(block);
        }
        let lowest = fresh.last().map_or(head.number + 1, |block| block.header.number);
        self.canonical.truncate(usize::try_from(lowest).unwrap_or(usize::MAX));
        for block in fresh.into_iter().rev() {
            self.take(now, &block, sound);
        }
    }

    fn at(&self, number: u64) -> Option<B256> {
        self.canonical.get(usize::try_from(number).ok()?).copied()
    }

    fn take(&mut self, now: Instant, block: &Arc<SyncBlock>, sound: &mut Sound) {
        let number = self.canonical.len() as u64;
        let defect = if block.header.number != number {
            Some(ChainDefect::WrongNumber)
        } else if self.canonical.last().is_some_and(|below| *below != block.header.parent_hash) {
            Some(ChainDefect::WrongParent)
        } else {
            defect_of(block, sound)
        };
        if let Some(defect) = defect {
            self.defect.get_or_insert((number, defect));
        }
        self.canonical.push(block.hash);
        self.arrived.entry(block.hash).or_insert(now);
    }
}

/// What is wrong with a block by itself.
fn defect_of(block: &Arc<SyncBlock>, sound: &mut Sound) -> Option<ChainDefect> {
    if sound.get(&block.hash).is_some_and(|known| known == block) {
        return None;
    }
    let same = BlockHeader::from_header(block.header.clone()).rlp == block.header_rlp;
    if !same || keccak256(&block.header_rlp) != block.hash {
        return Some(ChainDefect::WrongHeader);
    }
    let body = BlockBody::decode(block.body_rlp.clone());
    if !body.is_ok_and(|body| body.belongs_to(&block.header)) {
        return Some(ChainDefect::WrongBody);
    }
    if *block.header.extra_data == *INVALID {
        return Some(ChainDefect::Invalid);
    }
    sound.insert(block.hash, Arc::clone(block));
    None
}
