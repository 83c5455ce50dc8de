//! The books of the broker, whatever happens: nothing leaks, everything ends once, nobody is given a
//! message twice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::network::{Network, millis, seconds};
use super::sdk::Habit;
use crate::amop::{GRACE, Input, SdkKind, UNICAST_TIMEOUT};

#[derive(Debug, Clone)]
enum Step {
    Connect { node: usize, websocket: bool, name: usize, habit: u8 },
    Subscribe { client: usize, topics: u8 },
    Publish { client: usize, topic: usize },
    Multicast { client: usize, topic: usize },
    Disconnect { client: usize },
    Full { client: usize, full: bool },
    Cut { link: usize },
    Link { link: usize },
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3usize, any::<bool>(), 0..3usize, 0..4u8).prop_map(|(node, websocket, name, habit)| {
            Step::Connect { node, websocket, name, habit }
        }),
        3 => (0..8usize, 0..8u8).prop_map(|(client, topics)| Step::Subscribe { client, topics }),
        6 => (0..8usize, 0..3usize).prop_map(|(client, topic)| Step::Publish { client, topic }),
        2 => (0..8usize, 0..3usize).prop_map(|(client, topic)| Step::Multicast { client, topic }),
        1 => (0..8usize).prop_map(|client| Step::Disconnect { client }),
        1 => (0..8usize, any::<bool>()).prop_map(|(client, full)| Step::Full { client, full }),
        1 => (0..3usize).prop_map(|link| Step::Cut { link }),
        2 => (0..3usize).prop_map(|link| Step::Link { link }),
        3 => prop::sample::select(vec![1, 3, 50, 5_000]).prop_map(|millis| Step::Wait { millis }),
    ]
}

const TOPICS: [&str; 3] = ["a", "b", "c"];
const LINKS: [(usize, usize); 3] = [(0, 1), (1, 2), (0, 2)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_books_are_kept(steps in prop::collection::vec(step(), 1..80)) {
        let mut net = Network::full(3);
        let mut linked: BTreeSet<usize> = (0..3).collect();
        for node in 0..3 {
            net.sdk(node, [SdkKind::Channel, SdkKind::WebSocket][node % 2], "first");
        }
        let mut published = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let clients = net.clients.len();
            let alive = |net: &Network, client: usize| {
                let client = client % clients;
                net.clients[client].alive.then_some(client)
            };
            match step {
                Step::Connect { node, websocket, name, habit } => {
                    let kind = if websocket { SdkKind::WebSocket } else { SdkKind::Channel };
                    let client = net.sdk(node, kind, ["first", "second", "third"][name]);
                    net.clients[client].habit = match habit {
                        0 => Habit::Silent,
                        1 => Habit::Refuse(7),
                        _ => Habit::Echo,
                    };
                }
                Step::Subscribe { client, topics } => {
                    let Some(client) = alive(&net, client) else { continue };
                    let topics = (0..3).filter(|bit| topics & 1 << bit != 0).map(|bit| TOPICS[bit]);
                    net.subscribe(client, &topics.collect::<Vec<_>>());
                }
                Step::Publish { client, topic } => {
                    let Some(client) = alive(&net, client) else { continue };
                    let seq = net.publish(client, TOPICS[topic], &format!("u{number}"));
                    published.insert(number, (client, seq));
                }
                Step::Multicast { client, topic } => {
                    let Some(client) = alive(&net, client) else { continue };
                    net.multicast(client, TOPICS[topic], &format!("m{number}"));
                }
                Step::Disconnect { client } => {
                    let Some(client) = alive(&net, client) else { continue };
                    net.disconnect(client);
                }
                Step::Full { client, full } => {
                    let Some(client) = alive(&net, client) else { continue };
                    net.clients[client].full = full;
                    if !full {
                        let (node, session) = (net.clients[client].node, net.clients[client].session);
                        net.broker(node, Input::Room { session });
                    }
                }
                Step::Cut { link } => {
                    if linked.remove(&link) {
                        net.cut(LINKS[link].0, LINKS[link].1);
                    }
                }
                Step::Link { link } => {
                    if linked.insert(link) {
                        net.link(LINKS[link].0, LINKS[link].1);
                    }
                }
                Step::Wait { millis: time } => net.run_for(millis(time)),
            }
            for node in &net.nodes {
                let report = node.broker.snapshot();
                let own: usize = report.sessions.iter().map(|sdk| sdk.publishing).sum();
                prop_assert_eq!(report.waiting, own + report.of_nodes);
            }
        }
        let end = net.now + UNICAST_TIMEOUT + GRACE;
        while net.now < end {
            net.keep_alive();
            net.run_for(seconds(5));
        }
        net.assert_nothing_waits();
        for (client, seq) in published.values() {
            // What a client published that is still there came to one end; `result` sees to "one".
            let ended = net.result(*client, seq).is_some();
            prop_assert!(ended || !net.clients[*client].alive, "{client} {seq:?}");
        }
        for client in 0..net.clients.len() {
            let got = net.got(client);
            let different: BTreeSet<_> = got.iter().collect();
            prop_assert_eq!(different.len(), got.len(), "{} was given {:?}", client, got);
        }
        for node in 0..3 {
            let report = net.report(node);
            prop_assert_eq!(report.gone, 0);
            let all = linked.len() >= 2;
            // Everybody knows the same topics when the mesh is whole again.
            prop_assert!(!all || report.topics.len() == net.report(0).topics.len());
        }
    }
}
