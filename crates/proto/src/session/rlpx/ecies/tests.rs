//! ECIES against published values, itself, and hostile envelopes.

use proptest::prelude::*;

use super::*;

fn key(hex: &str) -> NodeKey {
    NodeKey::from_hex(hex).unwrap()
}

fn node() -> NodeKey {
    key("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
}

fn envelope(message: &[u8], shared_data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let ephemeral = EphemeralKey::from_entropy([3; 32]);
    encrypt(node().public_key(), &ephemeral, [9; 16], shared_data, &mut message.to_vec(), &mut out);
    out
}

/// The agreed secret is the bare x coordinate. Values of go-ethereum's `TestSharedKeyStatic`.
#[test]
fn agreement_is_the_x_coordinate() {
    let one = key("7ebbc6a8358bc76dd73ebc557056702c8cfc34e5cfcd90eb83af0347575fd2ad");
    let other = key("6a3d6396903245bba5837752b9e0348874e72db0c4e11e9c485a81b4ea4353b9");
    let want = "167ccc13ac5e8a26b131c3446030c60fbfac6aa8e31149d0869f93626a4cdf62";
    assert_eq!(const_hex::encode(*one.agree(other.public_key())), want);
    assert_eq!(const_hex::encode(*other.agree(one.public_key())), want);
}

/// A key whose secret or public half begins with zeroes loses none of them. Values of
/// go-ethereum's `TestSharedKeyPadding`.
#[test]
fn leading_zeroes_are_kept() {
    let one = key("1adf5c18167d96a1f9a0b1ef63be8aa27eaf6032c233b2b38f7850cf5b859fd9");
    let other = key("0097a076fc7fcd9208240668e31c9abee952cbb6e375d1b8febc7499d6e16f1a");
    assert_eq!(
        const_hex::encode(&other.peer_id().as_bytes()[..32]),
        "6ab3ac374251f638d0abb3ef596d1dc67955b507c104e5f2009724812dc027b8"
    );
    assert_eq!(*one.agree(other.public_key()), *other.agree(one.public_key()));
}

/// The derivation of keys is SHA-256 over a counter of four bytes and the secret; the MAC key is
/// hashed once more.
#[test]
fn keys_are_derived_by_concatenation() {
    let shared = [0xab; 32];
    let keys = derive(&shared);
    let material = Sha256::digest([&[0, 0, 0, 1][..], &shared].concat());
    assert_eq!(keys.encryption[..], material[..16]);
    assert_eq!(keys.mac[..], Sha256::digest(&material[16..])[..]);
}

/// CVE-2026-22862 (geth before 1.16.8): an envelope shorter than its parts brought nodes down.
#[test]
fn cve_2026_22862_every_length_of_an_envelope_is_read_or_refused() {
    for length in 0..=200 {
        let mut zeroes = vec![0; length];
        assert!(decrypt(&node(), b"", &mut zeroes).is_err());
        // The beginning of a good one.
        let mut cut = envelope(&[1; 200], b"")[..length].to_vec();
        let want = if length < OVERHEAD { EciesError::TooShort } else { EciesError::BadTag };
        assert_eq!(decrypt(&node(), b"", &mut cut).err(), Some(want), "{length} bytes");
        // A good one of this size of content.
        let mut whole = envelope(&vec![1; length], b"");
        assert_eq!(decrypt(&node(), b"", &mut whole).unwrap(), &vec![1; length][..]);
    }
}

/// CVE-2026-26315 (geth before 1.16.9): an ephemeral key on another curve led to an answer that
/// told bits of the node's key.
#[test]
fn cve_2026_26315_an_ephemeral_key_off_the_curve_is_refused_before_it_is_used() {
    let good = envelope(b"hello", b"");
    // y of another point; x above the field's prime; infinity; a point of a weaker curve
    // (y^2 = x^3 + 1 has (2, 3), of order 6).
    let mut other_y = good.clone();
    other_y[64] ^= 1;
    let mut above = good.clone();
    above[1..33].fill(0xff);
    let mut infinity = good;
    infinity[1..65].fill(0);
    let mut weak = infinity.clone();
    weak[32] = 2;
    weak[64] = 3;
    for mut packet in [other_y, above, infinity, weak] {
        assert_eq!(decrypt(&node(), b"", &mut packet).err(), Some(EciesError::BadPoint));
    }
}

/// libsecp256k1 reads 65 bytes that begin with 6 or 7 too; devp2p's key begins with 4.
#[test]
fn only_the_uncompressed_form_of_a_key_is_read() {
    for first in (0..=255).filter(|first| *first != 4) {
        let mut packet = envelope(b"hello", b"");
        packet[0] = first;
        assert_eq!(decrypt(&node(), b"", &mut packet).err(), Some(EciesError::BadPoint));
    }
}

#[test]
fn an_envelope_for_another_node_is_refused() {
    let mut packet = envelope(b"hello", b"");
    let other = NodeKey::from_entropy([8; 32]);
    assert_eq!(decrypt(&other, b"", &mut packet).err(), Some(EciesError::BadTag));
}

proptest! {
    #[test]
    fn what_is_encrypted_decrypts(message in prop::collection::vec(any::<u8>(), 0..600),
                                  shared_data in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut packet = envelope(&message, &shared_data);
        prop_assert_eq!(packet.len(), message.len() + OVERHEAD);
        prop_assert_eq!(&*decrypt(&node(), &shared_data, &mut packet).unwrap(), &message[..]);
        let mut packet = envelope(&message, &shared_data);
        prop_assert_eq!(decrypt(&node(), b"other", &mut packet).err(), Some(EciesError::BadTag));
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decrypt(&node(), b"", &mut bytes).is_err());
    }
}
