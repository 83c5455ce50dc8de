//! SDKs of both generations on one topic, and nodes of both beside ours.

use bytes::Bytes;
use chainmesh_wire::amop::channel::{Carried, Frame, FrameType, ResultCode, TopicBody};
use chainmesh_wire::amop::ws::{WsMessage, WsStatus, WsType};
use chainmesh_wire::amop::{AmopKind, AmopMessage, AmopRequest, TopicList};
use chainmesh_wire::mesh::rc2::{Rc2Packet, TopicMessage};
use chainmesh_wire::mesh::{
    ErrorCode, Ext, Packet, PacketType, ProtocolInfo, Version, VersionRange,
};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;
use crate::amop::{NODE_TIMEOUT, SdkKind};
use crate::module::PeerKind;

const BOTH: [SdkKind; 2] = [SdkKind::Channel, SdkKind::WebSocket];

#[test]
fn every_pair_of_generations_on_one_node_and_on_two() {
    for (publishes, follows, far) in
        [0, 1].into_iter().flat_map(|far| BOTH.map(|a| BOTH.map(|b| (a, b, far)))).flatten()
    {
        let mut net = Network::full(2);
        let publisher = net.sdk(0, publishes, "publisher");
        let subscriber = net.sdk(far, follows, "subscriber");
        net.subscribe(subscriber, &["t"]);
        net.run_for(millis(100));
        let large = "x".repeat(40_000);
        for data in ["hi", "", &large] {
            let seq = net.publish(publisher, "t", data);
            let result = net.await_result(publisher, &seq);
            assert_eq!(
                result,
                Ok(format!("echo:{data}").into()),
                "{publishes:?} {follows:?} {far}"
            );
        }
        net.multicast(publisher, "t", "all");
        net.run_for(millis(100));
        assert_eq!(net.got(subscriber), ["hi", "", &large, "all"]);
        net.assert_nothing_waits();
    }
}

/// Decision 13: each publisher hears its own words.
#[test]
fn codes_are_translated() {
    let codes = |publishes: SdkKind, follows: SdkKind, habit: Habit, far: usize| {
        let mut net = Network::full(2);
        let publisher = net.sdk(0, publishes, "publisher");
        let subscriber = net.sdk(far, follows, "subscriber");
        net.clients[subscriber].habit = habit;
        net.subscribe(subscriber, &["t"]);
        net.run_for(millis(100));
        let seq = net.publish(publisher, "t", "x");
        let end = net.now + seconds(8);
        while net.now < end && net.result(publisher, &seq).is_none() {
            net.keep_alive();
            net.run_for(millis(500));
        }
        net.result(publisher, &seq).unwrap().unwrap_err()
    };
    use SdkKind::{Channel, WebSocket};
    for far in [0, 1] {
        assert_eq!(codes(Channel, WebSocket, Habit::Refuse(3001), far), 100, "{far}");
        assert_eq!(codes(Channel, WebSocket, Habit::Refuse(3002), far), 104);
        assert_eq!(codes(Channel, WebSocket, Habit::Refuse(3003), far), 100);
        assert_eq!(codes(Channel, WebSocket, Habit::Refuse(-4008), far), 100);
        assert_eq!(codes(WebSocket, Channel, Habit::Refuse(100), far), 3001);
        assert_eq!(codes(WebSocket, Channel, Habit::Refuse(104), far), 3002);
        assert_eq!(codes(WebSocket, Channel, Habit::Refuse(7), far), 3003);
        assert_eq!(codes(Channel, Channel, Habit::Refuse(7), far), 7, "its own words stay");
        assert_eq!(codes(WebSocket, WebSocket, Habit::Refuse(7), far), 7);
        assert_eq!(codes(Channel, Channel, Habit::Silent, far), 100);
    }
}

#[test]
fn without_a_subscriber_3x_hears_3001() {
    let mut net = Network::new(1);
    let publisher = net.ws(0, "publisher");
    let seq = net.publish(publisher, "topicA", "x");
    assert_eq!(net.await_result(publisher, &seq), Err(3001));
    let answer = &net.clients[publisher].messages[1];
    assert_eq!(answer.kind, WsType::Untyped);
    assert_eq!(answer.payload, "there has no node subscribe this topic, topic: topicA");
}

