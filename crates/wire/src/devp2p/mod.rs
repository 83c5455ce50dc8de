//! The base protocol of devp2p (`p2p` version 5): Hello, Disconnect, Ping and Pong.
//!
//! Source of all wire facts: the devp2p specification, `rlpx.md`.

mod disconnect;
mod hello;

pub use disconnect::DisconnectReason;
pub use hello::{Capability, CapabilityName, Hello, P2P_VERSION};

/// Largest message of the base protocol, bytes. Hello has no snappy compression to hide behind;
/// geth has the same limit.
pub const MAX_BASE_MESSAGE: usize = 2 * 1024;

/// Codes of the base protocol; a capability's own codes begin at [`BASE_CODES`].
pub mod code {
    /// First message in both directions.
    pub const HELLO: u64 = 0x00;
    /// Last message of a session.
    pub const DISCONNECT: u64 = 0x01;
    /// Asks for a [`PONG`].
    pub const PING: u64 = 0x02;
    /// Answers a [`PING`].
    pub const PONG: u64 = 0x03;
}

/// Number of codes reserved for the base protocol: capabilities start at 0x10.
pub const BASE_CODES: u64 = 0x10;

/// Payload of Ping and Pong: the empty list.
pub const EMPTY_LIST: &[u8] = &[0xc0];

#[cfg(test)]
mod tests;
