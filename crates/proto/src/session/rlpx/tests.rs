//! Frames: golden bytes, an independent reading of what is written, and damage of every kind.

use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use alloy_primitives::{Keccak256, keccak256};
use bytes::Bytes;
use proptest::prelude::*;

use super::frame::FrameReader;
use super::handshake::Secrets;
use super::*;
use crate::session::snappy::SnappyError;

const NONCES: [[u8; 32]; 2] = [[1; 32], [2; 32]];

fn secrets(swapped: bool) -> Secrets {
    // go-ethereum's `TestFrameReadWrite` uses the hash of nothing for both keys.
    let key = keccak256([]).0;
    let [one, other] = [(NONCES[0], b"auth".to_vec()), (NONCES[1], b"ack".to_vec())];
    let (egress, ingress) = if swapped { (other, one) } else { (one, other) };
    Secrets { aes: key, mac: key, egress, ingress }
}

fn pair() -> (Box<RlpxSession>, Box<RlpxSession>) {
    (RlpxSession::new(&secrets(false)), RlpxSession::new(&secrets(true)))
}

fn frame_of(code: u64, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    pair().0.write(code, payload, &mut out);
    out
}

/// The ciphertext of go-ethereum's golden frame (`TestFrameReadWrite`; its tags come from a hash
/// that is no hash, so they are checked below).
#[test]
fn the_ciphertext_of_the_golden_frame() {
    let frame = frame_of(8, &const_hex::decode("c401020304").unwrap());
    assert_eq!(const_hex::encode(&frame[..16]), "00828ddae471818bb0bfa6b551d1cb42");
    assert_eq!(const_hex::encode(&frame[32..48]), "ba628a4ba590cb43f7848f41c4382885");
    assert_eq!(frame.len(), 64);
}

/// RLPx's MAC as the specification writes it, with a Keccak-256 that is started anew each time.
struct PlainMac {
    seen: Vec<u8>,
    secret: [u8; 32],
}

impl PlainMac {
    fn new(secret: [u8; 32], nonce: [u8; 32], packet: &[u8]) -> Self {
        let mut seen: Vec<u8> = secret.iter().zip(nonce).map(|(a, b)| a ^ b).collect();
        seen.extend_from_slice(packet);
        Self { seen, secret }
    }

    fn digest(&self) -> [u8; 16] {
        let mut hash = Keccak256::new();
        hash.update(&self.seen);
        hash.finalize()[..16].try_into().unwrap()
    }

    fn mix(&mut self, with: [u8; 16]) -> [u8; 16] {
        let mut block = self.digest().into();
        aes::Aes256Enc::new((&self.secret).into()).encrypt_block(&mut block);
        self.seen.extend(block.iter().zip(with).map(|(a, b)| a ^ b));
        self.digest()
    }

    fn header(&mut self, header: [u8; 16]) -> [u8; 16] {
        self.mix(header)
    }

    fn body(&mut self, body: &[u8]) -> [u8; 16] {
        self.seen.extend_from_slice(body);
        let digest = self.digest();
        self.mix(digest)
    }
}

/// Several frames of all kinds of sizes, read by the plainest means there are.
#[test]
fn an_independent_reader_reads_what_we_write() {
    let key = keccak256([]).0;
    let (mut ours, _) = pair();
    let mut mac = PlainMac::new(key, NONCES[0], b"auth");
    let mut cipher = ctr::Ctr128BE::<aes::Aes256>::new((&key).into(), (&[0; 16]).into());
    for (code, size) in
        [(0, 0), (1, 1), (0x10, 15), (0x7f, 16), (0x80, 17), (300, 8_191), (16, 40_000)]
    {
        let payload: Vec<u8> = (0..size).map(|at: usize| at as u8).collect();
        let mut out = BytesMut::new();
        ours.write(code, &payload, &mut out);

        let mut header: [u8; 16] = out[..16].try_into().unwrap();
        assert_eq!(out[16..32], mac.header(header), "tag of the header");
        cipher.apply_keystream(&mut header);
        let length =
            usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        assert_eq!(header[3..6], [0xc2, 0x80, 0x80]);
        let padded = length.next_multiple_of(16);
        assert_eq!(out.len(), 32 + padded + 16);
        let mut body = out[32..32 + padded].to_vec();
        assert_eq!(out[32 + padded..], mac.body(&body), "tag of the body");
        cipher.apply_keystream(&mut body);
        assert!(body[length..].iter().all(|byte| *byte == 0), "padding is zeroes");
        assert_eq!(body[..length], [alloy_rlp::encode(code), payload].concat());
    }
}

