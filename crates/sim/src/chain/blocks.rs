//! Generated blocks.

use alloy_consensus::proofs::calculate_transaction_root;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, Signed, TxEnvelope, TxLegacy};
use alloy_primitives::{Signature, U256};
use bytes::Bytes;
use chainmesh_proto::eth::chain::SyncBlock;
use chainmesh_wire::eth::BlockHeader;

/// The extra data of a block that [`MemoryChain`](super::MemoryChain) refuses.
pub const INVALID: &[u8] = b"invalid";

/// How generated blocks look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Goes into the extra data: two branches with different salts have no block in common.
    pub salt: u8,
    /// Difficulty of each block.
    pub difficulty: u64,
    /// Every so many blocks one has a transaction; 0 is never.
    pub transaction_every: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { salt: 0, difficulty: 2, transaction_every: 0 }
    }
}

/// The first block of every generated chain.
#[must_use]
pub fn genesis() -> SyncBlock {
    seal(Header { difficulty: U256::from(1), ..Header::default() }, &[])
}

/// A child of `parent` with this extra data; its timestamp is its number.
#[must_use]
pub fn child(parent: &SyncBlock, shape: Shape, extra: &[u8]) -> SyncBlock {
    let number = parent.header.number.saturating_add(1);
    let header = Header {
        parent_hash: parent.hash,
        number,
        difficulty: U256::from(shape.difficulty),
        timestamp: number,
        extra_data: extra.to_vec().into(),
        ..Header::default()
    };
    let full = shape.transaction_every > 0 && number.is_multiple_of(shape.transaction_every);
    let transaction = full.then(|| {
        let input = vec![shape.salt; 40].into();
        let transaction = TxLegacy { nonce: number, input, ..TxLegacy::default() };
        Signed::new_unhashed(transaction, Signature::new(U256::ONE, U256::ONE, false)).into()
    });
    seal(header, transaction.as_slice())
}

/// `count` blocks on top of `parent`.
#[must_use]
pub fn branch(parent: &SyncBlock, count: usize, shape: Shape) -> Vec<SyncBlock> {
    let next = |block: &SyncBlock| Some(child(block, shape, &[shape.salt]));
    core::iter::successors(next(parent), next).take(count).collect()
}

/// A block with these transactions; sets the roots.
fn seal(mut header: Header, transactions: &[TxEnvelope]) -> SyncBlock {
    header.transactions_root = calculate_transaction_root(transactions);
    header.ommers_hash = EMPTY_OMMER_ROOT_HASH;
    let BlockHeader { hash, header, rlp } = BlockHeader::from_header(header);
    SyncBlock { hash, header, header_rlp: rlp, body_rlp: body_rlp(transactions) }
}

/// `[transactions, []]`.
fn body_rlp(transactions: &[TxEnvelope]) -> Bytes {
    let mut items = Vec::new();
    alloy_rlp::encode_list(transactions, &mut items);
    items.push(alloy_rlp::EMPTY_LIST_CODE);
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length: items.len() }.encode(&mut out);
    out.extend_from_slice(&items);
    out.into()
}
