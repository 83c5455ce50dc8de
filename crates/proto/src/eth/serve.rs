//! Answering requests for headers, bodies and receipts from the chain, and for transactions from
//! the pool. Blocks: to be called where disk
//! reads may wait.
//!
//! Nothing is decoded: what the store has in RLP goes into the answer as it is. An answer may
//! always be shorter than the question, and is empty when the origin is unknown.

use alloy_primitives::B256;
use alloy_rlp::{Decodable, Header};
use bytes::Bytes;
use chainmesh_wire::eth::{
    EthVersion, GetBlockHeaders, HashRequest, MAX_MESSAGE_SIZE, Message, Origin, Response,
    encode_response,
};

use super::chain::{ChainReader, StorageError};
use super::pool::TransactionPool;

/// Most items in an answer: geth's `maxHeadersServe` and `maxBodiesServe`.
pub const MAX_SERVED: usize = 1024;
/// An answer that has reached this size, bytes, gets no further item: geth's `softResponseLimit`.
pub const SOFT_RESPONSE_LIMIT: usize = 2 * 1024 * 1024;
/// Most blocks that are looked up for an answer, found or not: twice [`MAX_SERVED`], as in geth.
pub const MAX_LOOKUPS: usize = 2 * MAX_SERVED;
/// Most parents that are followed outside of the canonical chain for an answer: geth's
/// `maxNonCanonical`.
pub const MAX_NON_CANONICAL: usize = 100;

/// Bytes of an answer that are not items: list prefixes and the request id.
const ANSWER_OVERHEAD: usize = 32;

/// The payload of the BlockHeaders that answers `query`.
///
/// # Errors
/// When the store fails.
pub fn headers(chain: &dyn ChainReader, query: &GetBlockHeaders) -> Result<Bytes, StorageError> {
    let mut answer = Answer::default();
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut walk = Walk::new(chain, query);
    while answer.items.len() < limit && answer.has_room() {
        let Some(rlp) = walk.next()? else { break };
        if !answer.push(rlp) {
            break;
        }
    }
    Ok(encode_response(query.request_id, &answer.items))
}

/// The payload of the BlockBodies that answers `request`. Unknown blocks are passed over, as geth
/// does.
///
/// # Errors
/// When the store fails.
pub fn bodies(chain: &dyn ChainReader, request: &HashRequest) -> Result<Bytes, StorageError> {
    let mut answer = Answer::default();
    for hash in request.hashes.iter().take(MAX_LOOKUPS) {
        if !answer.has_room() {
            break;
        }
        if let Some(rlp) = chain.body_rlp(hash)?
            && !answer.push(rlp)
        {
            break;
        }
    }
    Ok(encode_response(request.request_id, &answer.items))
}

/// The payload of the Receipts that answers `request`, in the form of the version. Unknown blocks
/// are passed over.
///
/// # Errors
/// When the store fails.
pub fn receipts(
    chain: &dyn ChainReader,
    version: EthVersion,
    request: &HashRequest,
) -> Result<Bytes, StorageError> {
    let mut answer = Answer::default();
    for hash in request.hashes.iter().take(MAX_LOOKUPS) {
        if !answer.has_room() {
            break;
        }
        let Some(rlp) = chain.receipts_rlp(hash)? else { continue };
        let rlp = match version {
            EthVersion::Eth69 => receipts_without_bloom(&rlp),
            _ => Some(rlp),
        };
        // Receipts of ours that cannot be read are passed over like unknown ones.
        if let Some(rlp) = rlp
            && !answer.push(rlp)
        {
            break;
        }
    }
    Ok(encode_response(request.request_id, &answer.items))
}

/// The payload of the PooledTransactions that answers `request`. What is not in the pool is passed
/// over.
#[must_use]
pub fn pooled_transactions(pool: Option<&dyn TransactionPool>, request: &HashRequest) -> Bytes {
    let mut found = Vec::new();
    let mut bytes = 0;
    for hash in request.hashes.iter().take(MAX_LOOKUPS) {
        if found.len() >= MAX_SERVED || bytes >= SOFT_RESPONSE_LIMIT {
            break;
        }
        if let Some(transaction) = pool.and_then(|pool| pool.get(hash)) {
            bytes += transaction.raw.len();
            found.push(transaction.raw);
        }
    }
    let answer = Response { request_id: request.request_id, items: found };
    // Only a NewBlock can fail to be encoded.
    Message::PooledTransactions(answer).encode().unwrap_or_default()
}

/// The receipts of a block in the form of eth/69, `[type, status, gas, logs]` each, from that of the
/// versions before, in which a receipt has its logs' bloom filter (EIP-7642).
fn receipts_without_bloom(rlp: &[u8]) -> Option<Bytes> {
    let mut receipts = Header::decode_bytes(&mut &*rlp, true).ok()?;
    let mut items = Vec::new();
    while !receipts.is_empty() {
        let head = Header::decode(&mut receipts).ok()?;
        let (content, behind) = receipts.split_at_checked(head.payload_length)?;
        receipts = behind;
        let (kind, mut fields) = if head.list {
            (0, content)
        } else {
            let (kind, mut list) = content.split_first()?;
            (*kind, Header::decode_bytes(&mut list, true).ok()?)
        };
        let (status, gas) = (item(&mut fields)?, item(&mut fields)?);
        let _bloom = item(&mut fields)?;
        let logs = item(&mut fields)?;
        let kind = alloy_rlp::encode(kind);
        items.push(encode_list(&[&kind, status, gas, logs]));
    }
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    Some(encode_list(&items).into())
}

