//! The certificates room: chain CA, agencies and nodes, as X.509 certificates and PEM files.
//!
//! | file | holds |
//! |---|---|
//! | `identity.rs` | [`CertificateIdentity`]: what names a peer whose key came in a certificate |
//! | `key_kind.rs` | [`KeyKind`]: what sort of key it is |
//! | `authority.rs` | [`Authority`]: issues certificates and revocation lists |
//! | `encode.rs` | a certificate or list that is to be signed, byte by byte |
//! | `private_key.rs` | [`private_key`]: the forms in which OpenSSL and FISCO write keys |
//! | `signing_key.rs` | [`SigningKey`]: keys of secp256k1, P-256 and RSA, for a CA and those below it |
//! | `inspect.rs` | [`InspectedCertificate`]: a certificate for people |
//! | `files.rs` | [`files`]: `ca.crt`, `node.crt`, `node.key`, never overwriting a key |
//!
//! Dates and randomness come in as arguments, in seconds since 1970 and as entropy, but for what AWS-LC makes.

mod authority;
pub(crate) mod encode;
pub mod files;
mod identity;
mod inspect;
mod key_kind;
pub mod private_key;
mod signing_key;

pub use authority::{Authority, RevokedCertificate, ValidityPeriod, revoked_on};
pub use identity::{CertificateIdentity, IdentityError, ShortId, ShortIdError};
pub use inspect::{Date, InspectedCertificate, printable};
pub use key_kind::KeyKind;
#[cfg(test)]
pub(crate) use key_kind::rsa_key_of_modulus;
pub use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
pub use signing_key::{KeyType, NoKeyType, SigningKey, SigningKeyError, SubjectKey};

/// Why a certificate cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no X.509 certificate.
    #[error("this is not an X.509 certificate: {0}")]
    Certificate(#[source] der::Error),
    /// The bytes are no certificate revocation list.
    #[error("this is not a certificate revocation list: {0}")]
    RevocationList(#[source] der::Error),
    /// What is to be signed cannot be encoded (a date after the year 9999, for one).
    #[error("the certificate cannot be encoded: {0}")]
    Encode(#[source] der::Error),
    /// It cannot be signed.
    #[error("the certificate cannot be signed: {0}")]
    Sign(#[from] SigningKeyError),
    /// A name that would not be the same everywhere it is written.
    #[error(
        "the name {0:?} will not do: 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit"
    )]
    Name(String),
    /// The certificate would end before it begins.
    #[error("the certificate would end ({not_after}) before it begins ({not_before})")]
    Dates {
        /// Begin, seconds since 1970.
        not_before: u64,
        /// End, seconds since 1970.
        not_after: u64,
    },
    /// The certificate would be valid for longer than the one that signs it.
    #[error(
        "the certificate would end ({not_after}) after its CA's ({authority}), and nobody would accept it then"
    )]
    OutlivesAuthority {
        /// End that was asked for, seconds since 1970.
        not_after: u64,
        /// End of the CA's certificate, seconds since 1970.
        authority: u64,
    },
    /// The certificate is not one of a CA.
    #[error("the certificate of {0} is not that of a CA")]
    NotAnAuthority(String),
    /// The key and the certificate do not belong together.
    #[error("the certificate of {0} was made for another key")]
    OtherKey(String),
    /// The public key is of no kind that can name a peer.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}
