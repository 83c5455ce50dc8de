//! Reading RLP out of a payload without copying it, and writing lists whose length is known.

use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, Encodable, Header, length_of_length};
use bytes::{Bytes, BytesMut};

use crate::DecodeError;

/// A place in the items of one RLP list. Every length is checked against what is there.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    /// The message that the items are part of: slices share its memory.
    payload: &'a Bytes,
    rest: &'a [u8],
}

/// One RLP item.
pub(super) struct Item<'a> {
    pub(super) is_list: bool,
    /// The item with its length prefix.
    pub(super) encoded: &'a [u8],
    /// The item without its length prefix.
    pub(super) content: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The items of the list that `payload` consists of.
    pub(super) fn list(payload: &'a Bytes) -> Result<Self, DecodeError> {
        let mut whole = Self { payload, rest: payload };
        let items = whole.nested()?;
        whole.finish()?;
        Ok(items)
    }

    /// The items of a list that is itself an item.
    pub(super) fn of_item(&self, item: &Item<'a>) -> Result<Self, DecodeError> {
        if !item.is_list {
            return Err(alloy_rlp::Error::UnexpectedString.into());
        }
        Ok(Self { payload: self.payload, rest: item.content })
    }

    /// Takes a list and returns its items.
    pub(super) fn nested(&mut self) -> Result<Self, DecodeError> {
        let item = self.item()?;
        self.of_item(&item)
    }

    /// Takes whatever comes next.
    pub(super) fn item(&mut self) -> Result<Item<'a>, DecodeError> {
        let mut after = self.rest;
        let Header { list, payload_length } = Header::decode(&mut after)?;
        let (Some(content), Some(rest)) =
            (after.get(..payload_length), after.get(payload_length..))
        else {
            return Err(alloy_rlp::Error::InputTooShort.into());
        };
        let length = self.rest.len() - rest.len();
        let encoded = self.rest.get(..length).unwrap_or_default();
        self.rest = rest;
        Ok(Item { is_list: list, encoded, content })
    }

    /// Takes a string.
    pub(super) fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let item = self.item()?;
        if item.is_list {
            return Err(alloy_rlp::Error::UnexpectedList.into());
        }
        Ok(item.content)
    }

    /// Takes an item that is a `T`, and nothing but a `T`.
    pub(super) fn decode<T: Decodable>(&mut self) -> Result<T, DecodeError> {
        decode_exact(self.item()?.encoded)
    }

    /// Takes a 256-bit number of at most `bits` bits.
    pub(super) fn bounded(&mut self, what: &'static str, bits: usize) -> Result<U256, DecodeError> {
        let number = self.decode::<U256>()?;
        if number.bit_len() > bits {
            return Err(DecodeError::TooLarge {
                what,
                size: number.bit_len().div_ceil(8),
                limit: bits.div_ceil(8),
            });
        }
        Ok(number)
    }

    /// Counts the items that are left; more than `limit` are an error.
    pub(super) fn count(&self, what: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let count = self.count_all()?;
        if count > limit {
            return Err(DecodeError::TooMany { what, count, limit });
        }
        Ok(count)
    }

    /// Counts the items that are left.
    pub(super) fn count_all(&self) -> Result<usize, DecodeError> {
        let mut walk = self.clone();
        let mut count = 0;
        while !walk.is_empty() {
            walk.item()?;
            count += 1;
        }
        Ok(count)
    }

    /// The bytes that are left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A slice of the message that shares its memory.
    pub(super) fn share(&self, part: &'a [u8]) -> Bytes {
        self.payload.slice_ref(part)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Says that the list must end here.
    pub(super) const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.rest.len())) }
    }
}

/// Decodes an item that is a `T`, and nothing but a `T`.
pub(super) fn decode_exact<T: Decodable>(mut encoded: &[u8]) -> Result<T, DecodeError> {
    let value = T::decode(&mut encoded)?;
    if encoded.is_empty() { Ok(value) } else { Err(DecodeError::TrailingBytes(encoded.len())) }
}

/// Reads at most `keep` hashes of the list and checks that all items are hashes.
pub(super) fn hashes(mut list: Reader<'_>, keep: usize) -> Result<Vec<B256>, DecodeError> {
    let mut hashes = Vec::with_capacity(list.count_all()?.min(keep));
    while !list.is_empty() {
        let hash = list.decode::<B256>()?;
        if hashes.len() < keep {
            hashes.push(hash);
        }
    }
    Ok(hashes)
}

/// Length of a list with its prefix, when its items take `content` bytes.
pub(super) const fn list_length(content: usize) -> usize {
    content + length_of_length(content)
}

/// Begins a list whose items take `content` bytes.
pub(super) fn begin_list(content: usize, out: &mut BytesMut) {
    Header { list: true, payload_length: content }.encode(out);
}

/// A buffer that holds a list whose items take `content` bytes, its prefix written.
pub(super) fn new_list(content: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(list_length(content));
    begin_list(content, &mut out);
    out
}

/// Length of a list of hashes, without its prefix.
pub(super) const fn hashes_length(hashes: &[B256]) -> usize {
    hashes.len() * 33
}

/// Writes a list of hashes.
pub(super) fn encode_hashes(hashes: &[B256], out: &mut BytesMut) {
    begin_list(hashes_length(hashes), out);
    for hash in hashes {
        hash.encode(out);
    }
}
