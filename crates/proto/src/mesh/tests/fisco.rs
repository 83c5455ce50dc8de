//! Neighbours of FISCO: several gateways for a front node, codes, and nodes of 2.x.

use bytes::Bytes;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_wire::mesh::rc2::{Rc2Packet, TopicMessage};
use chainmesh_wire::mesh::{
    ErrorCode, FrontMessage, GroupNodeInfo, GroupOptions, ModuleId, NodeStatus, P2pId, Packet,
    PacketType, Route, Version,
};

use super::network::{Lone, group, identity, millis, seconds, unicast_to};
use crate::mesh::{
    Input, MODULE_SEND, MeshFault, MessageId, Outcome, SendFailure, SessionId, TOPIC_SPACING, Where,
};
use crate::module::PeerKind;

/// A gateway of FISCO that serves the front node of identity 50.
fn gateway(lone: &mut Lone, number: u8) -> SessionId {
    let session = lone.negotiated(identity(number), PeerKind::Fisco3, Version::V3);
    let node = const_hex::encode(identity(50).name().as_bytes()).into();
    let info = GroupNodeInfo { group: group(), nodes: vec![node], ..GroupNodeInfo::default() };
    let status = NodeStatus { seq: 1, groups: vec![info], ..NodeStatus::default() };
    let packet = Packet::new(Version::V0, PacketType::ResponseNodeStatus, 3, status.encode());
    lone.packet(session, packet);
    lone.take(session);
    session
}

fn send(lone: &mut Lone) -> MessageId {
    let id = lone.mesh.next_id();
    let message = unicast_to(identity(50).name(), b"hello");
    lone.input(Input::Unicast { id, message });
    id
}

fn answer(lone: &mut Lone, session: SessionId, packet: &Packet, code: ErrorCode) {
    lone.packet(session, packet.answer(code.to_payload()));
}

fn result(lone: &Lone, id: MessageId) -> Option<Result<Outcome, SendFailure>> {
    let mut ends = lone.settled().into_iter().filter(|settled| settled.id == id);
    let end = ends.next().map(|settled| settled.result.clone());
    assert!(ends.next().is_none());
    end
}

/// Both gateways in the order in which they are tried: smallest ID first.
fn gateways(lone: &mut Lone) -> [(SessionId, CertificateIdentity); 2] {
    let mut both = [1, 2].map(|number| (gateway(lone, number), identity(number)));
    both.sort_by_key(|(_, identity)| identity.short());
    both
}

#[test]
fn the_next_gateway_is_tried_when_one_refuses() {
    let mut lone = Lone::new();
    let [(first, _), (second, identity)] = gateways(&mut lone);
    let id = send(&mut lone);
    assert!(lone.take(second).is_empty());
    let [sent] = &lone.take(first)[..] else { panic!("not one packet") };
    answer(&mut lone, first, sent, ErrorCode::NOT_FOUND_FRONT_SERVICE_DISPATCH);
    let [again] = &lone.take(second)[..] else { panic!("not one packet") };
    assert_ne!(again.seq, sent.seq);
    assert_eq!(again.payload, sent.payload);
    answer(&mut lone, second, again, ErrorCode::SUCCESS);
    let gateway = identity.name();
    assert_eq!(result(&lone, id), Some(Ok(Outcome::Delivered { gateway })));
}

#[test]
fn the_next_gateway_is_tried_when_one_is_silent_for_ten_seconds() {
    let mut lone = Lone::new();
    let [(first, _), (second, _)] = gateways(&mut lone);
    let id = send(&mut lone);
    lone.run_for(millis(9_999));
    let sent = lone.take_type(first, PacketType::PeerToPeerMessage);
    assert_eq!(sent.len(), 1, "FISCO delivers every copy: no repetition");
    assert!(lone.take_type(second, PacketType::PeerToPeerMessage).is_empty());
    lone.run_for(millis(2));
    let [again] = &lone.take_type(second, PacketType::PeerToPeerMessage)[..] else {
        panic!("not one packet")
    };
    answer(&mut lone, second, again, ErrorCode::GATEWAY_QPS_OVERFLOW);
    assert_eq!(result(&lone, id), Some(Err(SendFailure::OverLimit(Where::There))));
    // Too late.
    answer(&mut lone, first, &sent[0], ErrorCode::SUCCESS);
    assert_eq!(lone.mesh.counters().unknown_answer, 1);
}

