//! Tests of AMOP: vectors, limits, properties.

mod node;

use bytes::Bytes;

/// Bytes of hex text.
fn hex(text: &str) -> Bytes {
    const_hex::decode(text).expect("hex").into()
}
