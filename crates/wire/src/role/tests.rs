//! The bytes of `role/1`, as `wire-role.md` has them.

use alloy_eip2124::{ForkHash, ForkId};
use alloy_primitives::{B256, hex};
use proptest::prelude::*;

use super::*;

const FULL_WITH_SERVICE: NodeRole = NodeRole::Full { serves_light: true };

/// The vector of `wire-role.md`: mainnet at Frontier, a full node that serves light ones.
const VECTOR: [u8; 47] = hex!(
    "ee0101a0d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    "c984fc64ec0483118c3003"
);

fn mainnet() -> RoleMessage {
    RoleMessage {
        network_id: 1,
        genesis: hex!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3").into(),
        // The first line of EIP-2124's table.
        fork_id: ForkId { hash: ForkHash(hex!("fc64ec04")), next: 1_150_000 },
        role: FULL_WITH_SERVICE,
    }
}

#[test]
fn the_message_of_the_documentation() {
    assert_eq!(hex::encode(mainnet().encode()), hex::encode(VECTOR));
    assert_eq!(RoleMessage::decode(&VECTOR), Ok(mainnet()));
}

#[test]
fn the_entries_of_the_documentation() {
    let entries = [
        (FULL_WITH_SERVICE, hex!("c20103")),
        (NodeRole::UNSAID, hex!("c20101")),
        (NodeRole::Light, hex!("c20180")),
    ];
    for (role, bytes) in entries {
        assert_eq!(role.encode_entry(), bytes.as_slice());
        assert_eq!(NodeRole::decode_entry(&bytes), Ok(role));
    }
}

#[test]
fn what_later_versions_add_is_passed_over() {
    // Version 2, a bit more, a field more.
    assert_eq!(NodeRole::decode_entry(&hex!("c3020709")), Ok(FULL_WITH_SERVICE));
    let mut longer = VECTOR.to_vec();
    longer[0] += 1;
    longer.push(7);
    assert_eq!(RoleMessage::decode(&longer), Ok(mainnet()));
}

#[test]
fn what_is_no_role_is_refused() {
    let contradiction = DecodeError::Invalid("role: a light node serves light nodes");
    assert_eq!(NodeRole::decode_entry(&hex!("c20102")), Err(contradiction));
    assert_eq!(
        NodeRole::decode_entry(&hex!("c28001")),
        Err(DecodeError::Invalid("role: version 0"))
    );
    assert_eq!(NodeRole::decode_entry(&hex!("c2010300")), Err(DecodeError::TrailingBytes(1)));
    assert!(NodeRole::decode_entry(&[]).is_err());
    let long = vec![0xc0; MAX_MESSAGE + 1];
    let too_large =
        DecodeError::TooLarge { what: "role", size: MAX_MESSAGE + 1, limit: MAX_MESSAGE };
    assert_eq!(RoleMessage::decode(&long), Err(too_large));
    for length in 0..VECTOR.len() {
        assert!(RoleMessage::decode(&VECTOR[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn who_has_something_for_whom() {
    let (silent, light) = (NodeRole::UNSAID, NodeRole::Light);
    for (one, other, fits) in [
        (FULL_WITH_SERVICE, FULL_WITH_SERVICE, true),
        (FULL_WITH_SERVICE, silent, true),
        (FULL_WITH_SERVICE, light, true),
        (silent, light, false),
        (light, light, false),
    ] {
        assert_eq!((one.fits(other), other.fits(one)), (fits, fits), "{one} and {other}");
    }
}

fn role() -> impl Strategy<Value = NodeRole> {
    prop_oneof![
        any::<bool>().prop_map(|serves_light| NodeRole::Full { serves_light }),
        Just(NodeRole::Light),
    ]
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was(
        network_id: u64, genesis: [u8; 32], hash: [u8; 4], next: u64, role in role(),
    ) {
        let fork_id = ForkId { hash: ForkHash(hash), next };
        let message = RoleMessage { network_id, genesis: B256::from(genesis), fork_id, role };
        let bytes = message.encode();
        prop_assert!(bytes.len() <= 73, "{} bytes", bytes.len());
        prop_assert_eq!(RoleMessage::decode(&bytes), Ok(message));
    }

    #[test]
    fn bytes_of_a_stranger_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = RoleMessage::decode(&bytes) {
            prop_assert_eq!(RoleMessage::decode(&message.encode()), Ok(message));
        }
        if let Ok(role) = NodeRole::decode_entry(&bytes) {
            prop_assert_eq!(NodeRole::decode_entry(&role.encode_entry()), Ok(role));
        }
    }

    #[test]
    fn a_changed_byte_is_another_message_or_none(at in 0..VECTOR.len(), by in 1..=255_u8) {
        let mut bytes = VECTOR;
        bytes[at] ^= by;
        // Version, and bits that are not known.
        let passed_over = at == 1 || at + 1 == VECTOR.len();
        prop_assert!(passed_over || RoleMessage::decode(&bytes) != Ok(mainnet()));
    }
}
