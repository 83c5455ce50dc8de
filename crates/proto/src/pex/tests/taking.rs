//! Answers: what of them is taken, and what is ignored for which reason.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A bed with one peer that was asked; the peer is at 20.1.0.1.
fn asked() -> (Bed, SessionId, u64) {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    let session = bed.peer(1, true);
    bed.pass(SECOND);
    let request = bed.one_question();
    (bed, session, request)
}

fn at(number: u32, address: &str, tcp_port: u16) -> Contact {
    let endpoint = Endpoint::new(address.parse().unwrap(), 0, tcp_port);
    Contact { endpoint, id: id(number) }
}

#[test]
fn nodes_are_taken_once_for_a_question() {
    let (mut bed, session, request) = asked();
    let nodes = vec![contact(5), contact(6)];
    bed.nodes(session, request, nodes.clone());
    let (teller, from) = (id(1), contact(1).endpoint.ip);
    let expected = Output::Learned { teller, from, nodes };
    assert_eq!(bed.take(), [expected]);
    assert_eq!((bed.counters().answered, bed.counters().taken), (1, 2));
    bed.nodes(session, request, vec![contact(7)]);
    assert_eq!(bed.learned(), (vec![], None));
    assert_eq!(bed.ignored(Ignored::Unasked), 1);
}

#[test]
fn what_nobody_asked_for_is_ignored_and_ends_the_session_when_repeated() {
    let mut bed = Bed::open();
    let session = bed.peer(1, true);
    for round in 1..=MAX_UNASKED {
        bed.nodes(session, round.into(), (10..42).map(contact).collect());
        let fault = (round == MAX_UNASKED).then_some(PexFault::Unasked(MAX_UNASKED));
        assert_eq!(bed.learned(), (vec![], fault));
    }
    assert_eq!(bed.ignored(Ignored::Unasked), 32 * u64::from(MAX_UNASKED));
    assert_eq!(bed.counters().taken, 0);
}

#[test]
fn each_thing_that_cannot_be_has_its_reason() {
    let (mut bed, session, request) = asked();
    let good = [contact(5), contact(6)];
    let bad = [
        (contact(LOCAL), Ignored::Own),
        (contact(1), Ignored::Teller),
        (contact(5), Ignored::Repeated),
        (at(10, "30.0.0.1", 0), Ignored::NoPort),
        (at(11, "127.0.0.1", 30303), Ignored::Address),
        (at(12, "10.1.2.3", 30303), Ignored::Address),
        (at(13, "0.0.0.0", 30303), Ignored::Address),
        (at(14, "224.0.0.1", 30303), Ignored::Address),
        (at(15, "fe80::1", 30303), Ignored::Address),
    ];
    let mut nodes = good.to_vec();
    nodes.extend(bad.iter().map(|(node, _)| *node));
    bed.nodes(session, request, nodes);
    assert_eq!(bed.learned(), (good.to_vec(), None));
    for why in [Ignored::Own, Ignored::Teller, Ignored::Repeated, Ignored::NoPort] {
        assert_eq!(bed.ignored(why), 1, "{}", why.name());
    }
    assert_eq!(bed.ignored(Ignored::Address), 5);
}

#[test]
fn two_of_one_small_network_are_enough_but_not_where_names_are_given_out() {
    for (config, taken) in [(PexConfig::open(id(LOCAL)), 2), (PexConfig::certified(id(LOCAL)), 10)]
    {
        let mut bed = Bed::new(config);
        bed.tell(Input::Need { nodes: 1 });
        let session = bed.peer(1, true);
        bed.pass(SECOND);
        let request = bed.one_question();
        bed.nodes(session, request, (10..20).map(|n| at(n, &format!("30.0.0.{n}"), 1)).collect());
        assert_eq!(bed.learned().0.len(), taken);
        assert_eq!(bed.ignored(Ignored::Crowded), 10 - taken as u64);
    }
}

#[test]
fn a_neighbour_in_a_local_network_may_tell_of_it() {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    let (session, peer) = (SessionId(1), id(1));
    bed.tell(Input::Opened { session, peer, address: ip(0x0a00_0001), dialled: true });
    bed.tell(Input::Ready { peer });
    bed.pass(SECOND);
    let request = bed.one_question();
    let nodes: Vec<_> = (10..20).map(|n| at(n, &format!("10.0.0.{n}"), 30303)).collect();
    let loopback = at(9, "127.0.0.1", 30303);
    bed.nodes(session, request, [nodes.clone(), vec![loopback]].concat());
    assert_eq!(bed.learned().0, nodes);
    assert_eq!(bed.ignored(Ignored::Address), 1, "its loopback is not ours");
}

