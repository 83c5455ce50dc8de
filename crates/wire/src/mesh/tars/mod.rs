//! The Tars encoding, as much of it as the messages between gateways need (TarsCpp's
//! `servant/tup/Tars.h`).
//!
//! A field is a head (`tag << 4 | kind`, or `0xF0 | kind` and a byte of tag from tag 15 on) and a
//! body. Integers take the smallest kind that holds them, 0 takes a head only. The fields of a
//! struct come in ascending order of their tags; what a reader does not know it passes over by its
//! kind. The outermost struct has no begin and no end.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// Most structs, lists and maps that may lie in each other. The messages of the mesh need five.
pub const MAX_DEPTH: u8 = 16;

/// What the body of a field is; the low half of its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0: one byte, signed.
    Int8,
    /// 1: two bytes, signed.
    Int16,
    /// 2: four bytes, signed.
    Int32,
    /// 3: eight bytes, signed.
    Int64,
    /// 4: IEEE 754 single.
    Float,
    /// 5: IEEE 754 double.
    Double,
    /// 6: one byte of length, then as many bytes.
    String1,
    /// 7: four bytes of length, then as many bytes.
    String4,
    /// 8: count, then keys (tag 0) and values (tag 1) in turn.
    Map,
    /// 9: count, then elements (tag 0).
    List,
    /// 10: fields up to a [`Kind::StructEnd`].
    StructBegin,
    /// 11: ends a struct.
    StructEnd,
    /// 12: the integer 0, no body.
    Zero,
    /// 13: a head of kind 0 and tag 0, count, then as many bytes.
    ByteArray,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float,
        Self::Double,
        Self::String1,
        Self::String4,
        Self::Map,
        Self::List,
        Self::StructBegin,
        Self::StructEnd,
        Self::Zero,
        Self::ByteArray,
    ];

    fn from_number(number: u8) -> Result<Self, TarsError> {
        Self::ALL.get(usize::from(number)).copied().ok_or(TarsError::UnknownKind(number))
    }
}

/// Why bytes are not the Tars structure they should be; the peer is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarsError {
    /// The bytes end in the middle of a field, or of a struct.
    #[error("it ends in the middle of a field")]
    Truncated,
    /// 14 or 15 where a kind should be.
    #[error("field kind {0}")]
    UnknownKind(u8),
    /// A field of another kind than the message has there.
    #[error("field {tag} is no {expected}")]
    WrongKind {
        /// Tag of the field.
        tag: u8,
        /// What should be there.
        expected: &'static str,
    },
    /// A tag that is not above the one before it in the same struct.
    #[error("tag {tag} comes after tag {previous}")]
    Order {
        /// The tag.
        tag: u8,
        /// The one before.
        previous: u8,
    },
    /// An element of a list or map with another tag than its place has.
    #[error("tag {0} on an element")]
    ElementTag(u8),
    /// The end of a struct that was not begun.
    #[error("the end of no struct")]
    StrayEnd,
    /// Too many structs, lists and maps in each other.
    #[error("nested deeper than {MAX_DEPTH}")]
    Depth,
    /// A negative count, or one that the rest of the bytes cannot hold.
    #[error("a count of {count} with {left} bytes left")]
    Count {
        /// The count.
        count: i64,
        /// Bytes left.
        left: usize,
    },
    /// A required field is not there.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// A list has more elements than the message may have.
    #[error("{what}: {count} items, at most {limit} are allowed")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Items in the message.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A field is longer than it may be.
    #[error("{what}: {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
}
