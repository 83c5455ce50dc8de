//! The certificate files of an application: whom it trusts, and what it shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainmesh_identity::certificate::files::{
    self, CA_CERTIFICATE, CertificateFileError, NODE_CERTIFICATE, NODE_KEY, REVOCATION_LIST,
};
pub use chainmesh_identity::tls::TlsMaterial;
use chainmesh_identity::tls::{Credentials, CredentialsError, StaleListPolicy, Trust, TrustError};

/// A certificate by the name that FISCO's SDKs give it.
const SDK_CERTIFICATE: &str = "sdk.crt";
/// Its key.
const SDK_KEY: &str = "sdk.key";

/// Why a directory of certificates cannot be used. Whoever made it is to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// There is no certificate for the application.
    #[error(
        "there is neither {SDK_CERTIFICATE} nor {NODE_CERTIFICATE} in {}: `chainmesh ca issue` \
         makes one", .0.display()
    )]
    None(PathBuf),
    /// Our certificate or its key cannot be used.
    #[error("{} with its key cannot be used: {source}", certificate.display())]
    Credentials {
        /// The certificate.
        certificate: PathBuf,
        /// What is wrong.
        source: Box<CredentialsError>,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] CertificateFileError),
    /// The CA, or its revocation list, cannot be used.
    #[error("the CA in {} cannot be used: {source}", directory.display())]
    Trust {
        /// Where it is.
        directory: PathBuf,
        /// What is wrong with it.
        source: TrustError,
    },
}

/// Reads a directory with `ca.crt`, and `sdk.crt` with `sdk.key` (as FISCO's SDKs name them) or
/// `node.crt` with `node.key` (as `chainmesh ca issue` does). A revocation list `ca.crl` is heeded
/// if it is there.
///
/// # Errors
/// See [`CertificatesError`].
pub fn load(directory: impl AsRef<Path>) -> Result<Arc<TlsMaterial>, CertificatesError> {
    let directory = directory.as_ref();
    let pairs = [(SDK_CERTIFICATE, SDK_KEY), (NODE_CERTIFICATE, NODE_KEY)];
    let pair = pairs.iter().find(|(certificate, _)| directory.join(certificate).exists());
    let (certificate, key) = pair.ok_or_else(|| CertificatesError::None(directory.into()))?;
    let (certificate, key) = (directory.join(certificate), directory.join(key));
    let credentials = Credentials::from_files(&certificate, &key)
        .map_err(|source| CertificatesError::Credentials { certificate, source: source.into() })?;
    let authorities = files::read_certificates(&directory.join(CA_CERTIFICATE))?;
    let lists = files::read_revocation_lists(&directory.join(REVOCATION_LIST))?;
    let trust = Trust::new(&authorities)
        .and_then(|trust| trust.with_revocation_lists(&lists, StaleListPolicy::UseOldList))
        .map_err(|source| CertificatesError::Trust { directory: directory.into(), source })?;
    Ok(TlsMaterial::new(credentials, trust))
}
