//! A body against the roots in its header.

use alloy_consensus::transaction::TxEip4844;
use alloy_consensus::{EthereumTxEnvelope, Header};
use alloy_eips::eip2718::Decodable2718;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::root::ordered_trie_root_encoded;

/// The part of a body that does not decode, or has another root than the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The list around the parts.
    Body,
    /// The list of transactions.
    Transactions,
    /// The list of ommer (uncle) headers.
    Ommers,
    /// The list of withdrawals.
    Withdrawals,
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Body => "body",
            Self::Transactions => "transactions",
            Self::Ommers => "ommers",
            Self::Withdrawals => "withdrawals",
        })
    }
}

/// Why a body does not belong to a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The bytes are not what they should be.
    #[error("the {part} cannot be decoded: {source}")]
    Rlp {
        /// Where.
        part: Part,
        /// What is wrong.
        source: alloy_rlp::Error,
    },
    /// A transaction cannot be decoded.
    #[error("transaction {index} cannot be decoded")]
    Transaction {
        /// Place in the block, from 0.
        index: usize,
    },
    /// The content of the body is not what the header was sealed with.
    #[error("the {part} have the root {found}, the header says {expected}")]
    Root {
        /// Which root.
        part: Part,
        /// Root of what is in the body.
        found: B256,
        /// Root in the header.
        expected: B256,
    },
    /// The header has a withdrawals root, and the body has no withdrawals.
    #[error("the header has a withdrawals root, the body has no withdrawals")]
    WithdrawalsMissing,
    /// The body has withdrawals, and the header has no root for them.
    #[error("the body has withdrawals, the header has no withdrawals root")]
    WithdrawalsUnexpected,
}

/// Checks that `body_rlp` (`[transactions, ommers]` or `[transactions, ommers, withdrawals]`) is
/// the body that `header` was sealed with. Each transaction, ommer and withdrawal must decode.
///
/// # Errors
/// See [`BodyError`].
pub fn check(header: &Header, body_rlp: &[u8]) -> Result<(), BodyError> {
    let mut rest = body_rlp;
    let mut parts = list(&mut rest, Part::Body)?;
    if !rest.is_empty() {
        return Err(rlp(Part::Body)(alloy_rlp::Error::UnexpectedLength));
    }

    let root = transactions_root(list(&mut parts, Part::Transactions)?)?;
    same(Part::Transactions, root, header.transactions_root)?;

    let before = parts;
    let mut ommers = list(&mut parts, Part::Ommers)?;
    let ommers_rlp = before.get(..before.len() - parts.len()).unwrap_or_default();
    while !ommers.is_empty() {
        Header::decode(&mut ommers).map_err(rlp(Part::Ommers))?;
    }
    same(Part::Ommers, keccak256(ommers_rlp), header.ommers_hash)?;

    match (header.withdrawals_root, parts.is_empty()) {
        (None, true) => Ok(()),
        (None, false) => Err(BodyError::WithdrawalsUnexpected),
        (Some(_), true) => Err(BodyError::WithdrawalsMissing),
        (Some(expected), false) => {
            let withdrawals = list(&mut parts, Part::Withdrawals)?;
            if !parts.is_empty() {
                return Err(rlp(Part::Body)(alloy_rlp::Error::UnexpectedLength));
            }
            same(Part::Withdrawals, withdrawals_root(withdrawals)?, expected)
        }
    }
}

/// Root over the items of the list as they are on the wire: a legacy transaction is a list, each
/// other kind is a string around its type byte and its list (EIP-2718).
fn transactions_root(mut items: &[u8]) -> Result<B256, BodyError> {
    let mut encoded: Vec<&[u8]> = Vec::new();
    while !items.is_empty() {
        let index = encoded.len();
        let before = items;
        let head = alloy_rlp::Header::decode(&mut items).map_err(rlp(Part::Transactions))?;
        let (payload, behind) =
            items
                .split_at_checked(head.payload_length)
                .ok_or(rlp(Part::Transactions)(alloy_rlp::Error::InputTooShort))?;
        items = behind;
        let whole = before.get(..before.len() - behind.len()).unwrap_or_default();
        let transaction = if head.list { whole } else { payload };
        EthereumTxEnvelope::<TxEip4844>::decode_2718_exact(transaction)
            .map_err(|_| BodyError::Transaction { index })?;
        encoded.push(transaction);
    }
    Ok(ordered_trie_root_encoded(&encoded))
}

fn withdrawals_root(mut items: &[u8]) -> Result<B256, BodyError> {
    let mut encoded: Vec<&[u8]> = Vec::new();
    while !items.is_empty() {
        let before = items;
        Withdrawal::decode(&mut items).map_err(rlp(Part::Withdrawals))?;
        encoded.push(before.get(..before.len() - items.len()).unwrap_or_default());
    }
    Ok(ordered_trie_root_encoded(&encoded))
}

fn list<'a>(from: &mut &'a [u8], part: Part) -> Result<&'a [u8], BodyError> {
    alloy_rlp::Header::decode_bytes(from, true).map_err(rlp(part))
}

fn rlp(part: Part) -> impl Fn(alloy_rlp::Error) -> BodyError {
    move |source| BodyError::Rlp { part, source }
}

fn same(part: Part, found: B256, expected: B256) -> Result<(), BodyError> {
    if found == expected { Ok(()) } else { Err(BodyError::Root { part, found, expected }) }
}
