//! Each limit at its value and one above; every truncation; what is refused.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::tars::TarsError;
use super::super::{
    EncodeError, ErrorCode, FrontMessage, GroupNodeInfo, GroupOptions, HEADER, MAX_DESTINATIONS,
    MAX_FRONT_UUID, MAX_GROUP_NODES, MAX_GROUPS, MAX_NODE_ID, MAX_PACKET, MAX_ROUTES, MeshError,
    Message, ModuleId, NodeStatus, NodeType, P2pId, Packet, PacketType, ProtocolInfo, RouterTable,
    RouterTableEntry, Version, VersionRange,
};
use super::{encoded, group_options, hex, id, v3};

fn group_packet(kind: PacketType, options: GroupOptions) -> Packet {
    Packet { options: Some(options), ..v3(kind, 1, Bytes::from_static(b"payload")) }
}

#[test]
fn the_largest_packet_and_one_byte_more() {
    let packet = |bytes| {
        Packet::new(Version::V0, PacketType::AmopMessage, 1, vec![0; bytes - HEADER].into())
    };
    let largest = packet(MAX_PACKET);
    assert_eq!(Packet::decode(encoded(&largest)), Ok(largest));
    let (size, limit) = (MAX_PACKET + 1, MAX_PACKET);
    let mut out = BytesMut::from(b"before".as_slice());
    let error = packet(size).encode(&mut out).unwrap_err();
    assert_eq!(error, EncodeError::TooLarge { what: "packet", size, limit });
    assert_eq!(out, b"before".as_slice());
    let mut longer = vec![0; size];
    longer[..4].copy_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
    let error = Packet::decode(longer.into()).unwrap_err();
    assert_eq!(error, MeshError::TooLarge { what: "packet", size, limit });
}

#[test]
fn the_longest_node_id_and_one_byte_more() {
    assert!(P2pId::new(vec![b'a'; MAX_NODE_ID]).is_ok());
    assert!(P2pId::new(vec![b'a'; MAX_NODE_ID + 1]).is_err());
    let packet = |bytes: usize| {
        let mut out = BytesMut::new();
        out.put_u32(u32::try_from(HEADER + 6 + bytes).unwrap());
        out.put_slice(&[0, 1, 0, 3, 0, 0, 0, 1, 0, 0, 0, 10]);
        out.put_u16(u16::try_from(bytes).unwrap());
        out.put_bytes(b'a', bytes);
        out.put_u16(0);
        Packet::decode(out.freeze())
    };
    assert_eq!(packet(MAX_NODE_ID).unwrap().route.source, id([b'a'; MAX_NODE_ID]));
    let (what, size, limit) = ("source node ID", MAX_NODE_ID + 1, MAX_NODE_ID);
    assert_eq!(packet(size), Err(MeshError::TooLarge { what, size, limit }));
    let table = |bytes| {
        let entry = RouterTableEntry { distance: 1, ..RouterTableEntry::default() };
        let entries = vec![RouterTableEntry { destination: id([b'a'; MAX_NODE_ID]), ..entry }];
        let payload = RouterTable { entries }.encode();
        // The four bytes of the string's length follow list, count, struct and the string's head.
        let mut payload = payload.to_vec();
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        payload.splice(5..9 + MAX_NODE_ID, [length.as_slice(), &vec![b'a'; bytes]].concat());
        RouterTable::decode(payload.into())
    };
    assert_eq!(table(MAX_NODE_ID).unwrap().entries[0].destination, id([b'a'; MAX_NODE_ID]));
    let error = TarsError::TooLarge { what: "node ID", size, limit };
    assert_eq!(table(size), Err(MeshError::Malformed { message: "RouterTableResponse", error }));
}

#[test]
fn destinations_at_the_limit_and_one_more() {
    let packet = |count| {
        let one = group_options(ModuleId::PBFT);
        let destinations = vec![one.source.clone(); count];
        group_packet(PacketType::BroadcastMessage, GroupOptions { destinations, ..one })
    };
    let full = packet(MAX_DESTINATIONS);
    assert_eq!(Packet::decode(encoded(&full)), Ok(full));
    let error = packet(MAX_DESTINATIONS + 1).encode(&mut BytesMut::new()).unwrap_err();
    let (count, limit) = (MAX_DESTINATIONS + 1, MAX_DESTINATIONS);
    assert_eq!(error, EncodeError::TooMany { what: "destinations", count, limit });
}

#[test]
fn group_id_at_the_limit_and_one_byte_more() {
    let packet = |bytes| {
        let group = vec![b'g'; bytes].into();
        group_packet(
            PacketType::BroadcastMessage,
            GroupOptions { group, ..group_options(ModuleId::PBFT) },
        )
    };
    let full = packet(65_535);
    assert_eq!(Packet::decode(encoded(&full)), Ok(full));
    let error = packet(65_536).encode(&mut BytesMut::new()).unwrap_err();
    assert_eq!(error, EncodeError::TooLarge { what: "group ID", size: 65_536, limit: 65_535 });
}

