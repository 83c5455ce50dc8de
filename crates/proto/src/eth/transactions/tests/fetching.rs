//! What is asked of whom.

use core::time::Duration;

use super::super::limits::{
    ARRIVE_WAIT, BLOB_KIND, FETCH_TIMEOUT, MAX_FETCHED, MAX_SILENT, MAX_WANTED_PER_PEER,
    REFUSED_FOR, SILENCE,
};
use super::*;

#[test]
fn announced_transactions_are_asked_for_at_once_together_after_a_moment() {
    let mut test = Test::with_peers(1);
    let all: Vec<_> = (0..50).map(transaction).collect();
    assert_eq!(test.announce(0, &all), []);
    assert_eq!(test.pass(ARRIVE_WAIT - Duration::from_millis(1)), []);
    let (asked, token, wanted) = request(&test.pass(Duration::from_millis(1)));
    assert_eq!((asked, &wanted), (peer(0), &hashes(&all)));
    assert_eq!(checked(&test.answer(0, token, &all)), hashes(&all));
    assert_eq!(test.judge(0, &all, Verdict::Added), []);
    assert_eq!(test.pass(Duration::from_secs(60)), []);
    assert_eq!(
        test.gossip.snapshot(),
        GossipReport { peers: 1, fetched: 50, ..Default::default() }
    );
}

/// The hash of one is that of its inner part, so the answer of an honest peer would look like something
/// that was not asked for.
#[test]
fn transactions_with_blobs_are_not_asked_for() {
    let mut test = Test::with_peers(1);
    let (blob, other) = (transaction(1), transaction(2));
    let announced = [TransactionAnnouncement { kind: BLOB_KIND, ..claim(&blob) }, claim(&other)];
    let input = GossipInput::Announced {
        peer: peer(0),
        transactions: TransactionAnnouncements::Described(announced.to_vec()),
        wanted: vec![true; 2],
    };
    assert_eq!(test.handle(input), []);
    let (_, _, wanted) = request(&test.pass(ARRIVE_WAIT));
    assert_eq!(wanted, [other.hash]);
    assert_eq!(test.gossip.snapshot().wanted, 1);
}

#[test]
fn what_comes_by_itself_is_not_asked_for() {
    let mut test = Test::with_peers(2);
    let all = [transaction(1), transaction(2)];
    test.announce(0, &all);
    assert_eq!(checked(&test.receive(1, &all[..1])), hashes(&all[..1]));
    let (_, _, wanted) = request(&test.pass(ARRIVE_WAIT));
    assert_eq!(wanted, hashes(&all[1..]));
}

#[test]
fn a_transaction_is_checked_once_whoever_sends_it() {
    let mut test = Test::with_peers(3);
    let all = [transaction(1)];
    assert_eq!(checked(&test.receive(0, &all)), hashes(&all));
    assert_eq!(checked(&test.receive(1, &all)), no_hashes());
    test.judge(0, &all, Verdict::Refused);
    assert_eq!(checked(&test.receive(2, &all)), no_hashes(), "it was refused");
    test.announce(1, &all);
    assert_eq!(test.pass(REFUSED_FOR), []);
    test.announce(1, &all);
    request(&test.pass(ARRIVE_WAIT));
}

#[test]
fn a_silent_peer_is_followed_by_the_next_that_announced_the_same() {
    let mut test = Test::with_peers(2);
    let all = [transaction(1), transaction(2)];
    test.announce(0, &all);
    test.announce(1, &all);
    let (first, late, _) = request(&test.pass(ARRIVE_WAIT));
    assert_eq!(first, peer(0));
    let (second, token, wanted) = request(&test.pass(FETCH_TIMEOUT));
    assert_eq!((second, wanted.len()), (peer(1), 2));
    // The late answer is taken all the same, and what the second one sends is there already.
    assert_eq!(checked(&test.answer(0, late, &all[..1])), hashes(&all[..1]));
    assert_eq!(checked(&test.answer(1, token, &all)), hashes(&all[1..]));
}

#[test]
fn a_peer_that_never_answers_is_disconnected() {
    let mut test = Test::with_peers(1);
    for number in 0..MAX_SILENT {
        let all = [transaction(number)];
        let mut outputs = test.announce(0, &all);
        outputs.extend(test.pass(ARRIVE_WAIT));
        request(&outputs);
        let outputs = test.pass(FETCH_TIMEOUT + SILENCE);
        let expected = (number + 1 == MAX_SILENT)
            .then_some((peer(0), GossipFault::Silent { count: MAX_SILENT }));
        assert_eq!(fault(&outputs), expected);
    }
    assert_eq!(test.gossip.snapshot(), GossipReport::default());
}

#[test]
fn what_is_asked_of_a_peer_that_leaves_is_asked_of_another() {
    let mut test = Test::with_peers(2);
    let all = [transaction(1)];
    test.announce(0, &all);
    test.announce(1, &all);
    request(&test.pass(ARRIVE_WAIT));
    let (asked, token, _) = request(&test.handle(GossipInput::PeerDisconnected { peer: peer(0) }));
    assert_eq!(asked, peer(1));
    let failed = test.handle(GossipInput::RequestFailed { peer: peer(1), token });
    assert_eq!(failed, []);
    assert_eq!(test.gossip.snapshot(), GossipReport { peers: 1, ..Default::default() });
}

