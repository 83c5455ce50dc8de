//! Rate limits, and what is bounded beside them.

use bytes::Bytes;
use chainmesh_wire::mesh::{
    ErrorCode, FrontMessage, GroupOptions, ModuleId, P2pId, Packet, PacketType, RouterTable,
    RouterTableEntry, Version,
};

use super::network::{Lone, Network, group, identity, millis, seconds};
use crate::mesh::recent::Recent;
use crate::mesh::{Input, Limits, MODULE_SEND, Outcome, Rate, SendFailure, Where};
use crate::module::PeerKind;

fn messages(messages: u64) -> Rate {
    Rate { bytes: None, messages: Some(messages) }
}

fn bytes(bytes: u64) -> Rate {
    Rate { bytes: Some(bytes), messages: None }
}

fn limited(limits: Limits) -> Network {
    let mut network = Network::with(3, |node, config| {
        if node == 1 {
            config.limits = limits.clone();
        }
    });
    network.link(0, 1);
    network.link(1, 2);
    network.run_for(seconds(5));
    network
}

/// Ten a second from a peer: the eleventh is answered with 1005, a second later there is room.
#[test]
fn a_peer_above_its_messages_is_told_so() {
    for limits in [
        Limits { peer: messages(10), ..Limits::default() },
        Limits { group: messages(10), ..Limits::default() },
        Limits { groups: [(group(), messages(10))].into(), ..Limits::default() },
        Limits { modules: [(MODULE_SEND, messages(10))].into(), ..Limits::default() },
    ] {
        let mut network = limited(limits);
        let ids: Vec<_> = (0..15).map(|_| network.unicast(0, 1, b"x")).collect();
        network.run_for(millis(50));
        let over =
            |id: &&_| network.result(0, **id) == Some(Err(SendFailure::OverLimit(Where::There)));
        assert_eq!(ids.iter().filter(over).count(), 5);
        assert_eq!(network.payloads(1).len(), 10);
        assert_eq!(network.report(1).counters.dropped_limit, 5);
        network.run_for(seconds(1));
        let id = network.unicast(0, 1, b"x");
        network.run_for(millis(50));
        assert!(matches!(network.result(0, id), Some(Ok(Outcome::Delivered { .. }))));
    }
}

/// A relay's limit holds for what it passes on, and the sender hears of it.
#[test]
fn a_relay_above_its_limit_says_so_too() {
    let mut network = limited(Limits { peer: messages(3), ..Limits::default() });
    let ids: Vec<_> = (0..5).map(|_| network.unicast(0, 2, b"x")).collect();
    network.run_for(millis(50));
    let over = |id: &&_| network.result(0, **id) == Some(Err(SendFailure::OverLimit(Where::There)));
    assert_eq!(ids.iter().filter(over).count(), 2);
    assert_eq!(network.payloads(2).len(), 3);
}

#[test]
fn bytes_are_counted_and_the_mean_is_kept() {
    let mut network = limited(Limits { peer: bytes(1000), ..Limits::default() });
    let large: &'static [u8] = &[7; 900];
    for _ in 0..100 {
        network.unicast(0, 1, large);
        network.run_for(millis(100));
    }
    let delivered = network.payloads(1).len();
    // Packets of about 1,200 bytes for ten seconds and the second that the bucket holds.
    assert!((8..=10).contains(&delivered), "{delivered}");
}

#[test]
fn our_own_limit_is_told_at_once() {
    let mut network = limited(Limits { group: messages(2), ..Limits::default() });
    let ids: Vec<_> = (0..4).map(|_| network.unicast(1, 0, b"x")).collect();
    let here = Some(Err(SendFailure::OverLimit(Where::Here)));
    assert_eq!(network.result(1, ids[1]), None);
    assert_eq!(network.result(1, ids[2]), here);
    let id = network.broadcast(1, b"x");
    assert_eq!(network.result(1, id), here);
    network.input(1, Input::SetLimits(Limits::default()));
    let id = network.broadcast(1, b"x");
    network.run_for(seconds(1));
    assert!(matches!(network.result(1, id), Some(Ok(_))));
}