#[test]
fn all_gateways_say_no() {
    let mut lone = Lone::new();
    let id = {
        let [(first, _), (second, _)] = gateways(&mut lone);
        let id = send(&mut lone);
        for session in [first, second] {
            let [sent] = &lone.take(session)[..] else { panic!("not one packet") };
            answer(&mut lone, session, sent, ErrorCode::NOT_FOUND_FRONT_SERVICE_DISPATCH);
        }
        id
    };
    assert_eq!(result(&lone, id), Some(Err(SendFailure::NoSuchFrontNode)));
}

/// Nobody else can acknowledge a message.
#[test]
fn an_answer_counts_from_who_was_asked() {
    let mut lone = Lone::new();
    let session = gateway(&mut lone, 1);
    let other = lone.negotiated(identity(3), PeerKind::Own, Version::V3);
    let id = send(&mut lone);
    let [sent] = &lone.take(session)[..] else { panic!("not one packet") };
    let mut forged = sent.answer(ErrorCode::SUCCESS.to_payload());
    forged.route.source = P2pId::EMPTY;
    lone.packet(other, forged);
    assert_eq!(result(&lone, id), None);
    assert_eq!(lone.mesh.counters().unknown_answer, 1);
}

#[test]
fn a_unicast_is_as_in_the_vectors() {
    let mut lone = Lone::new();
    let session = gateway(&mut lone, 1);
    let id = send(&mut lone);
    let [sent] = &lone.take(session)[..] else { panic!("not one packet") };
    assert_eq!(sent.version, Version::V3);
    assert_eq!(sent.route.source.as_bytes().as_ref(), identity(0).short().as_bytes());
    let options = sent.options.as_ref().unwrap();
    assert_eq!(options.group, group());
    assert_eq!(options.source, identity(0).name().as_bytes()[..]);
    assert_eq!(options.destinations, [Bytes::copy_from_slice(identity(50).name().as_bytes())]);
    assert_eq!(options.module, MODULE_SEND);
    let message = FrontMessage::decode(sent.payload.clone()).unwrap();
    assert_eq!((message.module, message.ext), (MODULE_SEND, 0));
    assert_eq!(message.uuid, id.to_string());
    assert_eq!(message.payload, "hello");
}

fn incoming(to: u8, uuid: &'static str, module: u16) -> Packet {
    let message = FrontMessage {
        module: ModuleId(module),
        uuid: Bytes::from_static(uuid.as_bytes()),
        ext: 0,
        payload: Bytes::from_static(b"hi"),
    };
    let options = GroupOptions {
        group: group(),
        source: Bytes::from_static(&[7; 64]),
        destinations: vec![Bytes::copy_from_slice(identity(to).name().as_bytes())],
        module: ModuleId(module),
    };
    let payload = message.encode().unwrap();
    let packet = Packet::new(Version::V3, PacketType::PeerToPeerMessage, 77, payload);
    let source = P2pId::new(Bytes::copy_from_slice(identity(1).short().as_bytes())).unwrap();
    Packet { options: Some(options), route: Route { source, ..Route::default() }, ..packet }
}

#[test]
fn what_comes_is_answered_by_code() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    for (to, code) in [(0, "0"), (4, "1002")] {
        lone.packet(session, incoming(to, "uuid", 2000));
        let [answer] = &lone.take(session)[..] else { panic!("not one answer") };
        assert_eq!(answer.payload, code);
        assert_eq!((answer.packet_type, answer.seq), (PacketType::Response, 77));
        assert!(answer.is_response());
        assert_eq!(answer.route.destination.as_bytes().as_ref(), identity(1).short().as_bytes());
        assert_eq!(answer.route.source.as_bytes().as_ref(), identity(0).short().as_bytes());
    }
    let [delivery] = &lone.deliveries()[..] else { panic!("not one delivery") };
    assert_eq!((delivery.module.0, delivery.source.as_ref()), (2000, [7; 64].as_ref()));
    assert_eq!(delivery.source_id().unwrap().as_bytes(), &[7; 64]);
}

/// One id of one source is delivered once; the same id of another source is another message, and
/// messages without an id are all different.
#[test]
fn repetitions_are_told_by_source_and_id() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    for _ in 0..3 {
        lone.packet(session, incoming(0, "same", 2000));
        lone.packet(session, incoming(0, "", 2000));
    }
    let mut other = incoming(0, "same", 2000);
    if let Some(options) = &mut other.options {
        options.source = Bytes::from_static(&[8; 64]);
    }
    lone.packet(session, other);
    assert_eq!(lone.deliveries().len(), 1 + 3 + 1);
    assert_eq!(lone.mesh.counters().duplicates, 2);
}

