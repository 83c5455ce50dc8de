//! The handshake against EIP-8's vectors, against itself, and against hostile packets.

use super::*;
use crate::session::rlpx::mac::FrameMac;

mod vectors;

fn key(hex: &str) -> NodeKey {
    NodeKey::from_hex(hex).unwrap()
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    const_hex::decode_to_array(hex).unwrap()
}

/// EIP-8's static keys: A begins, B answers.
fn key_a() -> NodeKey {
    key("49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee")
}

fn key_b() -> NodeKey {
    key("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
}

fn fresh(ephemeral: &str, nonce: &str) -> Fresh {
    Fresh {
        nonce: bytes(nonce),
        ephemeral: (&key(ephemeral)).into(),
        random: ChaCha20Rng::from_seed([0; 32]),
    }
}

fn fresh_a() -> Fresh {
    fresh(
        "869d6ecf5211f1cc60418a13b9d870b22959d0c16f02bec714c960dd2298a32d",
        "7e968bba13b6c50e2c4cd7f241cc0d64d1ac25c7f5952df231ac6a2bda8ee5d6",
    )
}

fn fresh_b() -> Fresh {
    fresh(
        "e238eb8e04fee6511ab04c6dd3c89ce097b11f25d584863ac2b6d5b35b1847e4",
        "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd",
    )
}

const WANT_AES: &str = "80e8632c05fed6fc2a13b0f8d31a3cf645366239170ea067065aba8e28bac487";
const WANT_MAC: &str = "2ea74ec5dae199227dff1af715362700e989d889d7a493cb0639691efb8e5f98";
/// Digest of the recipient's ingress MAC after "foo" (the MAC is the first half of it).
const WANT_FOO: &str = "0c7ec6340062cc46f5e9f1e3cf86f8c8c403c5a0964f5df0ebd34a75ddc86db5";

fn packet(hex: &str) -> Vec<u8> {
    let packet = const_hex::decode(hex).unwrap();
    assert_eq!(packet_length(&packet), Ok(Some(packet.len())));
    packet
}

fn foo_digest(secrets: &Secrets, (nonce, packet): &([u8; 32], Vec<u8>)) -> [u8; 16] {
    let mut mac = FrameMac::new(&secrets.mac, nonce, packet);
    mac.update(b"foo");
    mac.full_digest()
}

fn assert_secrets(secrets: &Secrets) {
    assert_eq!(secrets.aes, bytes(WANT_AES));
    assert_eq!(secrets.mac, bytes(WANT_MAC));
}

#[test]
fn recipient_reads_auth_of_version_4() {
    let auth = packet(vectors::AUTH_2);
    let (secrets, _, remote) = Recipient::answer(&key_b(), &auth, fresh_b).unwrap();
    assert_eq!(remote, key_a().peer_id());
    assert_secrets(&secrets);
    assert_eq!(foo_digest(&secrets, &secrets.ingress), bytes::<32>(WANT_FOO)[..16]);
}

#[test]
fn recipient_reads_auth_of_version_56_with_more_elements() {
    let auth = packet(vectors::AUTH_3);
    let (secrets, _, remote) = Recipient::answer(&key_b(), &auth, fresh_b).unwrap();
    assert_eq!(remote, key_a().peer_id());
    assert_secrets(&secrets);
}

#[test]
fn initiator_reads_ack_of_version_4() {
    let initiator =
        Initiator { fresh: fresh_a(), auth: packet(vectors::AUTH_2), remote: key_b().peer_id() };
    let (secrets, remote) = initiator.finish(&key_a(), &packet(vectors::ACK_2)).unwrap();
    assert_eq!(remote, key_b().peer_id());
    assert_secrets(&secrets);
    // What one side sends is what the other side receives.
    assert_eq!(foo_digest(&secrets, &secrets.egress), bytes::<32>(WANT_FOO)[..16]);
}

#[test]
fn initiator_reads_ack_of_version_57_with_more_elements() {
    let initiator =
        Initiator { fresh: fresh_a(), auth: packet(vectors::AUTH_2), remote: key_b().peer_id() };
    let (secrets, _) = initiator.finish(&key_a(), &packet(vectors::ACK_3)).unwrap();
    assert_secrets(&secrets);
}

/// Both sides by themselves: the same keys, and each reads what the other wrote.
#[test]
fn both_sides_agree_and_pad_their_packets_differently() {
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let initiator = Initiator::new(&key_a(), key_b().peer_id(), [seed; 32]).unwrap();
        let auth = initiator.auth().to_vec();
        sizes.insert(auth.len());
        // EIP-8: at least 100 bytes of padding; 194 is the size of the old packets' content.
        assert!(auth.len() > 2 + ecies::OVERHEAD + 165 + 100);
        let (theirs, ack, from) = Recipient::new([seed ^ 99; 32]).finish(&key_b(), &auth).unwrap();
        assert_eq!(from, key_a().peer_id());
        let (ours, to) = initiator.finish(&key_a(), &ack).unwrap();
        assert_eq!(to, key_b().peer_id());
        assert_eq!((ours.aes, ours.mac), (theirs.aes, theirs.mac));
        assert_eq!(ours.egress, theirs.ingress);
        assert_eq!(ours.ingress, theirs.egress);
    }
    assert!(sizes.len() > 5, "the size of a packet must not tell what made it: {sizes:?}");
}

