//! Time: handshake, heartbeat, silence, round trips, and peers that do not read.

use proptest::prelude::*;

use super::*;
use crate::module::PeerContext;

fn pings(raw: &mut Raw) -> usize {
    core::iter::from_fn(|| raw.next()).filter(|message| message.code == code::PING).count()
}

fn raw_dialled(recorder: &Recorder) -> Raw {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![recorder.module("t", 1, 4)]);
    raw.greet(5, &[("t", 1)]);
    raw
}

/// A new connection on the accepting side, to which nobody says anything.
fn silent(kind: SessionKind) -> Raw {
    let mut raw = Raw::connect(kind, vec![]);
    let local = node(1, kind, vec![]);
    let address = "127.0.0.1:1".parse().unwrap();
    raw.side = Side::new(Connection::accept(local, address, [2; 32], raw.now));
    raw
}

#[test]
fn every_stage_of_a_handshake_ends_after_five_seconds_in_all() {
    let slow = Recorder::default().on_peer(PeerContext::begin_handshake);
    let modules = || vec![slow.module("t", 1, 4)];
    let before_admission = {
        let mut raw = Raw::connect(SessionKind::Rlpx, modules());
        raw.side.admits = false;
        let hello = raw.hello(5, &[("t", 1)]).encode_payload();
        raw.send(code::HELLO, &hello);
        raw
    };
    let in_the_middle_of_hello = {
        let mut raw = Raw::connect(SessionKind::Rlpx, modules());
        let hello = raw.hello(5, &[("t", 1)]).encode_payload();
        let mut wire = BytesMut::new();
        raw.session.write(code::HELLO, &hello, &mut wire);
        raw.send_bytes(&wire[..wire.len() - 1]);
        raw
    };
    let in_a_module = {
        let mut raw = Raw::connect(SessionKind::Rlpx, modules());
        raw.greet(5, &[("t", 1)]);
        raw
    };
    let stages = [
        (silent(SessionKind::Rlpx), ""),
        (silent(SessionKind::Clear), ""),
        (Raw::connect(SessionKind::Rlpx, modules()), ""),
        (before_admission, "A"),
        (in_the_middle_of_hello, "A"),
        (in_a_module, "AG"),
    ];
    for (mut raw, story) in stages {
        // A byte now and then does not move the deadline.
        for _ in 0..4 {
            raw.wait(millis(1200));
        }
        raw.wait(millis(199));
        assert_eq!(raw.side.story(), story);
        raw.wait(millis(1));
        assert_eq!(raw.side.story(), format!("{story}C"));
        assert!(matches!(
            raw.side.events.last(),
            Some(ConnectionEvent::Closed(CloseCause::HandshakeTimeout))
        ));
    }
}

/// One byte each second is no way to stay.
#[test]
fn a_slow_loris_does_not_move_the_deadline() {
    let mut raw = silent(SessionKind::Rlpx);
    for _ in 0..5 {
        assert_eq!(raw.side.story(), "");
        raw.send_bytes(&[1]);
        raw.wait(seconds(1));
    }
    assert_eq!(raw.side.story(), "C");
}

/// `devp2p rlpx ping` agrees on keys and waits to be told who is there.
#[test]
fn a_probe_that_says_nothing_is_told_hello_after_a_second() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
    raw.wait(millis(999));
    assert!(!raw.has_unread());
    raw.wait(millis(1));
    assert_eq!(raw.next().map(|message| message.code), Some(code::HELLO));
    assert_eq!(raw.side.story(), "", "it has not proved anything");
    // If it speaks after all, it is told nothing twice.
    let hello = raw.hello(5, &[("t", 1)]).encode_payload();
    raw.send(code::HELLO, &hello);
    assert_eq!(raw.side.story(), "AGE");
    assert!(!raw.has_unread());
}

