//! Why bytes are no packet or message of the mesh (the peer's fault), and why something cannot be
//! written (ours).

use super::tars::TarsError;

/// Why bytes from a peer are no packet or message; the peer is to blame, and its session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeshError {
    /// The packet ends in the middle of a field.
    #[error("the packet ends before its {0} is complete")]
    Truncated(&'static str),
    /// The length in the header leaves no room for the header itself.
    #[error("packet length {length} is below its header of {header} bytes")]
    LengthBelowHeader {
        /// The length the peer wrote.
        length: usize,
        /// Bytes of the header.
        header: usize,
    },
    /// The length in the header is not the number of bytes given.
    #[error("packet length {length}, but {given} bytes are given")]
    LengthMismatch {
        /// The length the peer wrote.
        length: usize,
        /// Bytes given to the decoder.
        given: usize,
    },
    /// A version that nobody has defined.
    #[error("packet version {0}, the highest known is 3")]
    UnknownVersion(u16),
    /// A field or the whole packet is longer than allowed.
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
        /// Items in the message.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A field has a value that the protocol excludes.
    #[error("{0}")]
    Invalid(&'static str),
    /// The payload of a message is not the Tars structure it should be.
    #[error("malformed {message}: {error}")]
    Malformed {
        /// Name of the message.
        message: &'static str,
        /// What is wrong with it.
        #[source]
        error: TarsError,
    },
    /// The payload does not unpack.
    #[error("packed payload: {0}")]
    Packed(#[from] PackedError),
}

/// Why a packed payload does not unpack; the peer is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// The zstd frame does not say how large its content is. FISCO refuses such frames too.
    #[error("its content size is not given")]
    NoContentSize,
    /// The content is larger than allowed; seen before memory is taken.
    #[error("{size} bytes of content, at most {limit} are allowed")]
    TooLarge {
        /// Content size that the payload claims, bytes.
        size: u64,
        /// Bytes allowed.
        limit: usize,
    },
    /// No payload of this length can hold as much as it claims; seen before memory is taken.
    #[error("{packed} bytes cannot hold a content of {size}")]
    Impossible {
        /// Bytes of the packed payload.
        packed: usize,
        /// Content size that it claims, bytes.
        size: u64,
    },
    /// Something comes before or after the one frame that a payload is.
    #[error("it is not exactly one frame")]
    NotOneFrame,
    /// The content is not what the frame says, or the frame is broken.
    #[error("it is corrupt")]
    Corrupt,
}

/// Why a packet or message cannot be written; the caller is to blame, no peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A field or the whole packet would be longer than the format or the peers allow.
    #[error("{what}: {size} bytes, at most {limit} can be sent")]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A list has more items than the format or the peers allow.
    #[error("{what}: {count} items, at most {limit} can be sent")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Items to be sent.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A combination that the format cannot express or that peers refuse.
    #[error("{0}")]
    Invalid(&'static str),
    /// The compressor failed; it does so only when memory runs out.
    #[error("the payload could not be compressed")]
    Compressor,
}
