//! Properties: what is written is read again, and nothing that a stranger sends panics.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::rc2::{ProtocolId, Rc2Packet, Rc2Reader, TopicMessage};
use super::super::{
    ErrorCode, Ext, FrontMessage, GroupNodeInfo, GroupOptions, GroupType, Message, ModuleId,
    NodeExtension, NodeIdInfo, NodeStatus, NodeType, P2pId, Packet, PacketReader, PacketType,
    ProtocolInfo, Route, RouterTable, RouterTableEntry, Version, compress, compress_snappy,
    decompress, decompress_snappy,
};
use super::{encoded, id};

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

fn node_id() -> impl Strategy<Value = P2pId> {
    prop_oneof![
        Just(P2pId::EMPTY),
        any::<[u8; 32]>().prop_map(id),
        "[0-9a-f]{540}".prop_map(id),
        vec(any::<u8>(), 0..300).prop_map(id),
    ]
}

fn packet_type() -> impl Strategy<Value = PacketType> {
    prop_oneof![0u16..16, any::<u16>()].prop_map(PacketType::from_number)
}

fn options() -> impl Strategy<Value = GroupOptions> {
    (bytes(40), 1usize..70, 1usize..6, any::<u16>()).prop_flat_map(
        |(group, length, count, module)| {
            vec(vec(any::<u8>(), length), count + 1).prop_map(move |ids| {
                let mut ids = ids.into_iter().map(Bytes::from);
                GroupOptions {
                    group: group.clone(),
                    source: ids.next().expect("count + 1 of them"),
                    destinations: ids.collect(),
                    module: ModuleId(module),
                }
            })
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let header = (0usize..4, packet_type(), any::<u32>(), any::<u16>());
    let route = (any::<i16>(), node_id(), node_id());
    (header, route, options(), bytes(300)).prop_map(
        |((version, packet_type, seq, ext), (ttl, source, destination), options, payload)| {
            let version = Version::ALL[version];
            let route = match version.has_route() {
                true => Route { ttl, source, destination },
                false => Route::default(),
            };
            let options = packet_type.has_options().then_some(options);
            Packet { version, packet_type, seq, ext: Ext(ext), route, options, payload }
        },
    )
}

fn protocol_info() -> impl Strategy<Value = ProtocolInfo> {
    any::<(i32, i32, i32)>().prop_map(|(module, min_version, max_version)| ProtocolInfo {
        module,
        min_version,
        max_version,
    })
}

fn group() -> impl Strategy<Value = GroupNodeInfo> {
    let types = vec(any::<i32>().prop_map(NodeType), 0..5);
    (bytes(20), vec(bytes(300), 0..5), 0i32..4, vec(protocol_info(), 0..5), types).prop_map(
        |(group, nodes, group_type, protocols, node_types)| GroupNodeInfo {
            group,
            nodes,
            group_type: GroupType(group_type),
            protocols,
            node_types,
        },
    )
}

fn node_status() -> impl Strategy<Value = NodeStatus> {
    let extension = prop::option::of(
        any::<(i32, u64)>()
            .prop_map(|(role, height)| NodeExtension { role: NodeType(role), height }),
    );
    (bytes(600), any::<u32>(), vec(group(), 0..4), extension)
        .prop_map(|(uuid, seq, groups, extension)| NodeStatus { uuid, seq, groups, extension })
}

fn router_table() -> impl Strategy<Value = RouterTable> {
    let info = prop::option::of((node_id(), node_id()))
        .prop_map(|info| info.map(|(short, long)| NodeIdInfo { short, long }));
    let entry = (node_id(), node_id(), any::<i32>(), info).prop_map(
        |(destination, next_hop, distance, info)| RouterTableEntry {
            destination,
            next_hop,
            distance,
            info,
        },
    );
    vec(entry, 0..6).prop_map(|entries| RouterTable { entries })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::Heartbeat),
        Just(Message::RequestNodeStatus),
        Just(Message::RouterTableRequest),
        any::<u32>().prop_map(Message::SyncNodeSeq),
        any::<u32>().prop_map(Message::RouterTableSyncSeq),
        protocol_info().prop_map(Message::Handshake),
        node_status().prop_map(Message::ResponseNodeStatus),
        router_table().prop_map(Message::RouterTableResponse),
    ]
}

fn topics() -> impl Strategy<Value = TopicMessage> {
    let topic = vec(any::<u8>().prop_filter("no tab", |byte| *byte != b'\t'), 1..20);
    prop_oneof![
        any::<u32>().prop_map(TopicMessage::SendTopicSeq),
        Just(TopicMessage::RequestTopics),
        (any::<u32>(), vec(topic.prop_map(Bytes::from), 0..9))
            .prop_map(|(seq, topics)| TopicMessage::SendTopics { seq, topics }),
    ]
}

/// What was read can be written, and is then read as the same.
fn rereads(packet: &Packet) {
    let again = encoded(packet);
    assert_eq!(Packet::decode(again).as_ref(), Ok(packet));
}

