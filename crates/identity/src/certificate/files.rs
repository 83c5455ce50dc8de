//! Certificate files: `ca.crt`, `node.crt`, `node.key`, `ca.crl`, in PEM.
//!
//! `node.crt` begins with the node's certificate, then come those that lead to the chain CA, as
//! FISCO BCOS has it. A key is readable by its owner only, and is never overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::CertificateError;
use super::private_key::{self, PrivateKeyError};
use super::signing_key::{SigningKey, SigningKeyError};
use crate::NodeKey;

/// The certificates of the CAs that are trusted.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// The revocation lists of those CAs and of their agencies.
pub const REVOCATION_LIST: &str = "ca.crl";
/// A node's certificate, and those between it and the CA.
pub const NODE_CERTIFICATE: &str = "node.crt";
/// A node's private key.
pub const NODE_KEY: &str = "node.key";

/// Longest PEM file that is read, bytes: a revocation list with about 100,000 entries.
const MAX_FILE: u64 = 8 << 20;

/// What went wrong with a certificate file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is there already.
    #[error("{path} exists already; it was left as it is")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is longer than any of its kind.
    #[error("{path} is too long: {length} bytes, at most 8 MiB are read")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length, bytes.
        length: u64,
    },
    /// A block of the file is no PEM.
    #[error("{path} is damaged: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The file has no certificate in it.
    #[error("there is no certificate in {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The private key in the file cannot be used.
    #[error("cannot use the key {path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PrivateKeyError,
    },
    /// The same of a key that certificates are made with.
    #[error("cannot use the key {path}: {source}")]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SigningKeyError,
    },
}

/// Reads a file of at most 8 MiB.
///
/// # Errors
/// [`CertificateFileError::Read`] and [`CertificateFileError::TooLong`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateFileError> {
    let failed = |source| CertificateFileError::Read { path: path.into(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE {
        return Err(CertificateFileError::TooLong { path: path.into(), length });
    }
    fs::read(path).map(Zeroizing::new).map_err(failed)
}

/// The certificates in a PEM file, in their order; at least one.
///
/// # Errors
/// See [`CertificateFileError`].
pub fn read_certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let certificates = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(CertificateFileError::NoCertificate { path: path.into() })
        }
        other => other.map_err(|source| CertificateFileError::Pem { path: path.into(), source }),
    }
}

/// The revocation lists in a PEM file; none when there is no such file.
///
/// # Errors
/// See [`CertificateFileError`].
pub fn read_revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateFileError> {
    let text = match read(path) {
        Err(CertificateFileError::Read { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(Vec::new());
        }
        other => other?,
    };
    CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateFileError::Pem { path: path.into(), source })
}

/// The secp256k1 key in a file: PEM (PKCS#8 or SEC 1).
///
/// # Errors
/// See [`CertificateFileError`].
pub fn read_key(path: &Path) -> Result<NodeKey, CertificateFileError> {
    private_key::from_pem(&read(path)?)
        .map_err(|source| CertificateFileError::Key { path: path.into(), source })
}

/// The key in a file, of any kind that certificates are made with: PEM.
///
/// # Errors
/// See [`CertificateFileError`].
pub fn read_signing_key(path: &Path) -> Result<SigningKey, CertificateFileError> {
    SigningKey::from_pem(&read(path)?)
        .map_err(|source| CertificateFileError::SigningKey { path: path.into(), source })
}

/// As [`create_key`], for a key of any kind.
///
/// # Errors
/// As [`create_key`].
pub fn create_signing_key(path: &Path, key: &SigningKey) -> Result<(), CertificateFileError> {
    let text = key
        .to_pem()
        .map_err(|source| CertificateFileError::SigningKey { path: path.into(), source })?;
    appear(path, text.as_bytes(), 0o600, |beside, path| fs::hard_link(beside, path))
}

/// Saves a key, readable by the owner only, in a file that is not there yet.
///
/// # Errors
/// [`CertificateFileError::Exists`] and [`CertificateFileError::Write`].
pub fn create_key(path: &Path, key: &NodeKey) -> Result<(), CertificateFileError> {
    let text = private_key::to_pem(key).map_err(|error| CertificateFileError::Key {
        path: path.into(),
        source: PrivateKeyError::Encoding(error),
    })?;
    appear(path, text.as_bytes(), 0o600, |beside, path| fs::hard_link(beside, path))
}

/// Saves a file that is not there yet.
///
/// # Errors
/// [`CertificateFileError::Exists`] and [`CertificateFileError::Write`].
pub fn create(path: &Path, text: &str) -> Result<(), CertificateFileError> {
    appear(path, text.as_bytes(), 0o644, |beside, path| fs::hard_link(beside, path))
}

/// Saves a file in place of the one that is there. Never for keys.
///
/// # Errors
/// [`CertificateFileError::Write`].
pub fn replace(path: &Path, text: &str) -> Result<(), CertificateFileError> {
    appear(path, text.as_bytes(), 0o644, |beside, path| fs::rename(beside, path))
}

/// Writes the file beside its place, syncs it and lets it appear there whole.
fn appear(
    path: &Path,
    content: &[u8],
    mode: u32,
    place: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<(), CertificateFileError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory.join(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        fs::create_dir_all(directory)?;
        // A leftover of a crashed process with the same number is nobody's file yet.
        let _ = fs::remove_file(&beside);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        place(&beside, path)
    })();
    let _ = fs::remove_file(&beside);
    written.and_then(|()| File::open(directory)?.sync_all()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CertificateFileError::Exists { path: path.into() },
        _ => CertificateFileError::Write { path: path.into(), source },
    })
}

/// Certificates in PEM, one after another.
///
/// # Errors
/// [`CertificateError::Encode`], for one that is too long to be one.
pub fn certificates_to_pem<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>,
) -> Result<String, CertificateError> {
    let blocks = certificates.into_iter().map(|certificate| pem("CERTIFICATE", certificate));
    blocks.collect::<der::Result<_>>().map_err(CertificateError::Encode)
}

/// A revocation list in PEM.
///
/// # Errors
/// [`CertificateError::Encode`], for one that is too long to be one.
pub fn revocation_list_to_pem(
    list: &CertificateRevocationListDer<'_>,
) -> Result<String, CertificateError> {
    pem("X509 CRL", list).map_err(CertificateError::Encode)
}

/// A PEM block (RFC 7468): 64 characters a line.
pub(super) fn pem(label: &str, der: &[u8]) -> der::Result<String> {
    Ok(der::pem::encode_string(label, der::pem::LineEnding::LF, der)?)
}

#[cfg(test)]
mod tests;
