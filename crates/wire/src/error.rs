//! The one error of all decoders.

/// Why bytes are not the message they should be. Small and `Copy`: nothing is allocated when a
/// peer sends rubbish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The RLP is not canonical, too short, or of another shape.
    #[error("malformed RLP: {0}")]
    Rlp(alloy_rlp::Error),
    /// Bytes are left after the message.
    #[error("{0} bytes are left after the message")]
    TrailingBytes(usize),
    /// A list has more items than the protocol allows.
    #[error("{what}: {count} items, at most {limit} are allowed")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Items in the message.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A field or the whole message is longer than the protocol allows.
    #[error("{what}: {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A field has a value that the protocol excludes.
    #[error("{0}")]
    Invalid(&'static str),
}

impl From<alloy_rlp::Error> for DecodeError {
    fn from(error: alloy_rlp::Error) -> Self {
        Self::Rlp(error)
    }
}
