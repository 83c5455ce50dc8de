//! Between 3.x nodes: vectors of the wire facts (section 9 there), limits, properties.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::super::{AmopKind, AmopMessage, AmopRequest, MAX_TOPIC, TopicList};
use super::{bytes, hex};
use crate::mesh::{EncodeError, ErrorCode, Ext, P2pId, Packet, PacketType, Route, Version};

/// The message is written as the vector, and the vector read as the message.
fn same(message: &AmopMessage, vector: &str) {
    assert_eq!(const_hex::encode(message.encode()), vector);
    assert_eq!(AmopMessage::decode(hex(vector)).as_ref(), Ok(message));
}

fn hi() -> AmopRequest {
    AmopRequest::new("topicA", Bytes::from_static(b"hi"))
}

fn list(topics: &[&str], seq: u32) -> TopicList {
    TopicList { topics: topics.iter().map(ToString::to_string).collect(), seq }
}

/// A V3 packet of type 7 from 0x11… to 0x22…, and back if it is an answer.
fn packet(ext: Ext, seq: u32, payload: Bytes) -> Packet {
    let id = |byte| P2pId::new(Bytes::from(vec![byte; 32])).expect("short");
    let (source, destination) = match ext == Ext::RESPONSE {
        true => (id(0x22), id(0x11)),
        false => (id(0x11), id(0x22)),
    };
    let route = Route { source, destination, ..Route::default() };
    let packet = Packet::new(Version::V3, PacketType::AmopMessage, seq, payload);
    Packet { ext, route, ..packet }
}

fn same_packet(packet: &Packet, vector: &str) {
    let mut out = BytesMut::new();
    packet.encode(&mut out).expect("it can be sent");
    assert_eq!(const_hex::encode(&out), vector);
    assert_eq!(Packet::decode(hex(vector)).as_ref(), Ok(packet));
}

#[test]
fn topic_seq() {
    let message = AmopMessage::topic_seq(1);
    same(&message, "00000001000031");
    assert_eq!(message.read_topic_seq(), Ok(1));
    same_packet(
        &packet(Ext::NONE, 30, message.encode()),
        concat!(
            "0000005b000300070000001e0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "2222222200000001000031",
        ),
    );
}

#[test]
fn request_topic() {
    same(&AmopMessage::request_topic(), "000000020000");
}

#[test]
fn response_topic() {
    let list = list(&["topicA", "topicB"], 3);
    let message = AmopMessage::response_topic(&list).expect("two topics");
    same(
        &message,
        concat!(
            "0000000300007b22746f7069634974656d73223a5b22746f70696341222c22746f70696342225d2c",
            "22746f706963536571223a337d0a",
        ),
    );
    assert_eq!(TopicList::from_json(&message.data), Ok(list));
}

#[test]
fn request_and_broadcast_in_packets() {
    let request = hi();
    assert_eq!(
        const_hex::encode(request.encode().expect("a short topic")),
        "000000000006746f706963416869"
    );
    let in_packet = |kind, seq, vector: &str| {
        let [head, data] = request.to_message_parts(kind).expect("a short topic");
        let payload = Bytes::from([head, data].concat());
        let message = AmopMessage::decode(payload.clone()).expect("a message");
        assert_eq!(message.kind, kind);
        assert_eq!(AmopRequest::decode(message.data), Ok(request.clone()));
        same_packet(&packet(Ext::NONE, seq, payload), vector);
    };
    in_packet(
        AmopKind::Request,
        31,
        concat!(
            "00000068000300070000001f0000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222000000040000000000000006746f706963416869",
        ),
    );
    in_packet(
        AmopKind::ResponseOrBroadcast,
        32,
        concat!(
            "0000006800030007000000200000000a002011111111111111111111111111111111111111111111",
            "11111111111111111111002022222222222222222222222222222222222222222222222222222222",
            "22222222000000050000000000000006746f706963416869",
        ),
    );
}

