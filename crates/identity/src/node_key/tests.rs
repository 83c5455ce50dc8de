use alloy_primitives::keccak256;

use super::*;

#[test]
fn both_sides_agree_on_one_secret() {
    let a = NodeKey::from_entropy([1; 32]);
    let b = NodeKey::from_entropy([2; 32]);
    assert_eq!(*a.agree(b.public_key()), *b.agree(a.public_key()));
}

#[test]
fn ecdh_is_the_bare_x_coordinate() {
    // The product with the key 1 is the point itself.
    let mut one = [0; 32];
    one[31] = 1;
    let one = NodeKey::from_bytes(one).unwrap();
    let other = NodeKey::from_entropy([9; 32]);
    assert_eq!(one.agree(other.public_key())[..], other.peer_id().as_bytes()[..32]);
}

#[test]
fn the_signer_is_recovered() {
    let key = NodeKey::from_entropy([5; 32]);
    let hash = keccak256(b"message");
    let signature = key.sign_recoverable(hash);
    assert_eq!(recover(&signature, hash), Some(*key.public_key()));
    assert_ne!(recover(&signature, keccak256(b"other")), Some(*key.public_key()));
    for recovery_id in 4..=255 {
        let mut wrong = signature;
        wrong[64] = recovery_id;
        assert_eq!(recover(&wrong, hash), None);
    }
}

#[test]
fn debug_output_does_not_hold_the_secret() {
    let key = NodeKey::from_entropy([5; 32]);
    assert!(!format!("{key:?}").contains(&key.to_hex()[..8]));
}

#[test]
fn a_peer_id_off_the_curve_has_no_key() {
    assert_eq!(PeerId::from([0x11; 64]).public_key(), Err(crate::PeerIdError::NotOnCurve));
    assert_eq!(PeerId::from([0; 64]).public_key(), Err(crate::PeerIdError::NotOnCurve));
    let id = NodeKey::from_entropy([5; 32]).peer_id();
    assert_eq!(PeerId::from_public_key(&id.public_key().unwrap()), id);
}
