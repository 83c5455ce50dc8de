//! The messages of 3.x SDKs: vectors of the wire facts (section 9 there), limits, properties.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::ws::{
    GroupHeight, Handshake, HandshakeReply, MAX_WS_MESSAGE, MAX_WS_SEQ, WS_HEADER, WsMessage,
    WsStatus, WsType,
};
use super::super::{AmopError, AmopRequest, Subscription};
use super::{SEQ, bytes, hex};
use crate::mesh::{
    EncodeError, ErrorCode, Ext, MAX_GROUPS, P2pId, Packet, PacketType, Route, Version,
};

fn encoded(message: &WsMessage) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out).expect("a message that can be sent");
    out.freeze()
}

/// The message is written as the vector, and the vector read as the message.
fn same(message: &WsMessage, vector: &str) {
    assert_eq!(const_hex::encode(encoded(message)), vector);
    assert_eq!(WsMessage::decode(hex(vector)).as_ref(), Ok(message));
    let parts = message.to_parts().expect("a message that can be sent").concat();
    assert_eq!(const_hex::encode(parts), vector);
}

fn message(kind: WsType, payload: impl Into<Bytes>) -> WsMessage {
    WsMessage::new(kind, SEQ.as_slice(), payload.into())
}

fn hi() -> Bytes {
    AmopRequest::new("topicA", Bytes::from_static(b"hi")).encode().expect("a short topic")
}

#[test]
fn handshake_and_answer() {
    let ours = Handshake { max_version: 2, min_version: 0, module: 2 };
    let request = message(WsType::Handshake, ours.to_json());
    same(
        &request,
        concat!(
            "00000100000000203031323334353637383961626364656630313233343536373839616263646566",
            "00007b226d617856657273696f6e223a322c226d696e56657273696f6e223a302c226d6f64756c65",
            "4944223a327d0a",
        ),
    );
    assert_eq!(Handshake::from_json(&request.payload), Ok(ours));
    let protocol_version = ours.negotiate().expect("0 to 2");
    let reply = HandshakeReply { protocol_version, ..HandshakeReply::default() };
    let answer = request.answer(WsType::Handshake, reply.to_json());
    same(
        &answer,
        concat!(
            "00000100000000203031323334353637383961626364656630313233343536373839616263646566",
            "00007b2267726f7570426c6f636b4e756d626572223a5b5d2c2267726f7570496e666f4c69737422",
            "3a5b5d2c2270726f746f636f6c56657273696f6e223a327d0a",
        ),
    );
    assert_eq!(HandshakeReply::from_json(&answer.payload), Ok(reply));
}

#[test]
fn handshake_of_a_real_node_is_read() {
    let payload = concat!(
        r#"{"protocolVersion":1,"groupInfoList":[{"groupID":"group0","nodeList":[{}]}],"#,
        r#""groupBlockNumber":[{"group0":12},{},{"group1":-1}]}"#,
    );
    let height = |group: &str, height| GroupHeight { group: group.into(), height };
    let heights = vec![height("group0", 12), height("group1", -1)];
    let reply = HandshakeReply { heights, protocol_version: 1 };
    assert_eq!(HandshakeReply::from_json(payload.as_bytes()).as_ref(), Ok(&reply));
    assert_eq!(HandshakeReply::from_json(&reply.to_json()), Ok(reply));
    let least = HandshakeReply::from_json(b"{\"protocolVersion\":2,\"groupBlockNumber\":null}");
    assert_eq!(least, Ok(HandshakeReply { heights: Vec::new(), protocol_version: 2 }));
}

#[test]
fn groups_of_an_answer_at_the_limit_and_more() {
    let of = |count| HandshakeReply {
        heights: vec![GroupHeight { group: "g".into(), height: 1 }; count],
        protocol_version: 1,
    };
    assert_eq!(HandshakeReply::from_json(&of(MAX_GROUPS).to_json()), Ok(of(MAX_GROUPS)));
    let (count, limit) = (MAX_GROUPS + 1, MAX_GROUPS);
    let error = AmopError::TooMany { what: "groups", count, limit };
    assert_eq!(HandshakeReply::from_json(&of(count).to_json()), Err(error));
    assert_eq!(HandshakeReply::from_json(&of(3 * count).to_json()), Err(error));
}

