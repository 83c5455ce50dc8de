//! Who a node is: one secp256k1 key, the [`PeerId`] that it makes, and the ways to write down
//! where its holder is ([`Enode`] URL, [`NodeRecord`]).
//!
//! Nothing here asks for the time or for randomness: a new key is made of entropy that the caller
//! brings. What touches a disk is [`key_file`] and [`keystore`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod certificate;
pub mod enode;
mod ephemeral_key;
pub mod key_file;
pub mod keystore;
mod node_key;
mod peer_id;
pub mod record;
pub mod tls;

pub use enode::{Enode, EnodeError, Host};
pub use ephemeral_key::EphemeralKey;
pub use node_key::{NodeKey, NodeKeyError, recover};
pub use peer_id::{PeerId, PeerIdError};
pub use record::{BootNode, BootNodeError, NodeRecord};
pub use secp256k1;
