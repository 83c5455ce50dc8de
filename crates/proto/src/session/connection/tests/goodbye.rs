//! How connections end: who says what to whom, and who is to blame.

use super::*;
use crate::session::rlpx::HandshakeError;

/// A pair that has come as far as `stage`: 0 keys, 1 admitted by the dialler only, 2 open.
fn pair_at(kind: SessionKind, stage: usize) -> (Pair, [Recorder; 2]) {
    let recorders = [Recorder::default(), Recorder::default()];
    let mut pair =
        Pair::new(kind, recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]));
    pair.sides[DIALLER].admits = stage > 0;
    pair.sides[ACCEPTOR].admits = stage > 1;
    pair.run_for(millis(500));
    // With TLS the handshake alone proves both; else the acceptor waits for the first frame.
    let first = if kind == SessionKind::Tls { ["A", "A"] } else { ["A", ""] };
    let stories = [first, ["A", "A"], ["AGE", "AGE"]][stage];
    assert_eq!(pair.sides.each_ref().map(|side| side.story()), stories);
    (pair, recorders)
}

#[test]
fn every_reason_arrives_from_every_stage() {
    for kind in ALL {
        for (stage, from) in
            [(0, DIALLER), (1, ACCEPTOR), (1, DIALLER), (2, DIALLER), (2, ACCEPTOR)]
        {
            for reason in DisconnectReason::ALL {
                let (mut pair, recorders) = pair_at(kind, stage);
                pair.sides[from].link().close(reason);
                pair.run_for(millis(500));
                let other = 1 - from;
                assert!(pair.sides[from].machine.is_finished());
                assert_eq!(
                    pair.sides[from].cause(),
                    Some(CloseCause::Local(reason).to_string()),
                    "stage {stage}"
                );
                if (stage, from) == (0, DIALLER) {
                    // The other side takes the first frame for the proof of a key, asks its
                    // manager, and reads on when that has decided.
                    assert_eq!(pair.sides[other].story(), "A");
                    pair.sides[other].link().admit();
                    pair.run_for(millis(100));
                }
                if (stage, from) == (1, DIALLER) {
                    pair.sides[other].link().admit();
                    pair.run_for(millis(100));
                }
                let told = CloseCause::Remote(reason).to_string();
                assert_eq!(pair.sides[other].cause(), Some(told), "{kind:?} {stage} from {from}");
                assert!(pair.sides[other].machine.is_finished());
                if stage == 2 {
                    for recorder in &recorders {
                        assert_eq!(recorder.closed(), [reason]);
                    }
                }
            }
        }
    }
}

/// Somebody who has read our Hello and leaves before its own: its Disconnect may be packed.
#[test]
fn a_disconnect_instead_of_hello_is_read_packed_and_unpacked() {
    for reason in DisconnectReason::ALL {
        for packed in [false, true] {
            let mut raw =
                Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
            if packed {
                raw.session.enable_packing();
            }
            raw.send(code::DISCONNECT, &reason.encode_payload());
            let told = CloseCause::Remote(reason).to_string();
            assert_eq!(raw.side.cause(), Some(told), "packed: {packed}");
        }
    }
}

/// Somebody who has not read our Hello yet and leaves after its own.
#[test]
fn an_unpacked_disconnect_after_hello_is_read() {
    for reason in DisconnectReason::ALL {
        let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
        let hello = raw.hello(5, &[("t", 1)]).encode_payload();
        raw.send(code::HELLO, &hello);
        raw.send(code::DISCONNECT, &reason.encode_payload());
        assert_eq!(raw.side.cause(), Some(CloseCause::Remote(reason).to_string()));
    }
}

#[test]
fn nobody_answers_a_disconnect() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
    raw.greet(5, &[("t", 1)]);
    raw.send(code::DISCONNECT, &DisconnectReason::Requested.encode_payload());
    assert!(!raw.has_unread());
    assert!(raw.side.machine.is_finished());
}