#[test]
fn options_that_no_peer_accepts_are_neither_written_nor_read() {
    let good = group_options(ModuleId::PBFT);
    let refused = |kind, options: GroupOptions| {
        group_packet(kind, options).encode(&mut BytesMut::new()).is_err()
    };
    let none = GroupOptions { destinations: vec![], ..good.clone() };
    assert!(refused(PacketType::PeerToPeerMessage, none.clone()));
    assert!(!refused(PacketType::BroadcastMessage, none.clone()));
    let uneven = GroupOptions { destinations: vec![Bytes::from_static(b"short")], ..good.clone() };
    assert!(refused(PacketType::PeerToPeerMessage, uneven));
    let empty = GroupOptions { source: Bytes::new(), destinations: vec![Bytes::new()], ..good };
    assert!(refused(PacketType::PeerToPeerMessage, empty));
    // The same on the wire: the type of a broadcast to nobody changed to 5, and IDs of no length.
    let mut bytes = encoded(&group_packet(PacketType::BroadcastMessage, none)).to_vec();
    bytes[7] = 5;
    assert!(matches!(Packet::decode(bytes.into()), Err(MeshError::Invalid(_))));
    let no_length = concat!("00000015", "0000", "0006", "00000001", "0000", "0000000000", "0000");
    let error = MeshError::Invalid("the front node IDs have no length");
    assert_eq!(Packet::decode(hex(no_length)), Err(error));
}

#[test]
fn options_belong_to_types_5_and_6_only() {
    let with = Packet {
        packet_type: PacketType::AmopMessage,
        ..group_packet(PacketType::BroadcastMessage, group_options(ModuleId::PBFT))
    };
    assert!(matches!(with.encode(&mut BytesMut::new()), Err(EncodeError::Invalid(_))));
    let without = v3(PacketType::BroadcastMessage, 1, Bytes::new());
    assert!(matches!(without.encode(&mut BytesMut::new()), Err(EncodeError::Invalid(_))));
}

#[test]
fn every_truncation_of_a_packet_is_an_error() {
    let packet = group_packet(PacketType::PeerToPeerMessage, group_options(ModuleId::PBFT));
    let whole = encoded(&packet);
    let head = whole.len() - packet.payload.len();
    for end in 0..whole.len() {
        assert!(Packet::decode(whole.slice(..end)).is_err(), "cut at {end}");
        // With its length made right, it is still no packet before all of the header is there.
        let mut cut = whole[..end].to_vec();
        if end >= 4 {
            cut[..4].copy_from_slice(&u32::try_from(end).unwrap().to_be_bytes());
        }
        assert_eq!(Packet::decode(cut.into()).is_ok(), end >= head, "cut at {end}");
    }
    let longer = [whole.as_ref(), &[0]].concat();
    assert!(matches!(Packet::decode(longer.into()), Err(MeshError::LengthMismatch { .. })));
}

#[test]
fn front_message_limits_and_truncations() {
    let front = |bytes| FrontMessage { uuid: vec![b'u'; bytes].into(), ..FrontMessage::default() };
    let full = front(MAX_FRONT_UUID).encode().unwrap();
    assert_eq!(FrontMessage::decode(full.clone()), Ok(front(MAX_FRONT_UUID)));
    assert!(front(MAX_FRONT_UUID + 1).encode().is_err());
    for end in 0..full.len() {
        assert!(FrontMessage::decode(full.slice(..end)).is_err(), "cut at {end}");
    }
}

#[test]
fn module_of_an_old_sender_is_the_first_word_of_its_payload() {
    let packet = |module, payload: &'static [u8]| Packet {
        payload: Bytes::from_static(payload),
        ..group_packet(PacketType::BroadcastMessage, group_options(ModuleId(module)))
    };
    assert_eq!(packet(7, b"\x03\xe8").module(), Some(ModuleId(7)));
    assert_eq!(packet(0, b"\x03\xe8rest").module(), Some(ModuleId::PBFT));
    assert_eq!(packet(0, b"\x03").module(), None);
    assert_eq!(v3(PacketType::AmopMessage, 1, Bytes::from_static(b"\x03\xe8")).module(), None);
}

fn too_many(what: &'static str, limit: usize) -> TarsError {
    TarsError::TooMany { what, count: limit + 1, limit }
}

#[test]
fn groups_in_a_status_at_the_limit_and_one_more() {
    let status = |count| NodeStatus {
        groups: vec![GroupNodeInfo::default(); count],
        ..NodeStatus::default()
    };
    assert_eq!(NodeStatus::decode(status(MAX_GROUPS).encode()), Ok(status(MAX_GROUPS)));
    let error = too_many("groups", MAX_GROUPS);
    assert_eq!(
        NodeStatus::decode(status(MAX_GROUPS + 1).encode()),
        Err(MeshError::Malformed { message: "ResponseNodeStatus", error })
    );
}

