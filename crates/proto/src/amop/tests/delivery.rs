//! Who gets a message, who gets it next, and how it ends.

use std::collections::BTreeSet;

use crate::amop::{AmopCast, NODE_TIMEOUT, SUBSCRIBER_TIMEOUT, SdkKind, UNICAST_TIMEOUT};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;

const BOTH: [SdkKind; 2] = [SdkKind::Channel, SdkKind::WebSocket];

#[test]
fn a_local_subscriber_is_served_like_a_remote_one() {
    for kind in BOTH {
        let mut net = Network::new(1);
        let subscriber = net.sdk(0, kind, "subscriber");
        let publisher = net.sdk(0, kind, "publisher");
        net.subscribe(subscriber, &["t"]);
        let seq = net.publish(publisher, "t", "one");
        assert_eq!(net.await_result(publisher, &seq), Ok("echo:one".into()));
        net.multicast(publisher, "t", "two");
        net.run_for(millis(10));
        assert_eq!(net.got(subscriber), ["one", "two"]);
        net.assert_nothing_waits();
    }
}

#[test]
fn one_connection_may_publish_to_itself() {
    for kind in BOTH {
        let mut net = Network::new(1);
        let client = net.sdk(0, kind, "client");
        net.subscribe(client, &["t"]);
        let seq = net.publish(client, "t", "hi");
        assert_eq!(net.await_result(client, &seq), Ok("echo:hi".into()));
        let all = net.multicast(client, "t", "all");
        net.run_for(millis(10));
        assert_eq!(net.got(client), ["hi", "all"]);
        let [(_, one, _), (_, every, _)] = &net.clients[client].got[..] else { panic!() };
        assert!(*one != seq && *every != all, "it would take the push for its answer");
    }
}

/// Even over the nodes, and over the sessions of a node: with 600 draws each of three nodes has 200
/// in the mean, and 140 to 260 unless the draw is uneven (five standard deviations).
#[test]
fn a_unicast_goes_to_a_random_subscriber_of_all_nodes() {
    let mut net = Network::full(3);
    let publisher = net.channel(0, "publisher");
    let subscribers: Vec<_> =
        [0, 1, 1, 2].into_iter().map(|node| net.channel(node, "subscriber")).collect();
    for subscriber in &subscribers {
        net.subscribe(*subscriber, &["t"]);
    }
    net.run_for(seconds(1));
    for _ in 0..600 {
        let seq = net.publish(publisher, "t", "x");
        net.run_for(millis(10));
        assert_eq!(net.result(publisher, &seq), Some(Ok("echo:x".into())));
    }
    let counts: Vec<_> = subscribers.iter().map(|it| net.got(*it).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 600, "each unicast reached one subscriber");
    for node in [counts[0], counts[1] + counts[2], counts[3]] {
        assert!((140..=260).contains(&node), "{counts:?}");
    }
    assert!((50..=150).contains(&counts[1]), "{counts:?}");
    net.assert_nothing_waits();
}

#[test]
fn a_silent_subscriber_is_followed_by_another_one() {
    let mut net = Network::new(1);
    let publisher = net.channel(0, "publisher");
    let silent = net.channel(0, "silent");
    let other = net.channel(0, "other");
    net.clients[silent].habit = Habit::Silent;
    net.subscribe(silent, &["t"]);
    net.subscribe(other, &["t"]);
    net.run_for(millis(10));
    let mut both = false;
    for _ in 0..8 {
        let (began, before) = (net.now, net.got(silent).len());
        let seq = net.publish(publisher, "t", "x");
        assert_eq!(net.await_result(publisher, &seq), Ok("echo:x".into()));
        let asked_first = net.got(silent).len() > before;
        both |= asked_first;
        let took = net.now.saturating_since(began);
        assert_eq!(took >= SUBSCRIBER_TIMEOUT, asked_first, "{took:?}");
    }
    assert!(both, "in eight draws of two the silent one is drawn");
    net.assert_nothing_waits();
}

