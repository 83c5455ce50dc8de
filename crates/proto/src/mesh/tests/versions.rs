//! Versions: what is agreed on, and what packets look like on each link.

use bytes::Bytes;
use chainmesh_wire::mesh::{
    MeshError, P2pId, Packet, PacketType, ProtocolInfo, Route, Version, VersionRange,
};

use super::network::{Lone, Network, identity, millis, seconds};
use crate::mesh::{MeshEvent, MeshFault, Outcome};
use crate::module::PeerKind;

const VERSIONS: [Version; 4] = Version::ALL;

#[test]
fn the_first_packets_are_those_of_the_vectors() {
    let mut lone = Lone::new();
    let session = lone.open(identity(1), PeerKind::Fisco3);
    let frames = lone.take_frames(session);
    let handshake = const_hex::decode("000000130000000200000002000010012c3003").unwrap();
    assert_eq!(frames[0], handshake, "V0, number 2, versions 0 to 3");
    for frame in frames {
        assert_eq!(Packet::decode(frame).unwrap().version, Version::V0, "nothing is agreed yet");
    }
}

#[test]
fn the_lower_maximum_holds() {
    for theirs in VERSIONS {
        for ours in VERSIONS {
            let mut lone = Lone::with(|config| config.versions.max = ours);
            let session = lone.negotiated(identity(1), PeerKind::Fisco3, theirs);
            lone.take(session);
            lone.run_for(seconds(1));
            let [number] = &lone.take_type(session, PacketType::SyncNodeSeq)[..] else {
                panic!("no number")
            };
            assert_eq!(number.version, ours.min(theirs));
        }
    }
}

#[test]
fn a_second_handshake_only_goes_down() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V2);
    for (max, agreed) in [(3, Version::V2), (1, Version::V1), (2, Version::V1)] {
        let info = ProtocolInfo { module: 1, min_version: 0, max_version: max };
        lone.packet(session, Packet::new(Version::V0, PacketType::Handshake, 9, info.encode()));
        assert_eq!(lone.mesh.snapshot().sessions[0].version, agreed);
    }
    assert_eq!(lone.mesh.counters().renegotiated, 3);
}

#[test]
fn no_version_in_common_ends_the_session() {
    for (min, max) in [(4, 7), (2, 1), (-3, -1)] {
        let mut lone = Lone::new();
        let session = lone.open(identity(1), PeerKind::Own);
        let info = ProtocolInfo { module: 1, min_version: min, max_version: max };
        lone.packet(session, Packet::new(Version::V0, PacketType::Handshake, 2, info.encode()));
        let fault = lone.fault().unwrap();
        assert!(matches!(fault, MeshFault::Version(_)), "{fault}");
        assert!(!fault.blames_peer());
        assert!(lone.mesh.snapshot().sessions.is_empty());
    }
}

/// A row in which every link speaks another version: each packet has the IDs that its link needs.
#[test]
fn ids_are_converted_from_link_to_link() {
    // The links speak V3, V1, V2, V3.
    let mut network = Network::with(5, |node, config| {
        config.versions.max =
            [Version::V3, Version::V3, Version::V1, Version::V3, Version::V3][usize::from(node)];
    });
    let versions = [Version::V3, Version::V1, Version::V1, Version::V3];
    for node in 1..5 {
        network.link(node - 1, node);
    }
    network.run_for(seconds(5));
    network.assert_converged();
    network.tap = Some(Vec::new());
    let id = network.unicast(0, 4, b"through all");
    network.run_for(millis(100));
    assert!(matches!(network.result(0, id), Some(Ok(Outcome::Delivered { .. }))));
    assert_eq!(network.payloads(4), [b"through all"]);
    let hops = network.tapped(PacketType::PeerToPeerMessage);
    assert_eq!(hops.len(), 4);
    for (hop, version) in hops.iter().zip(versions) {
        let (source, destination) = (&hop.packet.route.source, &hop.packet.route.destination);
        assert_eq!(hop.packet.version, version);
        assert_eq!(source.is_short(), version == Version::V3);
        assert_eq!(source.to_short().as_bytes().as_ref(), network.nodes[0].short.as_bytes());
        assert_eq!(destination.to_short().as_bytes().as_ref(), network.nodes[4].short.as_bytes());
    }
    let ttls: Vec<_> = hops.iter().map(|hop| hop.packet.route.ttl).collect();
    assert_eq!(ttls, [10, 9, 8, 7]);
}