#[test]
fn failure_of_a_request() {
    let message = AmopMessage::failure(
        ErrorCode::NOT_FOUND_CLIENT_BY_TOPIC,
        "NotFoundClientByTopicDispatchMsg",
    );
    assert_eq!(message.status, 3002);
    same_packet(
        &packet(Ext::RESPONSE, 31, message.encode()),
        concat!(
            "0000007a000300070000001f0001000a002022222222222222222222222222222222222222222222",
            "22222222222222222222002011111111111111111111111111111111111111111111111111111111",
            "11111111000000050bba4e6f74466f756e64436c69656e744279546f7069634469737061746368",
            "4d7367"
        ),
    );
    // The SDK's time-out, -4008, as FISCO sends it.
    assert_eq!(AmopMessage::failure(ErrorCode(-4008), "").status, 0xf058);
}

#[test]
fn topic_seq_is_digits_of_32_bits() {
    let read = |data: &'static [u8]| {
        AmopMessage::new(AmopKind::TopicSeq, Bytes::from_static(data)).read_topic_seq()
    };
    assert_eq!(read(b"4294967295"), Ok(u32::MAX));
    assert_eq!(read(b"0000000001"), Ok(1));
    for bad in [b"".as_slice(), b"4294967296", b"00000000001", b"+1", b"-1", b"1\n", b"\xff"] {
        assert!(read(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn topic_of_a_request_at_the_limit_and_one_more() {
    let request = |size| AmopRequest::new(vec![b't'; size], Bytes::from_static(b"hi"));
    let whole = request(MAX_TOPIC).encode().expect("at the limit");
    assert_eq!(AmopRequest::decode(whole), Ok(request(MAX_TOPIC)));
    let (size, limit) = (MAX_TOPIC + 1, MAX_TOPIC);
    let error = EncodeError::TooLarge { what: "topic", size, limit };
    assert_eq!(request(size).encode(), Err(error));
    assert_eq!(request(size).encode_head(), Err(error));
    assert_eq!(request(size).to_message_parts(AmopKind::Request), Err(error));
}

#[test]
fn data_is_not_copied() {
    let request = AmopRequest::new("t", Bytes::from(vec![7; 1 << 20]));
    let [_, data] = request.to_message_parts(AmopKind::Request).expect("a short topic");
    assert_eq!(data.as_ptr(), request.data.as_ptr());
    let payload = Bytes::from([request.encode_head().expect("short"), data].concat());
    let read = AmopRequest::decode(payload.clone()).expect("a request");
    assert_eq!(read.data.as_ptr(), payload[REQUEST_AND_TOPIC..].as_ptr());
}

const REQUEST_AND_TOPIC: usize = super::super::REQUEST_HEADER + 1;

#[test]
fn cut_anywhere() {
    let whole = hi().encode().expect("a short topic");
    for end in 0..whole.len() {
        let read = AmopRequest::decode(whole.slice(..end));
        assert_eq!(read.is_ok(), end >= whole.len() - hi().data.len(), "cut at {end}");
    }
    let whole = AmopMessage::topic_seq(12).encode();
    for end in 0..whole.len() {
        let read = AmopMessage::decode(whole.slice(..end));
        assert_eq!(read.is_ok(), end >= super::super::AMOP_HEADER, "cut at {end}");
    }
}

proptest! {
    #[test]
    fn messages_round_trip(version: u16, kind in prop_oneof![0u16..8, any::<u16>()],
                           status: u16, data in bytes(200)) {
        let kind = AmopKind::from_number(kind);
        let message = AmopMessage { version, kind, status, data };
        let whole = message.encode();
        prop_assert_eq!(&whole, &Bytes::from([message.encode_head(), message.data.clone()].concat()));
        prop_assert_eq!(AmopMessage::decode(whole), Ok(message));
    }

    #[test]
    fn requests_round_trip(version: u32, topic in bytes(300), data in bytes(200)) {
        let request = AmopRequest { version, topic, data };
        let whole = request.encode().expect("a short topic");
        let head = request.encode_head().expect("a short topic");
        prop_assert_eq!(&whole, &Bytes::from([head, request.data.clone()].concat()));
        prop_assert_eq!(AmopRequest::decode(whole), Ok(request));
    }

    #[test]
    fn nothing_panics(input in bytes(100)) {
        if let Ok(message) = AmopMessage::decode(input.clone()) {
            let _ = message.read_topic_seq();
            prop_assert_eq!(&message.encode(), &input);
        }
        if let Ok(request) = AmopRequest::decode(input.clone()) {
            prop_assert_eq!(request.encode(), Ok(input));
        }
    }
}
