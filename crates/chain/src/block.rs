//! Blocks as bytes: `[header, transactions, ommers]` or `[header, transactions, ommers,
//! withdrawals]`, as in a `NewBlock` message and in a chain file, to and from the two parts that
//! are stored and served.

use alloy_consensus::Header;
use alloy_primitives::keccak256;
use alloy_rlp::{Decodable, Encodable};
use bytes::Bytes;
use chainmesh_proto::eth::chain::SyncBlock;

/// The body of a block without transactions and ommers, before Shanghai: `[[], []]`.
pub const EMPTY_BODY_RLP: &[u8] = &[0xc2, 0xc0, 0xc0];

/// The same from Shanghai on: `[[], [], []]`.
pub const EMPTY_BODY_WITH_WITHDRAWALS_RLP: &[u8] = &[0xc3, 0xc0, 0xc0, 0xc0];

/// Takes a block apart. The body is not looked at beyond the form of its outermost lists: for
/// that there is [`body::check`](crate::body::check).
///
/// # Errors
/// When the bytes are not one RLP list with a header in front, or there is something behind it.
pub fn decode(rlp: &[u8]) -> Result<SyncBlock, alloy_rlp::Error> {
    let mut rest = rlp;
    let payload = alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    if !rest.is_empty() {
        return Err(alloy_rlp::Error::UnexpectedLength);
    }
    let mut behind = payload;
    let header = Header::decode(&mut behind)?;
    let length = payload.len() - behind.len();
    let header_rlp = payload.get(..length).ok_or(alloy_rlp::Error::InputTooShort)?;
    Ok(SyncBlock {
        hash: keccak256(header_rlp),
        header,
        header_rlp: Bytes::copy_from_slice(header_rlp),
        body_rlp: list(&[behind]).into(),
    })
}

/// Puts a block together from its stored parts, byte for byte as it was.
///
/// # Errors
/// When the body is not one RLP list.
pub fn encode(header_rlp: &[u8], body_rlp: &[u8]) -> Result<Vec<u8>, alloy_rlp::Error> {
    let mut rest = body_rlp;
    let body = alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    if !rest.is_empty() {
        return Err(alloy_rlp::Error::UnexpectedLength);
    }
    Ok(list(&[header_rlp, body]))
}

/// A block from a header and the RLP of a body that fits it.
#[must_use]
pub fn seal(header: Header, body_rlp: Bytes) -> SyncBlock {
    let mut header_rlp = Vec::with_capacity(header.length());
    header.encode(&mut header_rlp);
    SyncBlock { hash: keccak256(&header_rlp), header, header_rlp: header_rlp.into(), body_rlp }
}

fn list(parts: &[&[u8]]) -> Vec<u8> {
    let payload_length = parts.iter().map(|part| part.len()).sum();
    let head = alloy_rlp::Header { list: true, payload_length };
    let mut out = Vec::with_capacity(head.length() + payload_length);
    head.encode(&mut out);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}