/// A node of V0 is a neighbour and no more: it is spoken to, nothing goes through it.
#[test]
fn a_v0_node_is_spoken_to_and_not_routed_through() {
    let mut network = Network::with(3, |node, config| {
        if node == 1 {
            config.versions.max = Version::V0;
        }
    });
    network.link(0, 1);
    network.link(1, 2);
    network.run_for(seconds(5));
    let id = network.unicast(0, 1, b"neighbour");
    network.run_for(seconds(1));
    assert!(matches!(network.result(0, id), Some(Ok(Outcome::Delivered { .. }))));
    assert_eq!(network.payloads(1), [b"neighbour"]);
    assert!(network.report(0).counters.dropped_no_way > 0, "announcements to 2 find no way");
}

/// V0 packets arrive on a V3 session at any time: heartbeats, and broadcasts of FISCO 3.13.
#[test]
fn each_packet_is_read_by_its_own_version() {
    let frame = "0000006200000006000000150006000667726f7570300040000102030405060708090a0b0c0d0e0f\
                 101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637\
                 38393a3b3c3d3e3f0007d107d10000007478";
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Fisco3, Version::V3);
    lone.take(session);
    lone.frame(session, const_hex::decode(frame).unwrap());
    lone.frame(session, const_hex::decode("0000000e00000001000000000000").unwrap());
    let [delivery] = &lone.deliveries()[..] else { panic!("not one delivery") };
    assert_eq!(delivery.payload, "tx");
    assert_eq!(delivery.module.0, 2001);
    assert_eq!(delivery.gateway, identity(1).name());
    assert_eq!(delivery.source, (0..64).collect::<Vec<u8>>());
    assert!(delivery.uuid.is_empty());
    assert!(lone.take(session).is_empty(), "FISCO's broadcasts are not confirmed");
}

fn id(number: u8) -> P2pId {
    P2pId::new(Bytes::copy_from_slice(identity(number).short().as_bytes())).unwrap()
}

fn routed(from: u8, to: u8, ttl: i16) -> Packet {
    let payload = Bytes::from_static(&[0, 0, 0, 1]);
    let packet = Packet::new(Version::V3, PacketType::SyncNodeSeq, 7, payload);
    Packet { route: Route { ttl, source: id(from), destination: id(to) }, ..packet }
}

#[test]
fn hops_are_counted() {
    let mut lone = Lone::new();
    let [a, b] = [1, 2].map(|peer| lone.negotiated(identity(peer), PeerKind::Own, Version::V3));
    lone.take(b);
    for (ttl, sent) in [(10, Some(9)), (1, Some(0)), (0, None), (-5, None), (i16::MAX, Some(32766))]
    {
        lone.packet(a, routed(1, 2, ttl));
        let packets = lone.take(b);
        assert_eq!(packets.first().map(|packet| packet.route.ttl), sent, "ttl {ttl}");
    }
    let counters = lone.mesh.counters();
    assert_eq!((counters.forwarded, counters.dropped_ttl), (3, 2));
}

/// Types that nobody knows are passed on like any other, and ignored at their end.
#[test]
fn unknown_types_travel_and_are_ignored() {
    let mut lone = Lone::new();
    let [a, b] = [1, 2].map(|peer| lone.negotiated(identity(peer), PeerKind::Own, Version::V3));
    lone.take(b);
    let odd = Packet { packet_type: PacketType::Unknown(0x77), ..routed(1, 2, 5) };
    lone.packet(a, odd);
    assert_eq!(lone.take(b)[0].packet_type, PacketType::Unknown(0x77));
    lone.packet(a, Packet { packet_type: PacketType::Unknown(0x77), ..routed(1, 0, 5) });
    assert_eq!(lone.mesh.counters().unknown_type, 1);
    assert_eq!(lone.fault(), None);
}

