//! Tests of the eth messages: vectors, limits, properties.

mod limits;
mod properties;
mod vectors;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header};
use alloy_rlp::Encodable;
use bytes::Bytes;

use super::{BlockBody, BlockHeader};

/// The RLP list of items that are RLP already.
pub(crate) fn list_of(items: &[&[u8]]) -> Bytes {
    let content = items.concat();
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length: content.len() }.encode(&mut out);
    out.extend_from_slice(&content);
    out.into()
}

/// The RLP of a value.
pub(crate) fn rlp(value: &(impl Encodable + ?Sized)) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

/// A header of an empty block.
pub(crate) fn header(number: u64) -> BlockHeader {
    BlockHeader::from_header(Header {
        number,
        transactions_root: EMPTY_ROOT_HASH,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        ..Header::default()
    })
}

/// A body without anything in it.
pub(crate) fn empty_body() -> BlockBody {
    BlockBody::decode(Bytes::from_static(&[0xc2, 0xc0, 0xc0])).unwrap()
}