/// However many names a host takes, and however often it comes back.
#[test]
fn tellers_of_one_network_give_no_more_than_their_quota() {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    let (mut next, mut taken) = (10_000, Vec::new());
    let mut hour = |bed: &mut Bed, hour: u64| {
        let mut of_hour = 0;
        for host in 0..50 {
            let (session, peer) = (SessionId(hour * 100 + host), id(200 + host as u32));
            let address = ip(0x1e00_0000 + host as u32);
            bed.tell(Input::Opened { session, peer, address, dialled: true });
            bed.tell(Input::Ready { peer });
            bed.pass(SECOND * 2);
            let request = bed.one_question();
            let fakes = (0..32).map(|n| {
                let endpoint = Endpoint::new(ip(0x2800_0001 + (n << 8)), 0, 30303);
                Contact { endpoint, id: id(next + n) }
            });
            bed.nodes(session, request, fakes.collect());
            next += 32;
            of_hour += bed.learned().0.len();
            bed.tell(Input::Closed { session });
        }
        taken.push(of_hour);
        bed.pass(HOUR);
    };
    (0..24).for_each(|number| hour(&mut bed, number));
    let (day, over) = (taken.iter().take(23).sum::<usize>(), MAX_TAKEN_PER_HOUR);
    assert_eq!(taken[..5], [over, over, over, over, 0]);
    assert_eq!(day, MAX_TAKEN_PER_DAY);
    assert!(bed.ignored(Ignored::Quota) > 20 * 50 * 32);
    assert_eq!(bed.pex.quota.len(), 1);
}

#[test]
fn tellers_of_many_networks_take_no_more_room_than_there_is() {
    let mut bed = Bed::open();
    bed.tell(Input::Need { nodes: 1 });
    for number in 0..3000 {
        let session = bed.peer(number, true);
        bed.pass(SECOND * 2);
        let request = bed.one_question();
        bed.nodes(session, request, vec![contact(5000)]);
        bed.take();
        bed.tell(Input::Closed { session });
    }
    assert_eq!(bed.pex.quota.len(), MAX_SOURCES);
}

proptest! {
    #[test]
    fn whatever_comes_keeps_the_rules(
        steps in vec((0_u8..6, 0_u32..4, vec(any::<u8>(), 0..200), any::<u32>()), 0..200),
    ) {
        let mut bed = Bed::open();
        bed.tell(Input::Need { nodes: 3 });
        let mut open = 0;
        for (kind, number, bytes, value) in steps {
            let session = SessionId(number.into());
            match kind {
                0 => { bed.peer(number, value & 1 == 0); }
                1 => bed.tell(Input::Closed { session }),
                2 => {
                    let payload = Bytes::from(bytes);
                    bed.tell(Input::Message { session, code: value % 3, payload });
                }
                3 => bed.question(session, value.into()),
                4 => {
                    // The last question, if there is one, is answered with whatever.
                    let nodes: Vec<_> = bytes.chunks(4).take(32).map(|chunk| {
                        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
                        let endpoint = Endpoint::new(ip(bits), 0, chunk[0].into());
                        Contact { endpoint, id: id(bits % 64) }
                    }).collect();
                    let request = bed.pex.sessions.get(&session).and_then(|session| session.waiting);
                    bed.nodes(session, request.unwrap_or(value.into()), nodes);
                }
                _ => bed.pass(Duration::from_millis(u64::from(value % 100_000))),
            }
            for output in bed.take() {
                match output {
                    Output::Learned { teller, from, nodes } => {
                        prop_assert!(!nodes.is_empty() && nodes.len() <= 32);
                        for node in nodes {
                            prop_assert!(node.id != teller && node.id != id(LOCAL));
                            prop_assert!(node.endpoint.tcp_port != 0);
                            prop_assert!(crate::discovery::may_know(from, node.endpoint.ip));
                        }
                    }
                    Output::Sample { session, .. } => bed.pex.handle(
                        bed.now,
                        Input::Sampled { session, nodes: vec![contact(9)] },
                    ),
                    _ => {}
                }
            }
            open = open.max(bed.pex.snapshot().peers);
            let counters = bed.counters();
            prop_assert!(counters.answered + counters.unanswered <= counters.asked);
        }
        prop_assert!(open <= 4);
        for number in 0..4 {
            bed.tell(Input::Closed { session: SessionId(number) });
        }
        prop_assert_eq!(bed.pex.poll_timeout(), None, "nobody is left to wait for");
    }
}
