//! The sequence diagrams of the first seed document, message by message, types included.
//!
//! The documents draw 0x30, 0x31, 0x32 and 0x35 between SDK and node; between our nodes the messages
//! travel as gateways of 3.x have them (packet types 7 and 8), between 2.x nodes as whole frames.

use super::network::{Network, millis, seconds, without_numbers};

#[test]
fn unicast_as_drawn() {
    let mut net = Network::full(2);
    let subscriber = net.channel(0, "subscriber");
    let publisher = net.channel(1, "publisher");
    net.tap = Some(Vec::new());
    net.subscribe(subscriber, &["topic1"]);
    net.run_for(millis(20));
    let seq = net.publish(publisher, "topic1", "hi");
    net.run_for(millis(20));
    let tap = net.tap.take().unwrap();
    assert_eq!(
        without_numbers(&tap),
        [
            "sdk0>node0 0x32",
            "node1>node0 7 RequestTopic",
            "node0>node1 7 ResponseTopic",
            "sdk1>node1 0x30",
            "node1>node0 7 Request",
            "node0>sdk0 0x30",
            "sdk0>node0 0x31",
            "node0>node1 8 answer",
            "node1>sdk1 0x31",
        ]
    );
    assert!(tap.contains(&"node0>node1 7 TopicSeq".to_owned()), "the list changed: {tap:?}");
    assert_eq!(net.result(publisher, &seq), Some(Ok("echo:hi".into())));
    assert_eq!(net.got(subscriber), ["hi"]);
    net.assert_nothing_waits();
}

#[test]
fn unicast_without_a_subscriber_is_100() {
    let mut net = Network::full(2);
    let publisher = net.channel(1, "publisher");
    net.tap = Some(Vec::new());
    let seq = net.publish(publisher, "topic1", "hi");
    net.run_for(millis(20));
    let tap = net.tap.take().unwrap();
    assert_eq!(without_numbers(&tap), ["sdk0>node1 0x30", "node1>sdk0 0x31"]);
    assert_eq!(net.result(publisher, &seq), Some(Err(100)));
    assert!(net.clients[publisher].answers[0].2.is_empty(), "the body is cleared");
}

#[test]
fn multicast_as_drawn() {
    let mut net = Network::full(3);
    let first = net.channel(0, "first");
    let second = net.channel(1, "second");
    let publisher = net.channel(2, "publisher");
    net.tap = Some(Vec::new());
    net.subscribe(first, &["topic1"]);
    net.run_for(millis(20));
    let tap = net.tap.replace(Vec::new()).unwrap();
    let mut lines: Vec<_> = without_numbers(&tap).into();
    assert_eq!(lines.remove(0), "sdk0>node0 0x32");
    lines.sort_unstable();
    let exchange = [
        "node0>node1 7 ResponseTopic",
        "node0>node2 7 ResponseTopic",
        "node1>node0 7 RequestTopic",
        "node2>node0 7 RequestTopic",
    ];
    assert_eq!(lines, exchange);
    net.subscribe(second, &["topic1"]);
    net.run_for(millis(20));
    let tap = net.tap.replace(Vec::new()).unwrap();
    let mut lines: Vec<_> = without_numbers(&tap).into();
    assert_eq!(lines.remove(0), "sdk1>node1 0x32");
    lines.sort_unstable();
    let exchange = [
        "node0>node1 7 RequestTopic",
        "node1>node0 7 ResponseTopic",
        "node1>node2 7 ResponseTopic",
        "node2>node1 7 RequestTopic",
    ];
    assert_eq!(lines, exchange);
    let seq = net.multicast(publisher, "topic1", "hi");
    net.run_for(millis(20));
    let tap = net.tap.take().unwrap();
    let mut lines: Vec<_> = without_numbers(&tap).into();
    assert_eq!(lines.remove(0), "sdk2>node2 0x35");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "node0>sdk0 0x35",
            "node1>sdk1 0x35",
            "node2>node0 7 ResponseOrBroadcast",
            "node2>node1 7 ResponseOrBroadcast",
            "node2>sdk2 0x31",
        ]
    );
    assert_eq!(net.result(publisher, &seq), Some(Ok("hi".into())), "the original body comes back");
    assert_eq!((net.got(first), net.got(second)), (vec!["hi"], vec!["hi"]));
}

/// The publisher is told that its multicast was pushed, also when nobody follows the topic.
#[test]
fn multicast_without_a_subscriber_succeeds() {
    let mut net = Network::full(2);
    let publisher = net.channel(1, "publisher");
    let seq = net.multicast(publisher, "topic1", "hi");
    net.run_for(millis(20));
    assert_eq!(net.result(publisher, &seq), Some(Ok("hi".into())));
}

/// State sync by number: the number is told again and again, and asked about only when it changed.
#[test]
fn topic_lists_are_asked_for_when_their_number_changed() {
    let mut net = Network::full(2);
    let subscriber = net.channel(0, "subscriber");
    net.subscribe(subscriber, &["topic1"]);
    net.run_for(seconds(3));
    net.tap = Some(Vec::new());
    net.run_for(seconds(10));
    let tap = net.tap.replace(Vec::new()).unwrap();
    let told = tap.iter().filter(|line| *line == "node0>node1 7 TopicSeq").count();
    assert_eq!(told, 5, "every 2 s");
    assert_eq!(without_numbers(&tap), [""; 0]);
    net.subscribe(subscriber, &["topic1", "topic2"]);
    net.run_for(millis(20));
    let tap = net.tap.take().unwrap();
    assert_eq!(
        without_numbers(&tap),
        ["sdk0>node0 0x32", "node1>node0 7 RequestTopic", "node0>node1 7 ResponseTopic"]
    );
    assert_eq!(net.report(1).topics.len(), 2);
}

/// The same diagram with SDKs of 3.x: its own numbers.
#[test]
fn unicast_of_3x() {
    let mut net = Network::full(2);
    let subscriber = net.ws(0, "subscriber");
    let publisher = net.ws(1, "publisher");
    net.tap = Some(Vec::new());
    net.subscribe(subscriber, &["topic1"]);
    net.run_for(millis(20));
    let seq = net.publish(publisher, "topic1", "hi");
    net.run_for(millis(20));
    let tap = net.tap.take().unwrap();
    assert_eq!(
        without_numbers(&tap),
        [
            "sdk0>node0 0x110",
            "node1>node0 7 RequestTopic",
            "node0>node1 7 ResponseTopic",
            "sdk1>node1 0x111",
            "node1>node0 7 Request",
            "node0>sdk0 0x111",
            "sdk0>node0 0x113",
            "node0>node1 8 answer",
            "node1>sdk1 0x113",
        ]
    );
    assert_eq!(net.result(publisher, &seq), Some(Ok("echo:hi".into())));
}

/// A multicast of 3.x has no answer.
#[test]
fn multicast_of_3x() {
    let mut net = Network::full(2);
    let subscriber = net.ws(0, "subscriber");
    let publisher = net.ws(1, "publisher");
    net.subscribe(subscriber, &["topic1"]);
    net.run_for(millis(20));
    net.tap = Some(Vec::new());
    net.multicast(publisher, "topic1", "hi");
    net.run_for(seconds(1));
    let tap = net.tap.take().unwrap();
    assert_eq!(
        without_numbers(&tap),
        ["sdk1>node1 0x112", "node1>node0 7 ResponseOrBroadcast", "node0>sdk0 0x112"]
    );
    assert!(net.clients[subscriber].got[0].1.is_empty(), "a push of a broadcast has no seq");
}
