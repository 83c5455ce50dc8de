//! The `CryptoProvider`: that of aws-lc-rs, with secp256k1 for signatures and key exchange.

use std::sync::Arc;

use rustls::crypto::{
    CryptoProvider, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms, aws_lc_rs,
};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::SigningKey;
use rustls::{CipherSuite, SignatureScheme};
use webpki::aws_lc_rs as algorithms;

use super::secp256k1_group::Secp256k1Group;
use super::secp256k1_signature::{NodeSigningKey, Secp256k1Ecdsa};
use crate::certificate::private_key::{self, PrivateKeyError};

/// ECDSA over secp256k1 with SHA-256 in TLS 1.3, among chainmesh nodes. IANA has given it no number;
/// those from 0xFE00 on are for private use (RFC 8446 section 11).
pub const SECP256K1_SCHEME: SignatureScheme = SignatureScheme::Unknown(0xFE6B);

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

const SECP256K1: Algorithm = &Secp256k1Ecdsa::Sha256;

/// What a certificate may be signed with, and a handshake. SHA-1 is not among it.
pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        SECP256K1,
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::ECDSA_P521_SHA512,
        algorithms::ED25519,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        (SECP256K1_SCHEME, &[SECP256K1]),
        // TLS 1.3 tries the first only, and means P-256; TLS 1.2 tries them all.
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256, SECP256K1],
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[
                algorithms::ECDSA_P384_SHA384,
                algorithms::ECDSA_P256_SHA384,
                &Secp256k1Ecdsa::Sha384,
            ],
        ),
        // OpenSSL 1.0.2 and what is made of it (TASSL, in FISCO BCOS 2.x and its SDKs) sign with
        // the longest hash that is offered.
        (
            SignatureScheme::ECDSA_NISTP521_SHA512,
            &[algorithms::ECDSA_P521_SHA512, &Secp256k1Ecdsa::Sha512],
        ),
        (SignatureScheme::ED25519, &[algorithms::ED25519]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
    ],
};

/// The provider of every handshake.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.push(&Secp256k1Group);
    // AES-128 is as strong as the keys that are agreed on, and its suites hash with SHA-256, for
    // which processors have instructions; SHA-384 took a tenth of a handshake. Within one version
    // the order of the others stays.
    provider.cipher_suites.sort_by_key(|suite| {
        (suite.version() == &rustls::version::TLS12, !is_aes_128(suite.suite()))
    });
    provider.signature_verification_algorithms = ALGORITHMS;
    provider.key_provider = &Keys;
    Arc::new(provider)
}

const fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// The randomness of the provider.
pub(super) fn random() -> &'static dyn SecureRandom {
    aws_lc_rs::default_provider().secure_random
}

/// Loads private keys of every kind that may sign a handshake.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        match private_key::from_der(&key) {
            Ok(key) => Ok(Arc::new(NodeSigningKey::new(&key))),
            Err(PrivateKeyError::OutOfRange(error)) => {
                Err(rustls::Error::General(error.to_string()))
            }
            Err(_) => aws_lc_rs::sign::any_supported_type(&key),
        }
    }
}
