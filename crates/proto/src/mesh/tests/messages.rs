//! Messages: to one, to all, to some, with replies, repetitions and reasons.

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::mesh::{NodeType, PacketType};

use super::network::{Network, group, identity, millis, seconds, unicast_to};
use crate::mesh::{Broadcast, Cast, Input, MODULE_SEND, MessageId, Outcome, SendFailure, Unicast};

#[test]
fn a_unicast_arrives_over_two_relays_and_is_acknowledged() {
    let mut network = Network::line(4);
    let id = network.unicast(0, 3, b"hello");
    network.run_for(millis(10));
    let gateway = network.nodes[3].id;
    let settled = network.settled(0, id).unwrap();
    assert_eq!(settled.result, Ok(Outcome::Delivered { gateway }));
    assert_eq!(settled.copies, 1);
    let [delivery] = &network.nodes[3].delivered[..] else { panic!("not one delivery") };
    assert_eq!(delivery.source_id(), Some(network.nodes[0].id));
    assert_eq!(delivery.gateway, network.nodes[0].id);
    assert_eq!(delivery.module, MODULE_SEND);
    assert_eq!(delivery.group, group());
    assert_eq!(delivery.uuid, id.to_string());
    assert_eq!(delivery.payload, "hello");
    assert!([1, 2].into_iter().all(|relay| network.nodes[relay].delivered.is_empty()));
    assert_eq!(network.report(1).counters.forwarded, network.report(2).counters.forwarded);
}

#[test]
fn a_reply_comes_back_and_is_matched_by_the_id() {
    let mut network = Network::line(3);
    let mut ids = Vec::new();
    for payload in [b"one".as_slice(), b"two"] {
        let message = Unicast {
            reply_within: Some(seconds(5)),
            payload: Bytes::from_static(payload),
            ..unicast_to(network.nodes[2].id, b"")
        };
        ids.push(network.unicast_message(0, message));
    }
    network.run_for(seconds(1));
    assert_eq!(network.result(0, ids[0]), None, "acknowledged, not answered");
    for delivery in network.nodes[2].delivered.clone().into_iter().rev() {
        let Cast::Unicast { reply } = delivery.cast else { panic!("no unicast") };
        let payload = [b"re: ".as_slice(), &delivery.payload].concat().into();
        network.input(2, Input::Reply { to: reply, payload });
    }
    network.run_for(seconds(1));
    let gateway = network.nodes[2].id;
    for (id, payload) in ids.into_iter().zip(["re: one", "re: two"]) {
        let payload = Bytes::from_static(payload.as_bytes());
        assert_eq!(network.result(0, id), Some(Ok(Outcome::Replied { gateway, payload })));
    }
    assert!(network.nodes[0].delivered.is_empty(), "a reply is no message");
    assert_eq!(network.report(2).pending, 0);
}

#[test]
fn an_application_that_does_not_reply() {
    let mut network = Network::line(2);
    let to = network.nodes[1].id;
    let message = Unicast { reply_within: Some(seconds(2)), ..unicast_to(to, b"hello?") };
    let id = network.unicast_message(0, message);
    network.run_for(millis(1990));
    assert_eq!(network.result(0, id), None);
    network.run_for(millis(20));
    assert_eq!(network.result(0, id), Some(Err(SendFailure::NoReply)));
}

#[test]
fn a_message_to_ourselves_needs_no_wire() {
    let mut network = Network::line(2);
    let to = network.nodes[0].id;
    let message = Unicast { reply_within: Some(seconds(2)), ..unicast_to(to, b"me") };
    let id = network.unicast_message(0, message);
    let delivery = network.nodes[0].delivered[0].clone();
    let Cast::Unicast { reply } = delivery.cast else { panic!("no unicast") };
    network.input(0, Input::Reply { to: reply, payload: Bytes::from_static(b"myself") });
    let settled = network.settled(0, id).unwrap();
    assert_eq!(settled.copies, 0);
    let payload = Bytes::from_static(b"myself");
    assert_eq!(settled.result, Ok(Outcome::Replied { gateway: to, payload }));
}

#[test]
fn reasons_in_words() {
    let mut network = Network::line(3);
    let stranger: PeerId = identity(77).name();
    let id = network.unicast_message(0, unicast_to(stranger, b"?"));
    assert_eq!(network.result(0, id), Some(Err(SendFailure::UnknownNode)));
    let group = Bytes::from_static(b"other");
    let id = network.unicast_message(0, Unicast { group, ..unicast_to(network.nodes[2].id, b"?") });
    assert_eq!(network.result(0, id), Some(Err(SendFailure::UnknownNode)));
    network.cut(1, 2);
    network.run_for(seconds(1));
    let id = network.unicast(0, 2, b"?");
    assert_eq!(network.result(0, id), Some(Err(SendFailure::NotReachable)));
    let payload = Bytes::from(vec![0; chainmesh_wire::mesh::MAX_PACKET]);
    let id =
        network.unicast_message(0, Unicast { payload, ..unicast_to(network.nodes[1].id, b"") });
    let Some(Err(SendFailure::TooLarge { size, limit })) = network.result(0, id) else {
        panic!("too large")
    };
    assert!(size > limit);
    assert_eq!(network.report(0).pending, 0);
}

/// The acknowledgement is lost: the message is sent again, delivered once, and acknowledged again.
#[test]
fn a_lost_acknowledgement_is_no_second_delivery() {
    let mut network = Network::line(2);
    network.lose.push((1, 0, PacketType::Response));
    let id = network.unicast(0, 1, b"once");
    network.run_for(seconds(4));
    network.lose.clear();
    network.run_for(seconds(4));
    let gateway = network.nodes[1].id;
    let settled = network.settled(0, id).unwrap();
    assert_eq!(settled.result, Ok(Outcome::Delivered { gateway }));
    assert_eq!(settled.copies, 3, "at 0, 3 and 6 s");
    assert_eq!(network.payloads(1), [b"once"]);
    assert_eq!(network.report(1).counters.duplicates, 2);
    assert_eq!(network.report(0).counters.resent, 2);
}

