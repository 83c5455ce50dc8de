//! Bad input: each has its limit and its error to the SDK; no other SDK notices, nothing grows.

use bytes::Bytes;
use chainmesh_wire::amop::channel::FrameType;
use chainmesh_wire::amop::ws::WsType;
use proptest::prelude::*;

use super::network::{Network, millis};
use crate::amop::{SdkFault, SdkKind};

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