#[test]
fn a_silent_node_is_followed_by_another_one() {
    let mut net = Network::full(3);
    let publisher = net.channel(0, "publisher");
    let subscribers = [net.channel(1, "one"), net.channel(2, "two")];
    for subscriber in subscribers {
        net.subscribe(subscriber, &["t"]);
    }
    net.run_for(seconds(1));
    // Whoever is asked first does not get the packet: the link loses it, and stays.
    let seq = net.publish(publisher, "t", "x");
    net.run_for(millis(1));
    let lost = net.lose_packets_from(0);
    assert_eq!(lost, 1);
    let began = net.now;
    assert_eq!(net.await_result(publisher, &seq), Ok("echo:x".into()));
    assert!(net.now.saturating_since(began) + millis(2) >= NODE_TIMEOUT);
    assert_eq!(subscribers.map(|it| net.got(it).len()).iter().sum::<usize>(), 1);
    net.assert_nothing_waits();
}

#[test]
fn a_subscriber_that_is_killed_fails_over_at_once() {
    for remote in [false, true] {
        let mut net = Network::full(2);
        let node = usize::from(remote);
        let publisher = net.channel(0, "publisher");
        let killed = net.channel(node, "killed");
        net.clients[killed].habit = Habit::Silent;
        net.subscribe(killed, &["t"]);
        net.run_for(millis(20));
        let seq = net.publish(publisher, "t", "x");
        net.run_for(millis(20));
        assert_eq!(net.got(killed), ["x"]);
        let other = net.channel(node, "other");
        net.subscribe(other, &["t"]);
        net.run_for(millis(20));
        net.disconnect(killed);
        net.run_for(millis(20));
        assert_eq!(net.result(publisher, &seq), Some(Ok("echo:x".into())), "{remote}");
        net.assert_nothing_waits();
    }
}

/// Its node says 3002: nobody took it, so another node is asked.
#[test]
fn a_node_whose_subscribers_are_gone_is_followed_by_another_one() {
    let mut net = Network::full(3);
    let publisher = net.channel(0, "publisher");
    let silent = net.channel(1, "silent");
    net.clients[silent].habit = Habit::Silent;
    net.subscribe(silent, &["t"]);
    net.run_for(millis(20));
    let seq = net.publish(publisher, "t", "x");
    net.run_for(millis(20));
    let other = net.channel(2, "other");
    net.subscribe(other, &["t"]);
    net.run_for(seconds(6));
    assert_eq!(net.result(publisher, &seq), Some(Ok("echo:x".into())));
    net.assert_nothing_waits();
}

#[test]
fn a_node_that_is_lost_fails_over_at_once() {
    let mut net = Network::full(2);
    let publisher = net.channel(0, "publisher");
    let silent = net.channel(1, "silent");
    net.clients[silent].habit = Habit::Silent;
    net.subscribe(silent, &["t"]);
    net.run_for(millis(20));
    let seq = net.publish(publisher, "t", "x");
    net.run_for(millis(20));
    net.cut(0, 1);
    net.run_for(millis(20));
    assert_eq!(net.result(publisher, &seq), Some(Err(100)));
    assert!(net.report(0).topics.is_empty(), "its topics are forgotten");
    net.run_for(seconds(60));
    net.assert_nothing_waits();
}

#[test]
fn a_unicast_that_nobody_answers_ends_in_time() {
    let mut net = Network::full(8);
    let publisher = net.channel(0, "publisher");
    for node in 0..8 {
        for _ in 0..8 {
            let silent = net.channel(node, "silent");
            net.clients[silent].habit = Habit::Silent;
            net.subscribe(silent, &["t"]);
        }
    }
    net.run_for(seconds(1));
    // Silence would cut them: they live as long as this takes.
    let began = net.now;
    let seq = net.publish(publisher, "t", "x");
    while net.result(publisher, &seq).is_none() {
        net.keep_alive();
        net.run_for(seconds(1));
    }
    let took = net.now.saturating_since(began);
    assert!(took <= UNICAST_TIMEOUT + seconds(1), "{took:?}");
    assert_eq!(net.result(publisher, &seq), Some(Err(100)), "time-outs are 100");
    for client in 1..net.clients.len() {
        assert!(net.got(client).len() <= 1, "nobody is given it twice");
    }
    for _ in 0..40 {
        net.keep_alive();
        net.run_for(seconds(1));
    }
    net.assert_nothing_waits();
}

