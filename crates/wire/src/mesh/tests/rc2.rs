//! 2.x packets and topic messages; the vectors are those of the wire facts, section 9.

use bytes::{Bytes, BytesMut};

use super::super::rc2::{
    COMPRESSED, MAX_RC2_PACKET, MAX_TOPICS, ProtocolId, RC2_HEADER, Rc2Packet, Rc2Reader,
    TopicMessage, module,
};
use super::super::{EncodeError, MeshError};
use super::hex;

fn encoded(packet: &Rc2Packet) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(&mut out).expect("a packet that can be sent");
    out.freeze()
}

fn same(packet: &Rc2Packet, vector: &str) {
    assert_eq!(const_hex::encode(encoded(packet)), vector);
    assert_eq!(Rc2Packet::decode(hex(vector)).as_ref(), Ok(packet));
}

fn says(message: &TopicMessage, seq: u32, vector: &str) {
    let packet = message.to_packet(seq).unwrap();
    same(&packet, vector);
    assert_eq!(TopicMessage::decode(&packet).as_ref().map(Option::as_ref), Ok(Some(message)));
}

#[test]
fn heartbeat_is_a_topic_seq() {
    says(&TopicMessage::SendTopicSeq(0), 0, "0000001100000000000200010000000030");
}

#[test]
fn request_topics() {
    says(&TopicMessage::RequestTopics, 2, "00000010000000000002000200000002");
}

#[test]
fn send_topics() {
    let topics = vec![Bytes::from_static(b"topicA"), Bytes::from_static(b"topicB")];
    says(
        &TopicMessage::SendTopics { seq: 1, topics },
        2,
        "0000001f0000fffffffe0003000000023109746f7069634109746f70696342",
    );
}

#[test]
fn amop_frames() {
    let inner = "00000033003030313233343536373839616263646566303132333435363738396162636465660000000007746f706963416869";
    same(
        &Rc2Packet::new(ProtocolId::AMOP, 0, 3, hex(inner)),
        concat!(
            "00000043000000000001000000000003",
            "00000033003030313233343536373839616263646566303132333435363738396162636465660000000007746f706963416869"
        ),
    );
    let inner = "00000033003130313233343536373839616263646566303132333435363738396162636465660000000007746f706963416f6b";
    let answer = Rc2Packet::new(ProtocolId::AMOP.opposite(), 0, 3, hex(inner));
    same(
        &answer,
        concat!(
            "000000430000ffffffff000000000003",
            "00000033003130313233343536373839616263646566303132333435363738396162636465660000000007746f706963416f6b"
        ),
    );
    assert!(answer.is_response());
    assert_eq!((answer.protocol.group(), answer.protocol.module()), (0, module::AMOP));
    let inner = "00000033003530313233343536373839616263646566303132333435363738396162636465660000000007746f706963416869";
    same(
        &Rc2Packet::new(ProtocolId::AMOP, 1, 4, hex(inner)),
        concat!(
            "00000043000000000001000100000004",
            "00000033003530313233343536373839616263646566303132333435363738396162636465660000000007746f706963416869"
        ),
    );
}

#[test]
fn protocol_ids_of_pbft_in_group_1() {
    let request = ProtocolId::new(1, module::PBFT).unwrap();
    assert_eq!(const_hex::encode(request.0.to_be_bytes()), "00010008");
    assert_eq!(const_hex::encode(request.opposite().0.to_be_bytes()), "fffefff8");
    for id in [request, request.opposite()] {
        assert_eq!((id.group(), id.module()), (1, module::PBFT));
    }
    assert!(!request.is_response() && request.opposite().is_response());
    assert_eq!(request.opposite().opposite(), request);
}

#[test]
fn compressed_frame() {
    let mut packet = Rc2Packet {
        version: COMPRESSED,
        ..Rc2Packet::new(
            ProtocolId::new(1, module::BLOCK_SYNC).unwrap(),
            0,
            5,
            hex(concat!(
                "d00f0061fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100",
                "fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe",
                "0100fe0100fe0100fe0100fe0100fe01003a0100",
            )),
        )
    };
    same(
        &packet,
        concat!(
            "00000074800000010009000000000005d00f0061fe0100fe0100fe0100fe0100fe0100fe0100fe01",
            "00fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100",
            "fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe01003a0100",
        ),
    );
    packet.unpack().unwrap();
    assert_eq!((packet.version, packet.payload.as_ref()), (0, [b'a'; 2000].as_slice()));
    packet.pack().unwrap();
    assert_eq!(packet.version, COMPRESSED);
    packet.unpack().unwrap();
    assert_eq!(packet.payload, vec![b'a'; 2000]);
}

