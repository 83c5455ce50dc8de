//! Private topics of 2.x: accepted, refused, asked again.

use bytes::Bytes;
use chainmesh_wire::amop::channel::{
    FrameType, NEED_VERIFY, PUSH_CHANNEL, TopicVerdict, VERIFY_CHANNEL, VerifyTopic,
};

use super::network::{Network, millis, seconds};
use crate::amop::VERIFY_TIMEOUT;

const TOPIC: &str = "#!$TopicNeedVerify_secret";

/// Follows the private topic as an SDK does; the number makes the channel.
fn follow(net: &mut Network, client: usize, number: u32) -> String {
    let channel = format!("{VERIFY_CHANNEL}{TOPIC}_{number:032x}");
    net.subscribe(client, &[TOPIC, &channel]);
    net.run_for(millis(200));
    channel
}

fn publisher(net: &mut Network, node: usize) -> usize {
    let publisher = net.channel(node, "publisher");
    let push = format!("{PUSH_CHANNEL}{TOPIC}");
    net.subscribe(publisher, &[&push]);
    net.run_for(millis(200));
    publisher
}

/// The questions that came to a publisher so far, with their seqs.
fn questions(net: &Network, client: usize) -> Vec<(Bytes, VerifyTopic)> {
    let frames = net.clients[client].frames.iter();
    let frames = frames.filter(|frame| frame.frame_type == FrameType::VerifyTopic);
    let question = |frame: &chainmesh_wire::amop::channel::Frame| {
        let seq = Bytes::copy_from_slice(&frame.seq.0);
        (seq, VerifyTopic::from_json(&frame.data).unwrap())
    };
    frames.map(question).collect()
}

fn judge(net: &mut Network, client: usize, question: &VerifyTopic, good: bool) {
    let verdict = TopicVerdict {
        check_result: i32::from(!good),
        node_id: question.node_id.clone(),
        topic: question.topic.clone(),
    };
    net.send_frame(client, FrameType::UpdateTopicStatus, verdict.to_json());
    net.run_for(millis(20));
}

fn publish(net: &mut Network, client: usize) -> Result<Bytes, i32> {
    let seq = net.publish(client, TOPIC, "secret");
    net.await_result(client, &seq)
}

/// The whole conversation of a publisher and a subscriber, on one node and on two.
#[test]
fn a_private_topic_is_accepted() {
    for far in [0, 1] {
        let mut net = Network::full(2);
        let publisher = publisher(&mut net, 0);
        let subscriber = net.channel(far, "subscriber");
        let channel = follow(&mut net, subscriber, 1);
        let asked = questions(&net, publisher);
        assert_eq!(asked.len(), 1);
        let (seq, question) = &asked[0];
        let node_id = const_hex::encode(net.nodes[far].id.as_bytes());
        let expected =
            VerifyTopic { node_id, topic: TOPIC.into(), topic_for_cert: channel.clone() };
        assert_eq!(*question, expected);
        // Both forms of "I have it": Java's and Go's.
        net.send_frame_as(publisher, FrameType::VerifyTopic, seq, 0, Bytes::new());
        net.run_for(millis(20));
        assert_eq!(publish(&mut net, publisher), Err(100), "not judged yet");
        let proof = net.publish(publisher, &channel, "random");
        assert_eq!(net.await_result(publisher, &proof), Ok("echo:random".into()));
        judge(&mut net, publisher, question, true);
        assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
        net.multicast(publisher, TOPIC, "to all");
        net.run_for(millis(50));
        assert_eq!(net.got(subscriber), ["random", "secret", "to all"]);
        assert!(net.clients[publisher].alive && net.clients[subscriber].alive);
        net.run_for(seconds(20));
        assert_eq!(questions(&net, publisher).len(), 1, "judged once");
        net.assert_nothing_waits();
    }
}

#[test]
fn a_private_topic_is_refused() {
    for far in [0, 1] {
        let mut net = Network::full(2);
        let publisher = publisher(&mut net, 0);
        let subscriber = net.channel(far, "subscriber");
        follow(&mut net, subscriber, 1);
        let question = questions(&net, publisher).remove(0).1;
        judge(&mut net, publisher, &question, false);
        assert_eq!(publish(&mut net, publisher), Err(100));
        net.multicast(publisher, TOPIC, "to all");
        net.run_for(millis(50));
        assert!(net.got(subscriber).is_empty());
    }
}

#[test]
fn of_two_subscribers_the_good_one_gets_it() {
    let mut net = Network::full(3);
    let publisher = publisher(&mut net, 0);
    let (bad, good) = (net.channel(1, "bad"), net.channel(2, "good"));
    follow(&mut net, bad, 1);
    follow(&mut net, good, 2);
    let bad_node = const_hex::encode(net.nodes[1].id.as_bytes());
    for (_, question) in questions(&net, publisher) {
        judge(&mut net, publisher, &question, question.node_id != bad_node);
    }
    for _ in 0..10 {
        assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
    }
    net.multicast(publisher, TOPIC, "to all");
    net.run_for(millis(50));
    assert_eq!((net.got(good).len(), net.got(bad).len()), (11, 0));
}

