//! [`SigningKey`]: the private keys that certificates are signed with and made for.
//!
//! Nodes have keys of secp256k1. Some clients cannot read that curve (Java since JDK 16), so there are
//! P-256 and RSA, too. These are made by AWS-LC, with its own randomness: RSA keys, and the signatures
//! of both, cannot be made from entropy that is given.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use der::Decode as _;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use secp256k1::PublicKey;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::encode;
use super::private_key::{self, PrivateKeyError};
use crate::NodeKey;

/// The kinds of keys that can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyType {
    /// The curve of node keys, and of FISCO BCOS 2.x.
    #[default]
    Secp256k1,
    /// NIST P-256.
    P256,
    /// RSA of 2,048 bits, as FISCO BCOS 3.x has it.
    Rsa,
}

/// The text names no kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a kind of key is secp256k1, p256 or rsa")]
pub struct NoKeyType;

impl FromStr for KeyType {
    type Err = NoKeyType;

    fn from_str(text: &str) -> Result<Self, NoKeyType> {
        match text {
            "secp256k1" => Ok(Self::Secp256k1),
            "p256" => Ok(Self::P256),
            "rsa" => Ok(Self::Rsa),
            _ => Err(NoKeyType),
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secp256k1 => "secp256k1",
            Self::P256 => "p256",
            Self::Rsa => "rsa",
        })
    }
}

/// A private key that signs certificates, or that one is for.
#[derive(Debug)]
pub struct SigningKey(Inner);

#[derive(Debug)]
enum Inner {
    Secp256k1(NodeKey),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The public half of a key that a certificate is for.
#[derive(Debug, Clone)]
pub struct SubjectKey(Public);

#[derive(Debug, Clone)]
enum Public {
    Secp256k1(PublicKey),
    /// `SubjectPublicKeyInfo`, DER.
    Info(Vec<u8>),
}

impl From<&PublicKey> for SubjectKey {
    fn from(key: &PublicKey) -> Self {
        Self(Public::Secp256k1(*key))
    }
}

impl SubjectKey {
    /// As a certificate has it.
    pub(super) fn info(&self) -> der::Result<SubjectPublicKeyInfoOwned> {
        match &self.0 {
            Public::Secp256k1(key) => encode::public_key(key),
            Public::Info(info) => SubjectPublicKeyInfoOwned::from_der(info),
        }
    }
}

impl From<NodeKey> for SigningKey {
    fn from(key: NodeKey) -> Self {
        Self(Inner::Secp256k1(key))
    }
}

/// Why there is no key. None of these happens to a key that was made here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// AWS-LC did not do it.
    #[error("the cryptographic library refused to make, sign with or write a key")]
    Library,
    /// It is no key that can be read here.
    #[error(transparent)]
    Private(#[from] PrivateKeyError),
    /// It is of a kind that does not sign certificates here.
    #[error("the private key in it is neither secp256k1 nor P-256 nor RSA")]
    OtherKind,
}

impl SigningKey {
    /// A new key. `entropy` makes those of secp256k1; the others have AWS-LC's.
    ///
    /// # Errors
    /// [`SigningKeyError::Library`].
    pub fn generate(kind: KeyType, entropy: [u8; 32]) -> Result<Self, SigningKeyError> {
        let failed = |_| SigningKeyError::Library;
        Ok(Self(match kind {
            KeyType::Secp256k1 => Inner::Secp256k1(NodeKey::from_entropy(entropy)),
            KeyType::P256 => Inner::P256(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?,
            ),
            KeyType::Rsa => Inner::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
        }))
    }

    /// Reads a PEM text with a key of one of the kinds in it: PKCS#8, SEC 1, PKCS#1.
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, SigningKeyError> {
        match private_key::from_pem(text) {
            Err(PrivateKeyError::OtherKind) => {}
            other => return Ok(other?.into()),
        }
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| PrivateKeyError::NoPem)?;
        let der = key.secret_der();
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Ok(Self(Inner::P256(pair)));
        }
        let pair = match key {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der),
            _ => RsaKeyPair::from_pkcs8(der),
        };
        pair.map(|pair| Self(Inner::Rsa(pair))).map_err(|_| SigningKeyError::OtherKind)
    }

    /// The key as the text of a file: PKCS#8 in PEM.
    ///
    /// # Errors
    /// None that a key could cause; encoders have some.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningKeyError> {
        let failed = |_| SigningKeyError::Library;
        let encoding = |error| SigningKeyError::Private(PrivateKeyError::Encoding(error));
        let der = Zeroizing::new(match &self.0 {
            Inner::Secp256k1(key) => return private_key::to_pem(key).map_err(encoding),
            Inner::P256(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Inner::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
        });
        super::files::pem("PRIVATE KEY", &der).map(Zeroizing::new).map_err(encoding)
    }

    /// Which kind it is of.
    #[must_use]
    pub const fn kind(&self) -> KeyType {
        match &self.0 {
            Inner::Secp256k1(_) => KeyType::Secp256k1,
            Inner::P256(_) => KeyType::P256,
            Inner::Rsa(_) => KeyType::Rsa,
        }
    }

    /// Its public half.
    ///
    /// # Errors
    /// None that a key could cause; encoders have some.
    pub fn public(&self) -> Result<SubjectKey, SigningKeyError> {
        let failed = |_| SigningKeyError::Library;
        let info: PublicKeyX509Der<'_> = match &self.0 {
            Inner::Secp256k1(key) => return Ok(key.public_key().into()),
            Inner::P256(pair) => pair.public_key().as_der().map_err(failed)?,
            Inner::Rsa(pair) => pair.public_key().as_der().map_err(failed)?,
        };
        Ok(SubjectKey(Public::Info(info.as_ref().to_vec())))
    }

    /// The algorithm of [`Self::sign`].
    pub(super) fn algorithm(&self) -> AlgorithmIdentifierOwned {
        match &self.0 {
            Inner::Secp256k1(_) | Inner::P256(_) => encode::ecdsa_with_sha256(),
            Inner::Rsa(_) => encode::rsa_with_sha256(),
        }
    }

    /// Signs over SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let (random, failed) = (SystemRandom::new(), |_| SigningKeyError::Library);
        match &self.0 {
            Inner::Secp256k1(key) => Ok(encode::sign_with_sha256(key, message)),
            Inner::P256(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Inner::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests;
