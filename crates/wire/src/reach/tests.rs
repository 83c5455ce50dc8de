//! By hand, and with anything that a stranger may send.

use proptest::prelude::*;

use super::*;

fn dialled() -> Message {
    Message::Dialled(Dialled {
        request_id: 7,
        outcome: Outcome::TimedOut,
        ip: [203, 0, 113, 9].into(),
        port: 30303,
    })
}

#[test]
fn the_messages_are_these_bytes() {
    let question = Message::DialMe(DialMe { request_id: 7, port: 30303 });
    assert_eq!(question.encode().as_ref(), [0xc4, 7, 0x82, 0x76, 0x5f]);
    let answer = [0xca, 7, 2, 0x84, 203, 0, 113, 9, 0x82, 0x76, 0x5f];
    assert_eq!(dialled().encode().as_ref(), answer);
    assert_eq!(Message::decode(1, &answer), Ok(dialled()));
}

#[test]
fn what_later_versions_add_is_passed_over() {
    let longer = [0xcb, 7, 2, 0x84, 203, 0, 113, 9, 0x82, 0x76, 0x5f, 1];
    assert_eq!(Message::decode(1, &longer), Ok(dialled()));
}

#[test]
fn what_is_no_message_is_refused() {
    let refused = |code, bytes: &[u8]| Message::decode(code, bytes).is_err();
    assert!(refused(0, &[]));
    assert!(refused(0, &[0xc1, 7]), "no port");
    assert!(refused(0, &[0xc5, 7, 0x83, 1, 0, 0]), "a port of three bytes");
    assert!(refused(0, &[0xc4, 7, 0x82, 0x76, 0x5f, 0]), "bytes behind the list");
    assert!(refused(1, &[0xc9, 7, 2, 0x83, 203, 0, 113, 0x82, 0x76, 0x5f]), "an IP of three bytes");
    assert!(refused(2, &[0xc4, 7, 0x82, 0x76, 0x5f]), "no such code");
    let long = [&[0xf9, 0x01, 0x10][..], &[0; 0x110]].concat();
    assert!(matches!(Message::decode(0, &long), Err(DecodeError::TooLarge { .. })));
}

fn messages() -> impl Strategy<Value = Message> {
    let question = (any::<u64>(), any::<u16>())
        .prop_map(|(request_id, port)| Message::DialMe(DialMe { request_id, port }));
    let answer = (any::<u64>(), any::<u8>(), any::<IpAddr>(), any::<u16>()).prop_map(
        |(request_id, outcome, ip, port)| {
            let outcome = Outcome::from_number(outcome);
            Message::Dialled(Dialled { request_id, outcome, ip, port })
        },
    );
    prop_oneof![question, answer]
}

proptest! {
    #[test]
    fn what_was_written_is_read(message in messages()) {
        let payload = message.encode();
        prop_assert!(payload.len() <= 34);
        prop_assert_eq!(Message::decode(message.code(), &payload), Ok(message));
    }

    #[test]
    fn anything_may_come(code in 0_u32..4, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Message::decode(code, &bytes) {
            prop_assert_eq!(message.code(), code);
            prop_assert_eq!(Message::decode(code, &message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(message in messages(), at: prop::sample::Index, to: u8) {
        let mut payload = message.encode().to_vec();
        let at = at.index(payload.len());
        payload[at] = to;
        let _ = Message::decode(message.code(), &payload);
    }
}
