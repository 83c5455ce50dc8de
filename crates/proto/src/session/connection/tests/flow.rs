//! From the first byte to messages both ways.

use super::*;

#[test]
fn a_connection_goes_through_its_stages_in_order() {
    for kind in ALL {
        let (pair, recorders) = Pair::established(kind);
        for side in &pair.sides {
            assert_eq!(side.story(), "AGE");
        }
        let [a, b] = recorders.each_ref().map(|recorder| recorder.context("test"));
        assert_eq!((a.id(), b.id()), (key(1).peer_id(), key(0).peer_id()));
        assert!(a.is_dialled() && !b.is_dialled());
        let greeted = |side: &Side| {
            side.events.iter().find_map(|event| match event {
                ConnectionEvent::Greeted { hello, shared } => {
                    Some((hello.client_name.clone(), shared.clone()))
                }
                _ => None,
            })
        };
        let (name, shared) = greeted(&pair.sides[DIALLER]).unwrap();
        assert_eq!(name, "test/1");
        assert_eq!(shared, [*a.capability()]);
    }
}

/// Connect is not counted: `auth`, `ack`, Hello, Hello.
#[test]
fn two_round_trips_are_enough() {
    let recorders = [Recorder::default(), Recorder::default()];
    let mut pair =
        Pair::new(SessionKind::Rlpx, recorders.each_ref().map(|r| vec![r.module("test", 1, 1)]));
    pair.run_for(pair.latency * 3);
    assert!(pair.sides[ACCEPTOR].is_established());
    pair.run_for(pair.latency);
    assert!(pair.sides[DIALLER].is_established());
}

#[test]
fn messages_of_every_size_arrive_both_ways_in_order() {
    for kind in ALL {
        let (mut pair, recorders) = Pair::established(kind);
        let sizes = [0, 1, 15, 16, 17, 500, 5_000, 70_000, 1 << 20, MAX_PAYLOAD];
        for from in [DIALLER, ACCEPTOR] {
            let peer = recorders[from].context("test");
            let sent: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(at, size)| (at as u32 % 4, payload(*size)))
                .collect();
            for (code, payload) in &sent {
                peer.send(*code, payload.clone()).unwrap();
                pair.run_for(millis(100));
            }
            assert!(recorders[1 - from].messages() == sent, "{kind:?}, from {from}");
        }
        let traffic = pair.sides[DIALLER].machine.link().traffic();
        assert!(traffic.messages_in.load(Relaxed) >= 10);
        assert!(traffic.bytes_out.load(Relaxed) >= MAX_PAYLOAD as u64 / 20);
    }
}

#[test]
fn what_no_session_carries_is_refused_at_once() {
    let (pair, recorders) = Pair::established(SessionKind::Rlpx);
    let peer = recorders[DIALLER].context("test");
    let large = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
    assert!(matches!(peer.send(0, large), Err(crate::session::SendError::TooLarge(_))));
    assert!(matches!(
        peer.send(4, Bytes::new()),
        Err(crate::session::SendError::Code { code: 4, count: 4 })
    ));
    assert_eq!(pair.sides[DIALLER].machine.link().queued(), 0);
}

#[test]
fn byte_by_byte_everything_arrives() {
    for kind in ALL {
        let recorders = [Recorder::default(), Recorder::default()];
        let mut pair = Pair::new(
            kind,
            recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]),
        );
        pair.chunk = 1;
        pair.run_for(seconds(1));
        assert!(pair.both(Side::is_established), "{kind:?}");
        recorders[0].context("test").send(3, payload(700)).unwrap();
        pair.run_for(seconds(1));
        assert_eq!(recorders[1].messages(), [(3, payload(700))]);
    }
}

/// A message that is queued in `new_peer` arrives although the other side is not open yet.
#[test]
fn messages_may_be_sent_from_the_first_moment() {
    for kind in ALL {
        let eager = Recorder::default().on_peer(|peer| peer.send(1, payload(10)).unwrap());
        let recorders = [eager.clone(), Recorder::default()];
        let mut pair = Pair::new(
            kind,
            recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]),
        );
        pair.run_for(seconds(1));
        assert_eq!(recorders[1].messages(), [(1, payload(10))]);
    }
}

/// A handler that answers each message from inside the connection's task.
#[test]
fn an_answer_from_inside_a_handler_leaves_in_the_same_round() {
    let echo = Recorder::default().on_message(|peer, code, payload| {
        peer.send(code, payload.clone()).map_err(ModuleError::breach)
    });
    let recorders = [Recorder::default(), echo];
    let mut pair = Pair::new(
        SessionKind::Rlpx,
        recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]),
    );
    pair.run_for(seconds(1));
    let rings = pair.sides[ACCEPTOR].bell.rings();
    recorders[0].context("test").send(2, payload(100)).unwrap();
    pair.run_for(pair.latency * 2);
    assert_eq!(recorders[0].messages(), [(2, payload(100))]);
    assert_eq!(pair.sides[ACCEPTOR].bell.rings(), rings, "nobody wakes a task that runs");
}

#[test]
fn a_connection_is_not_greeted_before_it_is_admitted() {
    for kind in ALL {
        let recorders = [Recorder::default(), Recorder::default()];
        let mut pair = Pair::new(
            kind,
            recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]),
        );
        pair.sides[ACCEPTOR].admits = false;
        pair.run_for(seconds(1));
        assert_eq!(pair.sides[ACCEPTOR].story(), "A");
        assert_eq!(pair.sides[DIALLER].story(), "A");
        assert!(pair.sides[ACCEPTOR].machine.is_reading_paused());
        assert!(!pair.sides[ACCEPTOR].machine.is_closing());
        pair.sides[ACCEPTOR].link().admit();
        pair.run_for(seconds(1));
        assert!(pair.both(Side::is_established));
    }
}

/// Neither the clock nor anything else of the machine decides: the same seeds, the same bytes.
#[test]
fn the_same_seeds_make_the_same_bytes() {
    let bytes = || {
        let (pair, _) = Pair::established(SessionKind::Rlpx);
        let traffic = pair.sides[DIALLER].machine.link().traffic();
        (traffic.bytes_in.load(Relaxed), traffic.bytes_out.load(Relaxed))
    };
    assert_eq!(bytes(), bytes());
    let auth = || {
        let mut pair = Pair::new(SessionKind::Rlpx, [vec![], vec![]]);
        pair.sides[DIALLER].drive(pair.now)
    };
    assert_eq!(auth(), auth());
}
