//! Peer exchange: the vector of the documentation, what later versions may add, and any bytes.

use alloy_primitives::hex;
use chainmesh_identity::PeerId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::discv4::Endpoint;

fn contact(number: u8, ip: &str) -> Contact {
    let endpoint = Endpoint::new(ip.parse().unwrap(), 30301, 30303);
    Contact { endpoint, id: PeerId::from([number; 64]) }
}

/// `docs/src/wire-pex.md` has these bytes.
#[test]
fn the_example_of_the_documentation() {
    let get = Message::GetNodes(GetNodes { request: 0x0102, limit: 32 });
    assert_eq!(hex::encode(get.encode()), "c482010220");
    let nodes = vec![contact(0x11, "203.0.113.7"), contact(0x22, "2001:db8::1")];
    let nodes = Message::Nodes(Nodes { request: 0x0102, nodes });
    let expected = [
        "f8af",
        "820102",
        "f8aa",
        "f84d",
        "84cb007107",
        "82765d",
        "82765f",
        "b840",
        &"11".repeat(64),
        "f859",
        "9020010db8000000000000000000000001",
        "82765d",
        "82765f",
        "b840",
        &"22".repeat(64),
    ];
    assert_eq!(hex::encode(nodes.encode()), expected.concat());
    for message in [get, nodes] {
        assert_eq!(Message::decode(message.code(), &message.encode()), Ok(message));
    }
}

/// An RLP list of these bytes.
fn list(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(payload);
    out
}

#[test]
fn elements_that_a_later_version_adds_are_passed_over() {
    let get = list(&[7, 32, 0xc1, 9, 0x82, 1, 2]);
    let expected = Message::GetNodes(GetNodes { request: 7, limit: 32 });
    assert_eq!(Message::decode(GET_NODES, &get), Ok(expected));

    let node = contact(3, "10.0.0.1");
    let mut entry = Vec::new();
    node.encode(&mut entry);
    let fields = Header::decode_bytes(&mut entry.as_slice(), true).unwrap().to_vec();
    let entry = list(&[fields, vec![0x83, b'e', b't', b'h']].concat());
    let nodes = list(&[vec![7], list(&[entry.clone(), entry].concat()), vec![0xc0]].concat());
    let expected = Message::Nodes(Nodes { request: 7, nodes: vec![node; 2] });
    assert_eq!(Message::decode(NODES, &nodes), Ok(expected));
}

#[test]
fn what_is_beyond_a_limit_is_refused() {
    let nodes = |count: u8| {
        let nodes = (0..count).map(|number| contact(number, "2001:db8::1")).collect();
        Message::Nodes(Nodes { request: u64::MAX, nodes }).encode()
    };
    let most = u8::try_from(MAX_NODES).unwrap();
    assert!(Message::decode(NODES, &nodes(most)).is_ok());
    let refused = Message::decode(NODES, &nodes(most + 1));
    assert!(matches!(refused, Err(DecodeError::TooMany { count: 33, limit: 32, .. })));
    let refused = Message::decode(NODES, &vec![0xc0; MAX_MESSAGE + 1]);
    assert!(matches!(refused, Err(DecodeError::TooLarge { limit: MAX_MESSAGE, .. })));
    assert!(Message::decode(2, &list(&[1, 1])).is_err(), "there is no code 2");
    let refused = Message::decode(GET_NODES, &[0xc2, 1, 1, 0]);
    assert_eq!(refused, Err(DecodeError::TrailingBytes(1)));
    // An entry without an ID of 64 bytes, and one that is no list.
    assert!(Message::decode(NODES, &list(&[1, 0xc4, 0xc3, 0x80, 1, 1])).is_err());
    assert!(Message::decode(NODES, &list(&[1, 0xc1, 7])).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(code in 0_u32..3, bytes in vec(any::<u8>(), 0..300)) {
        for payload in [bytes.clone(), list(&bytes)] {
            if let Ok(message) = Message::decode(code, &payload) {
                prop_assert_eq!(message.code(), code);
                if let Message::Nodes(nodes) = &message {
                    prop_assert!(nodes.nodes.len() <= MAX_NODES);
                }
                prop_assert_eq!(Message::decode(code, &message.encode()), Ok(message));
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        request in any::<u64>(),
        limit in any::<u64>(),
        nodes in vec((any::<[u8; 16]>(), any::<bool>(), any::<(u16, u16)>(), any::<u8>()), 0..=MAX_NODES),
    ) {
        let get = Message::GetNodes(GetNodes { request, limit });
        prop_assert_eq!(Message::decode(GET_NODES, &get.encode()), Ok(get));
        let nodes = nodes.into_iter().map(|(ip, four, (udp, tcp), id)| {
            let ip = match four {
                true => <[u8; 4]>::try_from(&ip[..4]).unwrap().into(),
                false => std::net::IpAddr::from(ip).to_canonical(),
            };
            Contact { endpoint: Endpoint::new(ip, udp, tcp), id: PeerId::from([id; 64]) }
        });
        let nodes = Message::Nodes(Nodes { request, nodes: nodes.collect() });
        let bytes = nodes.encode();
        prop_assert!(bytes.len() <= MAX_MESSAGE);
        prop_assert_eq!(Message::decode(NODES, &bytes), Ok(nodes));
        for cut in 0..bytes.len() {
            prop_assert!(Message::decode(NODES, &bytes[..cut]).is_err());
        }
    }
}
