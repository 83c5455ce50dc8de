//! Headers, bodies and announcements of blocks.

use alloy_consensus::proofs::ordered_trie_root_encoded;
use alloy_consensus::{EthereumTxEnvelope, Header, TxEip4844};
use alloy_eips::eip2718::{Decodable2718, Eip2718Error};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, U256, keccak256};
use alloy_rlp::Encodable;
use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{Item, Reader, begin_list, decode_exact, list_length, new_list};
use super::{
    MAX_ANNOUNCED_BLOCKS, MAX_DIFFICULTY_BITS, MAX_EXTRA_DATA, MAX_OMMERS,
    MAX_TOTAL_DIFFICULTY_BITS,
};
use crate::DecodeError;

/// A transaction of a block: EIP-4844 transactions come without their blobs there.
type BlockTransaction = EthereumTxEnvelope<TxEip4844>;

/// A header as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// keccak256 of [`rlp`](Self::rlp).
    pub hash: B256,
    /// The decoded header.
    pub header: Header,
    /// The header in RLP; a slice of the message.
    pub rlp: Bytes,
}

impl BlockHeader {
    /// Reads a header and checks what geth's `Header.SanityCheck` does: the number fits 64 bits,
    /// the difficulty 80, the extra data 100 KiB.
    ///
    /// # Errors
    /// When the bytes are no such header.
    pub fn decode(rlp: Bytes) -> Result<Self, DecodeError> {
        // Checked before decoding, which copies the extra data. The other fields take less
        // than 1 KiB.
        if rlp.len() > MAX_EXTRA_DATA + 1024 {
            let limit = MAX_EXTRA_DATA + 1024;
            return Err(DecodeError::TooLarge { what: "header", size: rlp.len(), limit });
        }
        let header = decode_exact::<Header>(&rlp)?;
        if header.extra_data.len() > MAX_EXTRA_DATA {
            return Err(DecodeError::TooLarge {
                what: "extra data",
                size: header.extra_data.len(),
                limit: MAX_EXTRA_DATA,
            });
        }
        if header.difficulty.bit_len() > MAX_DIFFICULTY_BITS {
            return Err(DecodeError::TooLarge {
                what: "difficulty",
                size: header.difficulty.bit_len().div_ceil(8),
                limit: MAX_DIFFICULTY_BITS.div_ceil(8),
            });
        }
        Ok(Self { hash: keccak256(&rlp), header, rlp })
    }

    /// Encodes a header and takes its hash.
    #[must_use]
    pub fn from_header(header: Header) -> Self {
        let mut rlp = BytesMut::with_capacity(header.length());
        header.encode(&mut rlp);
        Self { hash: keccak256(&rlp), header, rlp: rlp.freeze() }
    }
}

/// A body as it was received, and what a header must say for the body to be its.
///
/// Every transaction, ommer and withdrawal has been decoded, one after the other, and dropped
/// again: what stays in memory is the message and the roots, whatever the peer put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockBody {
    /// The RLP list `[transactions, ommers]` or `[transactions, ommers, withdrawals]`; a slice of
    /// the message.
    pub rlp: Bytes,
    /// Root of the trie of the transactions.
    pub transactions_root: B256,
    /// keccak256 of the list of the ommers.
    pub ommers_hash: B256,
    /// Root of the trie of the withdrawals, if the body has a list of them (EIP-4895).
    pub withdrawals_root: Option<B256>,
    /// How many transactions it has.
    pub transaction_count: usize,
}

impl BlockBody {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is not a list of two or three lists, or something in it cannot be decoded.
    pub fn decode(rlp: Bytes) -> Result<Self, DecodeError> {
        let mut fields = Reader::list(&rlp)?;
        let roots = BodyRoots::read(&mut fields)?;
        fields.finish()?;
        Ok(roots.into_body(rlp))
    }

    /// Whether this is the body that the header commits to.
    #[must_use]
    pub fn belongs_to(&self, header: &Header) -> bool {
        self.transactions_root == header.transactions_root
            && self.ommers_hash == header.ommers_hash
            && self.withdrawals_root == header.withdrawals_root
    }
}