#[test]
fn an_answer_that_stops_early_leaves_the_rest_to_be_asked_again() {
    let mut test = Test::with_peers(1);
    let all: Vec<_> = (0..10).map(transaction).collect();
    test.announce(0, &all);
    let (_, token, _) = request(&test.pass(ARRIVE_WAIT));
    // Numbers 0 to 3 come, but 2 is missing: the peer does not have it. From 4 on there was no room.
    let some = [all[0].clone(), all[1].clone(), all[3].clone()];
    let (_, _, again) = request(&test.answer(0, token, &some));
    assert_eq!(again, hashes(&all[4..]));
    assert_eq!(test.gossip.snapshot().wanted, 6);
}

#[test]
fn an_empty_answer_means_that_the_peer_has_none_of_it() {
    let mut test = Test::with_peers(1);
    let all = [transaction(1)];
    test.announce(0, &all);
    let (_, token, _) = request(&test.pass(ARRIVE_WAIT));
    assert_eq!(checked(&test.answer(0, token, &[])), no_hashes());
    assert_eq!(test.gossip.snapshot(), GossipReport { peers: 1, ..Default::default() });
}

#[test]
fn requests_and_memory_are_bounded() {
    let mut test = Test::with_peers(1);
    let all: Vec<_> = (0..5000).map(transaction).collect();
    for some in all.chunks(1000) {
        test.announce(0, some);
    }
    assert_eq!(test.gossip.snapshot().wanted, MAX_WANTED_PER_PEER);
    let (_, token, wanted) = request(&test.pass(ARRIVE_WAIT));
    assert_eq!(wanted.len(), MAX_FETCHED);
    // Large ones are asked for one by one.
    let large: Vec<_> = (6000..6003)
        .map(|number| TransactionAnnouncement { size: 100_000, ..claim(&transaction(number)) })
        .collect();
    test.answer(0, token, &all[..256]);
    let mut other = Test::with_peers(1);
    other.announce_as(0, large);
    assert_eq!(request(&other.pass(ARRIVE_WAIT)).2.len(), 1);
}

#[test]
fn transactions_that_are_not_what_was_announced_end_the_session() {
    let one = transaction(1);
    let honest = claim(&one);
    let other = transaction(2);
    for (announced, sent, expected) in [
        (
            TransactionAnnouncement { kind: 1, ..honest },
            &one,
            GossipFault::WrongKind { hash: one.hash, announced: 1, found: 2 },
        ),
        (
            TransactionAnnouncement { size: 109, ..honest },
            &one,
            GossipFault::WrongSize { hash: one.hash, announced: 109, found: 100 },
        ),
        (honest, &other, GossipFault::Unrequested { hash: other.hash }),
    ] {
        let mut test = Test::with_peers(2);
        test.announce_as(0, vec![announced]);
        test.announce(1, core::slice::from_ref(&one));
        let (_, token, _) = request(&test.pass(ARRIVE_WAIT));
        let outputs = test.answer(0, token, core::slice::from_ref(sent));
        assert_eq!(fault(&outputs), Some((peer(0), expected)));
        assert_eq!(checked(&outputs), no_hashes());
        // The honest peer is asked for it.
        assert_eq!(request(&outputs).0, peer(1));
    }
}

#[test]
fn a_size_that_is_off_by_eight_bytes_is_within_tolerance() {
    let one = transaction(1);
    let mut test = Test::with_peers(1);
    test.announce_as(0, vec![TransactionAnnouncement { size: 108, ..claim(&one) }]);
    let (_, token, _) = request(&test.pass(ARRIVE_WAIT));
    let outputs = test.answer(0, token, core::slice::from_ref(&one));
    assert_eq!((fault(&outputs), checked(&outputs)), (None, vec![one.hash]));
}

#[test]
fn what_is_no_transaction_ends_the_session_and_what_is_merely_refused_does_not() {
    let mut test = Test::with_peers(1);
    let all = [transaction(1), transaction(2)];
    test.receive(0, &all);
    assert_eq!(fault(&test.judge(0, &all[..1], Verdict::Refused)), None);
    let expected = GossipFault::Malformed { hash: all[1].hash };
    let outputs = test.judge(0, &all[1..], Verdict::Malformed);
    assert_eq!(fault(&outputs), Some((peer(0), expected)));
}

#[test]
fn a_session_that_is_replaced_leaves_nothing_behind() {
    let mut test = Test::with_peers(1);
    test.announce(0, &[transaction(1)]);
    request(&test.pass(ARRIVE_WAIT));
    test.handle(GossipInput::PeerConnected { peer: peer(0), offered: Vec::new() });
    assert_eq!(test.gossip.snapshot(), GossipReport { peers: 1, ..Default::default() });
}

#[test]
fn a_peer_that_announced_what_another_was_being_asked_for_leaves_nothing_behind() {
    let mut test = Test::with_peers(2);
    test.announce(0, &[transaction(1)]);
    request(&test.pass(ARRIVE_WAIT));
    test.announce(1, &[transaction(1)]);
    for number in [0, 1] {
        test.handle(GossipInput::PeerDisconnected { peer: peer(number) });
    }
    assert_eq!(test.gossip.snapshot(), GossipReport::default());
}
