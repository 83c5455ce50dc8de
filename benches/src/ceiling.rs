//! The cryptography of frames and handshakes alone, on one core, with nothing in the caches but
//! itself: what no session can be faster than.
//!
//! Frames: the same permutation (`sha3-asm`), cipher (`aes`, `ctr`) and number of digests as the
//! session uses. Handshakes: what both ends compute on the curve.

use core::hint::black_box;
use core::time::Duration;
use std::io;
use std::time::Instant;

use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aes::{Aes256, Aes256Enc};
use alloy_primitives::B256;
use chainmesh_identity::{NodeKey, recover};

use crate::args::Args;
use crate::module::new_key;
use crate::output::Line;

/// Bytes that Keccak-256 takes up per permutation.
const RATE: usize = 136;
/// Cipher and MAC take turns over pieces that stay in the first-level cache.
const PIECE: usize = 8 * 1024;
/// Slices of the time; the fastest counts, the others were disturbed.
const SLICES: u32 = 5;
/// Payloads of the table, bytes: those of the baseline.
const SIZES: [usize; 4] = [128, 1024, 16_384, 262_144];

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let time = Duration::from_secs_f64(args.secs) / 4;
    for size in SIZES {
        println!("{}", frame(size, time));
    }
    println!("{}", handshake(time)?);
    Ok(())
}

/// Nanoseconds for one call of `work`, in the fastest slice of `time`.
fn nanoseconds(time: Duration, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..SLICES {
        let (begin, mut calls) = (Instant::now(), 0_u32);
        while begin.elapsed() < time / SLICES {
            (0..4).for_each(|_| work());
            calls += 4;
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}

/// Bytes of the frame of a message of `size` bytes that does not shrink, without header and tags,
/// padded: code (1), snappy's length (1 to 4) and literal tag (2 to 4), message.
fn body(size: usize) -> usize {
    let length = 1 + (size.max(1).ilog2() / 7) as usize;
    let literal = if size > 60 { 2 + ((size - 1).ilog2() / 8) as usize } else { 1 };
    (1 + length + literal + size).next_multiple_of(16)
}

fn frame(size: usize, time: Duration) -> Line {
    let body = body(size);
    let mut data = vec![0x5a_u8; body];
    let mut lanes = [0_u64; 25];
    let mut cipher = ctr::Ctr64BE::<Aes256>::new(&[1; 32].into(), &[0; 16].into());
    let mac = Aes256Enc::new(&[2; 32].into());

    let permutation = nanoseconds(time, || {
        sha3_asm::sha3_absorb(black_box(&mut lanes), &[0; RATE], RATE);
    });
    let cipher_alone = nanoseconds(time, || {
        data.chunks_mut(PIECE).for_each(|piece| cipher.apply_keystream(black_box(piece)));
    });
    // One frame: header and body through the cipher; both of them and two seeds through the
    // sponge, which is never finished, so a digest is a permutation of a copy, three for a frame.
    let mut waiting = 0;
    let mut header = [0; 16];
    let all = nanoseconds(time, || {
        cipher.apply_keystream(black_box(&mut header));
        for piece in data.chunks_mut(PIECE) {
            cipher.apply_keystream(black_box(piece));
            let whole = piece.len() / RATE * RATE;
            sha3_asm::sha3_absorb(&mut lanes, piece.get(..whole).unwrap_or_default(), RATE);
            waiting += piece.len() - whole;
        }
        waiting += 2 * 16;
        while waiting >= RATE {
            sha3_asm::sha3_absorb(&mut lanes, &[0x33; RATE], RATE);
            waiting -= RATE;
        }
        for _ in 0..3 {
            let mut copy = lanes;
            sha3_asm::sha3_absorb(&mut copy, &[0x44; RATE], RATE);
            black_box(copy);
        }
        for _ in 0..2 {
            let mut block = header.into();
            mac.encrypt_block(&mut block);
            black_box(block);
        }
    });
    Line::of("frame")
        .number("size", size as f64)
        .number("mb_s", size as f64 * 1e3 / all)
        .number("msgs_s", 1e9 / all)
        .number("ns", all)
        .number("permutation_ns", permutation)
        .number("keccak_mb_s", RATE as f64 * 1e3 / permutation)
        .number("ctr_mb_s", body as f64 * 1e3 / cipher_alone)
}

/// Both ends together: 8 agreements, 4 new keys, a signature and a recovery.
fn handshake(time: Duration) -> io::Result<Line> {
    let (ours, theirs) = (new_key()?, new_key()?);
    let hash = B256::repeat_byte(7);
    let agreement = nanoseconds(time, || {
        black_box(ours.agree(theirs.public_key()));
    });
    let mut seed = [1_u8; 32];
    let new_key = nanoseconds(time, || {
        seed[0] = seed[0].wrapping_add(1);
        black_box(NodeKey::from_entropy(seed));
    });
    let signature = nanoseconds(time, || {
        black_box(ours.sign_recoverable(hash));
    });
    let signed = ours.sign_recoverable(hash);
    let recovery = nanoseconds(time, || {
        black_box(recover(&signed, hash));
    });
    let all = 8.0 * agreement + 4.0 * new_key + signature + recovery;
    Ok(Line::of("handshake")
        .number("us", all / 1e3)
        .number("agreement_us", agreement / 1e3)
        .number("new_key_us", new_key / 1e3)
        .number("signature_us", signature / 1e3)
        .number("recovery_us", recovery / 1e3))
}
