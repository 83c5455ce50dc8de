//! Which seq a push has (decision 1).

use bytes::Bytes;
use chainmesh_wire::amop::channel::{FrameType, TopicBody};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;

fn body(data: &'static str) -> Bytes {
    TopicBody::new("t", data.into()).encode().unwrap()
}

fn seq(text: &'static str) -> Bytes {
    Bytes::from(format!("{text:0>32}"))
}

#[test]
fn a_push_keeps_the_publishers_seq() {
    let mut net = Network::new(1);
    let (publisher, subscriber) = (net.channel(0, "publisher"), net.channel(0, "subscriber"));
    net.subscribe(subscriber, &["t"]);
    let unicast = net.publish(publisher, "t", "x");
    let multicast = net.multicast(publisher, "t", "y");
    net.run_for(millis(10));
    let seqs: Vec<_> = net.clients[subscriber].got.iter().map(|it| it.1.clone()).collect();
    assert_eq!(seqs, [unicast, multicast]);
}

#[test]
fn two_publishers_with_one_seq_do_not_meet() {
    let mut net = Network::new(1);
    let publishers = [net.channel(0, "one"), net.channel(0, "two")];
    let subscriber = net.channel(0, "subscriber");
    net.subscribe(subscriber, &["t"]);
    net.run_for(millis(10));
    let same = seq("5");
    net.send_frame_as(publishers[0], FrameType::AmopRequest, &same, 0, body("one"));
    net.send_frame_as(publishers[1], FrameType::AmopRequest, &same, 0, body("two"));
    net.run_for(millis(10));
    assert_eq!(net.result(publishers[0], &same), Some(Ok("echo:one".into())));
    assert_eq!(net.result(publishers[1], &same), Some(Ok("echo:two".into())));
    let got = &net.clients[subscriber].got;
    assert_eq!(got[0].1, same);
    assert_ne!(got[1].1, same, "it is in flight on the subscriber's link");
    net.assert_nothing_waits();
}

/// The subscriber itself waits for the answer to a request with this seq.
#[test]
fn a_seq_that_the_subscriber_uses_itself_is_replaced() {
    let mut net = Network::new(1);
    let (one, two) = (net.channel(0, "one"), net.channel(0, "two"));
    net.subscribe(one, &["t"]);
    net.subscribe(two, &["u"]);
    net.clients[two].habit = Habit::Silent;
    net.run_for(millis(10));
    let same = seq("7");
    let to_two = TopicBody::new("u", "to two".into()).encode().unwrap();
    net.send_frame_as(one, FrameType::AmopRequest, &same, 0, to_two);
    net.run_for(millis(10));
    net.send_frame_as(two, FrameType::AmopRequest, &same, 0, body("to one"));
    net.send_frame_as(two, FrameType::AmopMulticast, &same, 0, body("to all"));
    net.run_for(millis(10));
    assert_eq!(net.got(one), ["to one", "to all"]);
    for (_, pushed, _) in &net.clients[one].got {
        assert_ne!(*pushed, same, "it would take the push for the answer to its own request");
    }
    net.run_for(seconds(10));
    net.assert_nothing_waits();
}

#[test]
fn an_answer_with_a_foreign_seq_changes_nothing() {
    let mut net = Network::new(1);
    let publisher = net.channel(0, "publisher");
    let (silent, stranger) = (net.channel(0, "silent"), net.channel(0, "stranger"));
    net.clients[silent].habit = Habit::Silent;
    net.subscribe(silent, &["t"]);
    net.run_for(millis(10));
    let asked = net.publish(publisher, "t", "x");
    net.run_for(millis(10));
    // The right seq from the wrong session, and a seq that nobody has.
    net.send_frame_as(stranger, FrameType::AmopResponse, &asked, 0, body("lie"));
    net.send_frame_as(silent, FrameType::AmopResponse, &seq("9"), 0, body("lie"));
    net.run_for(millis(10));
    assert_eq!(net.result(publisher, &asked), None);
    assert_eq!(net.report(0).counters.unknown_answer, 2);
    net.send_frame_as(silent, FrameType::AmopResponse, &asked, 0, body("truth"));
    net.run_for(millis(10));
    assert_eq!(net.result(publisher, &asked), Some(Ok("truth".into())));
    // A second answer, as Go's SDK gives to multicasts.
    net.send_frame_as(silent, FrameType::AmopResponse, &asked, 0, body("again"));
    net.run_for(millis(10));
    assert_eq!(net.report(0).counters.unknown_answer, 3);
    assert!(net.clients[silent].alive);
}
