//! Packed payloads: what is packed, what is refused, and before how much memory.

use bytes::Bytes;

use super::super::rc2::{COMPRESSED, ProtocolId, Rc2Packet};
use super::super::{
    COMPRESS_ABOVE, Ext, MAX_UNPACKED, MeshError, PackedError, Packet, PacketType, Version,
    compress, compress_snappy, decompress, decompress_snappy,
};
use super::{hex, v3};

#[test]
fn payloads_above_1024_bytes_are_packed_from_v2_on() {
    let packed = |version, bytes| {
        let mut packet = Packet::new(version, PacketType::AmopMessage, 1, vec![7; bytes].into());
        packet.pack().unwrap();
        packet.ext.contains(Ext::COMPRESS)
    };
    for version in [Version::V2, Version::V3] {
        assert!(!packed(version, COMPRESS_ABOVE));
        assert!(packed(version, COMPRESS_ABOVE + 1));
    }
    for version in [Version::V0, Version::V1] {
        assert!(!packed(version, COMPRESS_ABOVE + 1));
    }
}

#[test]
fn what_does_not_become_smaller_is_sent_as_it_is() {
    // Bytes of a hash chain do not shrink.
    let mut noise = alloy_primitives::keccak256(b"seed").to_vec();
    while noise.len() < 4096 {
        noise.extend_from_slice(alloy_primitives::keccak256(&noise).as_slice());
    }
    let noise = Bytes::from(noise);
    let mut packet = v3(PacketType::AmopMessage, 1, noise.clone());
    packet.pack().unwrap();
    assert_eq!((packet.ext, &packet.payload), (Ext::NONE, &noise));
    let mut packet = Rc2Packet::new(ProtocolId::AMOP, 0, 1, noise.clone());
    packet.pack().unwrap();
    assert_eq!((packet.version, &packet.payload), (0, &noise));
}

#[test]
fn packing_twice_is_packing_once() {
    let mut packet = v3(PacketType::AmopMessage, 1, vec![7; 5000].into());
    packet.pack().unwrap();
    let once = packet.clone();
    packet.pack().unwrap();
    assert_eq!(packet, once);
}

#[test]
fn every_version_is_unpacked() {
    let payload = compress(&[7; 5000]).unwrap();
    for version in Version::ALL {
        let mut packet = Packet {
            ext: Ext::COMPRESS | Ext::RESPONSE,
            ..Packet::new(version, PacketType::AmopMessage, 1, payload.clone())
        };
        packet.unpack().unwrap();
        assert_eq!((packet.ext, packet.payload.as_ref()), (Ext::RESPONSE, [7; 5000].as_slice()));
    }
}

#[test]
fn our_frames_give_their_content_size_and_have_no_checksum() {
    let frame = compress(&[7; 5000]).unwrap();
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    // RFC 8878, 3.1.1.1.1: single segment or a size field, no checksum, no dictionary.
    let descriptor = frame[4];
    assert!(descriptor & 0x20 != 0 || descriptor >> 6 != 0, "{descriptor:08b}");
    assert_eq!(descriptor & 0x07, 0, "{descriptor:08b}");
}

#[test]
fn content_at_the_limit_and_one_byte_more() {
    for bytes in [MAX_UNPACKED, MAX_UNPACKED + 1] {
        let content = vec![0; bytes];
        let zstd = decompress(&compress(&content).unwrap(), usize::MAX);
        let snappy = decompress_snappy(&compress_snappy(&content).unwrap(), usize::MAX);
        for unpacked in [zstd, snappy] {
            if bytes == MAX_UNPACKED {
                assert_eq!(unpacked.unwrap(), content);
            } else {
                let (size, limit) = (bytes as u64, MAX_UNPACKED);
                assert_eq!(unpacked, Err(PackedError::TooLarge { size, limit }));
            }
        }
    }
    let frame = compress(&[1; 100]).unwrap();
    assert!(decompress(&frame, 100).is_ok());
    assert_eq!(decompress(&frame, 99), Err(PackedError::TooLarge { size: 100, limit: 99 }));
}