/// Takes one item, with its head, off the front.
fn item<'a>(fields: &mut &'a [u8]) -> Option<&'a [u8]> {
    let before = *fields;
    let head = Header::decode(fields).ok()?;
    *fields = fields.get(head.payload_length..)?;
    before.get(..before.len() - fields.len())
}

fn encode_list(items: &[&[u8]]) -> Vec<u8> {
    let payload_length = items.iter().map(|item| item.len()).sum();
    let head = Header { list: true, payload_length };
    let mut out = Vec::with_capacity(head.length() + payload_length);
    head.encode(&mut out);
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

/// The items so far.
#[derive(Default)]
struct Answer {
    items: Vec<Bytes>,
    bytes: usize,
}

impl Answer {
    const fn has_room(&self) -> bool {
        self.items.len() < MAX_SERVED && self.bytes < SOFT_RESPONSE_LIMIT
    }

    /// Takes an item, unless it would make the message too large for any peer.
    fn push(&mut self, item: Bytes) -> bool {
        let bytes = self.bytes.saturating_add(item.len());
        if bytes > MAX_MESSAGE_SIZE - ANSWER_OVERHEAD {
            return false;
        }
        self.bytes = bytes;
        self.items.push(item);
        true
    }
}

/// The headers of an answer, one after the other.
struct Walk<'a> {
    chain: &'a dyn ChainReader,
    /// Blocks from one header to the next; `None` is further than any chain goes.
    step: Option<u64>,
    reverse: bool,
    place: Place,
    lookups: usize,
    non_canonical: usize,
}

/// Where the next header is.
enum Place {
    /// In the canonical chain.
    Canonical(u64),
    /// Known by hash; perhaps in no chain of ours.
    Hash(B256),
    /// There is none.
    End,
}

impl<'a> Walk<'a> {
    fn new(chain: &'a dyn ChainReader, query: &GetBlockHeaders) -> Self {
        let place = match query.origin {
            Origin::Hash(hash) => Place::Hash(hash),
            Origin::Number(number) => Place::Canonical(number),
        };
        let step = query.skip.checked_add(1);
        Self { chain, step, reverse: query.reverse, place, lookups: 0, non_canonical: 0 }
    }

    fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.lookups >= MAX_LOOKUPS {
            return Ok(None);
        }
        self.lookups += 1;
        match self.place {
            Place::Canonical(number) => self.canonical(number),
            Place::Hash(hash) => self.by_hash(hash),
            Place::End => Ok(None),
        }
    }

    fn canonical(&mut self, number: u64) -> Result<Option<Bytes>, StorageError> {
        let Some(hash) = self.chain.canonical_hash(number)? else { return Ok(None) };
        self.place = self.after(number);
        self.chain.header_rlp(&hash)
    }

    fn by_hash(&mut self, hash: B256) -> Result<Option<Bytes>, StorageError> {
        let Some(number) = self.chain.number_of(&hash)? else { return Ok(None) };
        let Some(rlp) = self.chain.header_rlp(&hash)? else { return Ok(None) };
        self.place = if self.chain.canonical_hash(number)? == Some(hash) {
            self.after(number)
        } else if self.reverse {
            self.ancestor(number, &rlp)?
        } else {
            // Nobody knows the children of a block beside the canonical chain.
            Place::End
        };
        Ok(Some(rlp))
    }

    /// The place after a canonical block. Numbers end where `u64` ends (CVE-2024-32972 was a
    /// count that wrapped).
    fn after(&self, number: u64) -> Place {
        let next = self.step.and_then(|step| {
            if self.reverse { number.checked_sub(step) } else { number.checked_add(step) }
        });
        next.map_or(Place::End, Place::Canonical)
    }

    /// The place `step` blocks below a block beside the canonical chain: parents are followed
    /// until the canonical chain is reached.
    fn ancestor(&mut self, number: u64, rlp: &[u8]) -> Result<Place, StorageError> {
        let Some(target) = self.step.and_then(|step| number.checked_sub(step)) else {
            return Ok(Place::End);
        };
        let mut number = number;
        let mut parent = parent_of(rlp);
        while let Some(hash) = parent {
            number = number.saturating_sub(1);
            if number == target {
                return Ok(Place::Hash(hash));
            }
            if self.chain.canonical_hash(number)? == Some(hash) {
                return Ok(Place::Canonical(target));
            }
            self.non_canonical += 1;
            if self.non_canonical >= MAX_NON_CANONICAL {
                return Ok(Place::End);
            }
            parent = self.chain.header_rlp(&hash)?.and_then(|rlp| parent_of(&rlp));
        }
        Ok(Place::End)
    }
}

/// The parent hash: the first field of a header.
fn parent_of(mut rlp: &[u8]) -> Option<B256> {
    Header::decode(&mut rlp).ok().filter(|header| header.list)?;
    B256::decode(&mut rlp).ok()
}

#[cfg(test)]
mod tests;
