//! The consortium mesh: packets of both worlds, the Tars messages in them, packed payloads.

use bytes::{Bytes, BytesMut};
use chainmesh_wire::mesh::rc2::{MAX_RC2_PACKET, Rc2Packet, Rc2Reader, TopicMessage};
use chainmesh_wire::mesh::tars::{MAX_DEPTH, Reader};
use chainmesh_wire::mesh::{
    ErrorCode, FrontMessage, MAX_GROUP_NODES, MAX_GROUPS, MAX_NODE_ID, MAX_PACKET, MAX_ROUTES,
    Message, NodeStatus, Packet, PacketReader, PacketType, ProtocolInfo, RouterTable, Version,
    compress, compress_snappy, decompress, decompress_snappy,
};

/// Most that a packed payload may unpack to here, so that the fuzzer stays quick.
const UNPACKED: usize = 1 << 20;

/// A stream of 3.x packets. The first byte says in pieces of which size it arrives.
pub fn mesh_packet(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let step = usize::from(*step).max(1);
    let reader = PacketReader::default();
    let mut whole = BytesMut::from(stream);
    let (mut input, mut pieces) = (BytesMut::new(), stream.chunks(step));
    loop {
        let expected = reader.read(&mut whole);
        // The same packet, or the same error, comes out of the pieces; never sooner than it is there.
        let seen = loop {
            match (reader.read(&mut input), pieces.len()) {
                (Ok(None), 1..) => input.extend_from_slice(pieces.next().expect("counted")),
                (seen, _) => break seen,
            }
        };
        match (expected, seen) {
            (Ok(Some(packet)), Ok(Some(again))) => {
                assert_eq!(packet, again);
                packet_keeps_its_promises(&packet);
            }
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => return,
            (expected, seen) => panic!("whole: {expected:?}, in pieces: {seen:?}"),
        }
    }
}

fn packet_keeps_its_promises(packet: &Packet) {
    let mut out = BytesMut::new();
    packet.encode(&mut out).expect("what was read can be written");
    assert!(out.len() <= MAX_PACKET && out.len() == packet.encoded_len());
    let again = Packet::decode(out.freeze());
    assert_eq!(again.as_ref(), Ok(packet));
    for id in [&packet.route.source, &packet.route.destination] {
        assert!(id.as_bytes().len() <= MAX_NODE_ID && id.to_string().is_ascii());
        assert!(id.to_short().as_bytes().len() <= 33);
    }
    let _ = (packet.module(), ErrorCode::from_payload(&packet.payload));
    if let Ok(front) = FrontMessage::decode(packet.payload.clone()) {
        assert_eq!(front.encode().as_ref(), Ok(&packet.payload));
    }
}

/// A stream of 2.x packets, as [`mesh_packet`], and the topic messages in them.
pub fn mesh_rc2(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let reader = Rc2Reader::default();
    let mut input = BytesMut::new();
    for piece in stream.chunks(usize::from(*step).max(1)) {
        input.extend_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(packet)) => rc2_keeps_its_promises(packet),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn rc2_keeps_its_promises(mut packet: Rc2Packet) {
    let mut out = BytesMut::new();
    packet.encode(&mut out).expect("what was read can be written");
    assert!(out.len() <= MAX_RC2_PACKET);
    assert_eq!(Rc2Packet::decode(out.freeze()).as_ref(), Ok(&packet));
    let _ = (packet.protocol.group(), packet.protocol.module(), packet.protocol.opposite());
    if packet.unpack().is_err() {
        return;
    }
    if let Ok(Some(message)) = TopicMessage::decode(&packet) {
        let again = message.to_packet(packet.seq).expect("what was read can be written");
        assert_eq!(TopicMessage::decode(&again), Ok(Some(message)));
    }
}

/// The Tars messages, and a message of which nothing is known.
pub fn mesh_tars(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let unknown = Reader::new(bytes.clone()).message(Reader::skip);
    for kind in
        [PacketType::Handshake, PacketType::ResponseNodeStatus, PacketType::RouterTableResponse]
    {
        let packet = Packet::new(Version::V3, kind, 1, bytes.clone());
        let Ok(message) = Message::decode(&packet) else { continue };
        let message = message.expect("all three are messages");
        assert_eq!(unknown, Ok(()), "{message:?} is well-formed");
        let again = Packet { payload: message.encode_payload(), ..packet };
        assert_eq!(Message::decode(&again), Ok(Some(message)));
    }
    if let Ok(status) = NodeStatus::decode(bytes.clone()) {
        assert!(status.groups.len() <= MAX_GROUPS);
        assert!(status.groups.iter().all(|group| group.nodes.len() <= MAX_GROUP_NODES));
    }
    if let Ok(table) = RouterTable::decode(bytes) {
        assert!(table.entries.len() <= MAX_ROUTES);
    }
    let deeper = [vec![0x1a; MAX_DEPTH.into()], data.to_vec()].concat();
    let _ = ProtocolInfo::decode(deeper.into());
}

/// Packed payloads, zstd and snappy.
pub fn mesh_zstd(data: &[u8]) {
    if let Ok(content) = decompress(data, UNPACKED) {
        assert!(!content.is_empty() && content.len() <= UNPACKED);
        let again = compress(&content).expect("there is memory for it");
        assert_eq!(decompress(&again, UNPACKED), Ok(content));
    }
    if let Ok(content) = decompress_snappy(data, UNPACKED) {
        assert!(content.len() <= UNPACKED && content.len() <= 22 * data.len());
        let again = compress_snappy(&content).expect("it is short");
        assert_eq!(decompress_snappy(&again, UNPACKED), Ok(content));
    }
}
