//! What the fuzzer feeds: one function for each decoder, from any bytes.
//!
//! A target returns when the decoder kept its promise and panics when it did not: no panic inside it,
//! no memory beyond its limits, and what it accepted encodes to what it read. To add one: a function
//! here, its line in [`TARGETS`], a file in `fuzz_targets/`, its `[[bin]]` in `Cargo.toml`, and a first
//! input in `corpus/<name>/` (`examples/seeds.rs` writes some). An input that once broke a decoder stays in the corpus, named after it.

mod amop;
mod book;
mod chain;
mod cursor;
mod discv4;
mod eth;
mod ipc;
mod mesh;
mod mesh_router;
mod peers;
mod pex;
mod pool;
mod reach;
mod session;
mod sync;
mod text;
mod tls;

use chainmesh_identity::PeerId;

pub use amop::{amop_channel, amop_node, amop_ws};
pub use book::{book_ops, book_record};
pub use chain::{chain_file, genesis_json};
pub use discv4::discv4_packet;
pub use eth::{eth_message, eth_peer};
pub use ipc::ipc_framing;
pub use mesh::{mesh_packet, mesh_rc2, mesh_tars, mesh_zstd};
pub use mesh_router::mesh_router;
pub use peers::peers_ops;
pub use pex::{pex_message, pex_ops};
pub use pool::{mempool_ops, mempool_transaction};
pub use reach::reach_message;
pub use session::{frames, handshake, session_pair, snappy};
pub use sync::sync_ops;
pub use text::{disconnect, enode, hello, record, role};
pub use tls::{tls_handshake, tls_stream};

/// A target: returns if the decoder kept its promise on these bytes, panics if not.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its program and of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("amop_channel", amop_channel),
    ("amop_node", amop_node),
    ("amop_ws", amop_ws),
    ("book_ops", book_ops),
    ("book_record", book_record),
    ("chain_file", chain_file),
    ("disconnect", disconnect),
    ("discv4_packet", discv4_packet),
    ("enode", enode),
    ("eth_message", eth_message),
    ("eth_peer", eth_peer),
    ("frames", frames),
    ("genesis_json", genesis_json),
    ("handshake", handshake),
    ("hello", hello),
    ("ipc_framing", ipc_framing),
    ("mempool_ops", mempool_ops),
    ("mempool_transaction", mempool_transaction),
    ("mesh_packet", mesh_packet),
    ("mesh_rc2", mesh_rc2),
    ("mesh_router", mesh_router),
    ("mesh_tars", mesh_tars),
    ("mesh_zstd", mesh_zstd),
    ("peer_id", peer_id),
    ("peers_ops", peers_ops),
    ("pex_message", pex_message),
    ("pex_ops", pex_ops),
    ("reach_message", reach_message),
    ("record", record),
    ("role", role),
    ("session_pair", session_pair),
    ("snappy", snappy),
    ("sync_ops", sync_ops),
    ("tls_handshake", tls_handshake),
    ("tls_stream", tls_stream),
];

/// `PeerId` from hex text and from raw bytes.
pub fn peer_id(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(id) = text.parse::<PeerId>()
    {
        assert_eq!(PeerId::from_slice(id.as_bytes()), Ok(id));
        let _ = id.public_key();
    }
    if let Ok(id) = PeerId::from_slice(data) {
        assert_eq!(id.as_bytes().as_slice(), data);
        if let Ok(key) = id.public_key() {
            assert_eq!(PeerId::from_public_key(&key), id);
        }
    }
}