#[test]
fn protocol_ids_at_the_edges() {
    assert_eq!(ProtocolId::new(0x7fff, 0xffff), Ok(ProtocolId(i32::MAX)));
    assert!(ProtocolId::new(0x8000, 1).is_err(), "it would be negative");
    assert!(ProtocolId::new(0, 0).is_err(), "it would answer itself");
    let lowest = ProtocolId(i32::MIN);
    assert!(lowest.is_response() && lowest.opposite().is_response(), "it has no opposite");
    assert!(ProtocolId(0).is_response());
}

#[test]
fn a_stream_is_cut_wherever_it_arrives() {
    let packets: Vec<_> = [b"".as_slice(), b"0", &[7; 300]]
        .iter()
        .map(|payload| Rc2Packet::new(ProtocolId::TOPIC, 1, 9, Bytes::from_static(payload)))
        .collect();
    let stream: Vec<u8> = packets.iter().flat_map(encoded).collect();
    let reader = Rc2Reader::default();
    let (mut input, mut seen) = (BytesMut::new(), Vec::new());
    for byte in stream {
        input.extend_from_slice(&[byte]);
        seen.extend(reader.read(&mut input).unwrap());
    }
    assert_eq!(seen, packets);
    assert!(input.is_empty());
}

#[test]
fn length_is_checked_as_soon_as_it_is_there() {
    let read = |length: usize| {
        let length = u32::try_from(length).unwrap().to_be_bytes();
        Rc2Reader::default().read(&mut BytesMut::from(length.as_slice()))
    };
    assert_eq!(read(MAX_RC2_PACKET), Ok(None));
    let (size, limit) = (MAX_RC2_PACKET + 1, MAX_RC2_PACKET);
    assert_eq!(read(size), Err(MeshError::TooLarge { what: "packet", size, limit }));
    assert_eq!(read(RC2_HEADER), Ok(None));
    let (length, header) = (RC2_HEADER - 1, RC2_HEADER);
    assert_eq!(read(length), Err(MeshError::LengthBelowHeader { length, header }));
}

#[test]
fn the_largest_packet_and_one_byte_more() {
    let packet = |payload| Rc2Packet::new(ProtocolId::AMOP, 0, 1, vec![0; payload].into());
    let mut out = BytesMut::new();
    packet(MAX_RC2_PACKET - RC2_HEADER).encode(&mut out).unwrap();
    assert_eq!(out.len(), MAX_RC2_PACKET);
    let error = packet(MAX_RC2_PACKET - RC2_HEADER + 1).encode(&mut out).unwrap_err();
    let (size, limit) = (MAX_RC2_PACKET + 1, MAX_RC2_PACKET);
    assert_eq!(error, EncodeError::TooLarge { what: "packet", size, limit });
    assert_eq!(out.len(), MAX_RC2_PACKET, "nothing of the second was written");
}

#[test]
fn every_truncation_of_a_packet_is_an_error() {
    let whole = encoded(&Rc2Packet::new(ProtocolId::TOPIC, 3, 1, Bytes::from_static(b"1\ta")));
    for end in 0..whole.len() {
        assert!(Rc2Packet::decode(whole.slice(..end)).is_err(), "{end}");
    }
}

fn topic_list(payload: &[u8]) -> Result<Option<TopicMessage>, MeshError> {
    let payload = Bytes::copy_from_slice(payload);
    TopicMessage::decode(&Rc2Packet::new(ProtocolId::TOPIC.opposite(), 3, 1, payload))
}

#[test]
fn numbers_of_topic_lists_are_decimal_and_of_32_bits() {
    let seq = |text: &[u8]| match topic_list(text) {
        Ok(Some(TopicMessage::SendTopics { seq, .. })) => Some(seq),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    };
    assert_eq!(seq(b"4294967295"), Some(u32::MAX));
    assert_eq!(seq(b"007\tx"), Some(7));
    for bad in [b"4294967296".as_slice(), b"00000000001", b"", b"+1", b"-1", b" 1", b"1\n", b"\xff"]
    {
        assert_eq!(seq(bad), None, "{}", bad.escape_ascii());
    }
}