#[test]
fn the_same_seed_makes_the_same_packets() {
    let auth = |seed| Initiator::new(&key_a(), key_b().peer_id(), [seed; 32]).unwrap().auth;
    assert_eq!(auth(1), auth(1));
    assert_ne!(auth(1), auth(2));
}

/// A packet that can be decrypted, with any list in it.
fn sealed(to: &NodeKey, fields: &[u8]) -> Vec<u8> {
    Fresh::new([5; 32]).seal(to.public_key(), fields)
}

fn auth_fields(remote: &[u8; 64], signature: &[u8; 65]) -> Vec<u8> {
    let mut fields = Vec::new();
    signature.as_slice().encode(&mut fields);
    remote.as_slice().encode(&mut fields);
    [7u8; 32].as_slice().encode(&mut fields);
    4u8.encode(&mut fields);
    fields
}

/// An `auth` packet in the name of `victim`, made by somebody who has nobody's key.
pub(crate) fn forged_auth(victim: PeerId, to: &NodeKey) -> Vec<u8> {
    let signature = NodeKey::from_entropy([66; 32]).sign_recoverable(B256::from([1; 32]));
    sealed(to, &auth_fields(victim.as_bytes(), &signature))
}

/// CVE-2025-24883 (geth before 1.14.13): the initiator's key was not checked, and a point that is
/// none brought the node down.
#[test]
fn cve_2025_24883_an_initiator_key_that_is_no_point_is_refused() {
    let mut off_curve = *key_a().peer_id().as_bytes();
    off_curve[63] ^= 1;
    let mut above_field = [0xff; 64];
    above_field[32..].fill(1);
    for id in [[0; 64], off_curve, above_field, [1; 64]] {
        let auth = sealed(&key_b(), &auth_fields(&id, &[1; 65]));
        let outcome = Recipient::new([0; 32]).finish(&key_b(), &auth);
        assert_eq!(outcome.err(), Some(HandshakeError::BadKey));
        assert_eq!(
            Initiator::new(&key_a(), PeerId::from(id), [0; 32]).err(),
            Some(HandshakeError::BadKey)
        );
        // The same as the recipient's ephemeral key, in ack.
        let mut fields = Vec::new();
        id.as_slice().encode(&mut fields);
        [7u8; 32].as_slice().encode(&mut fields);
        4u8.encode(&mut fields);
        let initiator = Initiator::new(&key_a(), key_b().peer_id(), [0; 32]).unwrap();
        assert_eq!(
            initiator.finish(&key_a(), &sealed(&key_a(), &fields)).err(),
            Some(HandshakeError::BadKey)
        );
    }
}

