//! Keys of every kind: through PEM and back, and a chain of CA, agency and node with each.

use rustls_pki_types::UnixTime;

use super::*;
use crate::certificate::{Authority, InspectedCertificate, KeyKind, ValidityPeriod, revoked_on};
use crate::tls::{PeerSide, StaleListPolicy, Trust};

const KINDS: [KeyType; 3] = [KeyType::Secp256k1, KeyType::P256, KeyType::Rsa];
const VALIDITY: ValidityPeriod = ValidityPeriod { not_before: 1_000_000, not_after: 2_000_000 };

fn key(kind: KeyType) -> SigningKey {
    key_from(kind, 7)
}

fn key_from(kind: KeyType, seed: u8) -> SigningKey {
    SigningKey::generate(kind, [seed; 32]).unwrap()
}

#[test]
fn a_key_comes_back_from_its_text() {
    for kind in KINDS {
        let key = key(kind);
        let text = key.to_pem().unwrap();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{kind}");
        let again = SigningKey::from_pem(text.as_bytes()).unwrap();
        assert_eq!((again.kind(), kind.to_string().parse()), (kind, Ok(kind)));
        assert_eq!(again.public().unwrap().info(), key.public().unwrap().info());
        assert_eq!(*again.to_pem().unwrap(), *text);
    }
    assert!("sm2".parse::<KeyType>().is_err());
}

#[test]
fn what_is_no_key_of_these_kinds_is_told() {
    let no_pem = SigningKey::from_pem(b"good day").unwrap_err();
    assert_eq!(no_pem, SigningKeyError::Private(PrivateKeyError::NoPem));
    // PKCS#8 of Ed25519, RFC 8410 section 10.3.
    let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let other = SigningKey::from_pem(ed25519.as_bytes()).unwrap_err();
    assert_eq!(other, SigningKeyError::OtherKind);
}

#[test]
fn a_chain_of_each_kind_is_trusted_and_its_lists_hold() {
    for kind in KINDS {
        let root = Authority::create("chain", key(kind), VALIDITY, [1; 16]).unwrap();
        let below = key_from(kind, 8);
        let agency = root.issue_agency("bank", below.public().unwrap(), VALIDITY, [2; 16]).unwrap();
        let agency = Authority::new(agency, below).unwrap();
        let node = agency
            .issue_node("n0", key_from(kind, 9).public().unwrap(), VALIDITY, [3; 16])
            .unwrap();
        let seen = InspectedCertificate::read(&node).unwrap();
        let wanted = match kind {
            KeyType::Secp256k1 => KeyKind::Secp256k1,
            KeyType::P256 => KeyKind::P256,
            KeyType::Rsa => KeyKind::Rsa { bits: 2048 },
        };
        assert_eq!(seen.key, wanted);
        let now = UnixTime::since_unix_epoch(core::time::Duration::from_secs(1_500_000));
        let trust = Trust::new(&[root.certificate().clone()]).unwrap();
        let between = [agency.certificate().clone()];
        let identity = trust.verify(&node, &between, PeerSide::Dialling, now).unwrap();
        assert_eq!(Some(identity), seen.identity);

        let revoked = crate::certificate::RevokedCertificate {
            serial: const_hex::decode(&seen.serial).unwrap(),
            date: 1_200_000,
        };
        let lists = [
            agency.revocation_list(1, VALIDITY, core::slice::from_ref(&revoked)).unwrap(),
            root.revocation_list(1, VALIDITY, &[]).unwrap(),
        ];
        assert_eq!(revoked_on(&lists[0]).unwrap(), [revoked]);
        let trust = trust.with_revocation_lists(&lists, StaleListPolicy::UseOldList).unwrap();
        let error = trust.verify(&node, &between, PeerSide::Dialling, now).unwrap_err();
        assert!(error.to_string().contains("revoked"), "{kind}: {error}");
    }
}

/// A certificate with the key of another CA.
#[test]
fn a_key_of_another_kind_is_another_key() {
    let root = Authority::create("chain", key(KeyType::P256), VALIDITY, [1; 16]).unwrap();
    let error = Authority::new(root.certificate().clone(), key(KeyType::Rsa)).unwrap_err();
    assert!(matches!(error, crate::certificate::CertificateError::OtherKey(_)), "{error}");
}
