//! The certificate files of a node: where they are, what is in them, and whether they changed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chainmesh_identity::certificate::files::{
    self, CA_CERTIFICATE, CertificateFileError, NODE_CERTIFICATE, NODE_KEY, REVOCATION_LIST,
};
use chainmesh_identity::certificate::{ShortId, ShortIdError};
use chainmesh_identity::tls::{
    Credentials, CredentialsError, ListPolicy, StaleListPolicy, Trust, TrustError,
};

use crate::config::CertificateSection;

/// Name of the file with the IDs of the nodes that may take part, in a directory of certificates.
pub const ALLOW_LIST: &str = "allow.list";
/// Name of the file with the IDs of those that may not.
pub const DENY_LIST: &str = "deny.list";

/// Longest list of IDs that is read, bytes: about 60,000 IDs.
const MAX_LIST: u64 = 8 << 20;

/// Where a node finds its certificate and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Certificates of the CAs.
    pub authorities: Vec<PathBuf>,
    /// The node's own certificate.
    pub certificate: PathBuf,
    /// The key of it.
    pub key: PathBuf,
    /// Revocation lists; files that are not there are empty.
    pub revocation_lists: Vec<PathBuf>,
    /// A file with IDs, one a line: these may take part and nobody else. No file, no such rule.
    pub allow_list: Option<PathBuf>,
    /// A file with IDs, one a line: these may not. No file, nobody.
    pub deny_list: Option<PathBuf>,
    /// As the allow list, from the configuration.
    pub allowed: Option<BTreeSet<ShortId>>,
    /// As the deny list, from the configuration.
    pub denied: BTreeSet<ShortId>,
}

/// What is in the files.
#[derive(Debug)]
pub struct Loaded {
    /// What this node shows.
    pub credentials: Credentials,
    /// What it judges others by.
    pub trust: Trust,
    /// The IDs that are allowed and denied.
    pub policy: ListPolicy,
    /// Certificates that the revocation lists name.
    pub revoked: usize,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Our own certificate or key cannot be read.
    #[error(transparent)]
    Own(CredentialsError),
    /// Our own certificate or key cannot be used.
    #[error("{} with the key {} cannot be used: {source}", certificate.display(), key.display())]
    Credentials {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        source: Box<CredentialsError>,
    },
    /// A file of a CA, or a revocation list.
    #[error(transparent)]
    File(#[from] CertificateFileError),
    /// What is in a file of a CA, or in a revocation list.
    #[error("{} cannot be used: {source}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TrustError,
    },
    /// A revocation list cannot be read.
    #[error("the revocation list {} cannot be used: {source}", path.display())]
    RevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: chainmesh_identity::certificate::CertificateError,
    },
    /// A list of IDs cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line of a list is no ID.
    #[error("{}, line {line}: {source}", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: ShortIdError,
    },
    /// Nobody could be trusted.
    #[error(
        "no CA is named: give --cert-dir DIR, or [cert] ca = [\"ca.crt\"] in the configuration"
    )]
    NoAuthority,
}

/// Time of the last change and length of a file, by which a change is seen; `None` when there is no
/// such file.
pub type FileStamp = Option<(SystemTime, u64)>;

impl CertificateFiles {
    /// A directory as `chainmesh ca issue` makes it. The lists `allow.list` and `deny.list` may be
    /// there too.
    #[must_use]
    pub fn of_directory(directory: &Path) -> Self {
        Self {
            authorities: vec![directory.join(CA_CERTIFICATE)],
            certificate: directory.join(NODE_CERTIFICATE),
            key: directory.join(NODE_KEY),
            revocation_lists: vec![directory.join(REVOCATION_LIST)],
            allow_list: Some(directory.join(ALLOW_LIST)),
            deny_list: Some(directory.join(DENY_LIST)),
            allowed: None,
            denied: BTreeSet::new(),
        }
    }

