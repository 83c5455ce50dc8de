//! What a CA signs: the content of a certificate or revocation list, byte by byte.
//!
//! RFC 5280 sections 4.1 and 5.1. The signature comes from outside, so that tests can also make what
//! no CA should.

use der::asn1::{BitString, GeneralizedTime, Int, ObjectIdentifier, OctetString, UtcTime};
use der::{Any, Encode as _};
use secp256k1::PublicKey;
use sha2::{Digest as _, Sha256};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use super::key_kind::{EC_PUBLIC_KEY, ECDSA_WITH_SHA256, SECP256K1};
use crate::NodeKey;

/// The first second that a `UTCTime` cannot hold: 2050-01-01, RFC 5280 section 4.1.2.5.
const YEAR_2050: u64 = 2_524_608_000;

/// `TBSCertificate`. Without a version it is one of version 1, which has no extensions.
#[derive(Clone, der::Sequence)]
pub(crate) struct Content {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) version: Option<u8>,
    pub(crate) serial: Int,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Name,
    pub(crate) validity: Validity,
    pub(crate) subject: Name,
    pub(crate) key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Extensions>,
}

/// `TBSCertList`.
#[derive(der::Sequence)]
pub(crate) struct ListContent {
    pub(crate) version: u8,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Name,
    pub(crate) this_update: Time,
    pub(crate) next_update: Time,
    #[asn1(optional = "true")]
    pub(crate) revoked: Option<Vec<ListEntry>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Extensions>,
}

/// One entry of a `TBSCertList`.
#[derive(der::Sequence)]
pub(crate) struct ListEntry {
    pub(crate) serial: Int,
    pub(crate) date: Time,
}

/// Content, algorithm and signature: the outer SEQUENCE of certificates and lists.
#[derive(der::Sequence)]
struct Signed {
    content: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// The version number of an X.509 v3 certificate on the wire.
pub(crate) const VERSION_3: u8 = 2;

/// Wraps encoded content with what `sign` makes of it.
pub(crate) fn signed(
    content: &[u8],
    algorithm: AlgorithmIdentifierOwned,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> der::Result<Vec<u8>> {
    let signature = BitString::from_bytes(&sign(content))?;
    let content = <Any as der::Decode<'_>>::from_der(content)?;
    Signed { content, algorithm, signature }.to_der()
}

/// Signs as `ecdsa-with-SHA256` does, with a secp256k1 key.
pub(crate) fn sign_with_sha256(key: &NodeKey, message: &[u8]) -> Vec<u8> {
    let digest: [u8; 32] = Sha256::digest(message).into();
    let signature = key.secret().sign_ecdsa(secp256k1::Message::from_digest(digest));
    signature.serialize_der().to_vec()
}

/// The algorithm of [`sign_with_sha256`], which has no parameters (RFC 5758 section 3.2).
pub(crate) const fn ecdsa_with_sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None }
}

/// `sha256WithRSAEncryption`, RFC 4055 section 5.
const RSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// RSA over SHA-256, PKCS#1 v1.5; its parameters are NULL.
pub(crate) fn rsa_with_sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: RSA_WITH_SHA256, parameters: Some(null()) }
}

/// A secp256k1 key as a certificate has it.
pub(crate) fn public_key(key: &PublicKey) -> der::Result<SubjectPublicKeyInfoOwned> {
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: EC_PUBLIC_KEY,
            parameters: Some(Any::encode_from(&SECP256K1)?),
        },
        subject_public_key: BitString::from_bytes(&key.serialize_uncompressed())?,
    })
}

/// The name of a key in key identifiers: RFC 7093 section 2 method 1.
pub(crate) fn key_identifier(key: &SubjectPublicKeyInfoOwned) -> der::Result<OctetString> {
    let digest = Sha256::digest(key.subject_public_key.raw_bytes());
    OctetString::new(digest.get(..20).unwrap_or_default())
}

/// A moment (seconds since 1970) as certificates of RFC 5280 write it.
pub(crate) fn time(seconds: u64) -> der::Result<Time> {
    let since = core::time::Duration::from_secs(seconds);
    if seconds < YEAR_2050 {
        UtcTime::from_unix_duration(since).map(Time::UtcTime)
    } else {
        GeneralizedTime::from_unix_duration(since).map(Time::GeneralTime)
    }
}

/// A serial number: positive, at most 20 bytes (RFC 5280 section 4.1.2.2).
pub(crate) fn serial(bytes: &[u8]) -> der::Result<Int> {
    der::asn1::Uint::new(bytes).map(Into::into)
}

/// An extension with `value` in it.
pub(crate) fn extension<T: der::Encode + der::oid::AssociatedOid>(
    critical: bool,
    value: &T,
) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// The parameters NULL, which RSA signatures have.
pub(crate) fn null() -> Any {
    Any::from(der::asn1::Null)
}
