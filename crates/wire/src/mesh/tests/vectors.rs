//! The vectors of the wire facts (section 9 there): derived from FISCO's format rules by one encoder
//! and confirmed by a second; none was captured from a live node. Each is read and written.

use bytes::Bytes;

use super::super::{
    ErrorCode, Ext, FrontMessage, GroupNodeInfo, GroupOptions, GroupType, Message, ModuleId,
    NodeIdInfo, NodeStatus, NodeType, P2pId, Packet, PacketType, ProtocolInfo, Route, RouterTable,
    RouterTableEntry, Version, VersionRange, module,
};
use super::{encoded, front_ids, group_options, hex, id, route, v3};

/// The packet is written as the vector, and the vector read as the packet.
fn same(packet: &Packet, vector: &str) {
    assert_eq!(const_hex::encode(encoded(packet)), vector);
    assert_eq!(Packet::decode(hex(vector)).as_ref(), Ok(packet));
}

/// As [`same`], and the packet holds the message.
fn says(packet: &Packet, message: &Message, vector: &str) {
    same(packet, vector);
    assert_eq!(packet.packet_type, message.packet_type());
    assert_eq!(packet.payload, message.encode_payload());
    assert_eq!(Message::decode(packet).as_ref().map(Option::as_ref), Ok(Some(message)));
}

fn message_v3(message: &Message, seq: u32) -> Packet {
    v3(message.packet_type(), seq, message.encode_payload())
}

const RAW_P2P_ID: &str = concat!(
    "3082010a0282010100a9f658d43bd77f3406b443671f1eba50ab4b769fb98f66d3ececf3ba5e37f7",
    "a4495d94af524de58402fbbc3388c69fef2a48128cdca81fb9cb227f24210ae710d16a3662838575",
    "6b7545a4957256ecf041cb6e893275f3ee232d73b96acc59a702fdb124a4f8a0ab12e94dbbcf1033",
    "5a40826c715127f0474f61d7c30a19a36b37a74eaa8612960cb4762907987289a00c52c1b4019e23",
    "eff82d38818e6a85cde159eb7748248c1ad4b0ccfea58092713d3babb52c48769f5ecb532dc8ce65",
    "a056312ceedeead873186e9e6d1dd4575187cf044531bf9daff9ac55503c9f32bc36ec0c0740c948",
    "4965cc432294290e61ab65ad95225368388b8f7e9786d136870203010001",
);

fn gateway(max_version: i32) -> ProtocolInfo {
    ProtocolInfo { module: module::GATEWAY_SERVICE, min_version: 0, max_version }
}

#[test]
fn node_id_of_an_rsa_2048_certificate_long_and_short() {
    let long = id(RAW_P2P_ID);
    assert_eq!(long.as_bytes().len(), 540);
    assert!(!long.is_short());
    let short = long.to_short();
    assert!(short.is_short());
    assert_eq!(
        const_hex::encode(short.as_bytes()),
        "8aa149bacc42f6d7e359c573db866b69b7338be3bff4260881241a801f38f0c0"
    );
    assert_eq!(short.to_short(), short);
}

#[test]
fn heartbeat() {
    says(&Packet::heartbeat(), &Message::Heartbeat, "0000000e00000001000000000000");
}

#[test]
fn handshake_payloads_of_each_release() {
    for (max, vector) in [(3, "10012c3003"), (2, "10012c3002"), (1, "10012c3001")] {
        assert_eq!(const_hex::encode(gateway(max).encode()), vector);
        assert_eq!(ProtocolInfo::decode(hex(vector)), Ok(gateway(max)));
    }
    assert_eq!(ProtocolInfo::gateway(VersionRange::ALL), gateway(3));
}

#[test]
fn handshake_frame() {
    let message = Message::Handshake(gateway(3));
    let packet = Packet::new(Version::V0, PacketType::Handshake, 2, message.encode_payload());
    says(&packet, &message, "000000130000000200000002000010012c3003");
}

#[test]
fn sync_node_seq_v3() {
    let message = Message::SyncNodeSeq(1);
    says(
        &message_v3(&message, 7),
        &message,
        concat!(
            "0000005800030009000000070000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "2222222200000001",
        ),
    );
}

#[test]
fn sync_node_seq_v0() {
    let message = Message::SyncNodeSeq(1);
    let packet = Packet::new(Version::V0, PacketType::SyncNodeSeq, 7, message.encode_payload());
    says(&packet, &message, "000000120000000900000007000000000001");
}

