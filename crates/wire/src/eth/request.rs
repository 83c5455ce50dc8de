//! Requests and answers: both carry a request id.

use core::fmt;

use alloy_primitives::B256;
use alloy_rlp::Encodable;
use bytes::{BufMut, Bytes};

use super::codec::{
    Item, Reader, begin_list, encode_hashes, hashes, hashes_length, list_length, new_list,
};
use crate::DecodeError;

/// The block with which the headers of an answer begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By hash, canonical or not.
    Hash(B256),
    /// By number, in the canonical chain.
    Number(u64),
}

impl Origin {
    fn read(list: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let item = list.item()?;
        if !item.is_list && item.content.len() == 32 {
            return Ok(Self::Hash(super::codec::decode_exact(item.encoded)?));
        }
        Ok(Self::Number(super::codec::decode_exact(item.encoded)?))
    }

    fn length(&self) -> usize {
        match self {
            Self::Hash(hash) => hash.length(),
            Self::Number(number) => number.length(),
        }
    }

    fn encode(&self, out: &mut bytes::BytesMut) {
        match self {
            Self::Hash(hash) => hash.encode(out),
            Self::Number(number) => number.encode(out),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(hash) => write!(f, "{hash}"),
            Self::Number(number) => write!(f, "#{number}"),
        }
    }
}

/// GetBlockHeaders. All numbers are what the peer wrote: any arithmetic on them must not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetBlockHeaders {
    /// Comes back in the answer.
    pub request_id: u64,
    /// The first header.
    pub origin: Origin,
    /// Most headers that are wanted.
    pub limit: u64,
    /// Blocks between two headers of the answer.
    pub skip: u64,
    /// Whether the numbers of the answer fall.
    pub reverse: bool,
}

impl GetBlockHeaders {
    /// Reads `[request_id, [origin, limit, skip, reverse]]`.
    ///
    /// # Errors
    /// When the payload is no such message.
    pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut list = Reader::list(payload)?;
        let request_id = list.decode()?;
        let mut query = list.nested()?;
        list.finish()?;
        let request = Self {
            request_id,
            origin: Origin::read(&mut query)?,
            limit: query.decode()?,
            skip: query.decode()?,
            reverse: query.decode()?,
        };
        query.finish()?;
        Ok(request)
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let query =
            self.origin.length() + self.limit.length() + self.skip.length() + self.reverse.length();
        let mut out = new_list(self.request_id.length() + list_length(query));
        self.request_id.encode(&mut out);
        begin_list(query, &mut out);
        self.origin.encode(&mut out);
        self.limit.encode(&mut out);
        self.skip.encode(&mut out);
        self.reverse.encode(&mut out);
        out.freeze()
    }
}

/// A request by hashes: GetBlockBodies, GetReceipts, GetPooledTransactions, GetNodeData.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashRequest {
    /// Comes back in the answer.
    pub request_id: u64,
    /// What is wanted, in the order of the answer.
    pub hashes: Vec<B256>,
}

impl HashRequest {
    /// Reads `[request_id, [hash, …]]` and keeps the first `keep` hashes.
    ///
    /// # Errors
    /// When the payload is no such message.
    pub fn decode(payload: &Bytes, keep: usize) -> Result<Self, DecodeError> {
        let mut list = Reader::list(payload)?;
        let request_id = list.decode()?;
        let wanted = list.nested()?;
        list.finish()?;
        Ok(Self { request_id, hashes: hashes(wanted, keep)? })
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_hash_request(self.request_id, &self.hashes)
    }
}

/// The payload of a request by hashes.
#[must_use]
pub fn encode_hash_request(request_id: u64, hashes: &[B256]) -> Bytes {
    let mut out = new_list(request_id.length() + list_length(hashes_length(hashes)));
    request_id.encode(&mut out);
    encode_hashes(hashes, &mut out);
    out.freeze()
}

/// An answer: BlockHeaders, BlockBodies, Receipts, PooledTransactions, NodeData.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<T> {
    /// The id of the request.
    pub request_id: u64,
    /// What was found, in the order of the request.
    pub items: Vec<T>,
}

impl<T> Response<T> {
    /// Reads `[request_id, [item, …]]`, of at most `limit` items, each read by `read`.
    pub(super) fn decode<'a>(
        payload: &'a Bytes,
        what: &'static str,
        limit: usize,
        mut read: impl FnMut(&Reader<'a>, &Item<'a>) -> Result<T, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let mut list = Reader::list(payload)?;
        let request_id = list.decode()?;
        let mut found = list.nested()?;
        list.finish()?;
        let mut items = Vec::with_capacity(found.count(what, limit)?);
        while !found.is_empty() {
            let item = found.item()?;
            items.push(read(&found, &item)?);
        }
        Ok(Self { request_id, items })
    }
}

/// The payload of an answer whose items are RLP already: headers, bodies, lists of receipts, and
/// transactions in their network form.
#[must_use]
pub fn encode_response<T: AsRef<[u8]>>(request_id: u64, items: &[T]) -> Bytes {
    let content = items.iter().map(|item| item.as_ref().len()).sum();
    let mut out = new_list(request_id.length() + list_length(content));
    request_id.encode(&mut out);
    begin_list(content, &mut out);
    for item in items {
        out.put_slice(item.as_ref());
    }
    out.freeze()
}
