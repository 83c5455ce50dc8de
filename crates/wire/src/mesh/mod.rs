//! The packets of the consortium mesh: FISCO BCOS 3.x gateways (V0 to V3) and 2.x nodes
//! ([`rc2`]), and the messages by which they keep sessions, statuses and routes.
//!
//! Bytes in, bytes out: [`PacketReader`] cuts a stream into [`Packet`]s, [`Message::decode`] reads
//! those that keep the mesh itself. All fields are slices of the bytes that came; keep a copy of
//! what outlives the packet, or the whole packet stays in memory. The wire is described field by
//! field in the book, `docs/src/wire-fisco.md`.

mod code;
mod compress;
mod cursor;
mod error;
mod handshake;
mod message;
mod node_id;
mod node_status;
mod options;
mod packet;
mod packet_type;
pub mod rc2;
mod reader;
mod router_table;
pub mod tars;
mod version;

#[cfg(test)]
mod tests;

pub use code::ErrorCode;
pub use compress::{
    COMPRESS_ABOVE, MAX_UNPACKED, compress, compress_snappy, decompress, decompress_snappy,
};
pub use error::{EncodeError, MeshError, PackedError};
pub use handshake::{ProtocolInfo, module};
pub use message::Message;
pub use node_id::{MAX_NODE_ID, P2pId};
pub use node_status::{
    GroupNodeInfo, GroupType, MAX_GROUP_NODES, MAX_GROUPS, NodeExtension, NodeStatus, NodeType,
};
pub use options::{FrontMessage, GroupOptions, MAX_DESTINATIONS, MAX_FRONT_UUID, ModuleId};
pub use packet::{HEADER, INITIAL_TTL, MAX_PACKET, Packet, ROUTED_HEADER, Route};
pub use packet_type::{Ext, PacketType};
pub use reader::PacketReader;
pub use router_table::{MAX_ROUTES, NodeIdInfo, RouterTable, RouterTableEntry, UNREACHABLE};
pub use version::{NegotiationError, Version, VersionRange};