#[test]
fn a_topic_too_long_for_2x_goes_to_3x_only() {
    let mut net = Network::new(1);
    let publisher = net.ws(0, "publisher");
    let subscriber = net.ws(0, "subscriber");
    let longest = "t".repeat(65_535);
    net.subscribe(subscriber, &[&longest]);
    let seq = net.publish(publisher, &longest, "x");
    assert_eq!(net.await_result(publisher, &seq), Ok("echo:x".into()));
    let (old, sub) = (net.channel(0, "old"), "u".repeat(254));
    net.subscribe(old, &[&sub]);
    let seq = net.publish(publisher, &sub, "y");
    assert_eq!(net.await_result(publisher, &seq), Ok("echo:y".into()));
    assert_eq!(net.got(old), ["y"]);
}

/// A neighbour of 2.x with these topics.
fn neighbour_of_2x(net: &mut Network, topics: &[&str]) -> usize {
    let puppet = net.puppet(0, 50, PeerKind::Fisco2);
    tells_2x(net, puppet, 1, topics);
    puppet
}

fn tells_2x(net: &mut Network, puppet: usize, seq: u32, topics: &[&str]) {
    net.puppet_takes(puppet);
    let told = TopicMessage::SendTopicSeq(seq).to_packet(0).unwrap();
    net.puppet_sends_rc2(puppet, &told);
    let asked = net.puppet_takes(puppet).pop().unwrap();
    let asked = Rc2Packet::decode(asked).unwrap();
    assert_eq!(TopicMessage::decode(&asked).unwrap(), Some(TopicMessage::RequestTopics));
    let topics = topics.iter().map(|topic| Bytes::copy_from_slice(topic.as_bytes())).collect();
    let list = TopicMessage::SendTopics { seq, topics };
    net.puppet_sends_rc2(puppet, &list.to_packet(asked.seq).unwrap());
}

/// The AMOP frames that came to a neighbour of 2.x, with their packets' seqs.
fn frames_of_2x(net: &mut Network, puppet: usize) -> Vec<(u32, Carried, Frame)> {
    let packets = net.puppet_takes(puppet).into_iter();
    let packets = packets.map(|frame| Rc2Packet::decode(frame).unwrap());
    let frames = packets.filter_map(|packet| {
        Frame::from_rc2(&packet).unwrap().map(|(carried, frame)| (packet.seq, carried, frame))
    });
    frames.collect()
}

fn answers_2x(net: &mut Network, puppet: usize, number: u32, frame: &Frame) {
    let [head, data] = frame.to_rc2_parts(Carried::Response, number).unwrap();
    net.puppet_sends(puppet, [head, data].concat().into());
}

#[test]
fn a_subscriber_at_a_node_of_2x() {
    for kind in BOTH {
        let mut net = Network::new(1);
        let puppet = neighbour_of_2x(&mut net, &["topicA"]);
        let publisher = net.sdk(0, kind, "publisher");
        let seq = net.publish(publisher, "topicA", "hi");
        net.run_for(millis(10));
        let mut frames = frames_of_2x(&mut net, puppet);
        let (number, carried, frame) = frames.remove(0);
        assert!(frames.is_empty());
        assert_eq!(carried, Carried::Request);
        assert_eq!(frame.frame_type, FrameType::AmopRequest);
        assert_eq!(frame.seq.0.as_slice(), &seq[..], "the SDK's frame as it came");
        assert_eq!(frame.data, "\x07topicAhi");
        let body = TopicBody::new("topicA", "ok".into()).encode().unwrap();
        answers_2x(&mut net, puppet, number, &frame.answer(FrameType::AmopResponse, body));
        net.run_for(millis(10));
        assert_eq!(net.result(publisher, &seq), Some(Ok("ok".into())));
        net.multicast(publisher, "topicA", "all");
        net.run_for(millis(10));
        let (_, carried, frame) = frames_of_2x(&mut net, puppet).remove(0);
        assert_eq!((carried, frame.frame_type), (Carried::Multicast, FrameType::AmopMulticast));
        assert_eq!(frame.data, "\x07topicAall");
        net.assert_nothing_waits();
    }
}

