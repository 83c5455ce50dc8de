use chainmesh_identity::PeerId;
use proptest::prelude::*;

use super::*;
use crate::DecodeError;

#[test]
fn disconnect_reasons_travel_as_a_list() {
    for reason in DisconnectReason::ALL {
        let payload = reason.encode_payload();
        assert!(payload[0] >= 0xc0, "geth before v1.15 reads a list only");
        assert_eq!(DisconnectReason::decode_payload(&payload), Ok(reason));
    }
}

#[test]
fn disconnect_is_read_in_every_form_that_clients_send() {
    let reason = DisconnectReason::decode_payload;
    assert_eq!(reason(&[0xc1, 0x04]), Ok(DisconnectReason::TooManyPeers));
    assert_eq!(reason(&[0x04]), Ok(DisconnectReason::TooManyPeers), "bare byte");
    assert_eq!(reason(&[0xc0]), Ok(DisconnectReason::Requested), "empty list");
    assert_eq!(reason(&[0xc1, 0x80]), Ok(DisconnectReason::Requested));
    assert_eq!(reason(&[0x80]), Ok(DisconnectReason::Requested));
    assert_eq!(reason(&[0x00]), Ok(DisconnectReason::Requested));
    assert_eq!(reason(&[0xc1, 0x33]), Ok(DisconnectReason::Unknown(0x33)));
    assert!(reason(&[0xc5, 0x04]).is_err(), "a list that is longer than the message");
}

fn hello() -> Hello {
    Hello {
        protocol_version: 5,
        client_name: "chainmesh/v0.1.0".into(),
        capabilities: vec![
            Capability::new("eth", 68).unwrap(),
            Capability::new("echo", 1).unwrap(),
        ],
        listen_port: 30303,
        id: PeerId::from([7; 64]),
    }
}

#[test]
fn hello_survives_unknown_trailing_fields() {
    // EIP-8: additional list elements are ignored.
    let payload = hello().encode_payload();
    let mut longer = vec![0xf8, u8::try_from(payload.len() - 2 + 2).unwrap()];
    longer.extend_from_slice(&payload[2..]);
    longer.extend_from_slice(&[0x01, 0x02]);
    assert_eq!(Hello::decode_payload(&longer), Ok(hello()));
}

#[test]
fn hello_of_more_than_two_kibibytes_is_refused() {
    let mut hello = hello();
    hello.client_name = "x".repeat(3000);
    assert!(matches!(
        Hello::decode_payload(&hello.encode_payload()),
        Err(DecodeError::TooLarge { what: "Hello", .. })
    ));
}

#[test]
fn hello_with_too_many_capabilities_is_refused() {
    let mut hello = hello();
    hello.capabilities = vec![Capability::new("a", 1).unwrap(); 65];
    assert!(matches!(
        Hello::decode_payload(&hello.encode_payload()),
        Err(DecodeError::TooMany { .. })
    ));
}

#[test]
fn capability_names_are_one_to_eight_printable_bytes() {
    assert!(CapabilityName::new("").is_err());
    assert!(CapabilityName::new("ninechars").is_err());
    assert!(CapabilityName::new("a\nb").is_err());
    assert_eq!(CapabilityName::new("eth").unwrap().as_str(), "eth");
}

proptest! {
    #[test]
    fn hello_round_trips(version in 0u64..9, name in "[ -~]{0,60}", port: u16, id: [u8; 32],
                         caps in prop::collection::vec(("[a-z]{1,8}", any::<u32>()), 0..20)) {
        let mut full = [1; 64];
        full[..32].copy_from_slice(&id);
        let hello = Hello {
            protocol_version: version,
            client_name: name,
            capabilities: caps.iter().map(|(n, v)| Capability::new(n, *v).unwrap()).collect(),
            listen_port: port,
            id: PeerId::from(full),
        };
        prop_assert_eq!(Hello::decode_payload(&hello.encode_payload()), Ok(hello));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Hello::decode_payload(&bytes);
        let _ = DisconnectReason::decode_payload(&bytes);
    }
}
