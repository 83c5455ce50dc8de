//! SDKs that leave and come back, and those that do not keep up.

use crate::amop::{GRACE, SLOW_TIMEOUT, SdkFault, SdkKind};

use super::network::{Network, millis, seconds};
use super::sdk::Habit;

#[test]
fn a_subscriber_that_comes_back_has_its_topics_before_it_says_so() {
    for kind in [SdkKind::Channel, SdkKind::WebSocket] {
        let mut net = Network::full(2);
        let publisher = net.channel(0, "publisher");
        let subscriber = net.sdk(1, kind, "subscriber");
        net.subscribe(subscriber, &["t"]);
        net.run_for(millis(100));
        net.disconnect(subscriber);
        net.run_for(millis(100));
        let seq = net.publish(publisher, "t", "away");
        assert_eq!(
            net.await_result(publisher, &seq),
            Err(100),
            "while it is away, nobody is asked"
        );
        net.run_for(GRACE - seconds(1));
        let back = net.sdk(1, kind, "subscriber");
        net.run_for(millis(100));
        let seq = net.publish(publisher, "t", "back");
        assert_eq!(net.await_result(publisher, &seq), Ok("echo:back".into()));
        assert!(net.report(1).sessions[0].restored);
        net.subscribe(back, &["u"]);
        net.run_for(millis(100));
        assert!(!net.report(1).sessions[0].restored);
        let seq = net.publish(publisher, "t", "gone");
        assert_eq!(net.await_result(publisher, &seq), Err(100), "what it says itself holds");
    }
}

#[test]
fn nobody_else_has_the_topics_and_not_for_ever() {
    let mut net = Network::new(1);
    let subscriber = net.channel(0, "subscriber");
    net.subscribe(subscriber, &["t"]);
    net.run_for(millis(10));
    net.disconnect(subscriber);
    assert_eq!(net.report(0).gone, 1);
    net.channel(0, "somebody else");
    net.ws(0, "subscriber");
    assert!(net.report(0).topics.is_empty(), "another identity, another protocol");
    net.run_for(GRACE);
    assert_eq!(net.report(0).gone, 0);
    net.channel(0, "subscriber");
    assert!(net.report(0).topics.is_empty(), "too late");
}

/// All SDKs of an agency may share one certificate.
#[test]
fn sessions_of_one_identity_come_back_one_by_one() {
    let mut net = Network::new(1);
    let both = [net.channel(0, "shared"), net.channel(0, "shared")];
    net.subscribe(both[0], &["a"]);
    net.subscribe(both[1], &["b"]);
    net.run_for(millis(10));
    both.into_iter().for_each(|it| net.disconnect(it));
    net.channel(0, "shared");
    assert_eq!(net.report(0).topics.len(), 1);
    net.channel(0, "shared");
    assert_eq!(net.report(0).topics.len(), 2);
    net.channel(0, "shared");
    assert_eq!(net.report(0).sessions.last().unwrap().topics, [""; 0]);
}

#[test]
fn a_slow_subscriber_misses_and_is_cut_and_the_others_do_not_notice() {
    let mut net = Network::new(1);
    let publisher = net.channel(0, "publisher");
    let (slow, good) = (net.channel(0, "slow"), net.channel(0, "good"));
    net.subscribe(slow, &["t"]);
    net.subscribe(good, &["t"]);
    net.run_for(millis(10));
    net.clients[slow].full = true;
    for _ in 0..20 {
        net.multicast(publisher, "t", "all");
        let (began, seq) = (net.now, net.publish(publisher, "t", "one"));
        assert_eq!(net.await_result(publisher, &seq), Ok("echo:one".into()));
        assert!(net.now.saturating_since(began) < millis(10), "nobody waits for the slow one");
    }
    assert_eq!(net.got(good).len(), 40);
    assert_eq!(net.got(slow).len(), 0);
    assert!(net.report(0).sessions.iter().any(|sdk| sdk.slow));
    net.run_for(SLOW_TIMEOUT);
    assert_eq!(net.clients[slow].fault, Some(SdkFault::TooSlow));
    assert!(net.clients[good].alive);
    net.assert_nothing_waits();
}

#[test]
fn a_slow_subscriber_that_reads_again_is_served_again() {
    let mut net = Network::new(1);
    let publisher = net.channel(0, "publisher");
    let slow = net.channel(0, "slow");
    net.subscribe(slow, &["t"]);
    net.run_for(millis(10));
    net.clients[slow].full = true;
    let seq = net.publish(publisher, "t", "one");
    assert_eq!(net.await_result(publisher, &seq), Err(100));
    net.clients[slow].full = false;
    let session = net.clients[slow].session;
    net.broker(0, crate::amop::Input::Room { session });
    net.clients[slow].habit = Habit::Echo;
    let seq = net.publish(publisher, "t", "two");
    assert_eq!(net.await_result(publisher, &seq), Ok("echo:two".into()));
    net.run_for(SLOW_TIMEOUT);
    assert!(net.clients[slow].alive);
}
