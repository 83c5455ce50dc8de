//! A chain in memory for the tests of this module: small generated blocks, fork choice by total
//! difficulty, and one rule of validity.

use std::collections::BTreeMap;
use std::sync::Mutex;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, Signed, TxEnvelope, TxLegacy,
};
use alloy_primitives::{B256, Signature, U256};
use alloy_rlp::Encodable;
use bytes::Bytes;
use chainmesh_wire::eth::{BlockBody, BlockHeader};

use super::chain::{ChainHead, ChainReader, ChainWriter, ImportError, StorageError, SyncBlock};

/// The extra data of a block that [`MemoryChain`] refuses.
pub(crate) const INVALID: &[u8] = b"invalid";

/// How generated blocks look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Goes into the extra data: two branches with different salts have no block in common.
    pub(crate) salt: u8,
    /// Difficulty of each block.
    pub(crate) difficulty: u64,
    /// Every so many blocks one has a transaction; 0 is never.
    pub(crate) transaction_every: u64,
    /// Bytes of input data of a transaction.
    pub(crate) input: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { salt: 0, difficulty: 2, transaction_every: 2, input: 40 }
    }
}

/// A block from its header and the RLP of its body; sets the roots.
pub(crate) fn seal(mut header: Header, body_rlp: Bytes) -> SyncBlock {
    let body = BlockBody::decode(body_rlp).unwrap();
    header.transactions_root = body.transactions_root;
    header.ommers_hash = body.ommers_hash;
    header.withdrawals_root = body.withdrawals_root;
    let BlockHeader { hash, header, rlp } = BlockHeader::from_header(header);
    SyncBlock { hash, header, header_rlp: rlp, body_rlp: body.rlp }
}

/// The RLP of a body with these transactions.
pub(crate) fn body_rlp(transactions: &[TxEnvelope]) -> Bytes {
    let mut items = Vec::new();
    transactions.to_vec().encode(&mut items);
    items.push(0xc0);
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length: items.len() }.encode(&mut out);
    out.extend_from_slice(&items);
    out.into()
}

/// The first block of every test chain.
pub(crate) fn genesis() -> SyncBlock {
    let header = Header {
        transactions_root: EMPTY_ROOT_HASH,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        difficulty: U256::from(1),
        ..Header::default()
    };
    seal(header, body_rlp(&[]))
}

/// A child.
pub(crate) fn child(parent: &SyncBlock, shape: Shape, extra: &[u8]) -> SyncBlock {
    let number = parent.header.number + 1;
    let header = Header {
        parent_hash: parent.hash,
        number,
        difficulty: U256::from(shape.difficulty),
        timestamp: number,
        extra_data: extra.to_vec().into(),
        ..Header::default()
    };
    let with_transaction =
        shape.transaction_every > 0 && number.is_multiple_of(shape.transaction_every);
    let transactions = with_transaction.then(|| {
        let input = vec![shape.salt; shape.input].into();
        let transaction = TxLegacy { nonce: number, input, ..TxLegacy::default() };
        Signed::new_unhashed(transaction, Signature::new(U256::ONE, U256::ONE, false)).into()
    });
    seal(header, body_rlp(&transactions.into_iter().collect::<Vec<_>>()))
}

/// `count` blocks on top of `parent`.
pub(crate) fn branch(parent: &SyncBlock, count: u64, shape: Shape) -> Vec<SyncBlock> {
    let mut blocks = Vec::new();
    let mut tip = parent.clone();
    for _ in 0..count {
        tip = child(&tip, shape, &[shape.salt]);
        blocks.push(tip.clone());
    }
    blocks
}

#[derive(Debug, Default, Clone)]
struct Blocks {
    known: BTreeMap<B256, (SyncBlock, U256)>,
    canonical: Vec<B256>,
}

/// A chain in memory.
#[derive(Debug)]
pub(crate) struct MemoryChain(Mutex<Blocks>);