#[test]
fn an_error_of_a_module_is_its_reason() {
    for reason in [DisconnectReason::SubprotocolError, DisconnectReason::UselessPeer] {
        let strict = Recorder::default().on_message(move |_, code, _| {
            if code == 0 { Ok(()) } else { Err(ModuleError::with_reason(reason, "no")) }
        });
        let other = Recorder::default();
        let mut raw = Raw::connect(
            SessionKind::Rlpx,
            vec![strict.module("strict", 1, 2), other.module("other", 1, 1)],
        );
        raw.greet(5, &[("strict", 1), ("other", 1)]);
        raw.send(0x11, b"fine");
        assert_eq!(raw.side.story(), "AGE");
        raw.send(0x12, b"wrong");
        assert_eq!(raw.farewell(), Some(reason));
        assert_eq!(raw.side.cause(), Some("strict/1: no".into()));
        assert_eq!([strict.closed(), other.closed()], [[reason], [reason]]);
        // Nothing of what follows reaches anybody.
        raw.send(0x10, b"more");
        assert!(other.messages().is_empty());
    }
}

/// Found by reading: what a handler asked for while the machine was reading was taken for seen,
/// and the driver slept over it.
#[test]
fn a_disconnect_asked_for_inside_a_handler_is_done_at_once() {
    let leaves = Recorder::default().on_message(|peer, _, _| {
        peer.disconnect(DisconnectReason::TooManyPeers);
        Ok(())
    });
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![leaves.module("t", 1, 1)]);
    raw.greet(5, &[("t", 1)]);
    raw.send(0x10, b"");
    assert_eq!(raw.farewell(), Some(DisconnectReason::TooManyPeers));

    let refuses =
        Recorder::default().on_peer(|peer| peer.disconnect(DisconnectReason::UselessPeer));
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![refuses.module("t", 1, 1)]);
    raw.greet(5, &[("t", 1)]);
    assert_eq!(raw.farewell(), Some(DisconnectReason::UselessPeer));
}

/// As above, for an order that comes between the driver's look and the end of the handshake.
#[test]
fn a_close_during_the_handshake_is_not_slept_over() {
    let mut pair = Pair::new(SessionKind::Rlpx, [vec![], vec![]]);
    pair.drive();
    pair.sides[ACCEPTOR].link().close(DisconnectReason::ClientQuitting);
    assert_eq!(pair.sides[ACCEPTOR].bell.rings(), 1);
    pair.drive();
    assert_eq!(pair.sides[ACCEPTOR].story(), "C");
    assert!(pair.sides[ACCEPTOR].machine.is_finished());
}

#[test]
fn after_the_end_input_is_thrown_away_and_nothing_is_said() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
    raw.greet(5, &[("t", 1)]);
    raw.side.writable = false;
    raw.side.link().close(DisconnectReason::Requested);
    raw.wait(Duration::ZERO);
    assert!(raw.side.machine.is_closing() && !raw.side.machine.is_finished());
    for _ in 0..100 {
        raw.send(0x10, &[1; 1000]);
        assert!(raw.side.input.is_empty());
    }
    raw.side.writable = true;
    raw.wait(Duration::ZERO);
    assert!(raw.side.machine.is_closing() && raw.side.machine.is_finished());
    assert_eq!(raw.farewell(), Some(DisconnectReason::Requested));
    raw.send(code::PING, EMPTY_LIST);
    assert!(!raw.has_unread());
    assert_eq!(raw.side.story(), "AGEC");
}

/// Found by reading: a peer that does not read kept a closing connection for ever.
#[test]
fn a_disconnect_that_cannot_leave_is_given_up_after_a_second() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
    raw.greet(5, &[("t", 1)]);
    raw.side.writable = false;
    raw.side.link().close(DisconnectReason::Requested);
    raw.wait(millis(999));
    raw.wait(millis(999));
    assert!(!raw.side.machine.is_finished());
    raw.wait(millis(1));
    assert!(raw.side.machine.is_finished());
    assert_eq!(raw.side.machine.poll_timeout(), None);
}

