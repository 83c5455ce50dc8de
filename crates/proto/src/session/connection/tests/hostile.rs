//! Damage of every kind in every phase: it ends in `Closed` with a reason, and never in a panic.

use proptest::prelude::*;

use super::*;

/// What a whole short session sends in each direction, as pieces.
fn recorded(kind: SessionKind, side: usize) -> Vec<u8> {
    let recorders = [Recorder::default(), Recorder::default()];
    let mut pair =
        Pair::new(kind, recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]));
    let mut wire = Vec::new();
    for round in 0..8 {
        let now = pair.now;
        let sent = pair.sides.each_mut().map(|side| side.drive(now));
        wire.extend_from_slice(&sent[side]);
        for (to, bytes) in [(1, &sent[0]), (0, &sent[1])] {
            if !bytes.is_empty() {
                pair.sides[to].arrive(now, bytes);
            }
        }
        if round == 5 {
            recorders[side].context("test").send(2, payload(40)).unwrap();
        }
    }
    assert_eq!(recorders[1 - side].messages(), [(2, payload(40))]);
    wire
}

/// Runs `side` of a session to whose peer's bytes `damage` was done, as long as bytes come.
fn replay(kind: SessionKind, side: usize, damaged: &[u8]) -> (Side, Recorder) {
    let recorders = [Recorder::default(), Recorder::default()];
    let mut pair =
        Pair::new(kind, recorders.each_ref().map(|recorder| vec![recorder.module("test", 1, 4)]));
    let now = pair.now;
    let mut honest = pair.sides.swap_remove_side(side);
    honest.drive(now);
    for piece in damaged.chunks(64) {
        honest.arrive(now, piece);
        honest.drive(now);
        assert!(honest.input.len() <= damaged.len());
    }
    (honest, recorders[side].clone())
}

trait SwapRemove {
    fn swap_remove_side(&mut self, side: usize) -> Side;
}

impl SwapRemove for [Side; 2] {
    fn swap_remove_side(&mut self, side: usize) -> Side {
        let spare = Side::new(Connection::accept(
            node(3, SessionKind::Clear, vec![]),
            "127.0.0.1:1".parse().unwrap(),
            [0; 32],
            Instant::ZERO,
        ));
        core::mem::replace(&mut self[side], spare)
    }
}

/// The seeds of a pair are fixed, so what one side once said can be said again.
#[test]
fn an_undamaged_recording_is_a_session() {
    for kind in REPEATABLE {
        for side in [DIALLER, ACCEPTOR] {
            let (honest, recorder) = replay(kind, side, &recorded(kind, 1 - side));
            assert_eq!(honest.story(), "AGE");
            assert_eq!(recorder.messages(), [(2, payload(40))]);
        }
    }
}

#[test]
fn a_bit_flipped_in_any_byte_of_an_rlpx_session_ends_it() {
    for side in [DIALLER, ACCEPTOR] {
        let wire = recorded(SessionKind::Rlpx, 1 - side);
        for at in 0..wire.len() {
            let mut damaged = wire.clone();
            damaged[at] ^= 1 << (at % 8);
            let (mut honest, recorder) = replay(SessionKind::Rlpx, side, &damaged);
            assert!(recorder.messages().is_empty(), "byte {at}");
            if honest.cause().is_none() {
                // A length became larger: more is waited for, but not for ever.
                honest.drive(Instant::from_micros(1_000_000) + HANDSHAKE_TIMEOUT);
                honest.drive(Instant::from_micros(1_000_000) + IDLE_TIMEOUT);
            }
            assert!(honest.cause().is_some(), "byte {at}: {}", honest.story());
            assert!(honest.machine.is_closing());
        }
    }
}

#[test]
fn a_session_that_is_cut_at_any_byte_ends_with_the_network() {
    for kind in REPEATABLE {
        for side in [DIALLER, ACCEPTOR] {
            let wire = recorded(kind, 1 - side);
            for length in 0..wire.len() {
                let (mut honest, recorder) = replay(kind, side, &wire[..length]);
                assert!(honest.cause().is_none(), "{length}: {:?}", honest.cause());
                assert!(recorder.messages().is_empty());
                honest.machine.network_closed(None);
                honest.drive(Instant::from_micros(1_000_000));
                assert!(honest.story().ends_with('C'));
                assert!(honest.machine.is_finished());
            }
        }
    }
}