fn any_decoder(bytes: &Bytes) {
    if let Ok(packet) = Packet::decode(bytes.clone()) {
        assert_eq!(encoded(&packet), bytes);
    }
    if let Ok(packet) = Rc2Packet::decode(bytes.clone()) {
        let mut again = BytesMut::new();
        packet.encode(&mut again).expect("as long as it was");
        assert_eq!(again, bytes);
    }
    for number in 0..16 {
        let kind = PacketType::from_number(number);
        let packet = Packet::new(Version::V3, kind, 1, bytes.clone());
        if let Ok(Some(message)) = Message::decode(&packet) {
            let again = Packet { payload: message.encode_payload(), ..packet };
            assert_eq!(Message::decode(&again), Ok(Some(message)));
        }
    }
    let _ = FrontMessage::decode(bytes.clone());
    let _ = ErrorCode::from_payload(bytes);
    let _ = decompress(bytes, 1 << 20);
    let _ = decompress_snappy(bytes, 1 << 20);
    let list = Rc2Packet::new(ProtocolId::TOPIC.opposite(), 3, 1, bytes.clone());
    if let Ok(Some(message)) = TopicMessage::decode(&list) {
        let again = message.to_packet(1).expect("it was read");
        assert_eq!(TopicMessage::decode(&again), Ok(Some(message)));
    }
}

proptest! {
    #[test]
    fn packets_round_trip(packets in vec(packet(), 1..4), cut in 1usize..50) {
        let stream: Vec<u8> = packets.iter().flat_map(encoded).collect();
        let (mut input, mut seen) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(cut) {
            input.extend_from_slice(piece);
            while let Some(packet) = PacketReader::default().read(&mut input).unwrap() {
                prop_assert_eq!(packet.encoded_len(), encoded(&packet).len());
                seen.push(packet);
            }
        }
        prop_assert_eq!(seen, packets);
    }

    #[test]
    fn messages_round_trip(message in message(), seq: u32) {
        let payload = message.encode_payload();
        let packet = Packet::new(Version::V3, message.packet_type(), seq, payload);
        prop_assert_eq!(Message::decode(&packet), Ok(Some(message)));
    }

    #[test]
    fn front_messages_round_trip(module: u16, uuid in bytes(255), ext: u16, payload in bytes(99)) {
        let front = FrontMessage { module: ModuleId(module), uuid, ext, payload };
        prop_assert_eq!(FrontMessage::decode(front.encode().unwrap()), Ok(front));
    }

    #[test]
    fn rc2_packets_round_trip(protocol: i32, kind: u16, seq: u32, version: u16, data in bytes(99)) {
        let protocol = ProtocolId(protocol);
        let packet = Rc2Packet { version, ..Rc2Packet::new(protocol, kind, seq, data) };
        let mut stream = BytesMut::new();
        packet.encode(&mut stream).unwrap();
        prop_assert_eq!(Rc2Reader::default().read(&mut stream), Ok(Some(packet)));
        prop_assert!(stream.is_empty());
    }

    #[test]
    fn topic_messages_round_trip(message in topics(), seq: u32) {
        let packet = message.to_packet(seq).unwrap();
        prop_assert_eq!(TopicMessage::decode(&packet), Ok(Some(message)));
    }

    #[test]
    fn packed_payloads_round_trip(content in vec(0u8..4, 1..5000)) {
        let zstd = compress(&content).unwrap();
        prop_assert_eq!(decompress(&zstd, content.len()), Ok(content.clone().into()));
        let snappy = compress_snappy(&content).unwrap();
        prop_assert_eq!(decompress_snappy(&snappy, content.len()), Ok(content.into()));
    }

    #[test]
    fn random_bytes_never_panic(data in bytes(400)) {
        any_decoder(&data);
        let _ = PacketReader::default().read(&mut BytesMut::from(data.as_ref()));
        let _ = Rc2Reader::default().read(&mut BytesMut::from(data.as_ref()));
    }

    #[test]
    fn damaged_messages_never_panic(message in message(), at: prop::sample::Index, byte: u8) {
        let mut payload = message.encode_payload().to_vec();
        if !payload.is_empty() {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        any_decoder(&payload.into());
    }

    #[test]
    fn damaged_packets_never_panic(packet in packet(), at: prop::sample::Index, byte: u8) {
        let mut frame = encoded(&packet).to_vec();
        let at = at.index(frame.len());
        frame[at] = byte;
        if let Ok(packet) = Packet::decode(frame.clone().into()) {
            rereads(&packet);
        }
        any_decoder(&frame.into());
    }

    #[test]
    fn damaged_packed_payloads_never_panic(content in vec(0u8..4, 1..3000),
                                           at: prop::sample::Index, byte: u8) {
        for packed in [compress(&content).unwrap(), compress_snappy(&content).unwrap()] {
            let mut packed = packed.to_vec();
            let at = at.index(packed.len());
            packed[at] = byte;
            for unpacked in [decompress(&packed, 4096), decompress_snappy(&packed, 4096)] {
                prop_assert!(unpacked.is_err() || unpacked.is_ok_and(|c| c.len() <= 4096));
            }
        }
    }
}