#[test]
fn an_answer_with_a_code_is_final() {
    for remote in [false, true] {
        let mut net = Network::full(2);
        let publisher = net.channel(0, "publisher");
        let subscriber = net.channel(usize::from(remote), "subscriber");
        net.clients[subscriber].habit = Habit::Refuse(7);
        net.subscribe(subscriber, &["t"]);
        net.run_for(millis(20));
        let seq = net.publish(publisher, "t", "x");
        assert_eq!(net.await_result(publisher, &seq), Err(7), "remote: {remote}");
        assert_eq!(net.got(subscriber), ["x"]);
        net.assert_nothing_waits();
    }
}

#[test]
fn a_multicast_reaches_every_subscriber_once() {
    let mut net = Network::line(4);
    let mut subscribers = Vec::new();
    for node in 0..4 {
        for kind in BOTH {
            let subscriber = net.sdk(node, kind, "subscriber");
            net.subscribe(subscriber, &["t", "other"]);
            subscribers.push(subscriber);
        }
    }
    let bystander = net.channel(2, "bystander");
    net.subscribe(bystander, &["other"]);
    net.run_for(seconds(1));
    net.multicast(subscribers[0], "t", "x");
    net.run_for(seconds(1));
    for subscriber in subscribers {
        assert_eq!(net.got(subscriber), ["x"], "{subscriber}");
        assert_eq!(net.clients[subscriber].got[0].0, AmopCast::Multicast);
    }
    assert_eq!(net.got(bystander), [""; 0]);
}

#[test]
fn a_topic_that_is_followed_no_more_gets_nothing() {
    for kind in BOTH {
        let mut net = Network::full(2);
        let publisher = net.channel(0, "publisher");
        let subscriber = net.sdk(1, kind, "subscriber");
        net.subscribe(subscriber, &["t", "u"]);
        net.run_for(millis(200));
        net.subscribe(subscriber, &["u"]);
        net.run_for(millis(200));
        let seq = net.publish(publisher, "t", "x");
        assert_eq!(net.await_result(publisher, &seq), Err(100));
        net.multicast(publisher, "t", "x");
        let seq = net.publish(publisher, "u", "y");
        assert_eq!(net.await_result(publisher, &seq), Ok("echo:y".into()));
        assert_eq!(net.got(subscriber), ["y"]);
    }
}

#[test]
fn a_burst_of_a_thousand_arrives_whole() {
    let mut net = Network::full(2);
    let publisher = net.channel(0, "publisher");
    let subscriber = net.channel(1, "subscriber");
    net.subscribe(subscriber, &["t"]);
    net.run_for(millis(20));
    let texts: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    let seqs: Vec<_> = texts.iter().map(|text| net.publish(publisher, "t", text)).collect();
    net.run_for(seconds(1));
    for (text, seq) in texts.iter().zip(&seqs) {
        assert_eq!(net.result(publisher, seq), Some(Ok(format!("echo:{text}").into())));
    }
    let got: BTreeSet<_> = net.got(subscriber).into_iter().collect();
    assert_eq!((got.len(), net.got(subscriber).len()), (1000, 1000));
    net.assert_nothing_waits();
}

#[test]
fn a_publisher_that_leaves_takes_its_unicasts_with_it() {
    let mut net = Network::full(2);
    let publisher = net.channel(0, "publisher");
    let silent = [net.channel(0, "one"), net.channel(0, "two")];
    for silent in silent {
        net.clients[silent].habit = Habit::Silent;
        net.subscribe(silent, &["t"]);
    }
    net.run_for(millis(20));
    net.publish(publisher, "t", "x");
    net.run_for(millis(20));
    net.disconnect(publisher);
    net.run_for(seconds(20));
    assert_eq!(silent.map(|it| net.got(it).len()).iter().sum::<usize>(), 1, "nobody else is asked");
    net.assert_nothing_waits();
}
