//! Who a node is.
mod peer_id;
pub use peer_id::{PeerId, PeerIdError};
pub use secp256k1;