/// Decision 6: what a node of 2.x answers is final.
#[test]
fn code_104_of_a_node_of_2x_is_final() {
    for (kind, code) in [(SdkKind::Channel, 104), (SdkKind::WebSocket, 3002)] {
        let mut net = Network::new(1);
        let puppet = neighbour_of_2x(&mut net, &["t"]);
        let publisher = net.sdk(0, kind, "publisher");
        let seq = net.publish(publisher, "t", "hi");
        net.run_for(millis(10));
        let other = net.channel(0, "other");
        net.subscribe(other, &["t"]);
        net.run_for(millis(10));
        let (number, _, frame) = frames_of_2x(&mut net, puppet).remove(0);
        let refusal = frame.failure(ResultCode::NO_AVAILABLE_SESSION);
        answers_2x(&mut net, puppet, number, &refusal);
        assert_eq!(net.await_result(publisher, &seq), Err(code));
        assert!(net.got(other).is_empty());
    }
}

#[test]
fn a_silent_node_of_2x_is_100_after_30_s() {
    let mut net = Network::new(1);
    neighbour_of_2x(&mut net, &["t"]);
    let publisher = net.channel(0, "publisher");
    let (began, seq) = (net.now, net.publish(publisher, "t", "hi"));
    assert_eq!(net.await_result(publisher, &seq), Err(100));
    let took = net.now.saturating_since(began);
    assert!((NODE_TIMEOUT..NODE_TIMEOUT + millis(10)).contains(&took), "{took:?}");
    net.assert_nothing_waits();
}

#[test]
fn a_publisher_at_a_node_of_2x() {
    for kind in BOTH {
        let mut net = Network::new(1);
        let puppet = neighbour_of_2x(&mut net, &[]);
        let subscriber = net.sdk(0, kind, "subscriber");
        net.subscribe(subscriber, &["topicA"]);
        net.run_for(millis(10));
        net.puppet_takes(puppet);
        // The vector "2x-RC2 AMOP request frame seq=3".
        let request = "0000004300000000000100000000000300000033003030313233343536373839616263646566\
            303132333435363738396162636465660000000007746f706963416869";
        net.puppet_sends(puppet, const_hex::decode(request).unwrap().into());
        net.run_for(millis(10));
        let (number, carried, frame) = frames_of_2x(&mut net, puppet).remove(0);
        assert_eq!((number, carried), (3, Carried::Response));
        assert_eq!(frame.seq.to_string(), "0123456789abcdef0123456789abcdef");
        assert_eq!((frame.result, frame.data), (ResultCode::SUCCESS, "\x07topicAecho:hi".into()));
        // The vector "2x-RC2 AMOP multicast frame".
        let multicast = "000000430000000000010001000000040000003300353031323334353637383961626364\
            6566303132333435363738396162636465660000000007746f706963416869";
        net.puppet_sends(puppet, const_hex::decode(multicast).unwrap().into());
        net.run_for(millis(10));
        assert_eq!(net.got(subscriber), ["hi", "hi"]);
        assert!(frames_of_2x(&mut net, puppet).is_empty(), "a multicast is not answered");
    }
}

