//! Why a payload is no message of the protocol.

use super::EthVersion;
use crate::DecodeError;

/// Why a payload is no message of the negotiated version; the peer is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EthDecodeError {
    /// The version has no message with this code.
    #[error("{version} has no message with code 0x{code:02x}")]
    UnknownCode {
        /// The code, relative to the offset of the capability.
        code: u32,
        /// The version of the session.
        version: EthVersion,
    },
    /// The payload is no such message.
    #[error("malformed {message}: {error}")]
    Malformed {
        /// Name of the message, as the specification spells it.
        message: &'static str,
        /// What is wrong with it.
        #[source]
        error: DecodeError,
    },
}