#[test]
fn empty_topics_in_a_list_are_passed_over() {
    let topics = vec![Bytes::from_static(b"a")];
    let expected = TopicMessage::SendTopics { seq: 1, topics };
    assert_eq!(topic_list(b"1\t\ta\t"), Ok(Some(expected)));
}

#[test]
fn topics_in_a_list_at_the_limit_and_one_more() {
    let list =
        |count| TopicMessage::SendTopics { seq: 1, topics: vec![Bytes::from_static(b"t"); count] };
    let full = list(MAX_TOPICS).to_packet(1).unwrap();
    assert_eq!(TopicMessage::decode(&full), Ok(Some(list(MAX_TOPICS))));
    let (count, limit) = (MAX_TOPICS + 1, MAX_TOPICS);
    let what = "topics";
    assert_eq!(list(count).to_packet(1), Err(EncodeError::TooMany { what, count, limit }));
    let longer = [&full.payload, b"\tt".as_slice()].concat();
    assert_eq!(topic_list(&longer), Err(MeshError::TooMany { what, count, limit }));
}

#[test]
fn topics_that_cannot_be_in_a_list_are_not_sent() {
    for bad in [b"".as_slice(), b"a\tb"] {
        let topics = vec![Bytes::copy_from_slice(bad)];
        assert!(TopicMessage::SendTopics { seq: 1, topics }.to_packet(1).is_err());
    }
}

#[test]
fn a_packet_of_another_protocol_is_no_topic_message() {
    let message = |protocol, kind| {
        TopicMessage::decode(&Rc2Packet::new(protocol, kind, 1, Bytes::from_static(b"1")))
    };
    assert_eq!(message(ProtocolId::AMOP, 1), Ok(None));
    assert_eq!(message(ProtocolId::TOPIC, 4), Ok(None));
    assert_eq!(message(ProtocolId::TOPIC, 3), Ok(None), "a list is an answer");
    assert_eq!(message(ProtocolId::TOPIC.opposite(), 1), Ok(None), "a number is none");
}

fn rc1(packet: &Rc2Packet) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    packet.encode_rc1_head(&mut out)?;
    out.extend_from_slice(&packet.payload);
    Ok(out.freeze())
}

#[test]
fn rc1_send_topic_seq() {
    let packet = TopicMessage::SendTopicSeq(0).to_packet(0).unwrap();
    let vector = "0000000d000200010000000030";
    assert_eq!(rc1(&packet), Ok(hex(vector)));
    assert_eq!(Rc2Packet::decode_rc1(hex(vector)), Ok(packet));
}

#[test]
fn rc1_protocol_ids_have_8_bits_of_group_and_module() {
    let packet = |number| Rc2Packet::new(ProtocolId(number), 0, 1, Bytes::new());
    for (number, word) in
        [(0x0001_0008, 0x0108), (-0x0001_0008, -0x0108i16), (0x007f_00ff, i16::MAX), (0, 0)]
    {
        let bytes = rc1(&packet(number)).unwrap();
        assert_eq!(bytes[4..6], word.to_be_bytes());
        assert_eq!(Rc2Packet::decode_rc1(bytes), Ok(packet(number)));
    }
    for number in [0x0080_0001, 0x0001_0100, i32::MAX, -0x0080_0001] {
        assert!(rc1(&packet(number)).is_err(), "{number:#x}");
    }
    let packed = Rc2Packet { version: COMPRESSED, ..packet(1) };
    assert!(rc1(&packed).is_err());
}

#[test]
fn rc1_every_protocol_id_is_read_and_written_again() {
    for word in i16::MIN..=i16::MAX {
        let mut bytes = hex("0000000c0000000100000007").to_vec();
        bytes[4..6].copy_from_slice(&word.to_be_bytes());
        let bytes = Bytes::from(bytes);
        let packet = Rc2Packet::decode_rc1(bytes.clone()).unwrap();
        assert_eq!(packet.is_response(), word <= 0, "{word}");
        assert_eq!(rc1(&packet), Ok(bytes), "{word}");
    }
}

#[test]
fn rc1_cut_anywhere_or_lengthened() {
    let whole = hex("0000000d000200010000000030");
    for end in 0..whole.len() {
        assert!(Rc2Packet::decode_rc1(whole.slice(..end)).is_err(), "cut at {end}");
    }
    let longer = [whole.as_ref(), b"0"].concat();
    assert!(Rc2Packet::decode_rc1(longer.into()).is_err());
    assert!(Rc2Packet::decode_rc1(hex("0000000b00020001000000")).is_err());
}