/// In the clear everything can be forged, but nothing is damaged unnoticed.
#[test]
fn a_bit_flipped_in_any_byte_of_a_clear_session_ends_it() {
    let wire = recorded(SessionKind::Clear, DIALLER);
    for at in 0..wire.len() {
        for bit in 0..8 {
            let mut damaged = wire.clone();
            damaged[at] ^= 1 << bit;
            let (mut honest, recorder) = replay(SessionKind::Clear, ACCEPTOR, &damaged);
            assert!(recorder.messages().is_empty());
            // A length became larger: more is waited for, but not for ever.
            honest.drive(Instant::from_micros(1_000_000) + HANDSHAKE_TIMEOUT);
            honest.drive(Instant::from_micros(1_000_000) + IDLE_TIMEOUT);
            assert!(honest.cause().is_some(), "byte {at}, bit {bit}");
        }
    }
}

/// A manager that takes its time does not make us hold what a stranger sends meanwhile.
#[test]
fn nothing_is_read_while_the_manager_decides() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![]);
    raw.side.admits = false;
    let hello = raw.hello(5, &[]).encode_payload();
    raw.send(code::HELLO, &hello);
    assert_eq!(raw.side.story(), "A");
    assert!(raw.side.machine.is_reading_paused());
}

#[test]
fn before_hello_no_read_is_larger_than_4_kib() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
    assert_eq!(raw.side.machine.wanted(0, 256 * 1024), 4096);
    raw.greet(5, &[("t", 1)]);
    assert_eq!(raw.side.machine.wanted(0, 256 * 1024), 256 * 1024);
}

/// A frame of 2 MiB is announced, and comes in pieces: no read asks for more than came before.
#[test]
fn an_announced_frame_is_not_believed() {
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
    raw.greet(5, &[("t", 1)]);
    let mut wire = BytesMut::new();
    raw.session.write(0x10, &random_bytes(2 << 20), &mut wire);
    let mut there = 0;
    for piece in wire.chunks(50_000) {
        let wanted = raw.side.machine.wanted(raw.side.input.len(), 4096);
        assert!(wanted <= there.max(4096), "{wanted} bytes wanted when {there} were there");
        raw.send_bytes(piece);
        there = raw.side.input.len();
    }
    assert_eq!(raw.side.story(), "AGE");
    assert!(raw.side.input.is_empty());
}

fn random_bytes(size: usize) -> Vec<u8> {
    use rand_core::{Rng, SeedableRng};
    let mut bytes = vec![0; size];
    rand_chacha::ChaCha8Rng::seed_from_u64(7).fill_bytes(&mut bytes);
    bytes
}

#[test]
fn a_snappy_bomb_ends_the_session() {
    let recorder = Recorder::default();
    let mut raw = Raw::connect(SessionKind::Rlpx, vec![recorder.module("t", 1, 1)]);
    let hello = raw.hello(5, &[("t", 1)]).encode_payload();
    raw.send(code::HELLO, &hello);
    // Our side does not pack, so the payload is what we say it is.
    raw.send(0x10, &[0xff, 0xff, 0xff, 0x07, 0x00]);
    assert!(raw.side.cause().unwrap().contains("claims to unpack"));
    assert!(recorder.messages().is_empty());
}

#[test]
fn a_base_message_of_more_than_2_kib_is_refused() {
    for base in [code::PING, code::PONG, code::DISCONNECT] {
        let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 1)]);
        raw.greet(5, &[("t", 1)]);
        raw.send(base, &[0xc0; 2048]);
        assert!(raw.side.cause().is_none() || base == code::DISCONNECT);
        raw.send(base, &[0xc0; 2049]);
        assert!(raw.side.cause().is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_to_a_listener_end_in_closed(
        bytes in prop::collection::vec(any::<u8>(), 0..3000), clear: bool
    ) {
        let kind = if clear { SessionKind::Clear } else { SessionKind::Rlpx };
        let (mut honest, _) = replay(kind, ACCEPTOR, &bytes);
        prop_assert!(honest.input.len() <= 2050 + 64);
        honest.drive(Instant::from_micros(1_000_000) + HANDSHAKE_TIMEOUT);
        prop_assert!(honest.story().ends_with('C'));
    }

    /// Messages of every code and content, from a peer that has the keys.
    #[test]
    fn random_messages_never_panic(messages in prop::collection::vec(
        (prop_oneof![0u64..0x20, any::<u64>()], prop::collection::vec(any::<u8>(), 0..200)), 1..20,
    ), greet: bool) {
        let mut raw = Raw::connect(SessionKind::Rlpx, vec![Recorder::default().module("t", 1, 4)]);
        if greet {
            let hello = raw.hello(5, &[("t", 1)]).encode_payload();
            raw.send(code::HELLO, &hello);
        }
        for (code, payload) in messages {
            raw.send(code, &payload);
        }
        raw.wait(seconds(50));
        prop_assert!(raw.side.story().ends_with('C'));
    }
}