/// What is known of a body after it was read.
struct BodyRoots {
    transactions_root: B256,
    ommers_hash: B256,
    withdrawals_root: Option<B256>,
    transaction_count: usize,
}

impl BodyRoots {
    fn read(fields: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let transactions = fields.nested()?;
        let transactions = collect(transactions, block_transaction)?;
        let ommers = fields.item()?;
        check_ommers(fields.of_item(&ommers)?)?;
        let withdrawals_root = if fields.is_empty() {
            None
        } else {
            let withdrawals = collect(fields.nested()?, |item| {
                decode_exact::<Withdrawal>(item.encoded)?;
                Ok(item.encoded)
            })?;
            Some(ordered_trie_root_encoded(&withdrawals))
        };
        Ok(Self {
            transactions_root: ordered_trie_root_encoded(&transactions),
            ommers_hash: keccak256(ommers.encoded),
            withdrawals_root,
            transaction_count: transactions.len(),
        })
    }

    const fn into_body(self, rlp: Bytes) -> BlockBody {
        BlockBody {
            rlp,
            transactions_root: self.transactions_root,
            ommers_hash: self.ommers_hash,
            withdrawals_root: self.withdrawals_root,
            transaction_count: self.transaction_count,
        }
    }
}

/// Checks each item and keeps the part of it that goes into the trie. The first bad item ends it,
/// so the vector never holds more than what valid items cost.
fn collect<'a>(
    mut list: Reader<'a>,
    mut check: impl FnMut(&Item<'a>) -> Result<&'a [u8], DecodeError>,
) -> Result<Vec<&'a [u8]>, DecodeError> {
    let mut parts = Vec::new();
    while !list.is_empty() {
        parts.push(check(&list.item()?)?);
    }
    Ok(parts)
}

/// Decodes a transaction of a block and returns its EIP-2718 form, which is what the trie holds.
fn block_transaction<'a>(item: &Item<'a>) -> Result<&'a [u8], DecodeError> {
    let canonical = eip2718_form(item)?;
    BlockTransaction::decode_2718_exact(canonical).map_err(|error| match error {
        Eip2718Error::RlpError(error) => DecodeError::Rlp(error),
        _ if item.is_list => DecodeError::Invalid("malformed legacy transaction"),
        _ => DecodeError::Invalid("unknown transaction type"),
    })?;
    Ok(canonical)
}

/// The EIP-2718 form of a transaction in its network form: a legacy transaction is the list
/// itself, a typed one is what the string holds, beginning with a type below 0x80.
pub(super) fn eip2718_form<'a>(item: &Item<'a>) -> Result<&'a [u8], DecodeError> {
    if item.is_list {
        return Ok(item.encoded);
    }
    match item.content.first() {
        Some(0..=0x7f) => Ok(item.content),
        Some(_) => Err(DecodeError::Invalid("a transaction type must be below 0x80")),
        None => Err(DecodeError::Invalid("empty transaction")),
    }
}

fn check_ommers(mut ommers: Reader<'_>) -> Result<(), DecodeError> {
    ommers.count("ommers", MAX_OMMERS)?;
    while !ommers.is_empty() {
        let ommer = ommers.item()?.encoded;
        BlockHeader::decode(ommers.share(ommer))?;
    }
    Ok(())
}

/// NewBlock: a whole block and the total difficulty with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBlock {
    /// The header.
    pub header: BlockHeader,
    /// The body. That it belongs to the header has *not* been checked.
    pub body: BlockBody,
    /// What the sender says is the sum of the difficulties, this block included; at most
    /// [`MAX_TOTAL_DIFFICULTY_BITS`] bits. Never to be believed for import.
    pub total_difficulty: U256,
}

