//! What the first bytes are, with the vectors of the wire description.

use proptest::prelude::*;

use super::Speaks;

/// `3x-heartbeat` and `3x-handshake frame V0 seq=2 max3`.
const HEARTBEAT: [u8; 14] = [0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const HANDSHAKE: [u8; 19] =
    [0, 0, 0, 19, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0x10, 0x01, 0x2c, 0x30, 0x03];
/// SendTopicSeq of 2.x with seq 0: protocolID 2, packetType 1, data "0".
const TOPIC_SEQ: [u8; 17] = [0, 0, 0, 17, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, b'0'];

#[test]
fn fisco_3_says_heartbeat_and_handshake() {
    let alone = Speaks::of(&HEARTBEAT);
    assert_eq!(alone, Speaks::Fisco3 { packets: vec!["Heartbeat"], versions: None });
    assert!(!alone.is_settled());
    let both = Speaks::of(&[&HEARTBEAT[..], &HANDSHAKE].concat());
    let packets = vec!["Heartbeat", "Handshake"];
    assert_eq!(both, Speaks::Fisco3 { packets, versions: Some((0, 3)) });
    assert!(both.is_settled());
}

#[test]
fn fisco_2_says_its_topic_seq() {
    assert_eq!(Speaks::of(&TOPIC_SEQ), Speaks::Fisco2);
}

#[test]
fn others_are_neither() {
    assert_eq!(Speaks::of(&[]), Speaks::Nothing);
    for other in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0; 40], b"x"] {
        assert!(matches!(Speaks::of(other), Speaks::Unknown(_)), "{other:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_something(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Speaks::of(&bytes) == Speaks::Nothing, bytes.is_empty());
    }
}
