//! How much is too much.

use chainmesh_wire::amop::channel::FrameType;
use chainmesh_wire::amop::{AmopError, MAX_TOPIC, MAX_TOPICS, Subscription};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;
use crate::amop::{
    AmopNotice, Input, MAX_NODE_TOPIC_BYTES, MAX_NODE_TOPICS, MAX_SESSION_WAITING_BYTES,
    MAX_TOPIC_BYTES, MAX_WAITING, SdkFault, SdkKind,
};
use crate::mesh::Rate;

const SOME: Rate = Rate { bytes: Some(1000), messages: None };

#[test]
fn above_the_bandwidth_limit_is_103() {
    for (kind, code) in [(SdkKind::Channel, 103), (SdkKind::WebSocket, 1004)] {
        let mut net = Network::with(1, |config| config.session_limit = SOME);
        let (publisher, other) = (net.sdk(0, kind, "publisher"), net.sdk(0, kind, "other"));
        let subscriber = net.channel(0, "subscriber");
        net.subscribe(subscriber, &["t"]);
        net.run_for(seconds(1));
        let large = "x".repeat(1500);
        let seq = net.publish(publisher, "t", &large);
        assert!(net.await_result(publisher, &seq).is_ok(), "the bucket was full");
        let seq = net.publish(publisher, "t", "x");
        assert_eq!(net.await_result(publisher, &seq), Err(code));
        assert!(net.clients[publisher].answers[1].2.is_empty() || kind == SdkKind::WebSocket);
        let seq = net.publish(other, "t", "x");
        assert!(net.await_result(other, &seq).is_ok(), "another session has its own");
        net.run_for(seconds(1));
        let seq = net.publish(publisher, "t", "x");
        assert!(net.await_result(publisher, &seq).is_ok(), "the bucket fills up");
    }
}

#[test]
fn multicasts_are_limited_too_and_2x_is_told() {
    let mut net = Network::with(1, |config| config.limit = SOME);
    let publisher = net.channel(0, "publisher");
    let subscriber = net.channel(0, "subscriber");
    net.subscribe(subscriber, &["t"]);
    net.run_for(seconds(1));
    net.multicast(publisher, "t", &"x".repeat(1500));
    let seq = net.multicast(publisher, "t", "x");
    assert_eq!(net.await_result(publisher, &seq), Err(103));
    assert_eq!(net.got(subscriber).len(), 1);
    let none = Rate::default();
    net.broker(0, Input::SetLimits { session: none, all: none });
    let seq = net.multicast(publisher, "t", "x");
    assert!(net.await_result(publisher, &seq).is_ok());
}

#[test]
fn a_flood_of_unanswered_unicasts_is_bounded() {
    let mut net = Network::new(1);
    let publisher = net.channel(0, "publisher");
    for _ in 0..4 {
        let silent = net.channel(0, "silent");
        net.clients[silent].habit = Habit::Silent;
        net.subscribe(silent, &["t"]);
    }
    net.run_for(millis(10));
    let seqs: Vec<_> = (0..MAX_WAITING + 10).map(|_| net.publish(publisher, "t", "x")).collect();
    net.run_for(millis(10));
    assert_eq!(net.report(0).waiting, MAX_WAITING);
    let refused = seqs.iter().filter(|seq| net.result(publisher, seq) == Some(Err(103))).count();
    assert_eq!(refused, 10);
    net.run_for(seconds(25));
    assert!(seqs.iter().all(|seq| net.result(publisher, seq).is_some()));
    net.assert_nothing_waits();
}

/// Large messages that wait are bounded for each session, and the others do not notice.
#[test]
fn one_session_does_not_take_all_the_room() {
    let mut net = Network::new(1);
    let (greedy, other) = (net.channel(0, "greedy"), net.channel(0, "other"));
    let (silent, good) = (net.channel(0, "silent"), net.channel(0, "good"));
    net.clients[silent].habit = Habit::Silent;
    net.subscribe(silent, &["silent"]);
    net.subscribe(good, &["good"]);
    net.run_for(millis(10));
    let large = "x".repeat(MAX_SESSION_WAITING_BYTES / 4);
    let seqs: Vec<_> = (0..8).map(|_| net.publish(greedy, "silent", &large)).collect();
    net.run_for(millis(10));
    let refused = seqs.iter().filter(|seq| net.result(greedy, seq) == Some(Err(103))).count();
    assert_eq!(refused, 5, "three quarters and some topics wait, a fourth is too much");
    let seq = net.publish(other, "good", &large);
    assert!(net.await_result(other, &seq).is_ok());
    net.run_for(seconds(6));
    net.assert_nothing_waits();
    let seq = net.publish(greedy, "good", &"x".repeat(MAX_SESSION_WAITING_BYTES + 1));
    assert!(net.await_result(greedy, &seq).is_ok(), "one passes whatever its size");
}

