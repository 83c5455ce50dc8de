//! discv4: the node discovery protocol over UDP, version 4, with node records (EIP-868).
//!
//! A datagram is `hash ‖ signature ‖ type ‖ data`: `data` is an RLP list, `signature` a recoverable
//! one over `keccak256(type ‖ data)`, `hash` is `keccak256(signature ‖ type ‖ data)`. As EIP-8 asks,
//! higher versions, list elements that are not known and bytes after the list are passed over.
//!
//! Source of all wire facts: the devp2p specification, `discv4.md`.

mod datagram;
mod endpoint;
mod packet;

pub use datagram::{DatagramError, Opened, Seal, Sealed, TooLarge, open, seal};
pub use endpoint::{Contact, Endpoint};
pub use packet::{EnrRequest, EnrResponse, FindNode, Neighbors, Packet, Ping, Pong};

/// Largest datagram, bytes: the least MTU of IPv6, so that nothing is ever split on its way.
pub const MAX_DATAGRAM: usize = 1280;

/// Bytes before the data: hash (32), signature (65), type (1).
pub const HEADER: usize = 98;

/// Version of the protocol that a Ping states.
pub const VERSION: u64 = 4;

/// Nodes that fit into one Neighbors packet even if all have IPv6 addresses. geth sends as many.
pub const MAX_NEIGHBORS: usize = 12;

/// Whether something that expires at `expiration` is old at `now` (both Unix time in seconds).
///
/// Numbers from 2^63 on are negative ones that somebody cast; they lie before every `now`. That is
/// how geth reads them, and how its conformance suite writes a time that has passed.
#[must_use]
pub fn is_expired(expiration: u64, now: u64) -> bool {
    i64::try_from(expiration)
        .map_or(true, |expiration| i64::try_from(now).map_or(true, |now| expiration < now))
}

#[cfg(test)]
mod tests;