#[test]
fn request_node_status() {
    let message = Message::RequestNodeStatus;
    says(
        &message_v3(&message, 8),
        &message,
        concat!(
            "0000005400030003000000080000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222",
        ),
    );
}

#[test]
fn node_status_with_one_consensus_node() {
    let vector = concat!(
        "160967772d757569642d3020013900010a160667726f757030290001068030313233343536373839",
        "61626364656630313233343536373839616263646566303132333435363738396162636465663031",
        "32333435363738396162636465663031323334353637383961626364656630313233343536373839",
        "61626364656630313233343536373839616263646566303132333435363738396162636465664900",
        "010a1c2c30020b59000100020b",
    );
    let node = "0123456789abcdef".repeat(8);
    let status = NodeStatus {
        uuid: Bytes::from_static(b"gw-uuid-0"),
        seq: 1,
        groups: vec![GroupNodeInfo {
            group: Bytes::from_static(b"group0"),
            nodes: vec![node.into()],
            group_type: GroupType::CONSENSUS,
            protocols: vec![ProtocolInfo {
                module: module::NODE_SERVICE,
                min_version: 0,
                max_version: 2,
            }],
            node_types: vec![NodeType::CONSENSUS],
        }],
        extension: None,
    };
    assert_eq!(const_hex::encode(status.encode()), vector);
    assert_eq!(NodeStatus::decode(hex(vector)), Ok(status));
}

#[test]
fn node_status_without_groups() {
    let status =
        NodeStatus { uuid: Bytes::from_static(b"gw-uuid-0"), seq: 1, ..NodeStatus::default() };
    assert_eq!(const_hex::encode(status.encode()), "160967772d757569642d302001");
    let message = Message::ResponseNodeStatus(status);
    says(
        &message_v3(&message, 9),
        &message,
        concat!(
            "0000006100030004000000090000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222160967772d757569642d302001",
        ),
    );
}

#[test]
fn router_table_sync_seq() {
    let message = Message::RouterTableSyncSeq(1);
    says(
        &message_v3(&message, 10),
        &message,
        concat!(
            "000000580003000a0000000a0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "2222222200000001",
        ),
    );
}

#[test]
fn router_table_request() {
    let message = Message::RouterTableRequest;
    says(
        &message_v3(&message, 11),
        &message,
        concat!(
            "000000540003000c0000000b0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222",
        ),
    );
}

#[test]
fn router_table_response() {
    let entry = |destination: &str, next_hop: &str, distance, short| RouterTableEntry {
        destination: id(destination),
        next_hop: id(next_hop),
        distance,
        info: Some(NodeIdInfo { short: id([short; 32]), long: P2pId::EMPTY }),
    };
    let table = RouterTable {
        entries: vec![entry("aabbcc", "", 1, 0x33), entry("ddeeff", "aabbcc", 2, 0x44)],
    };
    assert_eq!(
        const_hex::encode(table.encode()),
        concat!(
            "1900020a160661616262636330014a16203333333333333333333333333333333333333333333333",
            "3333333333333333330b0b0a1606646465656666260661616262636330024a162044444444444444",
            "444444444444444444444444444444444444444444444444440b0b",
        )
    );
    let message = Message::RouterTableResponse(table);
    says(
        &message_v3(&message, 12),
        &message,
        concat!(
            "000000bf0003000b0000000c0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "222222221900020a160661616262636330014a162033333333333333333333333333333333333333",
            "333333333333333333333333330b0b0a1606646465656666260661616262636330024a1620444444",
            "44444444444444444444444444444444444444444444444444444444440b0b",
        ),
    );
}

#[test]
fn front_message_and_the_packet_to_a_front_node() {
    let front = FrontMessage {
        module: ModuleId::PBFT,
        uuid: Bytes::from_static(b"uuid-1"),
        ext: 0,
        payload: Bytes::from_static(b"hello"),
    };
    let payload = front.encode().unwrap();
    assert_eq!(const_hex::encode(&payload), "03e806757569642d31000068656c6c6f");
    assert_eq!(FrontMessage::decode(payload.clone()), Ok(front));
    let packet = Packet {
        options: Some(group_options(ModuleId::PBFT)),
        ..v3(PacketType::PeerToPeerMessage, 20, payload)
    };
    same(
        &packet,
        concat!(
            "000000f100030005000000140000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222000667726f7570300040000102030405060708090a0b0c0d0e0f10111213141516171819",
            "1a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f0140",
            "4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768",
            "696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f03e803e806757569642d31000068656c6c",
            "6f",
        ),
    );
    assert_eq!(packet.module(), Some(ModuleId::PBFT));
}