#[test]
fn the_dialling_side_pings_every_fifteen_seconds_and_the_other_does_not() {
    for kind in ALL {
        let (mut pair, _) = Pair::established(kind);
        let messages = |pair: &Pair, side: usize| {
            pair.sides[side].machine.link().traffic().messages_in.load(Relaxed)
        };
        let before = [0, 1].map(|side| messages(&pair, side));
        pair.run_for(seconds(14));
        assert_eq!([0, 1].map(|side| messages(&pair, side)), before);
        pair.run_for(seconds(1));
        // A Ping there, a Pong back.
        assert_eq!([0, 1].map(|side| messages(&pair, side) - before[side]), [1, 1]);
        pair.run_for(seconds(600));
        assert_eq!([0, 1].map(|side| messages(&pair, side) - before[side]), [41, 41]);
        assert!(pair.both(|side| side.story() == "AGE"));
    }
}

#[test]
fn silence_is_borne_for_45_seconds_and_no_longer() {
    let mut raw = raw_dialled(&Recorder::default());
    raw.wait(millis(44_999));
    assert_eq!(raw.side.story(), "AGE");
    assert_eq!(pings(&mut raw), 0, "the accepting side does not ping");
    raw.wait(millis(1));
    assert_eq!(raw.farewell(), Some(DisconnectReason::PingTimeout));
    assert!(matches!(
        raw.side.events.last(),
        Some(ConnectionEvent::Closed(CloseCause::IdleTimeout(_)))
    ));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut raw = raw_dialled(&Recorder::default());
    let mut wire = BytesMut::new();
    raw.session.write(0x10, &[1; 600], &mut wire);
    for byte in wire.iter().take(10) {
        raw.wait(millis(44_999));
        raw.send_bytes(&[*byte]);
    }
    assert_eq!(raw.side.story(), "AGE");
}

#[test]
fn a_cut_cable_is_noticed_by_both_sides() {
    let (mut pair, _) = Pair::established(SessionKind::Rlpx);
    pair.cut_cable();
    pair.run_for(seconds(46));
    assert!(pair.both(|side| side.reason() == Some(DisconnectReason::PingTimeout)));
}

#[test]
fn round_trips_are_measured() {
    let (mut pair, _) = Pair::established(SessionKind::Rlpx);
    let measured =
        |pair: &Pair| pair.sides[DIALLER].machine.link().traffic().round_trip.load(Relaxed);
    assert_eq!(measured(&pair), 0);
    pair.run_for(seconds(16));
    assert_eq!(measured(&pair), 20_000);
    pair.latency = millis(75);
    pair.run_for(seconds(16));
    assert_eq!(measured(&pair), 150_000);
}

#[test]
fn a_pong_that_nobody_asked_for_is_passed_over() {
    let mut raw = raw_dialled(&Recorder::default());
    for _ in 0..10 {
        raw.send(code::PONG, EMPTY_LIST);
    }
    assert_eq!(raw.side.story(), "AGE");
    assert_eq!(raw.side.machine.link().traffic().round_trip.load(Relaxed), 0);
    assert!(!raw.has_unread());
}

#[test]
fn a_probe_asks_for_a_sign_of_life_at_once() {
    for side in [DIALLER, ACCEPTOR] {
        let (mut pair, _) = Pair::established(SessionKind::Rlpx);
        let rings = pair.sides[side].bell.rings();
        pair.sides[side].link().probe();
        assert_eq!(pair.sides[side].bell.rings(), rings + 1);
        pair.run_for(pair.latency * 2);
        assert_eq!(pair.sides[side].story(), "AGEL");
        pair.run_for(seconds(100));
        assert_eq!(pair.sides[side].story(), "AGEL", "once for each probe");
    }
}

/// Found by reading: a probe in any stage but the open one kept the driver awake for ever.
#[test]
fn a_probe_in_any_stage_lets_the_driver_sleep() {
    let modules = || vec![Recorder::default().module("t", 1, 1)];
    let mut pair = Pair::new(SessionKind::Rlpx, [modules(), modules()]);
    for _ in 0..5 {
        pair.sides[DIALLER].link().probe();
        pair.sides[ACCEPTOR].link().probe();
        pair.drive();
        pair.step(pair.now + pair.latency);
    }
    pair.run_for(seconds(1));
    assert!(pair.both(|side| side.story().contains('L')), "asked as soon as it can be");
    pair.sides[DIALLER].link().close(DisconnectReason::Requested);
    pair.drive();
    pair.sides[DIALLER].link().probe();
    pair.run_for(seconds(1));
    assert!(pair.both(|side| side.story().ends_with('C')));
}

