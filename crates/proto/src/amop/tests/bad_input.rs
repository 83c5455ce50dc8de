//! Bad input: each has its limit and its error to the SDK; no other SDK notices, nothing grows.

use bytes::Bytes;
use chainmesh_wire::amop::channel::FrameType;
use chainmesh_wire::amop::ws::{WsMessage, WsStatus, WsType};
use proptest::prelude::*;

use super::network::{Network, millis};
use crate::amop::{AmopNotice, NOTICES, SdkFault, SdkKind};

/// Decision 14: 0x31 with result 105, and the connection stays.
#[test]
fn a_malformed_topic_is_105() {
    let mut net = Network::new(1);
    let publisher = net.channel(0, "publisher");
    // No length, length 0, the empty topic, longer than the body.
    for body in ["", "\0", "\x01data", "\x09short"] {
        for kind in [FrameType::AmopRequest, FrameType::AmopMulticast] {
            let seq = net.send_frame(publisher, kind, body.into());
            net.run_for(millis(5));
            assert_eq!(net.result(publisher, &seq), Some(Err(105)), "{body:?}");
        }
    }
    assert!(net.clients[publisher].alive);
    net.assert_nothing_waits();
}

#[test]
fn a_malformed_request_of_3x_is_told() {
    let mut net = Network::new(1);
    let publisher = net.ws(0, "publisher");
    for payload in ["", "\0\0\0\0\0\0data", "\0\0\0\0\0\x09short"] {
        let seq = net.send_message(publisher, WsType::AmopRequest, payload.into());
        net.run_for(millis(5));
        assert_eq!(net.result(publisher, &seq), Some(Err(-4005)), "{payload:?}");
        let before = net.clients[publisher].messages.len();
        net.send_message(publisher, WsType::AmopBroadcast, payload.into());
        net.run_for(millis(5));
        assert_eq!(net.clients[publisher].messages.len(), before, "broadcasts are not answered");
    }
    assert!(net.clients[publisher].alive);
}

#[test]
fn impossible_lengths_end_the_connection() {
    for bytes in [&b"\0\0\0\x29"[..], b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n"] {
        let mut net = Network::new(1);
        let client = net.channel(0, "client");
        net.send_raw(client, Bytes::copy_from_slice(bytes));
        net.run_for(millis(5));
        assert!(matches!(net.clients[client].fault, Some(SdkFault::Message(_))), "{bytes:?}");
    }
    let mut net = Network::new(1);
    let client = net.ws(0, "client");
    net.send_raw(client, Bytes::from_static(b"\0\0\x01\x11\0\0\xff\xff"));
    net.run_for(millis(5));
    assert!(matches!(net.clients[client].fault, Some(SdkFault::Message(_))));
}

#[test]
fn an_answer_without_a_topic_is_an_error_of_the_subscriber() {
    let mut net = Network::new(1);
    let (publisher, subscriber) = (net.channel(0, "publisher"), net.channel(0, "subscriber"));
    net.clients[subscriber].habit = super::sdk::Habit::Silent;
    net.subscribe(subscriber, &["t"]);
    let seq = net.publish(publisher, "t", "x");
    net.run_for(millis(10));
    net.send_frame_as(subscriber, FrameType::AmopResponse, &seq, 0, Bytes::new());
    assert_eq!(net.await_result(publisher, &seq), Err(105));
    net.assert_nothing_waits();
}

/// Three SDKs at one node; the second one is asked, the third one answers in its place.
#[test]
fn an_answer_to_what_another_one_was_asked_is_dropped_and_told() {
    for kind in [SdkKind::Channel, SdkKind::WebSocket] {
        let mut net = Network::new(1);
        let (publisher, asked) = (net.channel(0, "publisher"), net.channel(0, "asked"));
        let liar = net.sdk(0, kind, "liar");
        net.clients[asked].habit = super::sdk::Habit::Silent;
        net.subscribe(asked, &["t"]);
        let seq = net.publish(publisher, "t", "x");
        net.run_for(millis(10));
        for _ in 0..100 {
            match kind {
                SdkKind::Channel => {
                    let body = "\x02tlie".into();
                    net.send_frame_as(liar, FrameType::AmopResponse, &seq, 0, body);
                }
                SdkKind::WebSocket => {
                    let lie = WsMessage::new(WsType::AmopResponse, seq.clone(), "lie".into());
                    net.send_message_as(liar, lie);
                }
            }
        }
        net.run_for(millis(10));
        assert_eq!(net.result(publisher, &seq), None, "nobody has answered");
        net.send_frame_as(asked, FrameType::AmopResponse, &seq, 0, "\x02ttruth".into());
        assert_eq!(net.await_result(publisher, &seq), Ok("truth".into()));
        let sessions = [liar, asked].map(|client| net.clients[client].session);
        let notice = AmopNotice::ForeignAnswer { session: sessions[0], asked: sessions[1] };
        let told = net.nodes[0].notices.iter().filter(|it| **it == notice).count();
        assert_eq!(told, NOTICES as usize, "not a hundred lines");
        assert_eq!(net.report(0).counters.unknown_answer, 100);
        assert!(net.clients[liar].alive);
        net.assert_nothing_waits();
    }
}

