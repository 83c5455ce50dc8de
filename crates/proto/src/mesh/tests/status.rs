//! Statuses and topics by number.

use bytes::Bytes;
use chainmesh_wire::amop::{AmopKind, AmopMessage, TopicList};
use chainmesh_wire::mesh::{Message, NodeStatus, NodeType, Packet, PacketType, Version};

use super::network::{Lone, Network, identity, millis, seconds};
use crate::mesh::{Input, MeshFault};
use crate::module::PeerKind;

#[test]
fn role_and_height_reach_every_member() {
    let mut network = Network::with(4, |node, config| {
        config.height = u64::from(node) * 100;
        config.role = if node == 3 { NodeType::OBSERVER } else { NodeType::CONSENSUS };
    });
    for node in 1..4 {
        network.link(node - 1, node);
    }
    network.run_for(seconds(2));
    let report = network.report(0);
    for (node, role) in [(1, NodeType::CONSENSUS), (3, NodeType::OBSERVER)] {
        let name = network.nodes[node].id;
        let member = report.members.iter().find(|member| member.name == name).unwrap();
        assert_eq!(member.height, Some(node as u64 * 100));
        assert_eq!(member.role, Some(role));
        assert_eq!(member.status_seq, Some(1));
        assert_eq!(member.groups, ["group0"]);
        assert_eq!(member.front_nodes, 1);
    }
    let role = NodeType::CONSENSUS;
    network.input(1, Input::Local { role, height: 101 });
    network.run_for(millis(1100));
    let report = network.report(3);
    let member = report.members.iter().find(|it| it.name == network.nodes[1].id).unwrap();
    assert_eq!((member.height, member.status_seq), (Some(101), Some(2)));
}

#[test]
fn who_is_linked_to_whom() {
    let network = Network::line(4);
    let id = |node: usize| network.nodes[node].id;
    let mut links = [(0, 1), (1, 2), (2, 3)].map(|(a, b)| {
        let (a, b) = (id(a), id(b));
        (a.min(b), a.max(b))
    });
    links.sort();
    assert_eq!(network.report(0).links, links);
}

fn number(packet_type: PacketType, seq: u32) -> Packet {
    Packet::new(Version::V0, packet_type, 9, Bytes::copy_from_slice(&seq.to_be_bytes()))
}

fn status(seq: u32) -> Packet {
    let status = NodeStatus { uuid: "peer".into(), seq, ..NodeStatus::default() };
    Packet::new(Version::V0, PacketType::ResponseNodeStatus, 9, status.encode())
}

/// Greater numbers are asked for, smaller and equal ones are not; the number known changes when the
/// status comes, not before.
#[test]
fn a_status_is_asked_for_when_its_number_is_greater() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    let asked = |lone: &mut Lone, seq| {
        lone.packet(session, number(PacketType::SyncNodeSeq, seq));
        lone.take_type(session, PacketType::RequestNodeStatus).len()
    };
    assert_eq!(asked(&mut lone, 5), 1);
    assert_eq!(asked(&mut lone, 5), 1, "until the answer comes");
    lone.packet(session, status(5));
    assert_eq!(asked(&mut lone, 5), 0);
    assert_eq!(asked(&mut lone, 4), 0);
    assert_eq!(asked(&mut lone, 6), 1);
    lone.packet(session, status(4));
    assert_eq!(lone.mesh.snapshot().members[0].status_seq, Some(5), "an old one is not taken");
}

/// Tables are compared as statuses are, but the number counts from the moment it was told.
#[test]
fn a_table_is_asked_for_once_for_each_number() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    let asked = |lone: &mut Lone, seq| {
        lone.packet(session, number(PacketType::RouterTableSyncSeq, seq));
        lone.take_type(session, PacketType::RouterTableRequest).len()
    };
    assert_eq!(asked(&mut lone, 5), 1);
    assert_eq!(asked(&mut lone, 5), 0);
    assert_eq!(asked(&mut lone, 6), 0, "one request is on its way");
    lone.packet(
        session,
        Packet::new(Version::V0, PacketType::RouterTableResponse, 9, Bytes::new()),
    );
    assert_eq!(asked(&mut lone, 6), 0);
    assert_eq!(asked(&mut lone, 7), 1);
    lone.run_for(seconds(3));
    assert_eq!(asked(&mut lone, 7), 1, "no answer: asked again");
}

fn amop(message: &AmopMessage) -> Packet {
    Packet::new(Version::V0, PacketType::AmopMessage, 9, message.encode())
}