/// Found by reading: when reading went on after a pause, the silence of the pause was held
/// against the peer.
#[test]
fn a_pause_of_ours_is_not_the_peers_silence() {
    let recorder = Recorder::default();
    let mut raw = raw_dialled(&recorder);
    let peer = recorder.context("t");
    let holds: Vec<_> = (0..crate::session::MAX_HOLDS).map(|_| peer.hold_reading()).collect();
    raw.wait(Duration::ZERO);
    assert!(raw.side.machine.is_reading_paused());
    raw.wait(seconds(600));
    drop(holds);
    raw.wait(seconds(1));
    assert_eq!(raw.side.story(), "AGE");
    raw.wait(millis(44_999));
    assert_eq!(raw.side.story(), "AGE");
    raw.wait(millis(1));
    assert_eq!(raw.side.story(), "AGEC");
}

/// It speaks, but it does not read: without a limit it would keep its slot for ever.
#[test]
fn a_peer_that_takes_nothing_for_20_seconds_is_cut() {
    let recorder = Recorder::default();
    let mut raw = raw_dialled(&recorder);
    raw.side.writable = false;
    recorder.context("t").send(0, payload(100)).unwrap();
    raw.wait(Duration::ZERO);
    for _ in 0..19 {
        raw.wait(seconds(1));
        raw.send(code::PONG, EMPTY_LIST);
    }
    assert_eq!(raw.side.story(), "AGE");
    raw.wait(seconds(1));
    assert!(matches!(
        raw.side.events.last(),
        Some(ConnectionEvent::Closed(CloseCause::SlowReader))
    ));
    raw.wait(seconds(1));
    assert!(raw.side.machine.is_finished());
}

/// A little now and then is enough.
#[test]
fn a_peer_that_reads_slowly_is_not_cut() {
    let recorder = Recorder::default();
    let mut raw = raw_dialled(&recorder);
    raw.side.writable = false;
    recorder.context("t").send(0, payload(100_000)).unwrap();
    for _ in 0..20 {
        raw.wait(seconds(19));
        let part = raw.side.output.len().min(1000);
        let _ = raw.side.output.split_to(part);
        raw.side.machine.transmitted(part);
        raw.send(code::PONG, EMPTY_LIST);
    }
    assert_eq!(raw.side.story(), "AGE");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was done, a timer that was handled is not due again: no driver spins.
    #[test]
    fn a_handled_timer_is_not_due(steps in prop::collection::vec((0u8..6, 0u64..60_000), 1..30)) {
        let recorder = Recorder::default();
        let mut raw = raw_dialled(&recorder);
        let mut holds = Vec::new();
        for (what, wait) in steps {
            match what {
                0 => holds.push(recorder.context("t").hold_reading()),
                1 => drop(holds.pop()),
                2 => raw.send(code::PING, EMPTY_LIST),
                3 => raw.side.writable = !raw.side.writable,
                4 => { let _ = recorder.context("t").send(0, payload(500)); }
                _ => {}
            }
            // Panics if the connection does not come to rest.
            raw.wait(millis(wait));
            let due = raw.side.machine.poll_timeout();
            prop_assert!(due.is_none_or(|due| due > raw.now));
        }
    }
}

#[test]
fn a_reader_that_holds_up_others_is_cut_sooner_than_a_slow_one() {
    let cases = [(1, 20), (12, 9)].into_iter();
    for (kind, (queued, cut_after)) in
        ALL.into_iter().flat_map(|kind| cases.clone().map(move |case| (kind, case)))
    {
        let (mut pair, recorders) = Pair::established(kind);
        let peer = recorders[DIALLER].context("test");
        pair.sides[DIALLER].writable = false;
        for _ in 0..queued {
            peer.send(0, Bytes::from(vec![0; 1 << 20])).unwrap();
        }
        pair.run_for(Duration::from_secs(cut_after - 2));
        assert_eq!(pair.sides[DIALLER].cause(), None, "{queued} MiB wait");
        pair.run_for(Duration::from_secs(3));
        let cause = pair.sides[DIALLER].cause().unwrap_or_default();
        assert!(cause.contains("does not read"), "{kind:?}, {queued} MiB: {cause:?}");
    }
}
