//! Handshakes that are damaged on their way.

use bytes::BytesMut;
use chainmesh_identity::tls::Versions;
use proptest::prelude::*;

use super::local;
use crate::session::testing::{Recorder, key};
use crate::session::{Handshake, Progress};

/// Both ends until nothing moves; byte `at` of what `from` says is changed. Whether both were done.
fn handshake(versions: Versions, from: usize, at: usize, mask: u8, piece: usize) -> [bool; 2] {
    let locals = [0, 1].map(|number| local(number, versions, &Recorder::default()));
    let keys = [key(0), key(1)];
    let mut outs = [BytesMut::new(), BytesMut::new()];
    let mut inputs = [BytesMut::new(), BytesMut::new()];
    let mut ends = [
        Handshake::dial(&locals[0], None, [1; 32], &mut outs[0]).ok(),
        Handshake::accept(&locals[1], [2; 32], &mut outs[1]).ok(),
    ];
    let (mut said, mut done) = (0, [false, false]);
    for _ in 0..10_000 {
        let mut quiet = true;
        for side in [0, 1] {
            if let Some(end) = ends[side].take() {
                match end.advance(&keys[side], &mut inputs[side], &mut outs[side]) {
                    Ok(Progress::Wait(end)) => ends[side] = Some(end),
                    Ok(Progress::Done(..)) => done[side] = true,
                    Err(_) => {}
                }
            }
            let mut sent = outs[side].split_to(outs[side].len().min(piece));
            quiet &= sent.is_empty();
            if side == from {
                if let Some(byte) = at.checked_sub(said).and_then(|at| sent.get_mut(at)) {
                    *byte ^= mask;
                }
                said += sent.len();
            }
            inputs[1 - side].unsplit(sent);
        }
        if quiet {
            break;
        }
    }
    done
}

#[test]
fn an_undamaged_handshake_is_done_in_pieces_of_any_size() {
    for versions in [Versions::Tls12, Versions::Tls13, Versions::Both] {
        for piece in [usize::MAX, 100, 1] {
            assert_eq!(handshake(versions, 0, usize::MAX, 0, piece), [true, true]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_one_ends_without_a_panic(
        tls13 in any::<bool>(),
        from in 0..2_usize,
        at in 0..1500_usize,
        bit in 0..8_u8,
        piece in prop::sample::select(vec![usize::MAX, 300, 7]),
    ) {
        let versions = if tls13 { Versions::Tls13 } else { Versions::Tls12 };
        let done = handshake(versions, from, at, 1 << bit, piece);
        // Who received the damage is never done before the other: its Finished covers all of it.
        // (In TLS 1.3 the dialling side is done first, and what it says last may be damaged.)
        prop_assert!(!done[1 - from] || done[from] || tls13, "{:?}", done);
    }
}