#[test]
fn sdk_and_node_agree_on_a_version_that_is_not_0() {
    let agree =
        |min_version, max_version| Handshake { max_version, min_version, module: 2 }.negotiate();
    assert_eq!(agree(0, 1), Ok(1));
    assert_eq!(agree(0, 2), Ok(2));
    assert_eq!(agree(-9, i32::MAX), Ok(2));
    for (min, max) in [(0, 0), (3, 9), (2, 1), (i32::MIN, -1)] {
        assert_eq!(agree(min, max), Err(AmopError::NoCommonVersion { min, max }));
    }
}

#[test]
fn modules_above_3_are_refused_as_fisco_does() {
    let read = |module| {
        Handshake::from_json(&Handshake { max_version: 1, min_version: 0, module }.to_json())
    };
    assert!(read(0).is_ok() && read(3).is_ok());
    assert!(read(4).is_err() && read(-1).is_err());
}

#[test]
fn subscription() {
    let topics = Subscription(vec!["topicA".into()]);
    let message = message(WsType::AmopSubTopic, topics.to_json().expect("one topic"));
    same(
        &message,
        concat!(
            "00000110000000203031323334353637383961626364656630313233343536373839616263646566",
            "00007b22746f70696373223a5b22746f70696341225d7d0a",
        ),
    );
    assert_eq!(Subscription::from_json(&message.payload), Ok(topics));
    assert_eq!(Subscription::from_json(b"{}"), Ok(Subscription::default()));
    assert_eq!(Subscription::from_json(b"{\"topics\":null}"), Ok(Subscription::default()));
}

#[test]
fn request_answer_broadcast_and_failure() {
    let request = message(WsType::AmopRequest, hi());
    same(
        &request,
        concat!(
            "00000111000000203031323334353637383961626364656630313233343536373839616263646566",
            "0000000000000006746f706963416869",
        ),
    );
    same(
        &request.answer(WsType::AmopResponse, Bytes::from_static(b"ok")),
        concat!(
            "00000113000000203031323334353637383961626364656630313233343536373839616263646566",
            "00006f6b",
        ),
    );
    same(
        &WsMessage::new(WsType::AmopBroadcast, "", hi()),
        "00000112000000000000000000000006746f706963416869",
    );
    let text = "there has no node subscribe this topic, topic: topicA";
    same(
        &request.failure(ErrorCode::NOT_FOUND_PEER_BY_TOPIC.into(), text),
        concat!(
            "000000000bb900203031323334353637383961626364656630313233343536373839616263646566",
            "0000746865726520686173206e6f206e6f6465207375627363726962652074686973",
            "20746f7069632c20746f7069633a20746f70696341",
        ),
    );
}

#[test]
fn answer_inside_a_packet_between_nodes() {
    let answer = message(WsType::AmopResponse, b"ok".as_slice());
    let id = |byte| P2pId::new(Bytes::from(vec![byte; 32])).expect("short");
    let route = Route { source: id(0x22), destination: id(0x11), ..Route::default() };
    let packet = Packet::new(Version::V3, PacketType::WsMessage, 31, encoded(&answer));
    let packet = Packet { ext: Ext::RESPONSE, route, ..packet };
    let mut out = BytesMut::new();
    packet.encode(&mut out).expect("it can be sent");
    assert_eq!(
        const_hex::encode(&out),
        concat!(
            "00000080000300080000001f0001000a002022222222222222222222222222222222222222222222",
            "22222222222222222222002011111111111111111111111111111111111111111111111111111111",
            "11111111000001130000002030313233343536373839616263646566303132333435363738396162",
            "63646566",
            "00006f6b",
        )
    );
    assert_eq!(WsMessage::decode(packet.payload), Ok(answer));
}

