use alloy_primitives::keccak256;
use proptest::prelude::*;

use super::*;
use crate::recover;

proptest! {
    #[test]
    fn it_is_the_same_key_as_a_node_key(entropy: [u8; 32], other: [u8; 32]) {
        let node = NodeKey::from_entropy(entropy);
        let ephemeral = EphemeralKey::from_entropy(entropy);
        prop_assert_eq!(ephemeral.public_bytes(), *node.peer_id().as_bytes());
        let other = NodeKey::from_entropy(other);
        prop_assert_eq!(*ephemeral.agree(other.public_key()), *node.agree(other.public_key()));
        let hash = keccak256(entropy);
        let signature = ephemeral.sign_recoverable(hash);
        prop_assert_eq!(recover(&signature, hash), Some(*node.public_key()));
    }
}

#[test]
fn zero_is_hashed_until_it_is_a_key() {
    let node = NodeKey::from_entropy([0; 32]);
    assert_eq!(&EphemeralKey::from_entropy([0; 32]).public_bytes(), node.peer_id().as_bytes());
}
