//! Transactions and their announcements. Transactions stay in raw form: whether they are valid is
//! the business of the pool.

use alloy_primitives::B256;
use alloy_rlp::{Encodable, Header};
use bytes::{BufMut, Bytes, BytesMut};

use super::block::eip2718_form;
use super::codec::{
    Reader, begin_list, encode_hashes, hashes, hashes_length, list_length, new_list,
};
use super::{EthVersion, MAX_ANNOUNCED_TRANSACTIONS, MAX_TRANSACTIONS};
use crate::DecodeError;

/// Reads a Transactions message of at most [`MAX_TRANSACTIONS`]; each in its EIP-2718 form, a
/// slice of the message.
pub(super) fn decode_transactions(payload: &Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let mut list = Reader::list(payload)?;
    let mut transactions = Vec::with_capacity(list.count("transactions", MAX_TRANSACTIONS)?);
    while !list.is_empty() {
        let item = list.item()?;
        transactions.push(list.share(eip2718_form(&item)?));
    }
    Ok(transactions)
}

/// Whether these bytes stand in a message as they are: a legacy transaction is a list.
fn is_legacy(transaction: &[u8]) -> bool {
    transaction.first().is_some_and(|first| *first >= 0xc0)
}

/// Length of a transaction in its network form.
pub(super) fn network_length(transaction: &[u8]) -> usize {
    if is_legacy(transaction) { transaction.len() } else { transaction.length() }
}

/// Writes a transaction in its network form: a typed one becomes a string.
pub(super) fn encode_network(transaction: &[u8], out: &mut BytesMut) {
    if is_legacy(transaction) {
        out.put_slice(transaction);
    } else {
        transaction.encode(out);
    }
}

/// The payload of a Transactions message.
pub(super) fn encode_transactions(transactions: &[Bytes]) -> Bytes {
    let content = transactions.iter().map(|transaction| network_length(transaction)).sum();
    let mut out = new_list(content);
    for transaction in transactions {
        encode_network(transaction, &mut out);
    }
    out.freeze()
}

/// A transaction that is announced with type and size; since eth/68.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionAnnouncement {
    /// Hash of the transaction.
    pub hash: B256,
    /// EIP-2718 type, 0 for a legacy transaction.
    pub kind: u8,
    /// Length of the EIP-2718 form, bytes, as the sender claims.
    pub size: u32,
}

/// NewPooledTransactionHashes in the form of the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionAnnouncements {
    /// eth/66 and eth/67: hashes alone.
    Hashes(Vec<B256>),
    /// Since eth/68.
    Described(Vec<TransactionAnnouncement>),
}

impl TransactionAnnouncements {
    /// Reads a NewPooledTransactionHashes of at most [`MAX_ANNOUNCED_TRANSACTIONS`].
    ///
    /// # Errors
    /// When the payload is no such message, or its lists are not equally long.
    pub fn decode(version: EthVersion, payload: &Bytes) -> Result<Self, DecodeError> {
        const WHAT: &str = "announced transactions";
        let mut list = Reader::list(payload)?;
        if version < EthVersion::Eth68 {
            list.count(WHAT, MAX_ANNOUNCED_TRANSACTIONS)?;
            return Ok(Self::Hashes(hashes(list, MAX_ANNOUNCED_TRANSACTIONS)?));
        }
        let kinds = list.string()?;
        let mut sizes = list.nested()?;
        let mut found = list.nested()?;
        list.finish()?;
        let count = found.count(WHAT, MAX_ANNOUNCED_TRANSACTIONS)?;
        if kinds.len() != count || sizes.count(WHAT, MAX_ANNOUNCED_TRANSACTIONS)? != count {
            return Err(DecodeError::Invalid("types, sizes and hashes are not equally many"));
        }
        let mut announced = Vec::with_capacity(count);
        for kind in kinds {
            let (size, hash) = (sizes.decode()?, found.decode()?);
            announced.push(TransactionAnnouncement { hash, kind: *kind, size });
        }
        Ok(Self::Described(announced))
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hashes(hashes) => {
                let mut out = BytesMut::with_capacity(list_length(hashes_length(hashes)));
                encode_hashes(hashes, &mut out);
                out.freeze()
            }
            Self::Described(announced) => Self::encode_described(announced),
        }
    }

    fn encode_described(announced: &[TransactionAnnouncement]) -> Bytes {
        let kinds = announced.iter().map(|one| one.kind).collect::<Vec<_>>();
        let sizes = announced.iter().map(|one| one.size.length()).sum();
        let hashes = announced.len() * 33;
        let mut out =
            new_list(kinds.as_slice().length() + list_length(sizes) + list_length(hashes));
        kinds.as_slice().encode(&mut out);
        begin_list(sizes, &mut out);
        for one in announced {
            one.size.encode(&mut out);
        }
        Header { list: true, payload_length: hashes }.encode(&mut out);
        for one in announced {
            one.hash.encode(&mut out);
        }
        out.freeze()
    }

    /// The hashes, in order.
    pub fn hashes(&self) -> impl Iterator<Item = B256> + '_ {
        let (hashes, described): (&[B256], &[TransactionAnnouncement]) = match self {
            Self::Hashes(hashes) => (hashes, &[]),
            Self::Described(described) => (&[], described),
        };
        hashes.iter().copied().chain(described.iter().map(|one| one.hash))
    }
}