impl NewBlock {
    /// Reads `[[header, transactions, ommers, …], total_difficulty]`.
    ///
    /// # Errors
    /// When the payload is no such message.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut list = Reader::list(payload)?;
        let mut block = list.nested()?;
        let total_difficulty = list.bounded("total difficulty", MAX_TOTAL_DIFFICULTY_BITS)?;
        list.finish()?;
        let header = block.item()?.encoded;
        let header = BlockHeader::decode(block.share(header))?;
        // The body has no list prefix of its own in here: the one copy that a block costs.
        let fields = block.rest();
        let mut rlp = new_list(fields.len());
        rlp.put_slice(fields);
        let roots = BodyRoots::read(&mut block)?;
        block.finish()?;
        Ok(Self { header, body: roots.into_body(rlp.freeze()), total_difficulty })
    }

    /// The payload of a NewBlock, from the RLP of a header and of a body as in
    /// [`BlockBody::rlp`].
    ///
    /// # Errors
    /// When `body_rlp` is no RLP list.
    pub fn encode(
        header_rlp: &[u8],
        body_rlp: &Bytes,
        total_difficulty: U256,
    ) -> Result<Bytes, DecodeError> {
        let fields = Reader::list(body_rlp)?.rest();
        let block = header_rlp.len() + fields.len();
        let mut out = new_list(list_length(block) + total_difficulty.length());
        begin_list(block, &mut out);
        out.put_slice(header_rlp);
        out.put_slice(fields);
        total_difficulty.encode(&mut out);
        Ok(out.freeze())
    }
}

/// A block that is announced: hash and number, both as the sender claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockId {
    /// Hash of the block.
    pub hash: B256,
    /// Number of the block.
    pub number: u64,
}

impl BlockId {
    fn fields_length(&self) -> usize {
        self.hash.length() + self.number.length()
    }

    /// Reads a NewBlockHashes, of at most [`MAX_ANNOUNCED_BLOCKS`] blocks.
    ///
    /// # Errors
    /// When the payload is no such message.
    pub fn decode_list(payload: &Bytes) -> Result<Vec<Self>, DecodeError> {
        let mut list = Reader::list(payload)?;
        let mut blocks = Vec::with_capacity(list.count("announced blocks", MAX_ANNOUNCED_BLOCKS)?);
        while !list.is_empty() {
            let mut fields = list.nested()?;
            blocks.push(Self { hash: fields.decode()?, number: fields.decode()? });
            fields.finish()?;
        }
        Ok(blocks)
    }

    /// The payload of a NewBlockHashes.
    #[must_use]
    pub fn encode_list(blocks: &[Self]) -> Bytes {
        let content = blocks.iter().map(|block| list_length(block.fields_length())).sum();
        let mut out = new_list(content);
        for block in blocks {
            begin_list(block.fields_length(), &mut out);
            block.hash.encode(&mut out);
            block.number.encode(&mut out);
        }
        out.freeze()
    }
}

/// The blocks whose bodies and receipts a node has: in a Status and in a BlockRangeUpdate, since
/// eth/69.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    /// Number of the first block.
    pub earliest: u64,
    /// Number of the last block; not below [`earliest`](Self::earliest).
    pub latest: u64,
    /// Hash of the last block.
    pub latest_hash: B256,
}

impl BlockRange {
    pub(super) fn read(list: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let range =
            Self { earliest: list.decode()?, latest: list.decode()?, latest_hash: list.decode()? };
        if range.earliest > range.latest {
            return Err(DecodeError::Invalid("the earliest block is above the latest"));
        }
        Ok(range)
    }

    pub(super) fn fields_length(&self) -> usize {
        self.earliest.length() + self.latest.length() + self.latest_hash.length()
    }

    pub(super) fn encode_fields(&self, out: &mut BytesMut) {
        self.earliest.encode(out);
        self.latest.encode(out);
        self.latest_hash.encode(out);
    }

    /// Reads a BlockRangeUpdate.
    ///
    /// # Errors
    /// When the payload is no such message, or the range is upside down.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut list = Reader::list(payload)?;
        let range = Self::read(&mut list)?;
        list.finish()?;
        Ok(range)
    }

    /// The payload of a BlockRangeUpdate.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = new_list(self.fields_length());
        self.encode_fields(&mut out);
        out.freeze()
    }
}