/// Sessions, routes, statuses and topics pass whatever the limits, and so do FISCO's exempt modules.
#[test]
fn control_traffic_and_exempt_modules_are_not_limited() {
    let nothing = Rate { bytes: Some(0), messages: Some(0) };
    let limits = Limits { peer: nothing, group: nothing, ..Limits::default() };
    let mut network = limited(limits);
    network.assert_converged();
    network.input(2, Input::Subscribe("topic".into()));
    network.run_for(seconds(1));
    let report = network.report(0);
    let far = report.members.iter().find(|it| it.name == network.nodes[2].id).unwrap();
    assert_eq!(far.topics, ["topic"], "through the relay");
    assert_eq!(far.status_seq, Some(1));
    for (module, passes) in [(1000, true), (1001, true), (2001, true), (2002, true), (2000, false)]
    {
        let message = crate::mesh::Unicast {
            module: ModuleId(module),
            ..super::network::unicast_to(network.nodes[2].id, b"x")
        };
        let id = network.unicast_message(0, message);
        network.run_for(millis(50));
        assert_eq!(network.result(0, id).unwrap().is_ok(), passes, "{module}");
    }
}

/// Broadcasts above the limit are dropped and counted, without an answer.
#[test]
fn a_broadcast_above_the_limit_is_dropped() {
    let mut lone = Lone::with(|config| config.limits.peer = messages(1));
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    for _ in 0..3 {
        let message = FrontMessage { payload: "x".into(), ..FrontMessage::default() };
        let payload = message.encode().unwrap();
        let packet = Packet::new(Version::V0, PacketType::BroadcastMessage, 5, payload);
        let options = GroupOptions {
            group: group(),
            source: Bytes::from_static(&[7; 64]),
            module: ModuleId(2000),
            ..GroupOptions::default()
        };
        let ext = chainmesh_wire::mesh::Ext(2);
        lone.packet(session, Packet { options: Some(options), ext, ..packet });
    }
    assert_eq!(lone.deliveries().len(), 1);
    assert_eq!(lone.mesh.counters().dropped_limit, 2);
    assert!(lone.take(session).is_empty());
}

/// A neighbour that claims thousands of nodes fills no more than the table, and real members find
/// room when they come.
#[test]
fn invented_members_are_bounded() {
    let mut lone = Lone::with(|config| config.max_members = 100);
    let liar = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let invented = |number: u32| {
        let long = P2pId::new(Bytes::from(format!("04{number:0128x}"))).unwrap();
        RouterTableEntry::new(long, P2pId::EMPTY, 1)
    };
    let entries = (0..5000).map(invented).collect();
    let table = |entries| {
        let payload = RouterTable { entries }.encode();
        Packet::new(Version::V0, PacketType::RouterTableResponse, 5, payload)
    };
    lone.packet(liar, table(entries));
    assert_eq!(lone.mesh.snapshot().members.len(), 100);
    lone.packet(liar, table(Vec::new()));
    let honest = lone.negotiated(identity(2), PeerKind::Own, Version::V3);
    lone.packet(honest, table(vec![invented(9999)]));
    let members = lone.mesh.snapshot().members;
    assert!(members.len() <= 100);
    assert_eq!(members.iter().filter(|member| member.distance == Some(2)).count(), 1);
}