#[test]
fn nodes_in_a_group_at_the_limit_and_one_more() {
    let decode = |group: GroupNodeInfo| {
        let status = NodeStatus { groups: vec![group], ..NodeStatus::default() };
        let decoded = NodeStatus::decode(status.encode());
        decoded.inspect(|decoded| assert_eq!(*decoded, status)).map(|_| ())
    };
    let nodes = |n| {
        decode(GroupNodeInfo {
            nodes: vec![Bytes::from_static(b"n"); n],
            ..GroupNodeInfo::default()
        })
    };
    let info = ProtocolInfo { module: 0, min_version: 0, max_version: 2 };
    let versions =
        |n| decode(GroupNodeInfo { protocols: vec![info; n], ..GroupNodeInfo::default() });
    let types =
        |n| decode(GroupNodeInfo { node_types: vec![NodeType(2); n], ..GroupNodeInfo::default() });
    let refused = |what| {
        let error = too_many(what, MAX_GROUP_NODES);
        Err(MeshError::Malformed { message: "ResponseNodeStatus", error })
    };
    assert_eq!(nodes(MAX_GROUP_NODES), Ok(()));
    assert_eq!(versions(MAX_GROUP_NODES), Ok(()));
    assert_eq!(types(MAX_GROUP_NODES), Ok(()));
    assert_eq!(nodes(MAX_GROUP_NODES + 1), refused("nodes"));
    assert_eq!(versions(MAX_GROUP_NODES + 1), refused("versions"));
    assert_eq!(types(MAX_GROUP_NODES + 1), refused("node types"));
}

#[test]
fn routes_in_a_table_at_the_limit_and_one_more() {
    let table = |count| RouterTable { entries: vec![RouterTableEntry::default(); count] };
    assert_eq!(RouterTable::decode(table(MAX_ROUTES).encode()), Ok(table(MAX_ROUTES)));
    let error = too_many("routes", MAX_ROUTES);
    assert_eq!(
        RouterTable::decode(table(MAX_ROUTES + 1).encode()),
        Err(MeshError::Malformed { message: "RouterTableResponse", error })
    );
}

#[test]
fn numbers_of_statuses_take_four_bytes_and_let_more_follow() {
    let read = |bytes: &'static [u8]| {
        Message::decode(&v3(PacketType::SyncNodeSeq, 1, Bytes::from_static(bytes)))
    };
    assert!(read(&[0, 0, 1]).is_err());
    assert_eq!(read(&[0, 0, 1, 2]), Ok(Some(Message::SyncNodeSeq(0x102))));
    assert_eq!(read(&[0, 0, 1, 2, 9]), Ok(Some(Message::SyncNodeSeq(0x102))));
}

#[test]
fn codes_are_decimal_text_of_32_bits() {
    for code in
        [ErrorCode::SUCCESS, ErrorCode::GATEWAY_QPS_OVERFLOW, ErrorCode(-1), ErrorCode(i32::MIN)]
    {
        assert_eq!(ErrorCode::from_payload(&code.to_payload()), Ok(code));
    }
    for bad in [b"".as_slice(), b"2147483648", b"+1", b"1 ", b"ok", b"\xff"] {
        assert!(ErrorCode::from_payload(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn two_nodes_agree_on_the_lower_of_their_highest_versions() {
    let agree = |min, max| {
        let peer = ProtocolInfo { module: 1, min_version: min, max_version: max };
        VersionRange::ALL.negotiate(&peer)
    };
    assert_eq!(agree(0, 1), Ok(Version::V1));
    assert_eq!(agree(0, 2), Ok(Version::V2));
    assert_eq!(agree(0, 3), Ok(Version::V3));
    assert_eq!(agree(3, 9), Ok(Version::V3));
    assert_eq!(agree(0, 0), Ok(Version::V0));
    assert_eq!(agree(-5, i32::MAX), Ok(Version::V3));
    for (min, max) in [(4, 9), (-3, -1), (2, 1), (i32::MAX, i32::MIN)] {
        assert!(agree(min, max).is_err(), "{min} to {max}");
    }
    let ours = VersionRange { min: Version::V2, max: Version::V3 };
    let old = ProtocolInfo { module: 1, min_version: 0, max_version: 1 };
    assert!(ours.negotiate(&old).is_err());
}

#[test]
fn node_ids_of_strangers_are_shown_escaped_and_cut() {
    let shown = id(b"\x1b[31m".repeat(100)).to_string();
    assert!(shown.is_ascii() && !shown.contains('\x1b') && shown.len() < 200, "{shown}");
    assert_eq!(id([0xab; 32]).to_string(), "ab".repeat(32));
    assert_eq!(P2pId::EMPTY.to_string(), "(none)");
}