#[test]
fn nobody_acknowledges() {
    let mut network = Network::line(2);
    network.lose.push((1, 0, PacketType::Response));
    let id = network.unicast(0, 1, b"once");
    network.run_for(millis(9999));
    assert_eq!(network.result(0, id), None);
    network.run_for(millis(2));
    assert_eq!(network.result(0, id), Some(Err(SendFailure::TimedOut)));
    assert_eq!(network.payloads(1), [b"once"]);
}

#[test]
fn a_broadcast_reaches_each_member_once_with_one_copy_per_link() {
    let mut network = Network::line(4);
    network.tap = Some(Vec::new());
    let id = network.broadcast(1, b"all");
    network.run_for(seconds(1));
    for node in [0, 2, 3] {
        assert_eq!(network.payloads(node), [b"all"]);
        assert_eq!(network.nodes[node].delivered[0].cast, Cast::Broadcast);
    }
    assert!(network.payloads(1).is_empty(), "not to the sender");
    let settled = network.settled(1, id).unwrap();
    assert_eq!(settled.result, Ok(Outcome::Sent { members: 3, confirmed: 3 }));
    assert_eq!(settled.copies, 3);
    // One to 0, one to 2, one to 3 which takes two links.
    assert_eq!(network.tapped(PacketType::BroadcastMessage).len(), 4);
}

/// The payload of a broadcast is the caller's own memory in every copy.
#[test]
fn the_payload_of_a_broadcast_is_not_copied() {
    use crate::mesh::Output;
    use crate::module::PeerKind;
    use chainmesh_wire::mesh::Version;
    let mut lone = super::network::Lone::new();
    for peer in 1..4 {
        lone.negotiated(identity(peer), PeerKind::Own, Version::V3);
    }
    lone.outputs.clear();
    let payload = Bytes::from(vec![7; 10_000]);
    let id = lone.mesh.next_id();
    let message = Broadcast { group: group(), module: MODULE_SEND, payload: payload.clone() };
    lone.input(Input::Broadcast { id, message });
    let copies = lone.outputs.iter().filter_map(|output| match output {
        Output::Transmit { payload, .. } => Some(payload.as_ptr()),
        _ => None,
    });
    assert_eq!(copies.collect::<Vec<_>>(), [payload.as_ptr(); 3]);
}

#[test]
fn a_broadcast_is_for_its_group_and_for_the_kind_of_node() {
    let mut network = Network::with(4, |node, config| match node {
        2 => config.groups = vec!["other".into()],
        3 => config.role = NodeType::OBSERVER,
        _ => {}
    });
    for node in 1..4 {
        network.link(0, node);
    }
    network.run_for(seconds(2));
    let id = network.broadcast(0, b"all");
    network.run_for(seconds(1));
    assert_eq!(network.payloads(1), [b"all"]);
    assert!(network.payloads(2).is_empty());
    assert_eq!(network.payloads(3), [b"all"]);
    let sent = Outcome::Sent { members: 2, confirmed: 2 };
    assert_eq!(network.result(0, id), Some(Ok(sent)));
}

#[test]
fn a_broadcast_to_nobody_is_no_error() {
    let mut network = Network::new(1);
    let id = network.broadcast(0, b"all");
    let sent = Outcome::Sent { members: 0, confirmed: 0 };
    assert_eq!(network.result(0, id), Some(Ok(sent)));
}

#[test]
fn a_multicast_reaches_those_who_follow_the_topic() {
    let mut network = Network::line(4);
    for node in [0, 2, 3] {
        network.input(node, Input::Subscribe("news".into()));
    }
    network.input(3, Input::Subscribe("more".into()));
    network.run_for(millis(100));
    let id = network.multicast(1, "news", b"extra");
    network.run_for(millis(100));
    for node in [0, 2, 3] {
        assert_eq!(network.payloads(node), [b"extra"]);
        let cast = Cast::Multicast { topic: "news".into() };
        assert_eq!(network.nodes[node].delivered[0].cast, cast);
    }
    let settled = network.settled(1, id).unwrap();
    assert_eq!(settled.result, Ok(Outcome::Sent { members: 3, confirmed: 0 }));
    assert_eq!(settled.copies, 3);
    network.input(2, Input::Unsubscribe("news".into()));
    network.run_for(millis(100));
    network.multicast(1, "news", b"again");
    network.run_for(millis(100));
    assert_eq!(network.payloads(2), [b"extra"]);
    assert_eq!(network.payloads(3), [b"extra".as_slice(), b"again"]);
    let id = network.multicast(1, "nobody", b"there");
    assert_eq!(network.result(1, id), Some(Ok(Outcome::Sent { members: 0, confirmed: 0 })));
}

#[test]
fn ids_are_random_uuids() {
    let mut network = Network::new(2);
    let ids: Vec<_> = (0..100).map(|_| network.nodes[0].mesh.next_id()).collect();
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 100);
    for id in ids {
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4', "{text}");
        assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
        assert_eq!(MessageId::parse(text.as_bytes()), Some(id));
    }
    assert_eq!(MessageId::parse(b"0123"), None);
    assert_eq!(MessageId::parse(&[b'0'; 36]), None);
    assert_ne!(network.nodes[0].mesh.next_id(), network.nodes[1].mesh.next_id());
}