/// A frame header (single segment, eight bytes of content size) and what follows.
fn frame(size: u64, rest: &[u8]) -> Vec<u8> {
    [&hex("28b52ffde0"), size.to_le_bytes().as_slice(), rest].concat()
}

#[test]
fn claims_are_refused_before_memory_is_taken() {
    let (size, limit) = (1 << 40, MAX_UNPACKED);
    assert_eq!(decompress(&frame(size, &[]), limit), Err(PackedError::TooLarge { size, limit }));
    let (size, packed) = (32 << 20, 16);
    let error = PackedError::Impossible { packed, size };
    assert_eq!(decompress(&frame(size, &[1, 0, 0]), limit), Err(error));
    // Snappy: a preamble of 1 MiB and nothing behind it.
    let error = PackedError::Impossible { packed: 3, size: 1 << 20 };
    assert_eq!(decompress_snappy(&[0x80, 0x80, 0x40], limit), Err(error));
}

#[test]
fn what_is_no_single_frame_is_refused() {
    let good = compress(&[7; 5000]).unwrap();
    let read = |bytes: &[u8]| decompress(bytes, MAX_UNPACKED);
    assert_eq!(read(&[&good, [0].as_slice()].concat()), Err(PackedError::NotOneFrame));
    assert_eq!(read(&[&good, good.as_ref()].concat()), Err(PackedError::NotOneFrame));
    for end in 0..good.len() {
        assert!(read(&good[..end]).is_err(), "cut at {end}");
    }
    // A frame of nothing, a skippable frame, and a window instead of a content size.
    assert_eq!(read(&compress(&[]).unwrap()), Err(PackedError::NoContentSize));
    assert_eq!(read(&hex("502a4d1801000000ff")), Err(PackedError::NoContentSize));
    assert_eq!(read(&hex("28b52ffd0000090000610300")), Err(PackedError::NoContentSize));
    // One that claims one byte more, and one less, than it holds: a raw block of "aa".
    let raw = [0x11, 0, 0, b'a', b'a'];
    assert_eq!(read(&frame(2, &raw)).as_deref(), Ok(b"aa".as_slice()));
    assert_eq!(read(&frame(3, &raw)), Err(PackedError::Corrupt));
    assert_eq!(read(&frame(1, &raw)), Err(PackedError::Corrupt));
}

#[test]
fn a_packet_that_does_not_unpack_stays_as_it_was() {
    let bad = Bytes::from_static(b"no frame");
    let mut packet = Packet { ext: Ext::COMPRESS, ..v3(PacketType::AmopMessage, 1, bad.clone()) };
    let before = packet.clone();
    assert_eq!(packet.unpack(), Err(MeshError::Packed(PackedError::Corrupt)));
    assert_eq!(packet, before);
    let mut packet =
        Rc2Packet { version: COMPRESSED, ..Rc2Packet::new(ProtocolId::AMOP, 0, 1, bad) };
    let before = packet.clone();
    assert!(packet.unpack().is_err());
    assert_eq!(packet, before);
}

#[test]
fn the_densest_snappy_block_is_unpacked() {
    // A literal of one byte, then copies of 64 bytes in three bytes each: nothing is denser.
    let content = 1 + 64 * 30_000_u32;
    let mut block = Vec::new();
    let mut left = content;
    while left >= 0x80 {
        block.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    block.push(u8::try_from(left).unwrap());
    block.extend_from_slice(&[0, b'a']);
    block.extend([63 << 2 | 2, 1, 0].repeat(30_000));
    let unpacked = decompress_snappy(&block, MAX_UNPACKED).unwrap();
    assert_eq!(unpacked, vec![b'a'; usize::try_from(content).unwrap()]);
}
