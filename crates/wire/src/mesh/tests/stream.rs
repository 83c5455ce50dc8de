//! The reader of a stream: packets come out as they went in, wherever the stream is cut.

use bytes::{Bytes, BytesMut};

use super::super::{
    Ext, HEADER, MAX_PACKET, MeshError, ModuleId, Packet, PacketReader, PacketType, ROUTED_HEADER,
    Version,
};
use super::{encoded, group_options, v3};

fn some_packets() -> Vec<Packet> {
    let text = Bytes::from_static(b"1000");
    vec![
        Packet::heartbeat(),
        v3(PacketType::SyncNodeSeq, 7, text.clone()),
        Packet::new(Version::V1, PacketType::Unknown(0x77), 8, text.clone()),
        Packet {
            options: Some(group_options(ModuleId::AMOP)),
            ext: Ext(0xff00),
            ..v3(PacketType::PeerToPeerMessage, 9, text)
        },
        Packet::heartbeat(),
    ]
}

#[test]
fn a_stream_is_cut_wherever_it_arrives() {
    let stream: Vec<u8> = some_packets().iter().flat_map(encoded).collect();
    for step in [1, 2, 3, 7, 50, stream.len()] {
        let (mut input, mut seen) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(step) {
            input.extend_from_slice(piece);
            while let Some(packet) = PacketReader::default().read(&mut input).unwrap() {
                seen.push(packet);
            }
        }
        assert_eq!(seen, some_packets(), "in steps of {step}");
        assert!(input.is_empty());
    }
}

#[test]
fn a_payload_is_a_slice_of_what_was_read() {
    let packet = v3(PacketType::AmopMessage, 1, vec![5; 4096].into());
    let mut input = BytesMut::from(encoded(&packet).as_ref());
    let range = input.as_ptr_range();
    let read = PacketReader::default().read(&mut input).unwrap().unwrap();
    for part in [&read.payload, read.route.source.as_bytes(), read.route.destination.as_bytes()] {
        assert!(range.contains(&part.as_ptr()), "copied");
    }
}

#[test]
fn a_payload_is_shared_by_all_parts_it_is_sent_in() {
    let packet = v3(PacketType::AmopMessage, 1, vec![5; 4096].into());
    let [head, payload] = packet.to_parts().unwrap();
    assert_eq!(payload.as_ptr(), packet.payload.as_ptr());
    assert_eq!([head, payload].concat(), encoded(&packet));
}

fn begins_with(bytes: &[u8]) -> Result<Option<Packet>, MeshError> {
    PacketReader::default().read(&mut BytesMut::from(bytes))
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

#[test]
fn length_is_checked_as_soon_as_it_is_there() {
    assert_eq!(begins_with(&length(MAX_PACKET)), Ok(None));
    assert_eq!(
        begins_with(&length(MAX_PACKET + 1)),
        Err(MeshError::TooLarge { what: "packet", size: MAX_PACKET + 1, limit: MAX_PACKET })
    );
    assert_eq!(begins_with(&length(HEADER)), Ok(None));
    assert_eq!(
        begins_with(&length(HEADER - 1)),
        Err(MeshError::LengthBelowHeader { length: HEADER - 1, header: HEADER })
    );
    assert_eq!(begins_with(&length(0)), begins_with(&[0; 4]));
    assert!(begins_with(&[0; 4]).is_err());
}

#[test]
fn version_is_checked_as_soon_as_it_is_there() {
    let start = |version: u8| [length(100).as_slice(), &[0, version]].concat();
    assert_eq!(begins_with(&start(3)), Ok(None));
    assert_eq!(begins_with(&start(4)), Err(MeshError::UnknownVersion(4)));
    let start = |bytes| [length(bytes).as_slice(), &[0, 1]].concat();
    assert_eq!(begins_with(&start(ROUTED_HEADER)), Ok(None));
    assert_eq!(
        begins_with(&start(ROUTED_HEADER - 1)),
        Err(MeshError::LengthBelowHeader { length: ROUTED_HEADER - 1, header: ROUTED_HEADER })
    );
}

#[test]
fn a_lower_limit_holds_and_a_higher_one_does_not() {
    let read = |limit, bytes| {
        PacketReader::with_limit(limit).read(&mut BytesMut::from(length(bytes).as_slice()))
    };
    assert_eq!(read(1000, 1000), Ok(None));
    assert!(matches!(read(1000, 1001), Err(MeshError::TooLarge { limit: 1000, .. })));
    assert!(matches!(
        read(usize::MAX, MAX_PACKET + 1),
        Err(MeshError::TooLarge { limit: MAX_PACKET, .. })
    ));
}

#[test]
fn minimal_headers_are_14_and_20_bytes() {
    for (version, bytes) in
        [(Version::V0, 14), (Version::V1, 20), (Version::V2, 20), (Version::V3, 20)]
    {
        let packet = Packet::new(version, PacketType::RequestNodeStatus, 1, Bytes::new());
        assert_eq!(encoded(&packet).len(), bytes, "as FISCO's unit test asserts");
        assert_eq!(packet.encoded_len(), bytes);
    }
}
