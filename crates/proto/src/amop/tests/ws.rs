//! One connection of 3.x: how it begins, stays and ends.

use bytes::Bytes;
use chainmesh_wire::amop::ws::{WsMessage, WsType};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;
use crate::amop::ws::{WS_HANDSHAKE, WS_IDLE, WS_PING};
use crate::amop::{SdkFault, SdkKind};

/// The vectors of the handshake.
#[test]
fn the_handshake() {
    let mut net = Network::new(1);
    let client = net.connect(0, SdkKind::WebSocket, "client");
    let hello = "0000010000000020303132333435363738396162636465663031323334353637383961626364656600\
        007b226d617856657273696f6e223a322c226d696e56657273696f6e223a302c226d6f64756c654944223a327d0a";
    net.send_raw(client, const_hex::decode(hello).unwrap().into());
    net.run_for(millis(5));
    let mut reply = bytes::BytesMut::new();
    net.clients[client].messages[0].encode(&mut reply).unwrap();
    let expected = "00000100000000203031323334353637383961626364656630313233343536373839616263646566\
        00007b2267726f7570426c6f636b4e756d626572223a5b5d2c2267726f7570496e666f4c697374223a5b5d2c2270\
        726f746f636f6c56657273696f6e223a327d0a";
    assert_eq!(const_hex::encode(&reply), expected);
    assert_eq!(net.report(0).sessions.len(), 1);
}

#[test]
fn what_is_said_before_the_handshake_ends_the_connection() {
    let mut net = Network::new(1);
    let client = net.connect(0, SdkKind::WebSocket, "client");
    net.send_message(client, WsType::AmopSubTopic, r#"{"topics":["t"]}"#.into());
    net.run_for(millis(5));
    assert_eq!(net.clients[client].fault, Some(SdkFault::NoHandshake));
    assert!(net.report(0).sessions.is_empty());
}

#[test]
fn without_a_version_in_common_the_connection_ends() {
    for hello in [
        r#"{"maxVersion":0,"minVersion":0,"moduleID":2}"#,
        r#"{"maxVersion":9,"minVersion":3,"moduleID":2}"#,
        r#"{"maxVersion":2,"minVersion":0,"moduleID":4}"#,
        r#"{"maxVersion":2}"#,
        "",
    ] {
        let mut net = Network::new(1);
        let client = net.connect(0, SdkKind::WebSocket, "client");
        net.send_message(client, WsType::Handshake, hello.into());
        net.run_for(millis(5));
        assert!(matches!(net.clients[client].fault, Some(SdkFault::Message(_))), "{hello}");
    }
}

/// Decision 5: 30 s for the handshake, however lively the connection is.
#[test]
fn a_connection_without_a_handshake_is_cut() {
    let mut net = Network::new(1);
    let client = net.connect(0, SdkKind::WebSocket, "client");
    net.run_for(WS_HANDSHAKE - millis(1));
    assert!(net.clients[client].alive, "it answers pings");
    assert_eq!(net.clients[client].pings, 5);
    net.run_for(millis(1));
    assert_eq!(net.clients[client].fault, Some(SdkFault::NoHandshake));
}

/// Decision 15.
#[test]
fn pings_after_5_s_and_the_end_after_10() {
    let mut net = Network::new(1);
    let (silent, alive) = (net.ws(0, "silent"), net.ws(0, "alive"));
    net.clients[silent].habit = Habit::Silent;
    net.run_for(WS_PING - millis(10));
    assert_eq!(net.clients[silent].pings, 0);
    net.run_for(millis(10));
    assert_eq!((net.clients[silent].pings, net.clients[alive].pings), (1, 1));
    net.run_for(WS_IDLE - WS_PING);
    assert_eq!(net.clients[silent].fault, Some(SdkFault::Silent(10)));
    net.run_for(seconds(60));
    assert!(net.clients[alive].alive);
}

#[test]
fn calls_are_handed_up_and_answered_without_a_type() {
    let mut net = Network::new(1);
    let client = net.ws(0, "client");
    let call = r#"{"jsonrpc":"2.0","method":"getBlockNumber","params":["group0",""],"id":1}"#;
    let seq = net.send_message(client, WsType::RpcRequest, call.into());
    net.run_for(millis(5));
    assert_eq!(net.nodes[0].rpc, [call]);
    let answer = net.clients[client].messages.last().unwrap();
    assert_eq!((answer.kind, &answer.seq, answer.status.0), (WsType::Untyped, &seq, 0));
}

#[test]
fn what_nobody_serves_is_answered() {
    let mut net = Network::new(1);
    let client = net.ws(0, "client");
    for kind in [WsType::EventSubscribe, WsType::Unknown(0x999)] {
        let seq = net.send_message(client, kind, Bytes::new());
        net.run_for(millis(5));
        let answer = net.clients[client].messages.last().unwrap();
        assert_eq!((answer.kind, &answer.seq, answer.status.0), (WsType::Untyped, &seq, -1));
    }
    assert!(net.clients[client].alive);
}

/// Answers are known by their seq, whatever their type.
#[test]
fn a_failure_of_a_subscriber_has_no_type() {
    let mut net = Network::new(1);
    let (publisher, subscriber) = (net.ws(0, "publisher"), net.ws(0, "subscriber"));
    net.clients[subscriber].habit = Habit::Silent;
    net.subscribe(subscriber, &["t"]);
    let seq = net.publish(publisher, "t", "x");
    net.run_for(millis(10));
    let push = net.clients[subscriber].messages.last().unwrap().clone();
    assert_ne!(push.seq, seq, "a push has a seq of its own");
    let failure: WsMessage = push.failure(chainmesh_wire::amop::ws::WsStatus(77), "text");
    net.send_message_as(subscriber, failure);
    assert_eq!(net.await_result(publisher, &seq), Err(77));
}
