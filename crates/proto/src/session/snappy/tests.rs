use proptest::prelude::*;

use super::*;

fn packed(message: &[u8]) -> Vec<u8> {
    let mut packer = Packer::default();
    let packed = packer.pack(message);
    [packed.head(), packed.body()].concat()
}

#[test]
fn messages_that_do_not_shrink_go_as_one_literal() {
    // Every length at which the form of the literal's tag changes.
    for length in [0, 1, 59, 60, 61, 255, 256, 257, 511, 65_535, 65_536, 65_537, 300_000] {
        let message: Vec<u8> = random(length);
        let bytes = packed(&message);
        assert!(bytes.len() <= message.len() + MAX_LITERAL_HEAD);
        // An independent decoder reads it.
        assert_eq!(Decoder::new().decompress_vec(&bytes).unwrap(), message, "{length}");
        assert_eq!(unpack(bytes.into()).unwrap(), message, "{length}");
    }
}

#[test]
fn a_whole_literal_is_not_copied() {
    let bytes = Bytes::from(packed(&random(10_000)));
    let message = unpack(bytes.clone()).unwrap();
    assert!(bytes.as_ptr_range().contains(&message.as_ptr()));
}

#[test]
fn repetitive_messages_shrink() {
    let bytes = packed(&vec![7; 100_000]);
    assert!(bytes.len() < 10_000);
    assert_eq!(unpack(bytes.into()).unwrap(), vec![7; 100_000]);
}

#[test]
fn a_bomb_is_refused_before_memory_is_taken() {
    // 16 MiB and more are claimed in a few bytes.
    let claim = |length: u32| {
        let mut bytes = Vec::new();
        let mut left = length;
        while left >= 0x80 {
            bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes.extend_from_slice(&[0x00, 0x61, 0xfe, 0x01, 0x00]);
        Bytes::from(bytes)
    };
    assert!(matches!(unpack(claim(1 << 24)), Err(SnappyError::TooLarge(_))));
    assert!(matches!(unpack(claim(u32::MAX)), Err(SnappyError::TooLarge(_))));
    assert!(matches!(unpack(claim(1 << 20)), Err(SnappyError::ImpossibleRatio { .. })));
}

#[test]
fn the_densest_block_that_the_format_allows_is_read() {
    // 64 bytes in each 3: nothing honest comes nearer to the limit.
    let bytes = Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap();
    assert_eq!(unpack(bytes.into()).unwrap().len(), 1 << 20);
}

#[test]
fn rest_gives_memory_back() {
    let mut packer = Packer::default();
    let _ = packer.pack(&[1; 4096]);
    assert!(!packer.is_resting());
    packer.rest();
    assert!(packer.is_resting());
}

fn random(length: usize) -> Vec<u8> {
    use rand_core::{Rng, SeedableRng};
    let mut bytes = vec![0; length];
    rand_chacha::ChaCha8Rng::seed_from_u64(length as u64).fill_bytes(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_is_packed_unpacks(message in prop::collection::vec(any::<u8>(), 0..3000), repeat in 1usize..40) {
        let message = message.repeat(repeat);
        let bytes = packed(&message);
        prop_assert_eq!(&Decoder::new().decompress_vec(&bytes).unwrap(), &message);
        prop_assert_eq!(&unpack(bytes.into()).unwrap()[..], &message[..]);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = unpack(bytes.into());
    }
}