#[test]
fn a_packet_that_comes_back_is_dropped() {
    let mut lone = Lone::new();
    let [a, b] = [1, 2].map(|peer| lone.negotiated(identity(peer), PeerKind::Own, Version::V3));
    lone.take(b);
    lone.packet(a, routed(0, 2, 5));
    assert!(lone.take(b).is_empty());
    assert_eq!(lone.mesh.counters().looped, 1);
}

/// Packed payloads are passed on as they are, but unpacked for a link of V1.
#[test]
fn a_packed_payload_is_unpacked_for_old_links() {
    let content = Bytes::from(vec![b'a'; 2000]);
    for (version, packed) in [(Version::V3, true), (Version::V2, true), (Version::V1, false)] {
        let mut lone = Lone::new();
        let a = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
        let b = lone.negotiated(identity(2), PeerKind::Own, version);
        lone.take(b);
        let mut packet = Packet { payload: content.clone(), ..routed(1, 2, 5) };
        packet.packet_type = PacketType::ResponseNodeStatus;
        packet.pack().unwrap();
        lone.packet(a, packet);
        let [mut sent] = lone.take(b).try_into().unwrap();
        assert_eq!(sent.ext.0 & 0x10 != 0, packed, "{version}");
        sent.unpack().unwrap();
        assert_eq!(sent.payload, content);
    }
}

/// What ends a session says what was wrong; who only passed it on keeps the session.
#[test]
fn bad_packets_end_the_session_of_who_made_them() {
    let frames: [&[u8]; 4] = [
        b"short",
        &[0, 0, 0, 14, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 14, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 15, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0xff],
    ];
    for frame in frames {
        let mut lone = Lone::new();
        let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
        lone.frame(session, frame);
        let fault = lone.fault().expect("it is bad");
        assert!(matches!(fault, MeshFault::Packet(_)), "{fault}");
        assert!(fault.blames_peer());
        assert_eq!(lone.mesh.snapshot().members[0].distance, None);
    }
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let mut bad = routed(2, 0, 5);
    bad.packet_type = PacketType::ResponseNodeStatus;
    lone.packet(session, bad.clone());
    assert_eq!(lone.fault(), None);
    assert_eq!(lone.mesh.counters().bad_routed, 1);
    bad.route.source = id(1);
    lone.packet(session, bad);
    assert!(matches!(lone.fault(), Some(MeshFault::Packet(MeshError::Malformed { .. }))));
}

#[test]
fn ids_of_no_length_that_exists_end_the_session() {
    let mut lone = Lone::new();
    let session = lone.negotiated(identity(1), PeerKind::Own, Version::V3);
    let mut packet = routed(1, 0, 5);
    packet.route.destination = P2pId::new(Bytes::from_static(b"odd")).unwrap();
    lone.packet(session, packet);
    assert_eq!(lone.fault(), Some(MeshFault::NodeId(3)));
}

#[test]
fn nobody_is_his_own_neighbour() {
    let mut lone = Lone::new();
    lone.open(identity(0), PeerKind::Own);
    assert_eq!(lone.fault(), Some(MeshFault::Itself));
    assert_eq!(lone.mesh.snapshot().members.len(), 0);
}

#[test]
fn what_was_agreed_is_told() {
    let mut network = Network::with(2, |node, config| {
        config.versions = VersionRange { min: Version::V0, max: VERSIONS[2 + usize::from(node)] };
    });
    network.link(0, 1);
    network.run_for(seconds(1));
    let neighbour = network.nodes[1].id;
    assert!(network.nodes[0].events.contains(&MeshEvent::Negotiated { neighbour, version: 2 }));
}
