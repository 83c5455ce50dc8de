//! Bytes to messages and back: every decoder takes bytes from a stranger, never panics, and never
//! allocates by a length that the stranger claims. The limits are in the types.
//!
//! | module | family |
//! |---|---|
//! | [`amop`] | AMOP, messages on topics: between FISCO BCOS nodes, and between a node and its SDKs |
//! | [`devp2p`] | Hello, Disconnect, Ping, Pong: what every RLPx session begins with |
//! | [`discv4`] | Node discovery over UDP |
//! | [`eth`] | The Ethereum wire protocol, eth/66 to eth/69 |
//! | [`mesh`] | The consortium mesh: FISCO BCOS packets, 3.x (V0 to V3) and 2.x (RC2) |
//! | [`pex`] | Peer exchange: nodes tell each other of nodes |
//! | [`reach`] | Being dialled back: whether others can reach a node |
//! | [`role`] | What a node is for others: full or light |

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod amop;
pub mod devp2p;
pub mod discv4;
mod error;
pub mod eth;
pub mod mesh;
pub mod pex;
pub mod reach;
pub mod role;

pub use error::DecodeError;