#[test]
fn distances_and_ids_that_cannot_be_are_passed_over() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let long = |number: u8| P2pId::new(identity(number).long()).unwrap();
    let entries = vec![
        RouterTableEntry::new(long(2), P2pId::EMPTY, 0),
        RouterTableEntry::new(long(3), P2pId::EMPTY, -7),
        RouterTableEntry::new(P2pId::new(Bytes::from_static(&[5; 32])).unwrap(), P2pId::EMPTY, 1),
        RouterTableEntry::new(long(4), P2pId::EMPTY, i32::MAX),
        RouterTableEntry::new(long(5), P2pId::EMPTY, 1),
    ];
    let payload = RouterTable { entries }.encode();
    lone.packet(session, Packet::new(Version::V0, PacketType::RouterTableResponse, 5, payload));
    let members = lone.mesh.snapshot().members;
    let reached: Vec<_> = members.iter().filter_map(|it| Some((it.name, it.distance?))).collect();
    let mut expected = vec![(identity(1).name(), 1), (identity(5).name(), 2)];
    expected.sort_by_key(|(name, _)| chainmesh_identity::certificate::ShortId::from(*name));
    assert_eq!(reached, expected);
    assert_eq!(lone.mesh.counters().bad_routes, 3);
    assert_eq!(lone.fault(), None);
}

#[test]
fn messages_of_ours_are_bounded() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let send = |lone: &mut Lone, payload: Bytes| {
        let id = lone.mesh.next_id();
        let message =
            crate::mesh::Unicast { payload, ..super::network::unicast_to(identity(1).name(), b"") };
        lone.input(Input::Unicast { id, message });
    };
    let large = Bytes::from(vec![0; 30 << 20]);
    for _ in 0..5 {
        send(&mut lone, large.clone());
    }
    let busy = lone.settled().iter().filter(|it| it.result == Err(SendFailure::Busy)).count();
    assert_eq!(busy, 3, "two have 60 MiB");
    let sent = lone.take_type(session, PacketType::PeerToPeerMessage);
    for packet in sent {
        lone.packet(session, packet.answer(ErrorCode::SUCCESS.to_payload()));
    }
    for _ in 0..5000 {
        send(&mut lone, Bytes::new());
    }
    let busy = lone.settled().iter().filter(|it| it.result == Err(SendFailure::Busy)).count();
    assert_eq!(busy, 3 + 5000 - 4096);
    lone.run_for(seconds(11));
    assert_eq!(lone.mesh.snapshot().pending, 0);
}

#[test]
fn what_is_remembered_is_bounded_for_each_source_and_in_all() {
    let mut recent = Recent::new(10, 25);
    for id in 0u32..100 {
        assert!(recent.note(b"loud", &id.to_be_bytes()));
    }
    assert_eq!(recent.held(), 10);
    assert!(!recent.note(b"loud", &99u32.to_be_bytes()));
    assert!(!recent.note(b"loud", &90u32.to_be_bytes()));
    assert!(recent.note(b"loud", &89u32.to_be_bytes()), "forgotten");
    for source in [b"a", b"b", b"c"] {
        for id in 0u32..8 {
            assert!(recent.note(source, &id.to_be_bytes()));
        }
        assert!(recent.held() <= 25);
    }
    assert!(!recent.note(b"c", &7u32.to_be_bytes()));
    assert!(recent.note(b"loud", &99u32.to_be_bytes()), "silent for longest");
}

/// A queue that is full: a unicast ends with the reason, a broadcast is repeated.
#[test]
fn a_full_queue_is_told() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let id = lone.mesh.next_id();
    let message = super::network::unicast_to(identity(1).name(), b"x");
    lone.input(Input::Unicast { id, message });
    lone.input(Input::Refused { session, message: Some(id) });
    assert_eq!(lone.settled()[0].result, Err(SendFailure::QueueFull));
    lone.take(session);
    let id = lone.mesh.next_id();
    let message =
        crate::mesh::Broadcast { group: group(), module: MODULE_SEND, payload: "x".into() };
    lone.input(Input::Broadcast { id, message });
    lone.take(session);
    lone.input(Input::Refused { session, message: Some(id) });
    lone.run_for(millis(3001));
    assert_eq!(lone.take_type(session, PacketType::BroadcastMessage).len(), 1);
}
