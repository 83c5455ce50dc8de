//! [`CertificateIdentity`]: what names a peer whose key came in a certificate.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;
use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use der::Decode as _;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::key_kind::{self, KeyKind};
use crate::PeerId;

/// The public key of a certificate as the name of its holder.
///
/// FISCO BCOS writes it in two forms. The *long* one is the lower-case hex of the content of the
/// BIT STRING `subjectPublicKey` (540 digits for RSA-2048, 130 for a point of a curve); the *short*
/// one is keccak256 over those digits as ASCII (`GatewayConfig.h`, `calculateShortNodeID`). A
/// secp256k1 key is a [`PeerId`] besides. Two values are equal when their keys are.
#[derive(Clone)]
pub struct CertificateIdentity {
    key: Arc<[u8]>,
    kind: KeyKind,
    short: ShortId,
}

/// The short form of a [`CertificateIdentity`], 32 bytes: what frames of version 3 and allow and
/// deny lists hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId(B256);

/// Why a public key names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate or its key cannot be read.
    #[error("the public key of the certificate cannot be read")]
    Unreadable,
    /// A kind of key with which we cannot check a signature.
    #[error("its key is of a kind that is not supported here ({0})")]
    UnsupportedKind(KeyKind),
    /// Two ways to write one key would be two names of one node.
    #[error("its key is not written as an uncompressed point of the curve")]
    NotUncompressed,
}

/// Why a text is the name of no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShortIdError {
    /// The text has a character that is no hex digit.
    #[error("an ID is written in hex digits only")]
    NotHex,
    /// The number of digits is that of none of the forms.
    #[error(
        "an ID has 64 hex digits (short form), 128 or 130 (a point of a curve), or those of an RSA \
         key (540 or, the modulus alone, 512 for RSA-2048); this one has {0}"
    )]
    Length(usize),
}

impl CertificateIdentity {
    /// The identity in a certificate (DER).
    ///
    /// # Errors
    /// See [`IdentityError`]. Whether anybody vouches for the certificate is not looked at.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let parsed = EndEntityCert::try_from(certificate).map_err(|_| IdentityError::Unreadable)?;
        Self::of_public_key(&parsed.subject_public_key_info())
    }

    /// The identity in a `SubjectPublicKeyInfo` (DER).
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn of_public_key(info: &[u8]) -> Result<Self, IdentityError> {
        let info =
            SubjectPublicKeyInfoRef::from_der(info).map_err(|_| IdentityError::Unreadable)?;
        let kind = KeyKind::of(&info);
        let key = info.subject_public_key.as_bytes().ok_or(IdentityError::Unreadable)?;
        match kind {
            KeyKind::Secp256k1 | KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => {
                // SEC 1 section 2.3.3: 04 stands before an uncompressed point.
                if key.first() != Some(&4) {
                    return Err(IdentityError::NotUncompressed);
                }
            }
            KeyKind::Rsa { .. } | KeyKind::Ed25519 => {}
            KeyKind::OtherCurve(_) | KeyKind::Other(_) => {
                return Err(IdentityError::UnsupportedKind(kind));
            }
        }
        if kind == KeyKind::Secp256k1 && key.len() != 65 {
            return Err(IdentityError::NotUncompressed);
        }
        Ok(Self { key: key.into(), kind, short: ShortId::of_key(key) })
    }

    /// The public key as FISCO BCOS 3.x writes it: lower-case hex, no prefix.
    #[must_use]
    pub fn long(&self) -> String {
        const_hex::encode(&self.key)
    }

    /// The 32 bytes that stand for the long form.
    #[must_use]
    pub const fn short(&self) -> ShortId {
        self.short
    }

    /// The content of the BIT STRING `subjectPublicKey`.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.key
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn key_kind(&self) -> KeyKind {
        self.kind
    }

    /// The [`PeerId`], if the key is one of secp256k1.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        if self.kind != KeyKind::Secp256k1 {
            return None;
        }
        self.key.get(1..).and_then(|point| PeerId::from_slice(point).ok())
    }

    /// The one name that peers are known by in every world: the key itself if it is one of
    /// secp256k1, else [`PeerId::of_certificate`].
    #[must_use]
    pub fn name(&self) -> PeerId {
        self.peer_id().unwrap_or_else(|| PeerId::of_certificate(self.short))
    }
}

/// The identity whose key is the ID. For one that [`PeerId::of_certificate`] made there is no way
/// back to the key: the long form then has nothing to do with the node, the short one is right.
impl From<PeerId> for CertificateIdentity {
    fn from(id: PeerId) -> Self {
        let mut key = [4; 65];
        for (to, from) in key.iter_mut().skip(1).zip(id.as_bytes()) {
            *to = *from;
        }
        let short = id.certificate().unwrap_or_else(|| ShortId::of_key(&key));
        Self { key: key.into(), kind: KeyKind::Secp256k1, short }
    }
}

impl PartialEq for CertificateIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.short == other.short
    }
}

impl Eq for CertificateIdentity {}

impl PartialOrd for CertificateIdentity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CertificateIdentity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.short.cmp(&other.short)
    }
}

impl Hash for CertificateIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.short.hash(state);
    }
}

impl fmt::Debug for CertificateIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateIdentity({} {})", self.kind, self.short)
    }
}

/// A secp256k1 key is shown as its [`PeerId`], any other as its short form.
impl fmt::Display for CertificateIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer_id() {
            Some(id) => id.fmt(f),
            None => self.short.fmt(f),
        }
    }
}

impl ShortId {
    /// The short form of a public key (content of the BIT STRING).
    #[must_use]
    pub fn of_key(key: &[u8]) -> Self {
        Self(keccak256(const_hex::encode(key)))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

impl From<[u8; 32]> for ShortId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(B256::from(bytes))
    }
}

impl From<PeerId> for ShortId {
    fn from(id: PeerId) -> Self {
        id.certificate().unwrap_or_else(|| CertificateIdentity::from(id).short())
    }
}

/// Reads an ID in each form that people meet: the short one, the long one of a point or of an RSA
/// key, a [`PeerId`] (also FISCO 2.x's upper case), and the RSA modulus alone, as FISCO's
/// `certificate_blacklist` has it (its exponent is taken to be 65537).
impl FromStr for ShortId {
    type Err = ShortIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim();
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        let bytes = const_hex::decode(digits).map_err(|_| ShortIdError::NotHex)?;
        match (bytes.len(), bytes.first()) {
            (32, _) => B256::try_from(bytes.as_slice())
                .map(Self)
                .map_err(|_| ShortIdError::Length(digits.len())),
            (64, _) => Ok(Self::of_key(&[&[4], bytes.as_slice()].concat())),
            (65 | 97 | 133, Some(4)) => Ok(Self::of_key(&bytes)),
            // A DER SEQUENCE of more than 255 bytes: an RSAPublicKey.
            (260.., Some(0x30)) => Ok(Self::of_key(&bytes)),
            (256 | 384 | 512, _) => key_kind::rsa_key_of_modulus(digits)
                .map(|key| Self::of_key(&key))
                .ok_or(ShortIdError::Length(digits.len())),
            _ => Err(ShortIdError::Length(digits.len())),
        }
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortId({self})")
    }
}

#[cfg(test)]
pub(super) mod tests;
