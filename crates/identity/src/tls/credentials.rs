//! [`Credentials`]: what we show to peers.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::provider::provider;
use super::secp256k1_signature::NodeSigningKey;
use crate::NodeKey;
use crate::certificate::files::{self, CertificateFileError};
use crate::certificate::private_key::PrivateKeyError;
use crate::certificate::{CertificateError, CertificateIdentity, InspectedCertificate};

/// Our own certificate, those that lead from it to the CA, and its key.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(super) certified: Arc<CertifiedKey>,
    identity: CertificateIdentity,
    certificate: InspectedCertificate,
}

/// Why a certificate and a key cannot be our credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] CertificateFileError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// There is no certificate.
    #[error("there is no certificate for our key")]
    NoCertificate,
    /// There is no private key in the text.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// The private key is of no kind that can sign a handshake.
    #[error("our private key cannot be used: {0}")]
    UnusableKey(#[source] rustls::Error),
    /// The certificate was made for another key.
    #[error("our certificate ({0}) was made for another key than ours")]
    KeyMismatch(String),
    /// The certificate is a CA's. FISCO's nodes refuse it too.
    #[error("our certificate ({0}) is a CA's: issue one for the node with it")]
    AuthorityAsNode(String),
}

impl Credentials {
    /// A node key with the certificate made for it.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn of_node(
        chain: Vec<CertificateDer<'static>>,
        key: &NodeKey,
    ) -> Result<Self, CredentialsError> {
        Self::new(chain, Arc::new(NodeSigningKey::new(key)))
    }

    /// A certificate file and a key file, each as PEM text; the key may be one of secp256k1, P-256,
    /// P-384, Ed25519 or RSA.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, CredentialsError> {
        let chain = files::read_certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&files::read(key)?)
            .map_err(|_| PrivateKeyError::NoPem)?;
        Self::from_der(chain, key)
    }

    /// A certificate chain, the node's own first, and its key of any kind.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CredentialsError> {
        let key = provider().key_provider.load_private_key(key);
        Self::new(chain, key.map_err(CredentialsError::UnusableKey)?)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<Self, CredentialsError> {
        let own = chain.first().ok_or(CredentialsError::NoCertificate)?;
        let certificate = InspectedCertificate::read(own)?;
        if certificate.authority {
            return Err(CredentialsError::AuthorityAsNode(certificate.subject));
        }
        let identity =
            CertificateIdentity::of_certificate(own).map_err(CertificateError::Identity)?;
        let certified = CertifiedKey::new(chain, key);
        if certified.keys_match().is_err() {
            return Err(CredentialsError::KeyMismatch(certificate.subject));
        }
        Ok(Self { certified: Arc::new(certified), identity, certificate })
    }

    /// By what peers know us.
    #[must_use]
    pub const fn identity(&self) -> &CertificateIdentity {
        &self.identity
    }

    /// Our certificate, for people and for the metric that counts down to its end.
    #[must_use]
    pub const fn certificate(&self) -> &InspectedCertificate {
        &self.certificate
    }

    /// Our certificate and those that lead to the CA.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The same without the check that the key fits, for tests of those who do check.
    #[cfg(test)]
    pub(super) fn unchecked(chain: Vec<CertificateDer<'static>>, key: &NodeKey) -> Self {
        let own = chain.first().unwrap();
        let certificate = InspectedCertificate::read(own).unwrap();
        let identity = CertificateIdentity::from(key.peer_id());
        let certified = Arc::new(CertifiedKey::new(chain, Arc::new(NodeSigningKey::new(key))));
        Self { certified, identity, certificate }
    }
}
