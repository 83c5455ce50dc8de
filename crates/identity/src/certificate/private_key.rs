//! Private keys of secp256k1 as OpenSSL and FISCO's tools write them.
//!
//! FISCO BCOS 2.x has `EC PRIVATE KEY` (SEC 1, with or without an `EC PARAMETERS` block before it) or
//! `PRIVATE KEY` (PKCS#8, RFC 5208); we write PKCS#8 and read both.

use der::asn1::{BitStringRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Encode as _};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::key_kind::{EC_PUBLIC_KEY, SECP256K1};
use crate::NodeKey;

/// Why a text is no private key of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// There is no block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY` in the text.
    #[error(
        "there is no private key in PEM form in it (an encrypted key has to be decrypted first)"
    )]
    NoPem,
    /// The block is there, its content is not what its name says.
    #[error("the private key in it is damaged: {0}")]
    Encoding(#[source] der::Error),
    /// The key is of another kind than a node's.
    #[error("the private key in it is not one of the curve secp256k1")]
    OtherKind,
    /// The number is no key of the curve.
    #[error("the private key in it is damaged: {0}")]
    OutOfRange(#[source] crate::NodeKeyError),
}

/// `ECPrivateKey`, RFC 5915 section 3.
#[derive(der::Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<ObjectIdentifier>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public_key: Option<BitStringRef<'a>>,
}

/// `PrivateKeyInfo`, RFC 5208 section 5, without attributes.
#[derive(der::Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: AlgorithmIdentifierRef<'a>,
    private_key: &'a OctetStringRef,
}

/// Reads a PEM text with a secp256k1 key in it, PKCS#8 or SEC 1.
///
/// # Errors
/// See [`PrivateKeyError`].
pub fn from_pem(text: &[u8]) -> Result<NodeKey, PrivateKeyError> {
    from_der(&PrivateKeyDer::from_pem_slice(text).map_err(|_| PrivateKeyError::NoPem)?)
}

/// Reads a secp256k1 key, PKCS#8 or SEC 1.
///
/// # Errors
/// See [`PrivateKeyError`].
pub fn from_der(key: &PrivateKeyDer<'_>) -> Result<NodeKey, PrivateKeyError> {
    match key {
        PrivateKeyDer::Sec1(key) => from_sec1(key.secret_sec1_der(), None),
        PrivateKeyDer::Pkcs8(key) => {
            let info = PrivateKeyInfo::from_der(key.secret_pkcs8_der())
                .map_err(PrivateKeyError::Encoding)?;
            if info.algorithm.oid != EC_PUBLIC_KEY {
                return Err(PrivateKeyError::OtherKind);
            }
            let curve = info.algorithm.parameters.and_then(|any| any.decode_as().ok());
            from_sec1(info.private_key.as_bytes(), curve)
        }
        _ => Err(PrivateKeyError::OtherKind),
    }
}

fn from_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<NodeKey, PrivateKeyError> {
    let key = EcPrivateKey::from_der(der).map_err(PrivateKeyError::Encoding)?;
    if key.parameters.or(curve) != Some(SECP256K1) {
        return Err(PrivateKeyError::OtherKind);
    }
    let digits = key.private_key.as_bytes();
    let mut scalar = Zeroizing::new([0; 32]);
    // Old versions of OpenSSL leave out leading zeros.
    let Some(padding) = scalar.len().checked_sub(digits.len()) else {
        return Err(PrivateKeyError::Encoding(der::ErrorKind::Overlength.into()));
    };
    for (to, from) in scalar.iter_mut().skip(padding).zip(digits) {
        *to = *from;
    }
    NodeKey::from_bytes(*scalar).map_err(PrivateKeyError::OutOfRange)
}

/// The key as PKCS#8 (DER).
///
/// # Errors
/// None that a key could cause; the encoder's type has one.
pub fn to_pkcs8_der(key: &NodeKey) -> der::Result<Zeroizing<Vec<u8>>> {
    let public = key.public_key().serialize_uncompressed();
    let inner = Zeroizing::new(
        EcPrivateKey {
            version: 1,
            private_key: OctetStringRef::new(key.secret().as_secret_bytes())?,
            parameters: None,
            public_key: Some(BitStringRef::from_bytes(&public)?),
        }
        .to_der()?,
    );
    let info = PrivateKeyInfo {
        version: 0,
        algorithm: AlgorithmIdentifierRef {
            oid: EC_PUBLIC_KEY,
            parameters: Some((&SECP256K1).into()),
        },
        private_key: OctetStringRef::new(&inner)?,
    };
    info.to_der().map(Zeroizing::new)
}

/// The key as the text of a file `node.key`: PKCS#8 in PEM, as `openssl pkcs8 -topk8 -nocrypt`
/// writes it.
///
/// # Errors
/// As [`to_pkcs8_der`].
pub fn to_pem(key: &NodeKey) -> der::Result<Zeroizing<String>> {
    super::files::pem("PRIVATE KEY", &to_pkcs8_der(key)?).map(Zeroizing::new)
}

#[cfg(test)]
mod tests;