/// No list can have such a topic, but a frame can.
#[test]
fn a_topic_that_is_not_utf_8_has_no_subscribers() {
    let mut net = Network::new(1);
    let (old, new) = (net.channel(0, "old"), net.ws(0, "new"));
    let body = Bytes::from_static(b"\x03\xff\xfedata");
    let seq = net.send_frame(old, FrameType::AmopRequest, body);
    assert_eq!(net.await_result(old, &seq), Err(100));
    let payload = Bytes::from_static(b"\0\0\0\0\0\x02\xff\xfedata");
    let seq = net.send_message(new, WsType::AmopRequest, payload);
    assert_eq!(net.await_result(new, &seq), Err(3001));
    for client in [old, new] {
        assert!(net.clients[client].alive);
    }
    let list = net.send_frame(old, FrameType::SubscribeTopics, Bytes::from_static(b"[\"\xff\"]"));
    let session = net.clients[old].session;
    net.run_for(millis(10));
    assert_eq!(net.result(old, &list), None, "2.x has no answer to a list");
    let is_told =
        |it: &AmopNotice| matches!(it, AmopNotice::BadList { session: of, .. } if *of == session);
    assert!(net.nodes[0].notices.iter().any(is_told));
}

/// FISCO's node says nothing, and then a subscriber never knows why nothing comes.
#[test]
fn a_refused_list_is_answered_in_3x() {
    let mut net = Network::with(1, |config| config.max_topics = 2);
    let client = net.ws(0, "client");
    for (list, why) in [("[]", "not the JSON"), (r#"{"topics":["a","b","c"]}"#, "at most 2")] {
        let seq = net.send_message(client, WsType::AmopSubTopic, list.into());
        net.run_for(millis(10));
        let answer = net.clients[client].messages.last().unwrap();
        assert_eq!((answer.kind, answer.status), (WsType::Untyped, WsStatus::PACKET));
        assert_eq!(answer.seq, seq);
        let text = core::str::from_utf8(&answer.payload).unwrap();
        assert!(text.contains(why), "{text}");
    }
    net.subscribe(client, &["a"]);
    net.run_for(millis(10));
    assert_eq!(net.report(0).sessions[0].topics, ["a"]);
}

/// A client that sends bad messages for ever causes few lines, and the number of the others.
#[test]
fn bad_messages_do_not_fill_the_log() {
    for kind in [SdkKind::Channel, SdkKind::WebSocket] {
        let mut net = Network::new(1);
        let client = net.sdk(0, kind, "client");
        let before = net.nodes[0].told;
        for _ in 0..1_000 {
            match kind {
                SdkKind::Channel => net.send_frame(client, FrameType::AmopRequest, "".into()),
                SdkKind::WebSocket => net.send_message(client, WsType::AmopRequest, "".into()),
            };
        }
        net.run_for(millis(10));
        assert_eq!(net.nodes[0].told - before, NOTICES as usize - 1, "one told of the handshake");
        assert!(net.clients[client].alive);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes, nothing panics, nothing waits, and another SDK is served.
    #[test]
    fn anything_at_all(
        websocket in any::<bool>(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20),
    ) {
        let mut net = Network::new(1);
        let kind = if websocket { SdkKind::WebSocket } else { SdkKind::Channel };
        let hostile = net.sdk(0, kind, "hostile");
        let good = net.channel(0, "good");
        net.subscribe(good, &["t"]);
        for piece in pieces {
            net.send_raw(hostile, piece.into());
        }
        let seq = net.publish(good, "t", "x");
        prop_assert_eq!(net.await_result(good, &seq), Ok("echo:x".into()));
        net.assert_nothing_waits();
    }

    /// The same with whole frames and messages of all types.
    #[test]
    fn any_frame(
        websocket in any::<bool>(),
        frames in prop::collection::vec(
            (prop::sample::select(vec![
                0x12u16, 0x13, 0x14, 0x15, 0x30, 0x31, 0x32, 0x35, 0x37, 0x38, 0x1001, 0x100, 0x102,
                0x110, 0x111, 0x112, 0x113, 0x120, 0, 9,
            ]), prop_oneof![
                Just(b"\x02thi".to_vec()),
                Just(b"\0\0\0\0\0\x01thi".to_vec()),
                Just(b"[\"t\",\"#!$TopicNeedVerify_t\"]".to_vec()),
                Just(b"{\"topics\":[\"t\"]}".to_vec()),
                Just(b"{}".to_vec()),
                prop::collection::vec(any::<u8>(), 0..40),
            ]),
            0..30,
        ),
    ) {
        let mut net = Network::new(1);
        let kind = if websocket { SdkKind::WebSocket } else { SdkKind::Channel };
        let hostile = net.sdk(0, kind, "hostile");
        let good = net.channel(0, "good");
        net.subscribe(good, &["u"]);
        for (number, body) in frames {
            match kind {
                SdkKind::Channel => {
                    net.send_frame(hostile, FrameType::from_number(number), body.into());
                }
                SdkKind::WebSocket => {
                    net.send_message(hostile, WsType::from_number(number), body.into());
                }
            }
        }
        let seq = net.publish(good, "u", "x");
        prop_assert_eq!(net.await_result(good, &seq), Ok("echo:x".into()));
        net.run_for(super::network::seconds(150));
        net.assert_nothing_waits();
    }
}