#[test]
fn a_node_of_2x_hears_104_with_its_data_when_nobody_answers() {
    let mut net = Network::new(1);
    let puppet = neighbour_of_2x(&mut net, &[]);
    let subscriber = net.channel(0, "subscriber");
    net.clients[subscriber].habit = Habit::Silent;
    net.subscribe(subscriber, &["t"]);
    net.run_for(millis(10));
    net.puppet_takes(puppet);
    let seq = chainmesh_wire::amop::channel::Seq::ZERO;
    for (topic, after) in [("t", seconds(5)), ("nobody", seconds(0))] {
        let body = TopicBody::new(topic, "hi".into()).encode().unwrap();
        let request = Frame::new(FrameType::AmopRequest, seq, body.clone());
        let [head, data] = request.to_rc2_parts(Carried::Request, 9).unwrap();
        net.puppet_sends(puppet, [head, data].concat().into());
        net.run_for(after + millis(10));
        let (number, _, frame) = frames_of_2x(&mut net, puppet).remove(0);
        assert_eq!(number, 9);
        assert_eq!(
            frame,
            Frame { result: ResultCode(104), ..request.answer(FrameType::AmopResponse, body) }
        );
    }
    net.assert_nothing_waits();
}

/// A gateway of 3.x beside our node, with these topics.
fn gateway_of_3x(net: &mut Network, topics: &[&str]) -> usize {
    let puppet = net.puppet(0, 60, PeerKind::Fisco3);
    let versions = VersionRange { min: Version::V0, max: Version::V3 };
    let hello = ProtocolInfo::gateway(versions).encode();
    net.puppet_sends_packet(puppet, &Packet::new(Version::V0, PacketType::Handshake, 2, hello));
    let list = TopicList { topics: topics.iter().map(|it| (*it).to_owned()).collect(), seq: 2 };
    let list = AmopMessage::response_topic(&list).unwrap().encode();
    net.puppet_sends_packet(puppet, &Packet::new(Version::V0, PacketType::AmopMessage, 3, list));
    net.puppet_takes(puppet);
    puppet
}

fn packets_of_3x(net: &mut Network, puppet: usize) -> Vec<Packet> {
    let frames = net.puppet_takes(puppet).into_iter();
    let packets = frames.map(|frame| Packet::decode(frame).unwrap());
    let keeps = |it: &Packet| {
        let kind = it.payload.get(2..4);
        it.packet_type == PacketType::WsMessage
            || it.packet_type == PacketType::AmopMessage && matches!(kind, Some([0, 4 | 5]))
    };
    packets.filter(keeps).collect()
}

fn answer_of_3x(request: &Packet, packet_type: PacketType, payload: Bytes) -> Packet {
    let mut answer = Packet::new(Version::V0, packet_type, request.seq, payload);
    answer.ext = Ext::RESPONSE;
    answer
}

#[test]
fn a_subscriber_at_a_gateway_of_3x() {
    for kind in BOTH {
        let mut net = Network::new(1);
        let puppet = gateway_of_3x(&mut net, &["topicA"]);
        let publisher = net.sdk(0, kind, "publisher");
        let seq = net.publish(publisher, "topicA", "hi");
        net.run_for(millis(10));
        let request = packets_of_3x(&mut net, puppet).remove(0);
        assert_eq!(request.packet_type, PacketType::AmopMessage);
        assert!(!request.is_response());
        assert!(!request.route.source.as_bytes().is_empty(), "else the answer is never sent");
        let message = AmopMessage::decode(request.payload.clone()).unwrap();
        assert_eq!((message.version, message.status), (0, 0));
        assert_eq!(message.data, "\0\0\0\0\0\x06topicAhi");
        let answer = WsMessage::new(WsType::AmopResponse, "0123456789abcdef", "ok".into());
        let [head, body] = answer.to_parts().unwrap();
        let answer = answer_of_3x(&request, PacketType::WsMessage, [head, body].concat().into());
        net.puppet_sends_packet(puppet, &answer);
        net.run_for(millis(10));
        assert_eq!(net.result(publisher, &seq), Some(Ok("ok".into())));
        net.assert_nothing_waits();
    }
}