#[test]
fn a_list_of_too_many_topics_is_refused_whole() {
    let mut net = Network::with(1, |config| config.max_topics = 3);
    let (one, two) = (net.channel(0, "one"), net.channel(0, "two"));
    net.subscribe(one, &["a", "b", "c", "a"]);
    net.subscribe(two, &["a", "b", "c", "d"]);
    net.run_for(millis(10));
    assert_eq!(net.report(0).sessions[0].topics, ["a", "b", "c"]);
    assert_eq!(net.report(0).sessions[1].topics, [""; 0]);
    let session = net.clients[two].session;
    let notice = AmopNotice::TooManyTopics { session, count: 4, limit: 3 };
    assert!(net.nodes[0].notices.contains(&notice));
    assert!(net.clients[two].alive);
}

#[test]
fn the_topics_of_a_node_are_bounded_and_none_is_lost() {
    let mut net = Network::full(2);
    let sessions = MAX_NODE_TOPICS / MAX_TOPICS;
    let clients: Vec<_> = (0..=sessions).map(|_| net.channel(0, "client")).collect();
    for (number, client) in clients.iter().enumerate() {
        let names: Vec<_> = (0..MAX_TOPICS).map(|topic| format!("{number}/{topic}")).collect();
        net.subscribe(*client, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    net.run_for(seconds(1));
    let report = net.report(0).sessions;
    assert!(report[..sessions].iter().all(|sdk| sdk.topics.len() == MAX_TOPICS));
    assert_eq!(report[sessions].topics, [""; 0], "refused whole");
    assert_eq!(net.report(1).topics.len(), MAX_NODE_TOPICS, "the other node has the whole list");
    // What others follow anyway takes no room.
    net.subscribe(clients[sessions], &["0/0"]);
    net.run_for(seconds(1));
    assert_eq!(net.report(0).sessions[sessions].topics, ["0/0"]);
    net.subscribe(clients[1], &[]);
    net.subscribe(clients[sessions], &["0/0", "one more"]);
    net.run_for(seconds(1));
    assert_eq!(net.report(1).topics.len(), MAX_NODE_TOPICS - MAX_TOPICS + 1);
}

/// Control characters take six times their room in JSON: the worst list passes all the same.
#[test]
fn the_bytes_of_topics_are_bounded_and_the_worst_list_arrives() {
    let mut net = Network::full(2);
    let sessions = MAX_NODE_TOPIC_BYTES / MAX_TOPIC_BYTES;
    let clients: Vec<_> = (0..=sessions).map(|_| net.ws(0, "client")).collect();
    for (number, client) in clients.iter().enumerate() {
        let number = char::from_digit(number as u32, 10).unwrap();
        let topic = |first: char| format!("{first}{number}{}", "\u{1}".repeat(MAX_TOPIC - 2));
        net.subscribe(*client, &[&topic('a'), &topic('b')]);
    }
    net.run_for(seconds(1));
    let topics: Vec<_> = net.report(0).sessions.iter().map(|sdk| sdk.topics.len()).collect();
    assert_eq!(topics[..sessions], vec![2; sessions]);
    assert_eq!(
        net.report(1).topics.len(),
        2 * topics.len() - 2 * usize::from(topics[sessions] == 0)
    );
    let longest = ["c", "d", "e"].map(|first| first.repeat(MAX_TOPIC));
    net.subscribe(clients[0], &longest.each_ref().map(String::as_str));
    net.run_for(seconds(1));
    assert!(net.report(0).sessions[0].topics.iter().all(|topic| !topic.starts_with('c')));
    let session = net.clients[clients[0]].session;
    let (count, limit) = (3 * MAX_TOPIC, MAX_TOPIC_BYTES);
    let notice = AmopNotice::TooManyTopics { session, count, limit };
    assert!(net.nodes[0].notices.contains(&notice));
}

/// Decision 14: the third list that is none closes.
#[test]
fn three_bad_lists_end_a_session() {
    let mut net = Network::new(1);
    let client = net.channel(0, "client");
    net.subscribe(client, &["t"]);
    net.run_for(millis(10));
    let all: Vec<_> = (0..100_000).map(|number| format!("\"{number}\"")).collect();
    for bad in ["{}".to_owned(), "[1]".to_owned(), format!("[{}]", all.join(","))] {
        assert!(net.clients[client].alive);
        assert_eq!(net.report(0).sessions[0].topics, ["t"], "the old list stays");
        net.send_frame(client, FrameType::SubscribeTopics, bad.into());
        net.run_for(millis(10));
    }
    let error = Subscription::from_array(format!("[{}]", all.join(",")).as_bytes()).unwrap_err();
    assert!(matches!(error, AmopError::TooMany { count: 100_000, .. }));
    assert_eq!(net.clients[client].fault, Some(SdkFault::BadLists(error)));
    let frames = &net.clients[client].frames;
    assert!(frames.iter().all(|frame| frame.frame_type == FrameType::Handshake), "no answers");
}
