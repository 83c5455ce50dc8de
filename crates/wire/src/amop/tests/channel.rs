//! The channel protocol of 2.x: vectors of the wire facts (section 9 there), stream, limits,
//! properties.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::channel::{
    CHANNEL_HEADER, Carried, ChannelVersion, DEFAULT_FRAME_LIMIT, Frame, FrameReader, FrameType,
    Handshake, HandshakeReply, Heartbeat, MAX_CHANNEL_TOPIC, MAX_FRAME, NEED_VERIFY, ResultCode,
    Seq, TopicBody, TopicVerdict, VerifyTopic, is_verify_channel_of, needs_verification,
    push_channel_of,
};
use super::super::{AmopError, Subscription};
use super::{SEQ, bytes, hex};
use crate::mesh::EncodeError;
use crate::mesh::rc2::{ProtocolId, Rc2Packet};

fn encoded(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.encode(&mut out).expect("a frame that can be sent");
    out.freeze()
}

/// The frame is written as the vector, and the vector read as the frame.
fn same(frame: &Frame, vector: &str) {
    assert_eq!(const_hex::encode(encoded(frame)), vector);
    assert_eq!(Frame::decode(hex(vector)).as_ref(), Ok(frame));
    let parts = frame.to_parts().expect("a frame that can be sent").concat();
    assert_eq!(const_hex::encode(parts), vector);
}

fn frame(kind: FrameType, data: impl Into<Bytes>) -> Frame {
    Frame::new(kind, Seq(*SEQ), data.into())
}

fn on_topic_a(kind: FrameType, data: &'static [u8]) -> Frame {
    let body = TopicBody::new("topicA", Bytes::from_static(data));
    let frame = frame(kind, body.encode().expect("a short topic"));
    assert_eq!(TopicBody::decode(frame.data.clone()), Ok(body));
    frame
}

#[test]
fn amop_frames() {
    same(
        &on_topic_a(FrameType::AmopRequest, b"hi"),
        concat!(
            "00000033003030313233343536373839616263646566303132333435363738396162636465660000",
            "000007746f706963416869",
        ),
    );
    same(
        &on_topic_a(FrameType::AmopResponse, b"ok"),
        concat!(
            "00000033003130313233343536373839616263646566303132333435363738396162636465660000",
            "000007746f706963416f6b",
        ),
    );
    same(
        &on_topic_a(FrameType::AmopMulticast, b"hi"),
        concat!(
            "00000033003530313233343536373839616263646566303132333435363738396162636465660000",
            "000007746f706963416869",
        ),
    );
}

#[test]
fn failures() {
    let request = on_topic_a(FrameType::AmopRequest, b"hi");
    same(
        &request.failure(ResultCode::REMOTE_PEER_UNAVAILABLE),
        concat!(
            "0000002a003130313233343536373839616263646566303132333435363738396162636465660000",
            "0064",
        ),
    );
    let no_session = request.failure(ResultCode::NO_AVAILABLE_SESSION);
    assert_eq!((no_session.data, no_session.result.0), (request.data, 104));
}

#[test]
fn subscription() {
    let topics = Subscription(vec!["topicA".into()]);
    let frame = frame(FrameType::SubscribeTopics, topics.to_array().expect("one topic"));
    same(
        &frame,
        concat!(
            "00000034003230313233343536373839616263646566303132333435363738396162636465660000",
            "00005b22746f70696341225d",
        ),
    );
    assert_eq!(Subscription::from_array(&frame.data), Ok(topics));
}

#[test]
fn handshake_and_answer() {
    let ours = Handshake { maximum: 3, minimum: 1, client_type: "java-sdk".into() };
    let request = frame(FrameType::Handshake, ours.to_json());
    same(
        &request,
        concat!(
            "00000069001430313233343536373839616263646566303132333435363738396162636465660000",
            "00007b226d6178696d756d537570706f7274223a332c226d696e696d756d537570706f7274223a31",
            "2c22636c69656e7454797065223a226a6176612d73646b227d",
        ),
    );
    assert_eq!(Handshake::from_json(&request.data).as_ref(), Ok(&ours));
    let protocol = ours.negotiate().expect("1 to 3");
    let reply = HandshakeReply { node_version: "2.11.0".into(), protocol };
    let answer = request.answer(FrameType::Handshake, reply.to_json());
    same(
        &answer,
        concat!(
            "00000050001430313233343536373839616263646566303132333435363738396162636465660000",
            "00007b226e6f646556657273696f6e223a22322e31312e30222c2270726f746f636f6c223a337d0a",
        ),
    );
    assert_eq!(HandshakeReply::from_json(&answer.data), Ok(reply));
}

