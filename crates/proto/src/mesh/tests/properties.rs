//! Properties: whatever happens to the links, routes become the shortest ones, packets do not go in
//! circles, messages arrive once; and whatever a neighbour sends, nothing panics and memory is
//! bounded.

use bytes::Bytes;
use chainmesh_wire::mesh::{
    P2pId, Packet, PacketType, Route, RouterTable, RouterTableEntry, Version,
};
use proptest::prelude::*;

use super::network::{Lone, Network, identity, millis, seconds};
use crate::module::PeerKind;

#[derive(Debug, Clone)]
enum Step {
    Link(usize, usize),
    Cut(usize, usize),
    Restart(usize),
    Wait(u64),
    Unicast(usize, usize),
    Broadcast(usize),
}

fn steps(nodes: usize) -> impl Strategy<Value = Vec<Step>> {
    let node = 0..nodes;
    let pair = (node.clone(), node.clone()).prop_filter("two nodes", |(a, b)| a != b);
    proptest::collection::vec(
        prop_oneof![
            6 => pair.clone().prop_map(|(a, b)| Step::Link(a, b)),
            4 => pair.clone().prop_map(|(a, b)| Step::Cut(a, b)),
            1 => node.clone().prop_map(Step::Restart),
            4 => (0u64..400).prop_map(Step::Wait),
            3 => pair.prop_map(|(a, b)| Step::Unicast(a, b)),
            1 => node.prop_map(Step::Broadcast),
        ],
        1..40,
    )
}

fn apply(network: &mut Network, step: &Step) {
    match *step {
        Step::Link(a, b) if !network.neighbours(a).contains(&b) => network.link(a, b),
        Step::Link(..) => {}
        Step::Cut(a, b) => network.cut(a, b),
        Step::Restart(node) => network.restart(node),
        Step::Wait(time) => network.run_for(millis(time)),
        Step::Unicast(from, to) => {
            network.unicast(from, to, b"one");
        }
        Step::Broadcast(from) => {
            network.broadcast(from, b"all");
        }
    }
}

/// Nobody was given a message twice.
fn assert_once(network: &Network) {
    for (number, node) in network.nodes.iter().enumerate() {
        let mut ids: Vec<_> = node.delivered.iter().map(|it| (&it.source, &it.uuid)).collect();
        ids.sort();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all, "node {number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// When the links rest the routes are the shortest ones, on every node.
    #[test]
    fn routes_converge_and_messages_arrive_once(steps in steps(7)) {
        let mut network = Network::new(7);
        network.tap = Some(Vec::new());
        for step in &steps {
            apply(&mut network, step);
        }
        network.run_for(seconds(15));
        network.assert_converged();
        for seen in network.tap.take().unwrap() {
            prop_assert!(seen.packet.route.ttl >= 0, "{seen:?}");
        }
        // Everybody who can be reached hears a broadcast, and nobody else.
        for node in &mut network.nodes {
            node.delivered.retain(|delivery| !delivery.uuid.is_empty());
        }
        assert_once(&network);
        let before: Vec<_> = network.nodes.iter().map(|node| node.delivered.len()).collect();
        network.broadcast(0, b"all");
        network.run_for(seconds(11));
        let truth = network.true_distances(0);
        for (node, before) in before.into_iter().enumerate() {
            let heard = network.nodes[node].delivered.len() - before;
            let expected = truth.get(&node).is_some_and(|distance| *distance < 10);
            prop_assert_eq!(heard, usize::from(expected), "node {}", node);
        }
        assert_once(&network);
        prop_assert_eq!(network.report(0).pending, 0);
    }

    /// The same steps and seeds give the same packets.
    #[test]
    fn the_same_seed_gives_the_same_packets(steps in steps(4)) {
        let run = || {
            let mut network = Network::new(4);
            network.tap = Some(Vec::new());
            steps.iter().for_each(|step| apply(&mut network, step));
            network.run_for(seconds(4));
            let tap = network.tap.take().unwrap();
            tap.into_iter().map(|it| (it.at, it.from, it.to, it.packet)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

fn any_id() -> impl Strategy<Value = P2pId> {
    prop_oneof![
        (0u8..6).prop_map(|number| P2pId::new(identity(number).long()).unwrap()),
        (0u8..6).prop_map(|number| {
            P2pId::new(Bytes::copy_from_slice(identity(number).short().as_bytes())).unwrap()
        }),
        Just(P2pId::EMPTY),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| P2pId::new(bytes).unwrap()),
    ]
}

fn any_table() -> impl Strategy<Value = Bytes> {
    let distance = prop_oneof![-1i32..12, any::<i32>()];
    let entry = (any_id(), any_id(), distance).prop_map(|(destination, next, distance)| {
        RouterTableEntry::new(destination, next, distance)
    });
    proptest::collection::vec(entry, 0..12).prop_map(|entries| RouterTable { entries }.encode())
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let version = proptest::sample::select(Version::ALL.to_vec());
    let payload = prop_oneof![
        any_table(),
        proptest::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from),
    ];
    let ids = (any_id(), any_id(), any::<i16>());
    (version, 0u16..16, any::<u32>(), 0u16..0x40, ids, payload).prop_map(
        |(version, packet_type, seq, ext, (source, destination, ttl), payload)| {
            let packet_type = PacketType::from_number(packet_type);
            let packet = Packet::new(version, packet_type, seq, payload);
            let options = packet_type.has_options().then(|| chainmesh_wire::mesh::GroupOptions {
                group: super::network::group(),
                source: Bytes::from_static(&[1; 64]),
                destinations: vec![Bytes::from_static(&[2; 64])],
                module: Default::default(),
            });
            let route = Route { ttl, source, destination };
            Packet { ext: chainmesh_wire::mesh::Ext(ext), route, options, ..packet }
        },
    )
}

proptest! {
    /// Packets of every kind from three neighbours, in any order, with time between them.
    #[test]
    fn nothing_that_comes_breaks_the_machine(
        packets in proptest::collection::vec((0usize..3, any_packet(), 0u64..1500), 1..60),
    ) {
        let mut lone = Lone::with(|config| config.max_members = 8);
        let mut sessions: Vec<_> = (1..4).map(|number| {
            lone.negotiated(identity(number), PeerKind::Own, Version::ALL[usize::from(number)])
        }).collect();
        for (from, packet, wait) in packets {
            lone.outputs.clear();
            lone.packet(sessions[from], packet);
            if lone.fault().is_some() {
                let number = from as u8 + 1;
                sessions[from] = lone.negotiated(identity(number), PeerKind::Own, Version::V3);
            }
            lone.run_for(millis(wait));
            let report = lone.mesh.snapshot();
            prop_assert!(report.members.len() <= 8 + 3);
            for member in &report.members {
                prop_assert!(member.distance.is_none_or(|distance| (1..10).contains(&distance)));
                prop_assert_eq!(member.distance.is_some(), member.next_hop.is_some());
            }
            prop_assert_eq!(report.sessions.len(), 3);
        }
    }

    /// Bytes that are no packet end the session and nothing else.
    #[test]
    fn any_bytes_may_come(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        for kind in [PeerKind::Own, PeerKind::Fisco3, PeerKind::Fisco2] {
            let mut lone = Lone::new();
            let session = lone.open(identity(1), kind);
            lone.frame(session, frame.clone());
            lone.run_for(seconds(10));
        }
    }
}