fn read_all(session: &mut RlpxSession, input: &mut BytesMut) -> Result<Vec<Message>, SessionError> {
    core::iter::from_fn(|| session.read(input, MAX_FRAME).transpose()).collect()
}

fn message(code: u64, payload: &[u8]) -> Message {
    Message { code, payload: Bytes::copy_from_slice(payload) }
}

#[test]
fn messages_of_every_size_arrive_packed_and_unpacked() {
    for packing in [false, true] {
        let (mut ours, mut theirs) = pair();
        if packing {
            ours.enable_packing();
            theirs.enable_packing();
        }
        for size in [0, 1, 15, 16, 17, 511, 512, 8_192, 100_000, MAX_PAYLOAD] {
            let payload: Vec<u8> = if size < 1 << 20 {
                (0..size).map(|at| ((at * at) >> 7) as u8).collect()
            } else {
                vec![7; size]
            };
            let mut wire = BytesMut::new();
            ours.write(0x11, &payload, &mut wire);
            let read = read_all(&mut theirs, &mut wire).unwrap();
            assert_eq!(read.len(), 1);
            assert!(read[0].code == 0x11 && read[0].payload == payload, "{size} bytes");
            assert!(wire.is_empty());
        }
    }
}

/// Every place at which a stream of two frames can be damaged.
#[test]
fn a_frame_with_any_changed_byte_is_refused() {
    let clean = {
        let (mut ours, _) = pair();
        let mut out = BytesMut::new();
        ours.write(0x10, b"first", &mut out);
        ours.write(0x11, &[7; 100], &mut out);
        out
    };
    let first = frame_of(0x10, b"first").len();
    for at in 0..clean.len() {
        for bit in [0x01, 0x80] {
            let mut wire = clean.clone();
            wire[at] ^= bit;
            let (_, mut theirs) = pair();
            let outcome = read_all(&mut theirs, &mut wire);
            let within = at % first;
            let want = match (at < first, within, at - first.min(at)) {
                (true, 0..32, _) | (false, _, 0..32) => FrameError::HeaderMac,
                _ => FrameError::BodyMac,
            };
            assert_eq!(outcome.err(), Some(SessionError::Frame(want)), "byte {at}");
        }
    }
}

#[test]
fn a_frame_that_is_cut_anywhere_is_waited_for() {
    let clean = frame_of(0x10, &[7; 100]);
    for length in 0..clean.len() {
        let (_, mut theirs) = pair();
        let mut wire = clean.clone();
        let mut rest = wire.split_off(length);
        assert_eq!(theirs.read(&mut wire, MAX_FRAME), Ok(None));
        wire.unsplit(rest.split());
        assert_eq!(theirs.read(&mut wire, MAX_FRAME), Ok(Some(message(0x10, &[7; 100]))));
    }
}

