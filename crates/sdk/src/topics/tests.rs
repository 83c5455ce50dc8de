use tokio::sync::mpsc;

use super::Topics;
use crate::subscription::Kind;

#[test]
fn subscriptions_of_a_topic_take_turns_and_those_that_were_dropped_are_passed_over() {
    let mut topics = Topics::default();
    let mut ends = Vec::new();
    for at in 0..3 {
        let (queue, end) = mpsc::channel(1);
        assert_eq!(topics.add("news".into(), queue), at == 0, "only the first one is new");
        ends.push(end);
    }
    let turns = |topics: &mut Topics| -> Vec<usize> {
        let drawn = |topics: &mut Topics| {
            let followers = topics.of(b"news").unwrap();
            let queue = followers.receivers(Kind::Unicast)[0].clone();
            let all = followers.receivers(Kind::Multicast);
            all.iter().position(|other| other.same_channel(&queue)).unwrap()
        };
        (0..4).map(|_| drawn(topics)).collect()
    };
    assert_eq!(turns(&mut topics), [1, 2, 0, 1]);
    ends.remove(1);
    assert_eq!(turns(&mut topics), [2, 0, 2, 0], "before the list was swept");
    assert!(!topics.sweep(), "the topic is followed by others");
    assert_eq!(topics.of(b"news").unwrap().receivers(Kind::Multicast).len(), 2);
    ends.clear();
    assert!(topics.sweep());
    assert!(topics.of(b"news").is_none() && topics.list().0.is_empty());
}

#[test]
fn a_topic_that_is_taken_back_leaves_the_others() {
    let mut topics = Topics::default();
    let (queue, _end) = mpsc::channel(1);
    topics.add("b".into(), queue.clone());
    topics.add("a".into(), queue.clone());
    topics.add("b".into(), queue);
    topics.take_back("b");
    assert_eq!(topics.list().0, ["a", "b"]);
    topics.take_back("b");
    topics.take_back("c");
    assert_eq!(topics.list().0, ["a"]);
}