/// One after the other: a verdict names the node only.
#[test]
fn two_subscribers_at_the_publishers_own_node_are_judged_one_by_one() {
    let mut net = Network::new(1);
    let publisher = publisher(&mut net, 0);
    let (bad, good) = (net.channel(0, "bad"), net.channel(0, "good"));
    let bad_channel = follow(&mut net, bad, 1);
    let good_channel = follow(&mut net, good, 2);
    let asked = questions(&net, publisher);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1.topic_for_cert, bad_channel);
    judge(&mut net, publisher, &asked[0].1, false);
    let asked = questions(&net, publisher);
    assert_eq!(asked[1].1.topic_for_cert, good_channel);
    judge(&mut net, publisher, &asked[1].1, true);
    for _ in 0..10 {
        assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
    }
    assert_eq!((net.got(good).len(), net.got(bad).len()), (10, 0));
}

/// A node gives private messages to any of its sessions that follow the topic: who is refused there
/// keeps them from the node.
#[test]
fn a_node_with_a_refused_subscriber_gets_nothing() {
    let mut net = Network::full(2);
    let publisher = publisher(&mut net, 0);
    let (good, bad) = (net.channel(1, "good"), net.channel(1, "bad"));
    follow(&mut net, good, 1);
    judge_last(&mut net, publisher, true);
    assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
    follow(&mut net, bad, 2);
    judge_last(&mut net, publisher, false);
    assert_eq!(publish(&mut net, publisher), Err(100));
    net.disconnect(bad);
    net.run_for(seconds(1));
    assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
}

fn judge_last(net: &mut Network, publisher: usize, good: bool) {
    let question = questions(net, publisher).pop().unwrap().1;
    judge(net, publisher, &question, good);
}

/// An SDK makes a new channel with each list of topics.
#[test]
fn a_new_channel_is_judged_again_and_the_grant_holds_meanwhile() {
    let mut net = Network::full(2);
    let publisher = publisher(&mut net, 0);
    let subscriber = net.channel(1, "subscriber");
    follow(&mut net, subscriber, 1);
    let first = questions(&net, publisher).remove(0).1;
    judge(&mut net, publisher, &first, true);
    let channel = follow(&mut net, subscriber, 2);
    assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
    let second = questions(&net, publisher).remove(1).1;
    assert_eq!(second.topic_for_cert, channel);
    judge(&mut net, publisher, &second, false);
    assert_eq!(publish(&mut net, publisher), Err(100));
    net.disconnect(subscriber);
    net.run_for(seconds(1));
    assert_eq!(net.report(0).private, (0, 0), "nothing is kept of it");
}

#[test]
fn a_publisher_that_comes_later_is_asked() {
    let mut net = Network::full(2);
    let subscriber = net.channel(1, "subscriber");
    follow(&mut net, subscriber, 1);
    let stranger = net.channel(0, "stranger");
    assert_eq!(publish(&mut net, stranger), Err(100));
    let publisher = publisher(&mut net, 0);
    let question = questions(&net, publisher).remove(0).1;
    judge(&mut net, publisher, &question, true);
    assert_eq!(publish(&mut net, publisher), Ok("echo:secret".into()));
}

#[test]
fn a_publisher_that_does_not_judge_is_asked_again() {
    let mut net = Network::full(2);
    let publisher = publisher(&mut net, 0);
    let subscriber = net.channel(1, "subscriber");
    follow(&mut net, subscriber, 1);
    for asked in 1..4 {
        assert_eq!(questions(&net, publisher).len(), asked);
        net.run_for(VERIFY_TIMEOUT);
    }
    // Another publisher takes its place.
    net.disconnect(publisher);
    let other = self::publisher(&mut net, 0);
    assert_eq!(questions(&net, other).len(), 1);
}

#[test]
fn a_verdict_that_nobody_asked_for_changes_nothing() {
    let mut net = Network::full(2);
    let publisher = publisher(&mut net, 0);
    let subscriber = net.channel(1, "subscriber");
    follow(&mut net, subscriber, 1);
    let question = questions(&net, publisher).remove(0).1;
    let stranger = net.channel(0, "stranger");
    judge(&mut net, stranger, &question, true);
    let other = VerifyTopic { topic: format!("{NEED_VERIFY}other"), ..question.clone() };
    judge(&mut net, publisher, &other, true);
    let other = VerifyTopic { node_id: "00".into(), ..question.clone() };
    judge(&mut net, publisher, &other, true);
    net.send_frame(publisher, FrameType::UpdateTopicStatus, "no JSON".into());
    net.run_for(millis(20));
    assert_eq!(net.report(0).counters.unknown_verdict, 3);
    assert_eq!(net.report(0).private, (1, 0));
    assert!(net.clients[publisher].alive);
    judge(&mut net, publisher, &question, true);
    assert_eq!(net.report(0).private, (1, 1));
}
