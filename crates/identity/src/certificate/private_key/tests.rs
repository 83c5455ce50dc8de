//! One throw-away key in the forms of OpenSSL 3.0.22.

use proptest::prelude::*;

use super::{PrivateKeyError, from_pem, to_pem};
use crate::NodeKey;

/// `openssl ecparam -name secp256k1 -genkey`: what FISCO BCOS 2.x's `build_chain.sh` calls.
const SEC1: &str = "\
-----BEGIN EC PARAMETERS-----
BgUrgQQACg==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHQCAQEEID34Yr4ybmWyMlkRjVm0T7MDTa5/TlVhXk8XJV/q0NeXoAcGBSuBBAAK
oUQDQgAE8iSpXpMv3by+hdvNH3p3SFJhNijkw8Ahk244aadYYNwolGqATzU4JGoS
W+MGo8bT5Ngpw6wjRZq9TyHidKN12w==
-----END EC PRIVATE KEY-----
";

/// `openssl pkcs8 -topk8 -nocrypt` of it.
const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgPfhivjJuZbIyWRGNWbRP
swNNrn9OVWFeTxclX+rQ15ehRANCAATyJKleky/dvL6F280fendIUmE2KOTDwCGT
bjhpp1hg3CiUaoBPNTgkahJb4wajxtPk2CnDrCNFmr1PIeJ0o3Xb
-----END PRIVATE KEY-----
";

/// `openssl ecparam -name prime256v1 -genkey -noout`.
const P256: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMNoZahTEMqpNG58nHKZF0zaoycBImZu7eDIpvCZbQeEoAoGCCqGSM49
AwEHoUQDQgAETtMdFlEDHhZQBqVuuyB+V9YrXo0RC0aL8TwVAvPNsPvGkQMmtA4z
rNA+bZSaTpIt1U9aCYxo3Ij+NRnP9hCZNA==
-----END EC PRIVATE KEY-----
";

/// The number in the first two, by `openssl ec -text`.
const SECRET: &str = "3df862be326e65b23259118d59b44fb3034dae7f4e55615e4f17255fead0d797";

#[test]
fn both_forms_of_openssl_are_read() {
    assert_eq!(*from_pem(SEC1.as_bytes()).unwrap().to_hex(), SECRET);
    assert_eq!(*from_pem(PKCS8.as_bytes()).unwrap().to_hex(), SECRET);
}

#[test]
fn what_we_write_is_what_openssl_writes() {
    assert_eq!(*to_pem(&NodeKey::from_hex(SECRET).unwrap()).unwrap(), PKCS8);
}

#[test]
fn another_curve_is_called_so() {
    assert_eq!(from_pem(P256.as_bytes()).unwrap_err(), PrivateKeyError::OtherKind);
}

#[test]
fn what_is_no_key_is_called_so() {
    assert_eq!(from_pem(b"").unwrap_err(), PrivateKeyError::NoPem);
    assert_eq!(from_pem(SECRET.as_bytes()).unwrap_err(), PrivateKeyError::NoPem);
    let cut = "-----BEGIN PRIVATE KEY-----\nMIGEAgEA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(from_pem(cut.as_bytes()), Err(PrivateKeyError::Encoding(_))));
    let zero = NodeKey::from_hex(SECRET).unwrap();
    let der = super::to_pkcs8_der(&zero).unwrap();
    let mut der = der.to_vec();
    let at = der.windows(4).position(|four| four == [0x3d, 0xf8, 0x62, 0xbe]).unwrap();
    der[at..at + 32].fill(0);
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(der);
    assert!(matches!(super::from_der(&key.into()), Err(PrivateKeyError::OutOfRange(_))));
}

proptest! {
    #[test]
    fn any_key_survives_its_file(entropy in any::<[u8; 32]>()) {
        let key = NodeKey::from_entropy(entropy);
        let read = from_pem(to_pem(&key).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(read.peer_id(), key.peer_id());
    }

    #[test]
    fn a_damaged_file_is_a_key_or_an_error(at in 0_usize..300, byte in any::<u8>()) {
        let mut text = SEC1.as_bytes().to_vec();
        let at = at % text.len();
        text[at] = byte;
        let _ = from_pem(&text);
    }
}
