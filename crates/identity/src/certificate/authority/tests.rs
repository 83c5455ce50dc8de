//! What a CA issues, and what it does not.

use super::{Authority, RevokedCertificate, ValidityPeriod, revoked_on};
use crate::NodeKey;
use crate::certificate::{CertificateError, InspectedCertificate};

const YEAR: u64 = 365 * 86_400;
const NOW: u64 = 1_795_243_200;

fn years(count: u64) -> ValidityPeriod {
    ValidityPeriod { not_before: NOW, not_after: NOW + count * YEAR }
}

fn authority() -> Authority {
    Authority::create("chain", NodeKey::from_entropy([1; 32]), years(10), [1; 16]).unwrap()
}

#[test]
fn a_node_certificate_says_who_it_is() {
    let key = NodeKey::from_entropy([2; 32]);
    let issued = authority().issue_node("n0", key.public_key(), years(1), [0xff; 16]).unwrap();
    let seen = InspectedCertificate::read(&issued).unwrap();
    assert_eq!(seen.identity.clone().unwrap().peer_id(), Some(key.peer_id()));
    assert_eq!(seen.subject, "CN=n0,OU=node,O=chainmesh");
    assert_eq!(seen.issuer, "CN=chain,OU=chain,O=chainmesh");
    assert_eq!((seen.not_before, seen.not_after), (NOW, NOW + YEAR));
    // The entropy, as a positive number.
    assert_eq!(seen.serial, format!("7f{}", "ff".repeat(15)));
    assert!(!seen.authority);
}

#[test]
fn dates_on_both_sides_of_2050_are_kept() {
    let far = ValidityPeriod { not_before: 2_524_607_999, not_after: 2_524_608_000 + 90 * YEAR };
    let ca = Authority::create("far", NodeKey::from_entropy([1; 32]), far, [0; 16]).unwrap();
    let seen = InspectedCertificate::read(ca.certificate()).unwrap();
    assert_eq!((seen.not_before, seen.not_after), (far.not_before, far.not_after));
}

#[test]
fn a_node_certificate_does_not_make_a_ca() {
    let key = NodeKey::from_entropy([2; 32]);
    let issued = authority().issue_node("n0", key.public_key(), years(1), [2; 16]).unwrap();
    assert!(matches!(Authority::new(issued, key), Err(CertificateError::NotAnAuthority(_))));
}

#[test]
fn a_ca_certificate_needs_its_own_key() {
    let (certificate, other) = (authority().certificate().clone(), NodeKey::from_entropy([3; 32]));
    assert!(matches!(Authority::new(certificate, other), Err(CertificateError::OtherKey(_))));
}

#[test]
fn no_certificate_outlives_its_ca() {
    let key = NodeKey::from_entropy([2; 32]);
    let issued = authority().issue_node("n0", key.public_key(), years(11), [2; 16]);
    assert!(matches!(issued, Err(CertificateError::OutlivesAuthority { .. })));
    let backwards = ValidityPeriod { not_before: NOW, not_after: NOW };
    let issued = authority().issue_node("n0", key.public_key(), backwards, [2; 16]);
    assert!(matches!(issued, Err(CertificateError::Dates { .. })));
}

#[test]
fn names_are_the_same_everywhere_or_refused() {
    let key = NodeKey::from_entropy([2; 32]);
    for name in ["", ".", "..", "-x", "a b", "a,CN=root", "a/b", "ü", &"x".repeat(65)] {
        let issued = authority().issue_node(name, key.public_key(), years(1), [2; 16]);
        assert!(matches!(issued, Err(CertificateError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_revocation_list_holds_what_was_revoked() {
    let serial = vec![0x41, 2, 3];
    let entry = RevokedCertificate { serial: serial.clone(), date: NOW };
    let list = authority().revocation_list(5, years(1), &[entry]).unwrap();
    let entry = RevokedCertificate { serial: serial.clone(), date: NOW };
    assert_eq!(revoked_on(&list), Ok(vec![entry]));
    let list = webpki::OwnedCertRevocationList::from_der(&list).unwrap();
    let list = webpki::CertRevocationList::from(list);
    assert!(list.find_serial(&serial).unwrap().is_some());
    assert!(list.find_serial(&[0x41, 2, 4]).unwrap().is_none());
    // A CA that has revoked nobody says so.
    let empty = authority().revocation_list(6, years(1), &[]).unwrap();
    assert!(webpki::OwnedCertRevocationList::from_der(&empty).is_ok());
}