#[test]
fn the_network_is_to_blame_for_its_own_faults() {
    for error in [None, Some(std::io::ErrorKind::ConnectionReset)] {
        let (mut pair, recorders) = Pair::established(SessionKind::Rlpx);
        pair.sides[DIALLER].machine.network_closed(error);
        pair.sides[DIALLER].drive(pair.now);
        let Some(ConnectionEvent::Closed(cause)) = pair.sides[DIALLER].events.last() else {
            panic!("not closed");
        };
        assert_eq!(cause.blame(), Blame::Network);
        assert_eq!(recorders[DIALLER].closed(), [DisconnectReason::TcpError]);
        assert!(pair.sides[DIALLER].machine.is_finished());
    }
}

/// A driver that is dropped in the middle (its task was cancelled) leaves nobody waiting.
#[test]
fn a_dropped_connection_closes_its_modules_and_its_link() {
    let (pair, recorders) = Pair::established(SessionKind::Rlpx);
    let peer = recorders[DIALLER].context("test");
    drop(pair);
    assert_eq!(peer.send(0, Bytes::new()), Err(crate::session::SendError::Closed));
    assert_eq!(recorders[DIALLER].closed(), [DisconnectReason::TcpError]);
}

#[test]
fn a_context_outlives_its_session_without_harm() {
    let (mut pair, recorders) = Pair::established(SessionKind::Rlpx);
    let peer = recorders[DIALLER].context("test");
    pair.sides[DIALLER].link().close(DisconnectReason::Requested);
    assert_eq!(peer.send(0, Bytes::new()), Err(crate::session::SendError::Closed));
    pair.run_for(seconds(1));
    peer.disconnect(DisconnectReason::TooManyPeers);
    drop(peer.hold_reading());
    pair.sides[DIALLER].link().admit();
    pair.sides[DIALLER].link().probe();
    pair.run_for(seconds(100));
    assert_eq!(pair.sides[DIALLER].story(), "AGEC");
}

/// Anybody can write an `auth` packet in anybody's name. Its sender is nobody until the first
/// frame: nothing is told to the manager, which could end the real node's connection over it.
#[test]
fn a_forged_auth_packet_proves_nothing() {
    let victim = key(0).peer_id();
    let forged = crate::session::rlpx::forged_auth(victim, &key(1));
    let recorder = Recorder::default();
    for first_frame in [vec![], vec![0; 31], vec![0; 32], vec![7; 2000]] {
        let mut raw = Raw::connect(SessionKind::Rlpx, vec![recorder.module("t", 1, 1)]);
        raw.side = Side::new(Connection::accept(
            node(1, SessionKind::Rlpx, vec![recorder.module("t", 1, 1)]),
            "127.0.0.1:1".parse().unwrap(),
            [4; 32],
            raw.now,
        ));
        raw.side.arrive(raw.now, &forged);
        let ack = raw.side.drive(raw.now);
        assert!(!ack.is_empty(), "it was taken for an honest packet");
        assert_eq!(raw.side.story(), "", "and nothing was made of it");
        raw.side.arrive(raw.now, &first_frame);
        raw.side.drive(raw.now);
        if first_frame.len() >= 32 {
            let [ConnectionEvent::Closed(cause)] = raw.side.events.as_slice() else {
                panic!("{:?}", raw.side.events);
            };
            assert!(cause.is_handshake(), "the named node is not to blame");
        } else {
            raw.side.drive(raw.now + seconds(5));
            assert_eq!(raw.side.story(), "C");
        }
    }
}

/// The same on the other side: whoever answers a dial without the key is not the node it plays.
#[test]
fn a_forged_answer_to_a_dial_is_not_held_against_the_node() {
    let mut pair = Pair::new(SessionKind::Rlpx, [vec![], vec![]]);
    pair.drive();
    pair.run_for(pair.latency * 2);
    assert_eq!(pair.sides[DIALLER].story(), "A");
    pair.cut_cable();
    let now = pair.now;
    pair.sides[DIALLER].arrive(now, &[0; 100]);
    pair.sides[DIALLER].drive(now);
    let Some(ConnectionEvent::Closed(cause)) = pair.sides[DIALLER].events.last() else {
        panic!("not closed");
    };
    assert!(cause.is_handshake());
    assert!(cause.to_string().contains(&HandshakeError::NotProved.to_string()));
}
