//! Questions, ours and theirs: how many, how often, and to whom.

use super::*;

#[test]
fn nobody_is_asked_without_need_or_before_it_is_a_peer() {
    let mut bed = Bed::open();
    bed.peer(1, true);
    bed.pass(HOUR);
    assert!(bed.questions().is_empty(), "nothing is needed");

    bed.tell(Input::Need { nodes: 1 });
    bed.pass(SECOND);
    bed.one_question();
    let (session, peer) = (SessionId(2), id(2));
    bed.tell(Input::Opened { session, peer, address: ip(0x1500_0001), dialled: true });
    bed.pass(SECOND * 10);
    assert!(bed.questions().is_empty(), "other modules have not let it in");
    bed.tell(Input::Ready { peer });
    bed.pass(SECOND);
    assert_eq!(bed.questions()[0].0, session);
    bed.tell(Input::Need { nodes: 0 });
    bed.pass(HOUR);
    assert!(bed.questions().is_empty(), "there are enough");
}

#[test]
fn in_an_open_network_only_those_are_asked_whom_we_chose() {
    for (config, asked) in
        [(PexConfig::open(id(LOCAL)), vec![2]), (PexConfig::certified(id(LOCAL)), vec![1, 2])]
    {
        let mut bed = Bed::new(config);
        bed.tell(Input::Need { nodes: 1 });
        bed.peer(1, false);
        bed.peer(2, true);
        bed.pass(SECOND * 5);
        let mut who: Vec<u64> = bed.questions().iter().map(|(session, _)| session.0).collect();
        who.sort_unstable();
        assert_eq!(who, asked);
    }
}

#[test]
fn a_peer_is_asked_once_in_a_minute_and_less_often_when_it_has_nothing_new() {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    let session = bed.peer(1, true);
    bed.pass(SECOND);
    let mut at = Vec::new();
    let mut request = bed.one_question();
    for round in 0..12_u32 {
        let asked = bed.now;
        // New things in the first three rounds, then always the same.
        bed.nodes(session, request, vec![contact(100 + round.min(3))]);
        while bed.said.iter().all(|output| !matches!(output, Output::Send { .. })) {
            bed.pass(SECOND);
        }
        request = bed.one_question();
        at.push(bed.now.saturating_since(asked));
    }
    let near = |is: Duration, wanted: Duration| {
        assert!(is >= wanted.saturating_sub(SECOND) && is <= wanted + SECOND * 2, "{is:?}");
    };
    at.iter().take(4).for_each(|wait| near(*wait, ASK_EVERY));
    near(at[4], ASK_EVERY * 2);
    near(at[5], ASK_EVERY * 4);
    at.iter().skip(9).for_each(|wait| near(*wait, MAX_ASK_WAIT));
}

#[test]
fn a_thousand_peers_are_not_asked_at_once() {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    for number in 0..1000 {
        bed.peer(number, true);
    }
    bed.pass(SECOND * 10);
    let asked = bed.questions().len();
    assert!((10..=20).contains(&asked), "{asked}: two in a second");
}

#[test]
fn an_answer_that_comes_too_late_is_not_believed_and_not_held_against_the_peer() {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    let session = bed.peer(1, true);
    for _ in 0..5 {
        while bed.said.is_empty() {
            bed.pass(SECOND);
        }
        let request = bed.one_question();
        bed.pass(ANSWER_WITHIN + SECOND);
        bed.nodes(session, request, vec![contact(9)]);
        assert_eq!(bed.learned(), (vec![], None));
    }
    assert_eq!(bed.ignored(Ignored::Late), 5);
    assert_eq!(bed.counters().unanswered, 5);
}

