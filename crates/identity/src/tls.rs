//! The TLS room: one provider with secp256k1 in it, and who is accepted with which certificate.
//!
//! Both sides show a certificate. No names are checked: a certificate must lead to one of the CAs
//! that are trusted, and its key is the name of the peer ([`CertificateIdentity`]).
//!
//! | file | holds |
//! |---|---|
//! | `provider.rs` | the `CryptoProvider`: aws-lc-rs, and secp256k1 beside it |
//! | `secp256k1_signature.rs` | signing and verifying with node keys |
//! | `secp256k1_group.rs` | key exchange on secp256k1, which FISCO BCOS 2.x requires |
//! | `trust.rs` | [`Trust`]: CAs, revocation lists, allow and deny lists |
//! | `diagnose.rs` | which certificate is at fault, once one is |
//! | `refusal.rs` | [`PeerCertificateError`]: one reason for each way to be refused |
//! | `verifier.rs` | the questions that rustls asks, answered by [`Trust`] |
//! | `credentials.rs` | [`Credentials`]: our own certificate and key |
//! | `config.rs` | [`TlsMaterial`], [`client_config`], [`server_config`] |
//! | `failure.rs` | [`HandshakeFailure`]: why a handshake ended |
//!
//! Nothing here reads or writes a socket. rustls takes the time from the
//! [`TimeProvider`](rustls::time_provider::TimeProvider) of [`HandshakeOptions`], and its randomness
//! from aws-lc-rs; a simulation uses the clear session instead.
//!
//! [`CertificateIdentity`]: crate::certificate::CertificateIdentity

mod config;
mod credentials;
mod diagnose;
mod failure;
mod provider;
mod refusal;
mod secp256k1_group;
mod secp256k1_signature;
mod trust;
mod verifier;

pub use config::{
    HandshakeOptions, TlsMaterial, Versions, client_config, peer_identity, server_config,
    server_name, versions_for_client,
};
pub use credentials::{Credentials, CredentialsError};
pub use failure::HandshakeFailure;
pub use provider::{SECP256K1_SCHEME, provider};
pub use refusal::{
    CertificateName, ChainPosition, PeerCertificateError, PeerSide, RefusalReason, Verdict,
};
pub use rustls;
pub use trust::{ListPolicy, StaleListPolicy, Trust, TrustError};

#[cfg(test)]
mod tests;
