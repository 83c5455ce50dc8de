//! [`KeyKind`]: what sort of public key a certificate holds.

use core::fmt;

use const_hex as hex;
use der::Decode as _;
use der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// `id-ecPublicKey`, RFC 5480 section 2.1.1.
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256k1`, SEC 2 section A.2.1.
pub(crate) const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
/// `ecdsa-with-SHA256`, RFC 5758 section 3.2.
pub(crate) const ECDSA_WITH_SHA256: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// `secp256r1`, RFC 5480 section 2.1.1.1.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `secp384r1`, RFC 5480 section 2.1.1.1.
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// `secp521r1`, RFC 5480 section 2.1.1.1.
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// `id-Ed25519`, RFC 8410 section 3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// `rsaEncryption`, RFC 8017 appendix C.
pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The kind of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The curve of node keys, and of FISCO BCOS 2.x.
    Secp256k1,
    /// NIST P-256 (secp256r1, prime256v1).
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA, as FISCO BCOS 3.x issues it (2048 bits).
    Rsa {
        /// Length of the modulus, bits.
        bits: usize,
    },
    /// An elliptic curve that we do not have (SM2 is one).
    OtherCurve(ObjectIdentifier),
    /// Any other algorithm.
    Other(ObjectIdentifier),
}

/// `RSAPublicKey` of RFC 8017 appendix A.1.1.
#[derive(der::Sequence)]
pub(crate) struct RsaPublicKey<'a> {
    pub(crate) modulus: UintRef<'a>,
    pub(crate) exponent: UintRef<'a>,
}

impl KeyKind {
    pub(crate) fn of(key: &SubjectPublicKeyInfoRef<'_>) -> Self {
        let algorithm = &key.algorithm;
        if algorithm.oid == EC_PUBLIC_KEY {
            let curve = algorithm.parameters.and_then(|any| any.decode_as().ok());
            return match curve {
                Some(SECP256K1) => Self::Secp256k1,
                Some(P256) => Self::P256,
                Some(P384) => Self::P384,
                Some(P521) => Self::P521,
                Some(other) => Self::OtherCurve(other),
                None => Self::Other(algorithm.oid),
            };
        }
        match algorithm.oid {
            ED25519 => Self::Ed25519,
            RSA => RsaPublicKey::from_der(key.subject_public_key.raw_bytes())
                .map_or(Self::Other(RSA), |rsa| Self::Rsa { bits: bits(rsa.modulus.as_bytes()) }),
            other => Self::Other(other),
        }
    }
}

/// The number of bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let significant = number
        .iter()
        .position(|byte| *byte != 0)
        .map_or(&[][..], |at| number.get(at..).unwrap_or_default());
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}

/// The key `modulus`, with the exponent 65537 that FISCO's tools and OpenSSL use, in the bytes that
/// a certificate has.
pub(crate) fn rsa_key_of_modulus(digits: &str) -> Option<Vec<u8>> {
    let modulus = hex::decode(digits).ok()?;
    let key = RsaPublicKey {
        modulus: UintRef::new(&modulus).ok()?,
        exponent: UintRef::new(&[1, 0, 1]).ok()?,
    };
    der::Encode::to_der(&key).ok()
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secp256k1 => f.write_str("secp256k1"),
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::P521 => f.write_str("P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa { bits } => write!(f, "RSA-{bits}"),
            Self::OtherCurve(oid) => write!(f, "elliptic curve {oid}"),
            Self::Other(oid) => write!(f, "algorithm {oid}"),
        }
    }
}
