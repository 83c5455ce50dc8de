//! The Ethereum wire protocol: the messages of eth/66 to eth/69.
//!
//! Every decoder takes the payload as [`Bytes`](bytes::Bytes) and returns slices of it where raw
//! parts are kept. The limits below are checked before anything is allocated for the items.
//!
//! Source of the wire facts, unless another is named: the devp2p specification, `caps/eth.md`,
//! with EIP-2481 (request ids), EIP-4938 (eth/67), EIP-5793 (eth/68) and EIP-7642 (eth/69).

mod block;
mod codec;
mod error;
mod message;
mod request;
mod status;
mod transaction;
mod version;

pub use block::{BlockBody, BlockHeader, BlockId, BlockRange, NewBlock};
pub use error::EthDecodeError;
pub use message::Message;
pub use request::{
    GetBlockHeaders, HashRequest, Origin, Response, encode_hash_request, encode_response,
};
pub use status::{Status, StatusHead};
pub use transaction::{TransactionAnnouncement, TransactionAnnouncements};
pub use version::EthVersion;

/// Codes of the messages, relative to the offset of the capability.
pub mod code {
    /// First message in both directions.
    pub const STATUS: u32 = 0x00;
    /// Announces blocks by hash and number.
    pub const NEW_BLOCK_HASHES: u32 = 0x01;
    /// Transactions that the sender thinks are news.
    pub const TRANSACTIONS: u32 = 0x02;
    /// Asks for headers.
    pub const GET_BLOCK_HEADERS: u32 = 0x03;
    /// Answers [`GET_BLOCK_HEADERS`].
    pub const BLOCK_HEADERS: u32 = 0x04;
    /// Asks for bodies.
    pub const GET_BLOCK_BODIES: u32 = 0x05;
    /// Answers [`GET_BLOCK_BODIES`].
    pub const BLOCK_BODIES: u32 = 0x06;
    /// A whole new block.
    pub const NEW_BLOCK: u32 = 0x07;
    /// Announces transactions by hash.
    pub const NEW_POOLED_TRANSACTION_HASHES: u32 = 0x08;
    /// Asks for transactions of the pool.
    pub const GET_POOLED_TRANSACTIONS: u32 = 0x09;
    /// Answers [`GET_POOLED_TRANSACTIONS`].
    pub const POOLED_TRANSACTIONS: u32 = 0x0a;
    /// Asks for state entries; eth/66 only.
    pub const GET_NODE_DATA: u32 = 0x0d;
    /// Answers [`GET_NODE_DATA`]; eth/66 only.
    pub const NODE_DATA: u32 = 0x0e;
    /// Asks for receipts.
    pub const GET_RECEIPTS: u32 = 0x0f;
    /// Answers [`GET_RECEIPTS`].
    pub const RECEIPTS: u32 = 0x10;
    /// Says which blocks the sender can serve; since eth/69.
    pub const BLOCK_RANGE_UPDATE: u32 = 0x11;
}

/// Largest payload of an eth message, bytes. geth's `maxMessageSize`, 10 MiB.
pub const MAX_MESSAGE_SIZE: usize = 10 * 1024 * 1024;
/// Most headers, bodies, receipt lists or state entries in one answer: geth's `maxHeadersServe`,
/// `maxBodiesServe` and `maxReceiptsServe`. Of a longer list of wanted hashes the rest is passed
/// over: an answer may always be shorter than the question.
pub const MAX_ITEMS: usize = 1024;
/// Most hashes that are read of a GetPooledTransactions, and most transactions in its answer. geth
/// asks for at most 256; reth reads at most 512.
pub const MAX_POOLED_TRANSACTIONS: usize = 512;
/// Most transactions in a Transactions message, as in geth.
pub const MAX_TRANSACTIONS: usize = 5000;
/// Most hashes in a NewPooledTransactionHashes: the limit that the specification recommends.
pub const MAX_ANNOUNCED_TRANSACTIONS: usize = 4096;
/// Most blocks in a NewBlockHashes: what geth's block fetcher keeps of one peer (`hashLimit`).
/// Clients announce one at a time.
pub const MAX_ANNOUNCED_BLOCKS: usize = 256;
/// Most ommers in a body (Yellow Paper, 11.1).
pub const MAX_OMMERS: usize = 2;
/// Bits of a difficulty that is believed (geth's `Header.SanityCheck`).
pub const MAX_DIFFICULTY_BITS: usize = 80;
/// Bits of a total difficulty that is believed (geth's `NewBlockPacket.sanityCheck`).
pub const MAX_TOTAL_DIFFICULTY_BITS: usize = 100;
/// Longest extra data of a header, bytes (geth's `Header.SanityCheck`); a clique epoch block holds
/// 20 bytes for each signer there.
pub const MAX_EXTRA_DATA: usize = 100 * 1024;

#[cfg(test)]
mod tests;