/// Frames that come twice, in another order, or from the other direction are not read.
#[test]
fn replayed_and_reflected_frames_are_refused() {
    let (mut ours, mut theirs) = pair();
    let mut first = BytesMut::new();
    ours.write(0x10, b"one", &mut first);
    let mut second = BytesMut::new();
    ours.write(0x10, b"two", &mut second);
    let mut again = first.clone();
    assert!(theirs.read(&mut second, MAX_FRAME).is_err(), "out of turn");
    let (_, mut theirs) = pair();
    assert!(theirs.read(&mut first, MAX_FRAME).unwrap().is_some());
    assert!(theirs.read(&mut again.clone(), MAX_FRAME).is_err(), "a second time");
    assert!(ours.read(&mut again, MAX_FRAME).is_err(), "back to its sender");
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_header_alone() {
    let mut wire = frame_of(0, &[1; 3000]);
    wire.truncate(32);
    let (_, mut theirs) = pair();
    assert_eq!(
        theirs.read(&mut wire, MAX_BASE_FRAME),
        Err(FrameError::TooLarge { size: 3001, limit: MAX_BASE_FRAME }.into())
    );
}

/// A peer that announces 2 MiB gets room for what it sends, not for what it says.
#[test]
fn an_announced_size_is_not_believed() {
    let mut wire = frame_of(0x10, &vec![1; 2 << 20]);
    let rest = wire.split_off(32);
    let (_, mut theirs) = pair();
    assert_eq!(theirs.read(&mut wire, MAX_FRAME), Ok(None));
    assert_eq!(theirs.wanted(0, 4096), 4096);
    let mut held = 0;
    for piece in rest.chunks(4096) {
        let wanted = theirs.wanted(wire.len(), 4096);
        assert!(wanted >= 1 && wanted <= held.max(4096), "{wanted} wanted with {held} there");
        wire.extend_from_slice(piece);
        held = wire.len();
        let _ = theirs.read(&mut wire, MAX_FRAME).unwrap();
    }
    assert!(wire.is_empty(), "the frame was read whole at last");
    // Now it has proved that it sends such frames: the next one gets its room at once.
    assert_eq!(theirs.wanted(0, 4096), 4096, "no frame is open");
}

#[test]
fn an_empty_frame_and_a_code_that_is_no_number_are_refused() {
    for body in
        [&[][..], &[0xc0], &[0x00], &[0x81, 0x05], &[0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1], &[0x82, 1]]
    {
        let (mut ours, mut theirs) = pair();
        let mut wire = BytesMut::new();
        ours.writer.write(body, &[], &mut wire);
        assert_eq!(theirs.read(&mut wire, MAX_FRAME), Err(SessionError::BadCode), "{body:?}");
    }
}

/// A lie about the unpacked size costs the liar its session and us no memory.
#[test]
fn a_snappy_bomb_in_a_frame_is_refused() {
    let (mut ours, mut theirs) = pair();
    theirs.enable_packing();
    let mut wire = BytesMut::new();
    ours.write(0x10, &[0xff, 0xff, 0xff, 0x07, 0x00], &mut wire);
    assert!(matches!(
        theirs.read(&mut wire, MAX_FRAME),
        Err(SessionError::Snappy(SnappyError::ImpossibleRatio { .. }))
    ));
}

/// Around the Hellos either side may or may not know that the other one packs.
#[test]
fn a_disconnect_is_read_packed_and_unpacked() {
    use chainmesh_wire::devp2p::{DisconnectReason, code};
    let unknown = (0x20..=0x7f).map(DisconnectReason::from_code);
    for reason in DisconnectReason::ALL.into_iter().chain(unknown) {
        for (sender_packs, reader_packs) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            for plain in [reason.encode_payload(), alloy_rlp::encode(reason.code()).into()] {
                let (mut ours, mut theirs) = pair();
                if sender_packs {
                    ours.enable_packing();
                }
                if reader_packs {
                    theirs.enable_packing();
                }
                let mut wire = BytesMut::new();
                ours.write(code::DISCONNECT, &plain, &mut wire);
                let read = theirs.read(&mut wire, MAX_FRAME).unwrap().unwrap();
                assert_eq!(
                    DisconnectReason::decode_payload(&read.payload),
                    Ok(reason),
                    "packs: sender {sender_packs}, reader {reader_packs}"
                );
            }
        }
    }
}

proptest! {
    /// However the bytes are cut, the same messages come out.
    #[test]
    fn cuts_do_not_matter(sizes in prop::collection::vec(0usize..5000, 1..6),
                          cuts in prop::collection::vec(1usize..3000, 1..20), packing: bool) {
        let (mut ours, mut theirs) = pair();
        if packing {
            ours.enable_packing();
            theirs.enable_packing();
        }
        let mut wire = BytesMut::new();
        let mut sent = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let payload: Vec<u8> = (0..*size).map(|at| ((at * (index + 1)) >> 3) as u8).collect();
            ours.write(0x10 + index as u64, &payload, &mut wire);
            sent.push(message(0x10 + index as u64, &payload));
        }
        let mut input = BytesMut::new();
        let mut read = Vec::new();
        for cut in cuts.iter().cycle() {
            if wire.is_empty() {
                break;
            }
            input.extend_from_slice(&wire.split_to((*cut).min(wire.len())));
            read.extend(read_all(&mut theirs, &mut input).unwrap());
        }
        prop_assert_eq!(read, sent);
    }

    /// Bytes of somebody who has no keys are refused as soon as there is a header of them.
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut wire = BytesMut::from(&bytes[..]);
        let outcome = pair().0.read(&mut wire, MAX_FRAME);
        if bytes.len() < 32 {
            prop_assert_eq!(outcome, Ok(None));
        } else {
            prop_assert_eq!(outcome, Err(FrameError::HeaderMac.into()));
        }
    }

    /// What a reader wants is at least a byte and never more than it was shown.
    #[test]
    fn wanted_is_bounded(buffered in 0usize..1 << 25, step in 0usize..1 << 20, size in 1usize..10_000) {
        let (mut ours, mut theirs) = pair();
        let mut wire = BytesMut::new();
        ours.write(1, &vec![1; size], &mut wire);
        wire.truncate(32);
        prop_assert_eq!(theirs.read(&mut wire, MAX_FRAME), Ok(None));
        let wanted = theirs.wanted(buffered, step);
        prop_assert!(wanted >= 1 && wanted <= step.max(buffered).max(48));
        let reader: &FrameReader = &theirs.reader;
        prop_assert_eq!(reader.wanted(buffered, step), wanted);
    }
}
