//! What people are shown.

use super::{Date, printable};
use crate::certificate::identity::tests::{FISCO_2, FISCO_3, certificate};
use crate::certificate::{InspectedCertificate, KeyKind};

#[test]
fn a_certificate_of_fisco_3_is_described() {
    let seen = InspectedCertificate::read(&certificate(FISCO_3)).unwrap();
    assert_eq!((seen.version, seen.key), (3, KeyKind::Rsa { bits: 2048 }));
    assert_eq!(seen.subject, "OU=agency,O=fisco-bcos,CN=FISCO-BCOS-abc");
    assert_eq!(seen.issuer, "OU=chain,O=FISCO-BCOS-abc,CN=FISCO-BCOS-abc");
    assert_eq!(seen.serial, "e40663e31c8a89a25752a073d0ec2ae6a06f3d");
    assert_eq!(Date(seen.not_before).to_string(), "2026-11-21T06:32:20Z");
    // After 2049 dates are written in another type.
    assert_eq!(Date(seen.not_after).to_string(), "2126-10-28T06:32:20Z");
    assert!(!seen.authority && !seen.self_issued);
}

#[test]
fn a_certificate_of_fisco_2_is_described() {
    let text = InspectedCertificate::read(&certificate(FISCO_2)).unwrap().to_string();
    assert!(text.contains("subject     OU=node,O=fisco-bcos,CN=node0"), "{text}");
    assert!(text.contains("key         secp256k1 (X.509 v3)"), "{text}");
    assert!(text.contains("id          822c977eb26949462cdb6d25"), "{text}");
}

#[test]
fn text_of_a_peer_stays_in_its_line() {
    assert_eq!(printable("CN=évil\n\u{1b}[2J"), "CN=évil\\u{a}\\u{1b}[2J");
    assert_eq!(printable("\u{202e}abc"), "\\u{202e}abc");
    assert_eq!(printable(&"x".repeat(500)).chars().count(), 121);
}

#[test]
fn no_date_is_too_far_away_to_be_shown() {
    assert_eq!(Date(0).to_string(), "1970-01-01T00:00:00Z");
    assert_eq!(Date(u64::MAX).to_string(), format!("{} seconds after 1970", u64::MAX));
}