#[test]
fn a_signature_that_leads_to_no_key_is_refused() {
    let mut no_such_id = [1; 65];
    no_such_id[64] = 4;
    let mut zero = [0; 65];
    zero[64] = 1;
    let mut above_order = [0xff; 65];
    above_order[64] = 0;
    let mut pre_eip155 = [1; 65];
    pre_eip155[64] = 27;
    for signature in [no_such_id, zero, above_order, pre_eip155] {
        let auth = sealed(&key_b(), &auth_fields(key_a().peer_id().as_bytes(), &signature));
        let outcome = Recipient::new([0; 32]).finish(&key_b(), &auth);
        assert_eq!(outcome.err(), Some(HandshakeError::BadSignature));
    }
}

/// Every prefix of a good list, every wrong length of an element: an error, never a panic.
#[test]
fn a_list_that_is_cut_anywhere_is_malformed() {
    let whole = auth_fields(key_a().peer_id().as_bytes(), &[1; 65]);
    // The version behind the three elements is not asked for.
    for length in 0..whole.len() - 1 {
        let auth = sealed(&key_b(), &whole[..length]);
        let outcome = Recipient::new([0; 32]).finish(&key_b(), &auth);
        assert!(
            matches!(outcome.err(), Some(HandshakeError::Malformed(_))),
            "cut to {length} bytes"
        );
        let initiator = Initiator::new(&key_a(), key_b().peer_id(), [0; 32]).unwrap();
        let ack = sealed(&key_a(), &whole[..length]);
        assert!(matches!(
            initiator.finish(&key_a(), &ack).err(),
            Some(HandshakeError::Malformed(_))
        ));
    }
}

/// geth since 1.14.6 reads no larger handshake packet: 64 KiB were held for whoever connected.
#[test]
fn a_handshake_packet_of_more_than_2048_bytes_is_refused_by_its_length_alone() {
    assert_eq!(packet_length(&[]), Ok(None));
    assert_eq!(packet_length(&[0xff]), Ok(None));
    assert_eq!(packet_length(&2048u16.to_be_bytes()), Ok(None));
    assert_eq!(packet_length(&2049u16.to_be_bytes()), Err(HandshakeError::TooLarge(2049)));
    assert_eq!(packet_length(&[0xff, 0xff]), Err(HandshakeError::TooLarge(65535)));
    let mut whole = 2048u16.to_be_bytes().to_vec();
    whole.resize(2050, 0);
    assert_eq!(packet_length(&whole), Ok(Some(2050)));
}

/// A packet of before EIP-8 has no length; what its first bytes say as one is too large, or leads
/// to a wrong tag. It is refused either way (nobody has sent it for years).
#[test]
fn a_packet_of_before_eip_8_is_refused() {
    assert_eq!(packet_length(&[4, 0xa0, 0x27]), Ok(None), "an uncompressed key begins with 4");
    let mut input = [4; 307].to_vec();
    input.resize(2 + 0x0404, 0);
    let length = packet_length(&input).unwrap().unwrap();
    let outcome = Recipient::new([0; 32]).finish(&key_b(), &input[..length]);
    assert!(matches!(outcome.err(), Some(HandshakeError::Ecies(_))));
}

/// The key, the vector, the ciphertext, the tag: a change in any of them is refused.
#[test]
fn a_packet_with_one_changed_byte_is_refused() {
    let auth = packet(vectors::AUTH_2);
    for at in 2..auth.len() {
        let mut changed = auth.clone();
        changed[at] ^= 1;
        let outcome = Recipient::answer(&key_b(), &changed, fresh_b);
        assert!(matches!(outcome.err(), Some(HandshakeError::Ecies(_))), "byte {at}");
    }
}