/// Old senders leave the module in the options at 0.
#[test]
fn the_module_may_stand_in_the_payload_only() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    let mut packet = incoming(0, "uuid", 2000);
    if let Some(options) = &mut packet.options {
        options.module = ModuleId(0);
    }
    lone.packet(session, packet);
    assert_eq!(lone.deliveries()[0].module, ModuleId(2000));
}

fn rc2(lone: &mut Lone, session: SessionId, message: &TopicMessage, seq: u32) {
    let mut frame = bytes::BytesMut::new();
    message.to_packet(seq).unwrap().encode(&mut frame).unwrap();
    lone.frame(session, frame.freeze());
}

#[test]
fn a_2x_neighbour_gets_its_heartbeat_and_tells_its_topics() {
    let mut lone = Lone::new();
    let session = lone.open(identity(1), PeerKind::Fisco2);
    let heartbeat = const_hex::decode("0000001100000000000200010000000030").unwrap();
    assert_eq!(lone.take_frames(session), [Bytes::from(heartbeat.clone())]);
    lone.run_for(seconds(15));
    assert_eq!(lone.take_frames(session), vec![Bytes::from(heartbeat); 3]);
    assert!(lone.mesh.snapshot().members.is_empty(), "nothing is routed to it");

    rc2(&mut lone, session, &TopicMessage::SendTopicSeq(0), 0);
    assert!(lone.take_frames(session).is_empty(), "it never had topics");
    rc2(&mut lone, session, &TopicMessage::SendTopicSeq(4), 0);
    let request = lone.take_frames(session).remove(0);
    let request = Rc2Packet::decode(request).unwrap();
    assert_eq!(TopicMessage::decode(&request).unwrap(), Some(TopicMessage::RequestTopics));
    let topics = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    let answer = TopicMessage::SendTopics { seq: 4, topics };
    rc2(&mut lone, session, &answer, request.seq + 1);
    assert!(
        lone.mesh.snapshot().sessions[0].rc2_topics.is_empty(),
        "nobody asked with this number"
    );
    rc2(&mut lone, session, &answer, request.seq);
    assert_eq!(lone.mesh.snapshot().sessions[0].rc2_topics, ["a", "b"]);
    rc2(&mut lone, session, &TopicMessage::SendTopicSeq(4), 0);
    assert!(lone.take_frames(session).is_empty(), "known");
}

#[test]
fn a_2x_neighbour_hears_of_our_topics() {
    let mut lone = Lone::new();
    let session = lone.open(identity(1), PeerKind::Fisco2);
    lone.take_frames(session);
    lone.input(Input::Subscribe("topicA".into()));
    lone.input(Input::Subscribe("topicB".into()));
    // The second change comes right after the first: it is told a little later.
    lone.run_for(TOPIC_SPACING);
    let told = Rc2Packet::decode(lone.take_frames(session).remove(1)).unwrap();
    assert_eq!(TopicMessage::decode(&told).unwrap(), Some(TopicMessage::SendTopicSeq(2)));
    lone.input(Input::Unsubscribe("topicB".into()));
    lone.take_frames(session);
    rc2(&mut lone, session, &TopicMessage::RequestTopics, 2);
    let answer = Rc2Packet::decode(lone.take_frames(session).remove(0)).unwrap();
    assert_eq!(answer.seq, 2);
    assert!(answer.is_response());
    assert_eq!(answer.payload, "3\ttopicA");
}

#[test]
fn bad_packets_of_2x_end_the_session() {
    let mut lone = Lone::new();
    let session = lone.open(identity(1), PeerKind::Fisco2);
    lone.frame(session, const_hex::decode("00000011000000000002000100000000ff").unwrap());
    assert!(matches!(lone.fault(), Some(MeshFault::Packet(_))));
}

/// FISCO delivers every copy it gets: another goes out only when the session of the last is gone.
#[test]
fn a_better_way_to_a_fisco_node_is_no_reason_to_repeat() {
    let mut lone = Lone::new();
    let session = gateway(&mut lone, 1);
    send(&mut lone);
    let second = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    let copies = |lone: &mut Lone| {
        [session, second].map(|it| lone.take_type(it, PacketType::PeerToPeerMessage).len())
    };
    assert_eq!(copies(&mut lone), [1, 0]);
    lone.input(Input::Closed { session });
    assert_eq!(copies(&mut lone), [0, 1]);
}