impl Clone for MemoryChain {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap().clone()))
    }
}

impl MemoryChain {
    /// A chain with the genesis block alone.
    pub(crate) fn new() -> Self {
        let genesis = genesis();
        let hash = genesis.hash;
        let difficulty = genesis.header.difficulty;
        let known = BTreeMap::from([(hash, (genesis, difficulty))]);
        Self(Mutex::new(Blocks { known, canonical: vec![hash] }))
    }

    /// A chain with these blocks.
    pub(crate) fn with(blocks: &[SyncBlock]) -> Self {
        let chain = Self::new();
        chain.import(blocks).unwrap();
        chain
    }

    pub(crate) fn block(&self, hash: &B256) -> Option<SyncBlock> {
        self.0.lock().unwrap().known.get(hash).map(|(block, _)| block.clone())
    }

    pub(crate) fn canonical_block(&self, number: u64) -> Option<SyncBlock> {
        self.block(&self.canonical_hash(number).unwrap()?)
    }

    /// Stores a block whatever it is: what a liar serves.
    pub(crate) fn force(&self, block: SyncBlock) {
        let mut blocks = self.0.lock().unwrap();
        blocks.canonical.truncate(usize::try_from(block.header.number).unwrap());
        blocks.canonical.push(block.hash);
        blocks.known.insert(block.hash, (block, U256::MAX >> 160));
    }
}

impl Blocks {
    fn take(&mut self, block: &SyncBlock) -> Result<(), ImportError> {
        if self.known.contains_key(&block.hash) {
            return Ok(());
        }
        let (number, hash) = (block.header.number, block.hash);
        let parent = block.header.parent_hash;
        let Some((_, parent_difficulty)) = self.known.get(&parent) else {
            return Err(ImportError::UnknownParent { number, hash, parent });
        };
        if *block.header.extra_data == *INVALID {
            return Err(ImportError::Invalid { number, hash, reason: "marked invalid".into() });
        }
        let difficulty = *parent_difficulty + block.header.difficulty;
        self.known.insert(hash, (block.clone(), difficulty));
        let head = self.canonical.last().unwrap();
        if difficulty > self.known[head].1 {
            self.reorganise(hash);
        }
        Ok(())
    }

    fn reorganise(&mut self, mut hash: B256) {
        let mut fresh = Vec::new();
        loop {
            let header = &self.known[&hash].0.header;
            let number = usize::try_from(header.number).unwrap();
            if self.canonical.get(number) == Some(&hash) {
                self.canonical.truncate(number + 1);
                break;
            }
            fresh.push(hash);
            hash = header.parent_hash;
        }
        self.canonical.extend(fresh.into_iter().rev());
    }
}

impl ChainReader for MemoryChain {
    fn genesis_hash(&self) -> B256 {
        self.0.lock().unwrap().canonical[0]
    }

    fn head(&self) -> ChainHead {
        let blocks = self.0.lock().unwrap();
        let (block, total_difficulty) = &blocks.known[blocks.canonical.last().unwrap()];
        ChainHead {
            number: block.header.number,
            hash: block.hash,
            timestamp: block.header.timestamp,
            total_difficulty: *total_difficulty,
        }
    }

    fn canonical_hash(&self, number: u64) -> Result<Option<B256>, StorageError> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.0.lock().unwrap().canonical.get(number).copied())
    }

    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        Ok(self.block(hash).map(|block| block.header.number))
    }

    fn header_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        Ok(self.block(hash).map(|block| block.header_rlp))
    }

    fn body_rlp(&self, hash: &B256) -> Result<Option<Bytes>, StorageError> {
        Ok(self.block(hash).map(|block| block.body_rlp))
    }
}

impl ChainWriter for MemoryChain {
    fn import(&self, blocks: &[SyncBlock]) -> Result<ChainHead, ImportError> {
        for block in blocks {
            self.0.lock().unwrap().take(block)?;
        }
        Ok(self.head())
    }
}
