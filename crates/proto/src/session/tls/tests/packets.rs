//! Packets cut from a stream: the same however it is cut into records.

use bytes::{Bytes, BytesMut};
use chainmesh_wire::mesh::{HEADER, Packet, PacketType, Version};
use proptest::prelude::*;

use super::super::packets::{HEARTBEAT, MODULE_PACKET, Packets, RAW_PACKET, module_header};
use crate::module::PeerKind;
use crate::session::MAX_UNPACKED;

fn raw(length: usize) -> Bytes {
    let payload = Bytes::from(vec![7; length]);
    let mut out = BytesMut::new();
    Packet::new(Version::V3, PacketType::SyncNodeSeq, 9, payload).encode(&mut out).unwrap();
    out.freeze()
}

/// What is sent, and the messages that it is.
fn stream(parts: &[(u8, usize)]) -> (Vec<u8>, Vec<(u64, Bytes)>) {
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    for (what, length) in parts {
        match what % 3 {
            0 => bytes.extend_from_slice(&HEARTBEAT),
            1 => {
                let payload = Bytes::from(vec![*what; *length]);
                bytes.extend_from_slice(&module_header(u64::from(*what), *length));
                bytes.extend_from_slice(&payload);
                messages.push((u64::from(*what), payload));
            }
            _ => {
                let packet = raw(*length);
                bytes.extend_from_slice(&packet);
                messages.push((RAW_PACKET, packet));
            }
        }
    }
    (bytes, messages)
}

fn drain(packets: &mut Packets, into: &mut Vec<(u64, Bytes)>) {
    while let Some(message) = packets.next(MAX_UNPACKED).unwrap() {
        into.push((message.code, message.payload));
    }
}

proptest! {
    #[test]
    fn every_cut_gives_the_same_messages(
        parts in prop::collection::vec((any::<u8>(), 0..5000_usize), 0..12),
        cuts in prop::collection::vec(1..3000_usize, 1..40),
        direct in any::<bool>(),
    ) {
        let (bytes, expected) = stream(&parts);
        let mut packets = Packets::new(PeerKind::Own);
        let (mut got, mut rest) = (Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            rest = later;
            match packets.place_for(now.len()) {
                Some(place) if direct => place.extend_from_slice(now),
                _ => packets.take(BytesMut::from(now)),
            }
            drain(&mut packets, &mut got);
        }
        prop_assert_eq!(got, expected);
        prop_assert_eq!(packets.missing(), 0);
    }

    #[test]
    fn arbitrary_bytes_are_packets_or_an_error_and_take_no_more_memory_than_they_have(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        foreign in any::<bool>(),
    ) {
        let kind = if foreign { PeerKind::Fisco2 } else { PeerKind::Fisco3 };
        let mut packets = Packets::new(kind);
        packets.take(BytesMut::from(&bytes[..]));
        while let Ok(Some(message)) = packets.next(MAX_UNPACKED) {
            prop_assert!(message.payload.len() <= bytes.len());
        }
    }
}

#[test]
fn what_fisco_sends_in_packets_of_our_type_is_no_message_of_a_module() {
    let (bytes, _) = stream(&[(1, 10)]);
    let mut packets = Packets::new(PeerKind::Fisco3);
    packets.take(BytesMut::from(&bytes[..]));
    let message = packets.next(MAX_UNPACKED).unwrap().unwrap();
    assert_eq!((message.code, message.payload.len()), (RAW_PACKET, HEADER + 10));
    assert_eq!(u16::from_be_bytes([message.payload[6], message.payload[7]]), MODULE_PACKET);
}

#[test]
fn a_length_that_cannot_be_ends_the_session_as_soon_as_it_is_there() {
    for header in [[0xff, 0xff, 0xff, 0xff, 0, 3], [0, 0, 0, 13, 0, 0], [0, 0, 0, 19, 0, 3]] {
        let mut packets = Packets::new(PeerKind::Own);
        packets.take(BytesMut::from(&header[..]));
        assert!(
            packets.next(MAX_UNPACKED).is_err() || {
                // Length first; the version decides when it is there.
                packets.take(BytesMut::from(&[0, 1][..]));
                packets.next(MAX_UNPACKED).is_err()
            },
            "{header:?}"
        );
    }
}

#[test]
fn before_hello_only_small_packets_are_read() {
    let mut packets = Packets::new(PeerKind::Own);
    packets.take(BytesMut::from(&module_header(0, 3000)[..]));
    assert!(packets.next(2056).is_err());
}