/// FISCO tries its own subscribers before it reports an error, and so do we.
#[test]
fn after_3002_of_a_gateway_others_are_asked() {
    let mut net = Network::new(1);
    let puppet = gateway_of_3x(&mut net, &["t"]);
    let publisher = net.ws(0, "publisher");
    let codes = [ErrorCode::NOT_FOUND_CLIENT_BY_TOPIC, ErrorCode(0xf058)];
    for (code, heard) in codes.into_iter().zip([3002, i32::from(WsStatus::TIMEOUT.0)]) {
        let seq = net.publish(publisher, "t", "hi");
        net.run_for(millis(10));
        let request = packets_of_3x(&mut net, puppet).remove(0);
        let failure = AmopMessage::failure(code, "text").encode();
        let answer = answer_of_3x(&request, PacketType::AmopMessage, failure);
        net.puppet_sends_packet(puppet, &answer);
        net.run_for(millis(10));
        assert_eq!(net.result(publisher, &seq), Some(Err(heard)));
    }
    let seq = net.publish(publisher, "t", "hi");
    net.run_for(millis(10));
    let own = net.ws(0, "own");
    net.subscribe(own, &["t"]);
    net.run_for(millis(10));
    let request = packets_of_3x(&mut net, puppet).remove(0);
    let failure = AmopMessage::failure(ErrorCode::NOT_FOUND_CLIENT_BY_TOPIC, "text").encode();
    net.puppet_sends_packet(puppet, &answer_of_3x(&request, PacketType::AmopMessage, failure));
    net.run_for(millis(10));
    assert_eq!(net.result(publisher, &seq), Some(Ok("echo:hi".into())));
}

#[test]
fn an_answer_from_a_node_that_was_not_asked_changes_nothing() {
    let mut net = Network::new(1);
    let puppet = gateway_of_3x(&mut net, &["t"]);
    let liar = net.puppet(0, 61, PeerKind::Fisco3);
    let publisher = net.ws(0, "publisher");
    let seq = net.publish(publisher, "t", "hi");
    net.run_for(millis(10));
    let request = packets_of_3x(&mut net, puppet).remove(0);
    let failure = AmopMessage::failure(ErrorCode::NOT_FOUND_CLIENT_BY_TOPIC, "").encode();
    net.puppet_sends_packet(liar, &answer_of_3x(&request, PacketType::AmopMessage, failure));
    net.run_for(millis(10));
    assert_eq!(net.result(publisher, &seq), None);
    assert_eq!(net.report(0).counters.unknown_answer, 1);
}

#[test]
fn a_publisher_at_a_gateway_of_3x() {
    for kind in BOTH {
        let mut net = Network::new(1);
        let puppet = gateway_of_3x(&mut net, &[]);
        let subscriber = net.sdk(0, kind, "subscriber");
        net.subscribe(subscriber, &["t"]);
        net.run_for(millis(10));
        net.puppet_takes(puppet);
        let parts = AmopRequest::new("t", "hi".into()).to_message_parts(AmopKind::Request).unwrap();
        let payload: Bytes = parts.concat().into();
        let request = Packet::new(Version::V0, PacketType::AmopMessage, 31, payload);
        net.puppet_sends_packet(puppet, &request);
        net.run_for(millis(10));
        let answer = packets_of_3x(&mut net, puppet).remove(0);
        assert_eq!((answer.packet_type, answer.seq), (PacketType::WsMessage, 31));
        assert!(answer.is_response());
        let message = WsMessage::decode(answer.payload).unwrap();
        assert_eq!((message.kind, message.status), (WsType::AmopResponse, WsStatus::SUCCESS));
        assert_eq!(message.payload, "echo:hi");
        // Nobody follows this topic: at once, type 7.
        let nobody = AmopRequest::new("nobody", "hi".into());
        let payload = nobody.to_message_parts(AmopKind::Request).unwrap().concat().into();
        let request = Packet::new(Version::V0, PacketType::AmopMessage, 32, payload);
        net.puppet_sends_packet(puppet, &request);
        let answer = packets_of_3x(&mut net, puppet).remove(0);
        assert_eq!((answer.packet_type, answer.seq), (PacketType::AmopMessage, 32));
        let message = AmopMessage::decode(answer.payload).unwrap();
        assert_eq!(
            (message.status, message.data),
            (3002, "NotFoundClientByTopicDispatchMsg".into())
        );
        net.assert_nothing_waits();
    }
}
