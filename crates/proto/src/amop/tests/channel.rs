//! One connection of 2.x: how it begins, stays and ends.

use bytes::Bytes;
use chainmesh_wire::amop::channel::{FrameType, Seq};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;
use crate::amop::channel::CHANNEL_IDLE;
use crate::amop::{MAX_CALLS, SdkFault, SdkKind};

fn last(net: &Network, client: usize) -> (FrameType, String) {
    let frame = net.clients[client].frames.last().unwrap();
    (frame.frame_type, String::from_utf8(frame.data.to_vec()).unwrap())
}

/// Java's SDK as it starts, verbatim.
#[test]
fn the_start_of_javas_sdk() {
    let mut net = Network::new(1);
    let client = net.connect(0, SdkKind::Channel, "java");
    let call = r#"{"jsonrpc":"2.0","method":"getClientVersion","params":[],"id":0}"#;
    let seq = net.send_frame(client, FrameType::Rpc, call.into());
    net.run_for(millis(5));
    assert_eq!(net.nodes[0].rpc, [call]);
    let answer = net.clients[client].frames[0].clone();
    assert_eq!((answer.frame_type, Bytes::copy_from_slice(&answer.seq.0)), (FrameType::Rpc, seq));
    let hello = r#"{"maximumSupport":3,"minimumSupport":1,"clientType":"java-sdk"}"#;
    net.send_frame(client, FrameType::Handshake, hello.into());
    net.run_for(millis(5));
    let reply = "{\"nodeVersion\":\"2.9.1\",\"protocol\":3}\n".to_owned();
    assert_eq!(last(&net, client), (FrameType::Handshake, reply));
    net.send_frame(client, FrameType::Heartbeat, r#"{"heartBeat":0}"#.into());
    net.run_for(millis(5));
    assert_eq!(last(&net, client), (FrameType::Heartbeat, "{\"heartBeat\":1}\n".to_owned()));
    let before = net.clients[client].frames.len();
    net.subscribe(client, &["_block_notify_1"]);
    net.subscribe(client, &["_block_notify_1", "hello"]);
    net.run_for(millis(5));
    assert_eq!(net.clients[client].frames.len(), before, "0x32 must not be answered");
    assert_eq!(net.report(0).sessions[0].topics, ["_block_notify_1", "hello"]);
}

#[test]
fn heartbeats_of_all_versions() {
    for (hello, beat, reply) in [
        (None, "0", "1"),
        (None, "", "1"),
        (Some(r#"{"maximumSupport":1,"minimumSupport":1}"#), "0", "1"),
        (Some(r#"{"maximumSupport":2,"minimumSupport":1}"#), "", "{\"heartBeat\":1}\n"),
        (Some(r#"{"maximumSupport":9,"minimumSupport":3}"#), "0", "{\"heartBeat\":1}\n"),
        (Some("{}"), "junk", "1"),
    ] {
        let mut net = Network::new(1);
        let client = net.connect(0, SdkKind::Channel, "client");
        if let Some(hello) = hello {
            net.send_frame(client, FrameType::Handshake, hello.into());
        }
        net.send_frame(client, FrameType::Heartbeat, beat.into());
        net.run_for(millis(5));
        assert_eq!(last(&net, client), (FrameType::Heartbeat, reply.to_owned()), "{hello:?}");
    }
}

#[test]
fn without_a_version_in_common_the_connection_ends() {
    for hello in [r#"{"maximumSupport":9,"minimumSupport":4}"#, "[]", "", r#"{"minimumSupport":2}"#]
    {
        let mut net = Network::new(1);
        let client = net.connect(0, SdkKind::Channel, "client");
        net.send_frame(client, FrameType::Handshake, hello.into());
        net.run_for(millis(5));
        assert!(matches!(net.clients[client].fault, Some(SdkFault::Message(_))), "{hello}");
    }
}

#[test]
fn a_silent_connection_is_cut_after_a_minute() {
    let mut net = Network::new(1);
    let (silent, beats) = (net.connect(0, SdkKind::Channel, "silent"), net.channel(0, "beats"));
    for _ in 0..3 {
        net.run_for(seconds(29));
        net.send_frame(beats, FrameType::Heartbeat, Bytes::new());
    }
    let fault = SdkFault::Silent(CHANNEL_IDLE.as_secs());
    assert_eq!(net.clients[silent].fault, Some(fault));
    assert_eq!(net.clients[beats].fault, None);
}

#[test]
fn frames_in_pieces_and_many_at_once() {
    let mut net = Network::new(1);
    let (publisher, subscriber) = (net.channel(0, "publisher"), net.channel(0, "subscriber"));
    net.subscribe(subscriber, &["t"]);
    net.run_for(millis(5));
    let frame = |number: u8| {
        use chainmesh_wire::amop::channel::{Frame, TopicBody};
        let body = TopicBody::new("t", vec![b'a' + number].into()).encode().unwrap();
        let mut bytes = bytes::BytesMut::new();
        let seq = Seq([b'0' + number; 32]);
        Frame::new(FrameType::AmopRequest, seq, body).encode(&mut bytes).unwrap();
        bytes
    };
    let stream: Vec<u8> = (0..5).flat_map(frame).collect();
    for piece in stream.chunks(7) {
        net.send_raw(publisher, Bytes::copy_from_slice(piece));
    }
    net.send_raw(publisher, (5..8).flat_map(frame).collect::<Vec<_>>().into());
    net.run_for(millis(20));
    assert_eq!(net.got(subscriber), ["a", "b", "c", "d", "e", "f", "g", "h"]);
    assert_eq!(net.clients[publisher].answers.len(), 8);
}

#[test]
fn calls_are_counted_until_they_are_answered() {
    use crate::amop::SdkSession;
    use crate::amop::channel::{Channel, ChannelConfig, Input, Output};
    use crate::time::Instant;
    let now = Instant::ZERO;
    let mut channel = Channel::new(ChannelConfig::new(SdkSession(1), Bytes::new()), now);
    let call = || {
        let mut bytes = bytes::BytesMut::new();
        let frame =
            chainmesh_wire::amop::channel::Frame::new(FrameType::Rpc, Seq::ZERO, "{}".into());
        frame.encode(&mut bytes).unwrap();
        bytes
    };
    for _ in 0..MAX_CALLS {
        channel.receive(now, &mut call());
    }
    channel
        .handle(now, Input::RpcAnswer { seq: Bytes::from_static(&[b'0'; 32]), body: "{}".into() });
    channel.receive(now, &mut call());
    let mut outputs: Vec<_> = core::iter::from_fn(|| channel.poll()).collect();
    assert!(!outputs.iter().any(|output| matches!(output, Output::Close(_))));
    channel.receive(now, &mut call());
    outputs.extend(channel.poll());
    let fault = SdkFault::TooManyCalls(MAX_CALLS);
    assert_eq!(outputs.last(), Some(&Output::Close(fault)));
    assert_eq!(channel.poll_timeout(), None);
}

/// Go's SDK answers a multicast; that must do no harm.
#[test]
fn an_answer_to_a_multicast_is_dropped() {
    let mut net = Network::new(1);
    let (publisher, go) = (net.channel(0, "publisher"), net.channel(0, "go"));
    net.clients[go].habit = Habit::Silent;
    net.subscribe(go, &["t"]);
    let seq = net.multicast(publisher, "t", "x");
    net.run_for(millis(10));
    net.send_frame_as(go, FrameType::AmopResponse, &seq, 0, "\x02t".into());
    net.run_for(millis(10));
    assert_eq!(net.result(publisher, &seq), Some(Ok("x".into())), "and no second answer");
    assert_eq!(net.report(0).counters.unknown_answer, 1);
    assert!(net.clients[go].alive);
}