#[test]
fn a_question_is_answered_with_the_sample_without_the_asker() {
    let mut bed = Bed::open();
    let session = bed.peer(1, false);
    bed.question(session, 77);
    let asker = contact(1).endpoint.ip;
    assert_eq!(bed.take(), [Output::Sample { session, asker }]);
    bed.tell(Input::Sampled { session, nodes: vec![contact(5), contact(1), contact(6)] });
    let expected = Message::Nodes(Nodes { request: 77, nodes: vec![contact(5), contact(6)] });
    let (code, payload) = (expected.code(), expected.encode());
    assert_eq!(bed.take(), [Output::Send { session, code, payload }]);
    assert_eq!((bed.counters().answers, bed.counters().told), (1, 2));
    // No second answer to one question.
    bed.tell(Input::Sampled { session, nodes: vec![contact(7)] });
    assert!(bed.take().is_empty());
}

#[test]
fn no_more_is_told_than_was_asked_for_or_than_there_may_be() {
    for (limit, told) in [(0, 0), (3, 3), (32, 32), (u64::MAX, 32)] {
        let mut bed = Bed::open();
        let session = bed.peer(1, false);
        bed.message(session, &Message::GetNodes(GetNodes { request: 1, limit }));
        let nodes = (10..110).map(contact).collect();
        bed.tell(Input::Sampled { session, nodes });
        assert_eq!(bed.counters().told, told);
    }
}

#[test]
fn who_asks_too_often_is_refused_and_at_length_cut_also_in_a_new_session() {
    let mut bed = Bed::open();
    let session = bed.peer(1, false);
    let mut answered = 0;
    let mut fault = None;
    for request in 0..100 {
        bed.question(session, request);
        bed.tell(Input::Sampled { session, nodes: vec![] });
        answered = bed.counters().answers;
        let closed = bed.take().into_iter().find_map(|output| match output {
            Output::Close { fault, .. } => Some(fault),
            _ => None,
        });
        if closed.is_some() {
            fault = closed;
            break;
        }
    }
    assert_eq!(answered, u64::from(ANSWER_BURST));
    assert_eq!(fault, Some(PexFault::TooSoon(MAX_TOO_SOON)));
    assert_eq!(bed.counters().refused, u64::from(MAX_TOO_SOON));

    // Again, under the same name.
    bed.tell(Input::Opened {
        session: SessionId(50),
        peer: id(1),
        address: ip(0x0909_0909),
        dialled: false,
    });
    bed.tell(Input::Ready { peer: id(1) });
    bed.question(SessionId(50), 1);
    assert!(bed.take().is_empty(), "a new session is no new beginning");
    bed.pass(ANSWER_EVERY);
    bed.question(SessionId(50), 2);
    assert!(matches!(bed.take()[..], [Output::Sample { .. }]));
}

#[test]
fn a_peer_that_asks_as_often_as_it_may_is_always_answered() {
    let mut bed = Bed::open();
    let session = bed.peer(1, false);
    for request in 0..100 {
        bed.question(session, request);
        bed.tell(Input::Sampled { session, nodes: vec![] });
        bed.pass(ANSWER_EVERY);
    }
    assert_eq!((bed.counters().answers, bed.counters().refused), (100, 0));
}

#[test]
fn a_question_that_comes_early_waits_until_its_sender_is_a_peer() {
    let mut bed = Bed::open();
    let (session, peer) = (SessionId(1), id(1));
    bed.tell(Input::Opened { session, peer, address: ip(0x1500_0001), dialled: false });
    bed.question(session, 5);
    assert!(bed.take().is_empty());
    bed.tell(Input::Ready { peer });
    assert!(matches!(bed.take()[..], [Output::Sample { .. }]));
}

#[test]
fn a_flood_of_names_leaves_what_is_remembered_at_its_limit() {
    let mut bed = Bed::open();
    for number in 0..5000 {
        let session = bed.peer(number, false);
        bed.question(session, 1);
        bed.tell(Input::Closed { session });
    }
    assert_eq!(bed.pex.snapshot().peers, 0);
    assert_eq!(bed.pex.answered.len(), MAX_ANSWERED);
    assert_eq!(bed.pex.poll_timeout(), None);
}