#[test]
fn answer_to_a_front_node() {
    let request = Packet {
        options: Some(group_options(ModuleId::PBFT)),
        ..v3(PacketType::PeerToPeerMessage, 20, Bytes::new())
    };
    let answer = request.answer(ErrorCode::SUCCESS.to_payload());
    same(
        &answer,
        concat!(
            "0000005500030000000000140001000a002022222222222222222222222222222222222222222222",
            "22222222222222222222002011111111111111111111111111111111111111111111111111111111",
            "1111111130",
        ),
    );
    assert!(answer.is_response() && !request.is_response());
    assert_eq!(ErrorCode::from_payload(&answer.payload), Ok(ErrorCode::SUCCESS));
}

#[test]
fn broadcast_as_fisco_3_13_sends_it() {
    let [source, _] = front_ids();
    let front = FrontMessage {
        module: ModuleId::TXS_SYNC,
        payload: Bytes::from_static(b"tx"),
        ..FrontMessage::default()
    };
    let payload = front.encode().unwrap();
    let packet = Packet {
        ext: Ext::CONSENSUS_NODE | Ext::OBSERVER_NODE,
        options: Some(GroupOptions {
            source,
            destinations: vec![],
            ..group_options(ModuleId::TXS_SYNC)
        }),
        ..Packet::new(Version::V0, PacketType::BroadcastMessage, 21, payload)
    };
    same(
        &packet,
        concat!(
            "0000006200000006000000150006000667726f7570300040000102030405060708090a0b0c0d0e0f",
            "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
            "38393a3b3c3d3e3f0007d107d10000007478",
        ),
    );
}

#[test]
fn amop_frames() {
    let frame = |seq, body: &str| v3(PacketType::AmopMessage, seq, hex(body));
    let topic_seq = frame(30, "00000001000031");
    same(
        &topic_seq,
        concat!(
            "0000005b000300070000001e0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "2222222200000001000031",
        ),
    );
    assert_eq!(Message::decode(&topic_seq), Ok(None), "it is for the module above");
    same(
        &frame(31, "000000040000000000000006746f706963416869"),
        concat!(
            "00000068000300070000001f0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222000000040000000000000006746f706963416869",
        ),
    );
    same(
        &frame(32, "000000050000000000000006746f706963416869"),
        concat!(
            "0000006800030007000000200000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222000000050000000000000006746f706963416869",
        ),
    );
}

#[test]
fn amop_answers() {
    let request = v3(PacketType::AmopMessage, 31, Bytes::new());
    let answer = |packet_type, body: &str| Packet { packet_type, ..request.answer(hex(body)) };
    let success = answer(
        PacketType::WsMessage,
        concat!(
            "00000113000000203031323334353637383961626364656630313233343536373839616263646566",
            "00006f6b",
        ),
    );
    same(
        &success,
        concat!(
            "00000080000300080000001f0001000a002022222222222222222222222222222222222222222222",
            "22222222222222222222002011111111111111111111111111111111111111111111111111111111",
            "11111111000001130000002030313233343536373839616263646566303132333435363738396162",
            "6364656600006f6b",
        ),
    );
    let error = answer(
        PacketType::AmopMessage,
        "000000050bba4e6f74466f756e64436c69656e744279546f70696344697370617463684d7367",
    );
    same(
        &error,
        concat!(
            "0000007a000300070000001f0001000a002022222222222222222222222222222222222222222222",
            "22222222222222222222002011111111111111111111111111111111111111111111111111111111",
            "11111111000000050bba4e6f74466f756e64436c69656e744279546f70696344697370617463684d",
            "7367",
        ),
    );
    assert_eq!(
        success.route,
        Route { source: id([0x22; 32]), destination: id([0x11; 32]), ..route() }
    );
}

#[test]
fn compressed_frame() {
    let mut packet = Packet {
        ext: Ext::COMPRESS,
        ..v3(PacketType::ResponseNodeStatus, 40, hex("28b52ffd60d0064d00001061610100cbff000b"))
    };
    same(
        &packet,
        concat!(
            "0000006700030004000000280010000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "2222222228b52ffd60d0064d00001061610100cbff000b",
        ),
    );
    packet.unpack().unwrap();
    assert_eq!(packet.ext, Ext::NONE);
    assert_eq!(packet.payload, vec![b'a'; 2000]);
    packet.pack().unwrap();
    assert_eq!(packet.ext, Ext::COMPRESS);
    packet.unpack().unwrap();
    assert_eq!(packet.payload, vec![b'a'; 2000]);
}
