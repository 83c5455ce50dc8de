//! What a block is filled with: the seam between the producer, which knows whose turn it is, and
//! whoever holds transactions and executes them.

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::Address;
use alloy_trie::EMPTY_ROOT_HASH;
use bytes::Bytes;

use crate::{ChainSpec, block};

/// A block that lacks nothing but its seal.
#[derive(Debug, Clone)]
pub struct Payload {
    /// The header, with everything that follows from the transactions.
    pub header: Header,
    /// The RLP list `[transactions, ommers]` or `[transactions, ommers, withdrawals]`.
    pub body_rlp: Bytes,
    /// How many transactions are in it.
    pub transactions: usize,
}

/// Why a block could not be filled: the state is not there, or execution failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PayloadError(pub Box<dyn core::error::Error + Send + Sync>);

/// Fills blocks.
pub trait PayloadBuilder: Send + Sync {
    /// Puts transactions behind `parent`. The header comes with everything that the network
    /// prescribes (parent, number, time, difficulty, extra data, base fee, gas limit, the fields
    /// of the forks), and with roots, bloom and used gas of a block that does nothing; whoever
    /// builds it replaces these. Who gets the fees is `signer`, not the header's beneficiary.
    ///
    /// # Errors
    /// See [`PayloadError`].
    fn build(
        &self,
        spec: &ChainSpec,
        parent: &Header,
        header: Header,
        signer: Address,
    ) -> Result<Payload, PayloadError>;

    /// Whether there is anything to put into a block. Validators of a network with period 0 wait
    /// for it.
    fn has_transactions(&self) -> bool;
}

/// Blocks without transactions. They are right as long as an empty block changes nothing about
/// the state, which is to say up to Shanghai: from Cancun on each block calls system contracts.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyBlocks;

/// An empty block of this fork changes the state, and nobody executes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {number} is of Cancun or later, whose blocks have to be executed")]
pub struct NeedsExecution {
    /// Number of the block.
    pub number: u64,
}

impl PayloadBuilder for EmptyBlocks {
    fn build(
        &self,
        spec: &ChainSpec,
        parent: &Header,
        header: Header,
        _: Address,
    ) -> Result<Payload, PayloadError> {
        let number = header.number;
        if spec.is_cancun(number, header.timestamp) {
            return Err(PayloadError(NeedsExecution { number }.into()));
        }
        let header = Header { state_root: parent.state_root, ..without_transactions(header) };
        let body_rlp = Bytes::from_static(empty_body(&header));
        Ok(Payload { header, body_rlp, transactions: 0 })
    }

    fn has_transactions(&self) -> bool {
        false
    }
}

/// The body of a block with this header that has no transactions.
#[must_use]
pub const fn empty_body(header: &Header) -> &'static [u8] {
    match header.withdrawals_root {
        Some(_) => block::EMPTY_BODY_WITH_WITHDRAWALS_RLP,
        None => block::EMPTY_BODY_RLP,
    }
}

/// The header as it is when nothing happens in the block, but for the state root.
pub(super) fn without_transactions(header: Header) -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        gas_used: 0,
        ..header
    }
}