#[test]
fn handshake_of_other_sdks_and_without_fields() {
    let go = br#"{"minimumSupport":1,"maximumSupport":3,"clientType":"Go-SDK"}"#;
    let go = Handshake::from_json(go).expect("a handshake");
    assert_eq!((go.minimum, go.maximum, go.client_type.as_str()), (1, 3, "Go-SDK"));
    let none = Handshake::from_json(b"{}").expect("a handshake");
    assert_eq!((none.minimum, none.maximum, none.client_type.as_str()), (1, 1, ""));
    assert_eq!(none.negotiate(), Ok(ChannelVersion::V1));
}

#[test]
fn sdk_and_node_agree_on_the_highest_common_version() {
    let agree =
        |minimum, maximum| Handshake { maximum, minimum, client_type: String::new() }.negotiate();
    assert_eq!(agree(1, 2), Ok(ChannelVersion::V2));
    assert_eq!(agree(-1, i32::MAX), Ok(ChannelVersion::V3));
    assert_eq!(agree(3, 3), Ok(ChannelVersion::V3));
    for (min, max) in [(4, 5), (0, 0), (3, 1), (i32::MIN, -1)] {
        assert_eq!(agree(min, max), Err(AmopError::NoCommonVersion { min, max }));
    }
}

#[test]
fn heartbeats_of_all_versions() {
    let heartbeat = |version, which: Heartbeat, vector| {
        let frame = frame(FrameType::Heartbeat, which.to_body(version));
        same(&frame, vector);
        assert_eq!(Heartbeat::from_body(&frame.data), Ok(which));
    };
    for version in [ChannelVersion::V2, ChannelVersion::V3] {
        heartbeat(
            version,
            Heartbeat::Request,
            concat!(
                "000000390013303132333435363738396162636465663031323334353637383961626364656600",
                "0000007b22686561727442656174223a307d",
            ),
        );
        heartbeat(
            version,
            Heartbeat::Reply,
            concat!(
                "0000003a0013303132333435363738396162636465663031323334353637383961626364656600",
                "0000007b22686561727442656174223a317d0a",
            ),
        );
    }
    heartbeat(
        ChannelVersion::V1,
        Heartbeat::Request,
        concat!(
            "0000002b001330313233343536373839616263646566303132333435363738396162636465660000",
            "000030",
        ),
    );
    assert_eq!(Heartbeat::Reply.to_body(ChannelVersion::V1), "1");
    assert_eq!(Heartbeat::from_body(b""), Ok(Heartbeat::Request));
    for bad in [b"2".as_slice(), b"{}", b"{\"heartBeat\":2}", b"{\"heartBeat\":\"0\"}"] {
        assert!(Heartbeat::from_body(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn private_topics() {
    let topic = format!("{NEED_VERIFY}secret");
    let channel = format!("#!$VerifyChannel_{topic}_0123456789abcdef0123456789ABCDEF");
    assert!(needs_verification(topic.as_bytes()) && !needs_verification(channel.as_bytes()));
    assert_eq!(push_channel_of(&topic), "#!$PushChannel_#!$TopicNeedVerify_secret");
    assert!(is_verify_channel_of(&channel, &topic));
    let other = format!("{NEED_VERIFY}secre");
    for (channel, topic) in [
        (channel.as_str(), other.as_str()),
        (&channel[..channel.len() - 1], &topic),
        (&channel[1..], &topic),
        (&channel.replace('F', "G"), &topic),
    ] {
        assert!(!is_verify_channel_of(channel, topic), "{channel} {topic}");
    }
    let ask = VerifyTopic {
        node_id: "ab".repeat(64),
        topic: topic.clone(),
        topic_for_cert: channel.clone(),
    };
    let json = ask.to_json();
    let expected = format!(
        "{{\"nodeId\":\"{}\",\"topic\":\"{topic}\",\"topicForCert\":\"{channel}\"}}\n",
        "ab".repeat(64)
    );
    assert_eq!(json, expected);
    assert_eq!(VerifyTopic::from_json(&json).as_ref(), Ok(&ask));
    let verdict = TopicVerdict { check_result: 1, node_id: ask.node_id, topic: ask.topic };
    let json = verdict.to_json();
    assert!(json.starts_with(b"{\"checkResult\":1,\"nodeId\":\"abab"), "{json:?}");
    assert!(!verdict.is_granted());
    assert_eq!(TopicVerdict::from_json(&json), Ok(verdict));
    let long = TopicVerdict { check_result: 0, node_id: String::new(), topic: "t".repeat(255) };
    assert!(TopicVerdict::from_json(&long.to_json()).is_err());
}

#[test]
fn frames_inside_packets_between_nodes() {
    let carried = |frame: &Frame, carried: Carried, seq, vector: &str| {
        let parts = frame.to_rc2_parts(carried, seq).expect("small");
        assert_eq!(const_hex::encode(parts.concat()), vector);
        let packet = Rc2Packet::decode(hex(vector)).expect("a packet");
        assert_eq!((packet.seq, packet.is_response()), (seq, carried == Carried::Response));
        assert_eq!(Frame::from_rc2(&packet), Ok(Some((carried, frame.clone()))));
    };
    carried(
        &on_topic_a(FrameType::AmopRequest, b"hi"),
        Carried::Request,
        3,
        concat!(
            "00000043000000000001000000000003000000330030303132333435363738396162636465663031",
            "3233343536373839616263646566",
            "0000000007746f706963416869",
        ),
    );
    carried(
        &on_topic_a(FrameType::AmopResponse, b"ok"),
        Carried::Response,
        3,
        concat!(
            "000000430000ffffffff000000000003000000330031303132333435363738396162636465663031",
            "3233343536373839616263646566",
            "0000000007746f706963416f6b",
        ),
    );
    carried(
        &on_topic_a(FrameType::AmopMulticast, b"hi"),
        Carried::Multicast,
        4,
        concat!(
            "00000043000000000001000100000004000000330035303132333435363738396162636465663031",
            "3233343536373839616263646566",
            "0000000007746f706963416869",
        ),
    );
    let topics = Rc2Packet::new(ProtocolId::TOPIC, 1, 0, Bytes::new());
    assert_eq!(Frame::from_rc2(&topics), Ok(None));
    let empty = Rc2Packet::new(ProtocolId::AMOP, 0, 1, Bytes::new());
    assert_eq!(Frame::from_rc2(&empty), Err(AmopError::Truncated("header")));
}

#[test]
fn data_is_not_copied() {
    let frame = frame(FrameType::AmopRequest, vec![7; 1 << 20]);
    for [_, data] in [frame.to_parts(), frame.to_rc2_parts(Carried::Request, 1)].map(Result::unwrap)
    {
        assert_eq!(data.as_ptr(), frame.data.as_ptr());
    }
    let mut input = BytesMut::from(encoded(&frame).as_ref());
    let place = input[CHANNEL_HEADER..].as_ptr();
    let read = FrameReader::default().read(&mut input).expect("good").expect("whole");
    assert_eq!(read.data.as_ptr(), place);
}

#[test]
fn length_is_checked_as_soon_as_it_is_there() {
    let refused = |reader: FrameReader, length: usize| {
        let length = u32::try_from(length).expect("32 bits").to_be_bytes();
        let mut input = BytesMut::from(&length[..3]);
        assert_eq!(reader.read(&mut input), Ok(None));
        input.extend_from_slice(&length[3..]);
        reader.read(&mut input)
    };
    let too_large = |size, limit| Err(AmopError::TooLarge { what: "frame", size, limit });
    let reader = FrameReader::default();
    let above = DEFAULT_FRAME_LIMIT + 1;
    assert_eq!(refused(reader, above), too_large(above, DEFAULT_FRAME_LIMIT));
    assert_eq!(refused(reader, DEFAULT_FRAME_LIMIT), Ok(None));
    let small = FrameReader::with_limit(CHANNEL_HEADER + 8);
    assert_eq!(refused(small, CHANNEL_HEADER + 9), too_large(51, 50));
    assert_eq!(refused(small, CHANNEL_HEADER + 8), Ok(None));
    let largest = FrameReader::with_limit(usize::MAX);
    assert_eq!(refused(largest, MAX_FRAME + 1), too_large(MAX_FRAME + 1, MAX_FRAME));
    assert_eq!(refused(largest, MAX_FRAME), Ok(None));
    let (length, header) = (CHANNEL_HEADER - 1, CHANNEL_HEADER);
    assert_eq!(refused(reader, length), Err(AmopError::LengthBelowHeader { length, header }));
}

#[test]
fn frames_of_a_stream_in_pieces_of_every_size() {
    let frames = [
        on_topic_a(FrameType::AmopRequest, b"hi"),
        frame(FrameType::Heartbeat, Bytes::new()),
        frame(FrameType::Unknown(7), b"rest".as_slice()),
    ];
    let stream: Vec<u8> = frames.iter().flat_map(encoded).collect();
    for size in 1..=stream.len() {
        let (mut input, mut seen) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(size) {
            input.extend_from_slice(piece);
            while let Some(frame) = FrameReader::default().read(&mut input).expect("good") {
                seen.push(frame);
            }
        }
        assert_eq!((seen.as_slice(), input.len()), (frames.as_slice(), 0), "pieces of {size}");
    }
}

#[test]
fn cut_or_lengthened_anywhere() {
    let whole = encoded(&on_topic_a(FrameType::AmopRequest, b"hi"));
    for end in 0..whole.len() {
        assert!(Frame::decode(whole.slice(..end)).is_err(), "cut at {end}");
        // With its length made right, it is a frame as soon as all of the header is there.
        let mut cut = whole[..end].to_vec();
        if end >= 4 {
            cut[..4].copy_from_slice(&u32::try_from(end).unwrap().to_be_bytes());
        }
        assert_eq!(Frame::decode(cut.into()).is_ok(), end >= CHANNEL_HEADER, "cut at {end}");
    }
    let longer = [whole.as_ref(), &[0]].concat();
    let error = AmopError::LengthMismatch { length: whole.len(), given: whole.len() + 1 };
    assert_eq!(Frame::decode(longer.into()), Err(error));
    let body = whole.slice(CHANNEL_HEADER..);
    for end in 0..body.len() {
        let read = TopicBody::decode(body.slice(..end));
        assert_eq!(read.is_ok(), end > "topicA".len(), "cut at {end}");
    }
}

#[test]
fn topic_length_counts_itself() {
    let read = |body: &'static [u8]| TopicBody::decode(Bytes::from_static(body));
    assert!(matches!(read(b"\0rest"), Err(AmopError::Invalid(_))));
    assert_eq!(read(b""), Err(AmopError::Truncated("topic length")));
    assert_eq!(read(b"\x01rest"), Ok(TopicBody::new("", Bytes::from_static(b"rest"))));
    assert_eq!(read(b"\x03ab"), Ok(TopicBody::new("ab", Bytes::new())));
    let longest = TopicBody::new(vec![b't'; MAX_CHANNEL_TOPIC], Bytes::new());
    let body = longest.encode().expect("at the limit");
    assert_eq!((body[0], TopicBody::decode(body)), (255, Ok(longest)));
    let (size, limit) = (MAX_CHANNEL_TOPIC + 1, MAX_CHANNEL_TOPIC);
    let longer = TopicBody::new(vec![b't'; size], Bytes::new());
    assert_eq!(longer.encode_head(), Err(EncodeError::TooLarge { what: "topic", size, limit }));
}

#[test]
fn seq_of_a_uuid_and_of_a_stranger() {
    let uuid = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
    assert_eq!(Seq::from_uuid(uuid), Seq(*SEQ));
    let shown = Seq([0x1b; 32]).to_string();
    assert_eq!(shown, "\\x1b".repeat(32));
}

fn frames() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![0x10u16..0x40, 0x1000u16..0x1004, any::<u16>()];
    (kind, any::<[u8; 32]>(), any::<i32>(), bytes(200)).prop_map(|(kind, seq, result, data)| {
        let result = ResultCode(result);
        Frame { frame_type: FrameType::from_number(kind), seq: Seq(seq), result, data }
    })
}

fn carriers() -> impl Strategy<Value = Carried> {
    prop_oneof![Just(Carried::Request), Just(Carried::Multicast), Just(Carried::Response)]
}

proptest! {
    #[test]
    fn frames_round_trip(frame in frames(), carried in carriers(), seq: u32) {
        let whole = encoded(&frame);
        prop_assert_eq!(whole.len(), frame.encoded_len());
        prop_assert_eq!(&Frame::decode(whole), &Ok(frame.clone()));
        let parts = frame.to_rc2_parts(carried, seq).expect("small");
        let packet = Rc2Packet::decode(parts.concat().into()).expect("a packet");
        prop_assert_eq!(Frame::from_rc2(&packet), Ok(Some((carried, frame))));
    }

    #[test]
    fn bodies_round_trip(topic in bytes(MAX_CHANNEL_TOPIC), data in bytes(200)) {
        let body = TopicBody { topic, data };
        let whole = body.encode().expect("a short topic");
        let head = body.encode_head().expect("a short topic");
        prop_assert_eq!(&whole, &[head, body.data.clone()].concat());
        prop_assert_eq!(TopicBody::decode(whole), Ok(body));
    }

    #[test]
    fn texts_round_trip(maximum: i32, minimum: i32, result: i32, text in ".{0,80}", number in 1i32..4) {
        let handshake = Handshake { maximum, minimum, client_type: text.clone() };
        prop_assert_eq!(Handshake::from_json(&handshake.to_json()), Ok(handshake));
        let protocol = ChannelVersion::from_number(number).expect("1 to 3");
        let reply = HandshakeReply { node_version: text.clone(), protocol };
        prop_assert_eq!(HandshakeReply::from_json(&reply.to_json()), Ok(reply));
        let text: String = text.chars().take(MAX_CHANNEL_TOPIC / 4).collect();
        let ask = VerifyTopic {
            node_id: text.clone(),
            topic: text.clone(),
            topic_for_cert: text.clone(),
        };
        prop_assert_eq!(VerifyTopic::from_json(&ask.to_json()), Ok(ask));
        let verdict = TopicVerdict { check_result: result, node_id: text.clone(), topic: text };
        prop_assert_eq!(TopicVerdict::from_json(&verdict.to_json()), Ok(verdict));
    }

    #[test]
    fn nothing_panics(mut input in vec(any::<u8>(), 0..120), fix: bool) {
        if fix && input.len() >= 4 {
            let length = u32::try_from(input.len()).expect("short");
            input[..4].copy_from_slice(&length.to_be_bytes());
        }
        let input = Bytes::from(input);
        if let Ok(frame) = Frame::decode(input.clone()) {
            prop_assert_eq!(&encoded(&frame), &input);
        }
        if let Ok(body) = TopicBody::decode(input.clone()) {
            prop_assert_eq!(body.encode(), Ok(input.clone()));
        }
        let _ = (Heartbeat::from_body(&input), FrameReader::default().read(&mut input.into()));
    }
}

#[test]
fn a_frame_around_topic_and_data_in_two_parts() {
    let seq = Seq(*b"0123456789abcdef0123456789abcdef");
    let body = TopicBody::new("topicA", "hi".into());
    let parts = body.to_frame_parts(FrameType::AmopRequest, seq).unwrap();
    assert_eq!(parts[1], "hi");
    let whole = Frame::decode(parts.concat().into()).unwrap();
    assert_eq!(whole, Frame::new(FrameType::AmopRequest, seq, body.encode().unwrap()));
    let longer = TopicBody::new(vec![b't'; 255], Bytes::new());
    assert!(longer.to_frame_parts(FrameType::AmopRequest, seq).is_err());
}