/// Topic numbers are compared for being another, not greater.
#[test]
fn topics_are_asked_for_when_the_number_is_another() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    let asked = |lone: &mut Lone, seq| {
        lone.packet(session, amop(&AmopMessage::topic_seq(seq)));
        let sent = lone.take_type(session, PacketType::AmopMessage);
        let kinds = sent.into_iter().map(|it| AmopMessage::decode(it.payload).unwrap().kind);
        kinds.filter(|kind| *kind == AmopKind::RequestTopic).count()
    };
    assert_eq!(asked(&mut lone, 7), 1);
    let list = TopicList { topics: vec!["a\nb".into(), "b".into(), "b".into()], seq: 7 };
    lone.packet(session, amop(&AmopMessage::response_topic(&list).unwrap()));
    assert_eq!(asked(&mut lone, 7), 0);
    assert_eq!(asked(&mut lone, 3), 1);
    let report = lone.mesh.snapshot();
    assert_eq!(report.members[0].topics, ["a\\nb", "b"], "escaped, and each once");
    assert_eq!(report.members[0].topic_seq, Some(7));
}

#[test]
fn our_topic_list_is_as_fisco_writes_it() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.input(Input::Subscribe("topicB".into()));
    lone.input(Input::Subscribe("topicA".into()));
    lone.input(Input::Subscribe("topicA".into()));
    lone.take(session);
    lone.packet(session, amop(&AmopMessage::request_topic()));
    let [answer] = &lone.take(session)[..] else { panic!("not one answer") };
    assert!(!answer.is_response());
    let body = b"{\"topicItems\":[\"topicA\",\"topicB\"],\"topicSeq\":3}\n";
    assert_eq!(AmopMessage::decode(answer.payload.clone()).unwrap().data, &body[..]);
}

#[test]
fn the_status_says_groups_front_node_and_what_we_are() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    lone.packet(session, Packet::new(Version::V0, PacketType::RequestNodeStatus, 5, Bytes::new()));
    let [answer] = &lone.take(session)[..] else { panic!("not one answer") };
    assert!(!answer.is_response(), "a packet of its own");
    let Some(Message::ResponseNodeStatus(status)) = Message::decode(answer).unwrap() else {
        panic!("no status")
    };
    assert_eq!(status.uuid, identity(0).long());
    assert_eq!(status.seq, 1);
    assert_eq!(status.groups[0].group, "group0");
    assert_eq!(status.groups[0].nodes, [const_hex::encode(identity(0).name().as_bytes())]);
    assert_eq!(status.groups[0].node_types, [NodeType::CONSENSUS]);
    assert_eq!(status.extension.unwrap().role, NodeType::CONSENSUS);
}

/// What claims too much ends the session before it is kept.
#[test]
fn statuses_that_are_too_large_are_refused() {
    use chainmesh_wire::mesh::GroupNodeInfo;
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let nodes = (0..2000u32).map(|node| format!("{node:0128x}").into()).collect();
    let group = GroupNodeInfo { group: "g".into(), nodes, ..GroupNodeInfo::default() };
    let large = NodeStatus { seq: 9, groups: vec![group], ..NodeStatus::default() };
    let packet = Packet::new(Version::V3, PacketType::ResponseNodeStatus, 9, large.encode());
    lone.packet(session, packet);
    assert!(matches!(lone.fault(), Some(MeshFault::TooLarge { size: 2000, .. })));

    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let mut bomb =
        Packet::new(Version::V3, PacketType::ResponseNodeStatus, 9, Bytes::from(vec![0; 8 << 20]));
    bomb.pack().unwrap();
    assert!(bomb.payload.len() < 10_000);
    lone.packet(session, bomb);
    assert!(lone.fault().is_some(), "its content would be 8 MiB");
}

/// Members, front nodes and topics of who is gone are gone.
#[test]
fn nothing_is_kept_of_who_is_gone() {
    let mut network = Network::line(3);
    network.input(2, Input::Subscribe("t".into()));
    network.run_for(seconds(1));
    network.cut(1, 2);
    network.run_for(seconds(1));
    let report = network.report(0);
    let gone = report.members.iter().find(|it| it.name == network.nodes[2].id).unwrap();
    assert_eq!((gone.distance, gone.status_seq, gone.topic_seq), (None, None, None));
    network.run_for(seconds(700));
    assert_eq!(network.report(0).members.len(), 1, "and after ten minutes its name");
}

/// A node that starts anew before anybody missed it tells smaller numbers: they are believed when
/// they come three times in a row.
#[test]
fn a_smaller_number_is_believed_in_the_end() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.packet(session, status(50));
    lone.take(session);
    let asked = |lone: &mut Lone, seq| {
        lone.packet(session, number(PacketType::SyncNodeSeq, seq));
        lone.take_type(session, PacketType::RequestNodeStatus).len()
    };
    assert_eq!([2, 2, 50, 2, 2].map(|seq| asked(&mut lone, seq)), [0; 5]);
    assert_eq!(asked(&mut lone, 2), 1);
    lone.packet(session, status(2));
    assert_eq!(lone.mesh.snapshot().members[0].status_seq, Some(2));
}
