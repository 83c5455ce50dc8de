//! Why bytes are no message of AMOP.

/// Why bytes from a node or an SDK are no AMOP message or frame; whoever sent them is to blame. Small
/// and `Copy`, and nothing of what was sent is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmopError {
    /// It ends in the middle of a field.
    #[error("it ends before its {0} is complete")]
    Truncated(&'static str),
    /// The length in the header leaves no room for the header itself.
    #[error("frame length {length} is below its header of {header} bytes")]
    LengthBelowHeader {
        /// The length in the header, bytes.
        length: usize,
        /// Bytes of the header.
        header: usize,
    },
    /// The length in the header is not the number of bytes given.
    #[error("frame length {length}, but {given} bytes are given")]
    LengthMismatch {
        /// The length in the header, bytes.
        length: usize,
        /// Bytes given to the decoder.
        given: usize,
    },
    /// A field or the whole message is longer than allowed.
    #[error("{what}: {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A list has more items than allowed.
    #[error("{what}: {count} items, at most {limit} are allowed")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Items in the list.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A body that should be text is not UTF-8.
    #[error("the {0} is not UTF-8")]
    NotText(&'static str),
    /// A body is not the JSON it should be.
    #[error("the {what} is not the JSON it should be: {fault}, line {line} column {column}")]
    Json {
        /// Which body.
        what: &'static str,
        /// What is wrong with it.
        fault: JsonFault,
        /// Where, counted from 1.
        line: usize,
        /// Where, in bytes of the line, counted from 1.
        column: usize,
    },
    /// The versions an SDK speaks and those we speak have none in common.
    #[error("versions {min} to {max}: none of them is spoken here")]
    NoCommonVersion {
        /// Its lowest version.
        min: i32,
        /// Its highest version.
        max: i32,
    },
    /// A field has a value that the protocol excludes.
    #[error("{0}")]
    Invalid(&'static str),
}

/// What is wrong with a body of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// It is no JSON.
    #[error("bad syntax")]
    Syntax,
    /// A field is missing, comes twice, or is of another type.
    #[error("a field is missing, comes twice or is of another type")]
    Shape,
    /// It ends too early.
    #[error("it ends too early")]
    End,
}
