//! Tests of the mesh packets and messages: vectors, streams, limits, properties.

mod compress;
mod limits;
mod properties;
mod rc2;
mod stream;
mod tars;
mod vectors;

use bytes::{Bytes, BytesMut};

use super::{GroupOptions, ModuleId, P2pId, Packet, PacketType, Route, Version};

/// Bytes of hex text.
pub(crate) fn hex(text: &str) -> Bytes {
    const_hex::decode(text).expect("hex").into()
}

/// A node ID of these bytes.
pub(crate) fn id(bytes: impl AsRef<[u8]>) -> P2pId {
    P2pId::new(Bytes::copy_from_slice(bytes.as_ref())).expect("not too long")
}

/// A route from the node 0x11… to the node 0x22…, as the vectors have it.
pub(crate) fn route() -> Route {
    Route { source: id([0x11; 32]), destination: id([0x22; 32]), ..Route::default() }
}

/// A routed packet in the way of the vectors.
pub(crate) fn v3(kind: PacketType, seq: u32, payload: Bytes) -> Packet {
    Packet { route: route(), ..Packet::new(Version::V3, kind, seq, payload) }
}

/// The front node IDs of the vectors: 0x00 to 0x3f and 0x40 to 0x7f.
pub(crate) fn front_ids() -> [Bytes; 2] {
    [(0..0x40).collect::<Vec<u8>>().into(), (0x40..0x80).collect::<Vec<u8>>().into()]
}

/// A message from one front node of `group0` to another.
pub(crate) fn group_options(module: ModuleId) -> GroupOptions {
    let [source, destination] = front_ids();
    GroupOptions {
        group: Bytes::from_static(b"group0"),
        source,
        destinations: vec![destination],
        module,
    }
}

/// The bytes of a packet.
pub(crate) fn encoded(packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(&mut out).expect("a packet that can be sent");
    out.freeze()
}
