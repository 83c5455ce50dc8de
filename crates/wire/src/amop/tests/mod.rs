//! Tests of AMOP: vectors, limits, properties.

mod channel;
mod json;
mod node;
mod ws;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// The seq of all vectors.
const SEQ: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// Bytes of hex text.
fn hex(text: &str) -> Bytes {
    const_hex::decode(text).expect("hex").into()
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}