    /// What `[cert]` says; the files of a directory that it or the flag names are taken for what it
    /// does not say.
    #[must_use]
    pub fn of_section(section: &CertificateSection, directory: Option<&Path>) -> Self {
        let directory = directory.or(section.dir.as_deref());
        let base = directory.map(Self::of_directory);
        let (allowed, denied) = (section.allow.clone(), section.deny.clone());
        let mut files = base.unwrap_or_else(|| Self {
            authorities: Vec::new(),
            revocation_lists: Vec::new(),
            allow_list: None,
            deny_list: None,
            ..Self::of_directory(Path::new(""))
        });
        if !section.ca.is_empty() {
            files.authorities.clone_from(&section.ca);
        }
        if !section.crl.is_empty() {
            files.revocation_lists.clone_from(&section.crl);
        }
        if let Some(certificate) = &section.cert {
            files.certificate.clone_from(certificate);
        }
        if let Some(key) = &section.key {
            files.key.clone_from(key);
        }
        Self { allowed, denied, ..files }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let credentials = Credentials::from_files(&self.certificate, &self.key);
        let credentials = credentials.map_err(|error| match error {
            // It names the file itself.
            CredentialsError::File(_) => LoadError::Own(error),
            source => LoadError::Credentials {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                source: Box::new(source),
            },
        })?;
        let mut authorities = Vec::new();
        for path in &self.authorities {
            let certificates = files::read_certificates(path)?;
            // Each file by itself first, so that the error names it.
            Trust::new(&certificates)
                .map_err(|source| LoadError::Trust { path: path.clone(), source })?;
            authorities.extend(certificates);
        }
        let last = self.authorities.last().ok_or(LoadError::NoAuthority)?;
        let trust = Trust::new(&authorities);
        let trust = trust.map_err(|source| LoadError::Trust { path: last.clone(), source })?;
        let (mut lists, mut revoked) = (Vec::new(), 0);
        for path in &self.revocation_lists {
            for list in files::read_revocation_lists(path)? {
                let entries = chainmesh_identity::certificate::revoked_on(&list)
                    .map_err(|source| LoadError::RevocationList { path: path.clone(), source })?;
                revoked += entries.len();
                lists.push(list);
            }
        }
        let mut trust = trust;
        if let Some(path) = self.revocation_lists.last() {
            trust = trust
                .with_revocation_lists(&lists, StaleListPolicy::UseOldList)
                .map_err(|source| LoadError::Trust { path: path.clone(), source })?;
        }
        let policy = self.policy()?;
        let trust = trust.with_policy(policy.clone());
        Ok(Loaded { credentials, trust, policy, revoked })
    }

    fn policy(&self) -> Result<ListPolicy, LoadError> {
        let allow = self.allow_list.as_deref().map(read_list).transpose()?.flatten();
        let deny = self.deny_list.as_deref().map(read_list).transpose()?.flatten();
        let allowed = match (allow, self.allowed.clone()) {
            (Some(mut file), Some(config)) => {
                file.extend(config);
                Some(file)
            }
            (file, config) => file.or(config),
        };
        let mut denied = self.denied.clone();
        denied.extend(deny.unwrap_or_default());
        Ok(ListPolicy { allowed, denied })
    }

    /// All files, and when each was changed last.
    #[must_use]
    pub fn stamps(&self) -> Vec<(PathBuf, FileStamp)> {
        let paths = self.authorities.iter().chain(&self.revocation_lists);
        let paths = paths.chain([&self.certificate, &self.key]);
        let paths = paths.chain(&self.allow_list).chain(&self.deny_list);
        paths.map(|path| (path.clone(), stamp(path))).collect()
    }
}

/// When a file was changed last.
pub(super) fn stamp(path: &Path) -> FileStamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The IDs in a file, one a line; what follows a # is for people. `None` if there is no such file.
fn read_list(path: &Path) -> Result<Option<BTreeSet<ShortId>>, LoadError> {
    let failed = |source| LoadError::List { path: path.into(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > MAX_LIST => {
            return Err(failed(io::Error::other("it is longer than 8 MiB")));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let mut ids = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |source| LoadError::Id { path: path.into(), line: index + 1, source };
        ids.insert(line.parse().map_err(wrong)?);
    }
    Ok(Some(ids))
}