#[test]
fn codes_of_both_kinds_have_fiscos_names() {
    assert_eq!(WsStatus::from(ErrorCode(-4008)), WsStatus::TIMEOUT);
    assert_eq!(WsStatus::from(ErrorCode(0xf058)), WsStatus::TIMEOUT);
    assert_eq!(WsStatus::TIMEOUT.to_string(), "TimeOut (-4008)");
    assert_eq!(
        WsStatus::NOT_FOUND_CLIENT_BY_TOPIC.to_string(),
        "NotFoundClientByTopicDispatchMsg (3002)"
    );
}

#[test]
fn cut_anywhere() {
    let whole = encoded(&message(WsType::AmopRequest, hi()));
    let head = WS_HEADER + SEQ.len();
    for end in 0..whole.len() {
        let read = WsMessage::decode(whole.slice(..end));
        assert_eq!(read.is_ok(), end >= head, "cut at {end}");
    }
}

#[test]
fn limits() {
    let with_seq = |size| WsMessage::new(WsType::RpcRequest, vec![b's'; size], Bytes::new());
    let longest = encoded(&with_seq(MAX_WS_SEQ));
    assert_eq!(WsMessage::decode(longest.clone()), Ok(with_seq(MAX_WS_SEQ)));
    let (what, size, limit) = ("seq", MAX_WS_SEQ + 1, MAX_WS_SEQ);
    assert_eq!(with_seq(size).to_parts(), Err(EncodeError::TooLarge { what, size, limit }));
    let mut longer = longest.to_vec();
    longer[6..8].copy_from_slice(&256u16.to_be_bytes());
    longer.push(0);
    let error = Err(AmopError::TooLarge { what, size, limit });
    assert_eq!(WsMessage::decode(longer.into()), error);

    let room = MAX_WS_MESSAGE - WS_HEADER;
    let largest = WsMessage::new(WsType::RpcRequest, "", Bytes::from(vec![0; room]));
    assert_eq!(WsMessage::decode(encoded(&largest)), Ok(largest));
    let larger = WsMessage::new(WsType::RpcRequest, "", Bytes::from(vec![0; room + 1]));
    let (what, size, limit) = ("message", MAX_WS_MESSAGE + 1, MAX_WS_MESSAGE);
    assert_eq!(larger.to_parts(), Err(EncodeError::TooLarge { what, size, limit }));
    let error = Err(AmopError::TooLarge { what, size, limit });
    assert_eq!(WsMessage::decode(vec![0; size].into()), error);
}

proptest! {
    #[test]
    fn messages_round_trip(version: u16, kind in prop_oneof![0x0fcu16..0x124, any::<u16>()],
                           status: i16, seq in bytes(MAX_WS_SEQ), ext: u16, payload in bytes(200)) {
        let kind = WsType::from_number(kind);
        let status = WsStatus(status);
        let message = WsMessage { version, kind, status, seq, ext, payload };
        let whole = encoded(&message);
        prop_assert_eq!(whole.len(), message.encoded_len());
        prop_assert_eq!(WsMessage::decode(whole), Ok(message));
    }

    #[test]
    fn handshakes_round_trip(max_version: i32, min_version: i32, module in 0i32..4,
                             heights in vec((".{0,20}", any::<i64>()), 0..5)) {
        let ours = Handshake { max_version, min_version, module };
        prop_assert_eq!(Handshake::from_json(&ours.to_json()), Ok(ours));
        let heights = heights.into_iter().map(|(group, height)| GroupHeight { group, height });
        let reply = HandshakeReply { heights: heights.collect(), protocol_version: max_version };
        prop_assert_eq!(HandshakeReply::from_json(&reply.to_json()), Ok(reply));
    }

    #[test]
    fn nothing_panics(input in bytes(80)) {
        if let Ok(message) = WsMessage::decode(input.clone()) {
            prop_assert_eq!(&encoded(&message), &input);
        }
    }
}
