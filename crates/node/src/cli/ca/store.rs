//! [`Store`]: the directory of a CA or an agency.
//!
//! | file | holds |
//! |---|---|
//! | `ca.crt`, `ca.key` | certificate and key of the CA (or agency) |
//! | `issued/<serial>.crt` | each certificate it has issued |
//! | `revoked.crl` | its own revocation list |
//! | `ca.crl` | the chain CA only: its list and those of all agencies, for nodes |
//! | `agencies/<name>/` | the chain CA only: a directory like this for each agency |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chainmesh_identity::certificate::{
    Authority, CertificateDer, InspectedCertificate, RevokedCertificate, ShortId, ValidityPeriod,
    files, revoked_on,
};

pub(super) const AUTHORITY_CERTIFICATE: &str = files::CA_CERTIFICATE;
pub(super) const AUTHORITY_KEY: &str = "ca.key";
const OWN_LIST: &str = "revoked.crl";
const ISSUED: &str = "issued";
const AGENCIES: &str = "agencies";

/// The directory of a CA or an agency.
#[derive(Debug, Clone)]
pub(super) struct Store {
    path: PathBuf,
}

/// A certificate that was issued, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) der: CertificateDer<'static>,
    pub(super) seen: InspectedCertificate,
    pub(super) revoked: bool,
    /// The agency that issued it was revoked, and with it goes everything that it issued.
    pub(super) agency_revoked: bool,
    /// Who issued it.
    pub(super) store: Store,
}

impl Store {
    /// Makes the directory of a new CA. Nothing that is there is overwritten.
    pub(super) fn create(path: &Path, authority: &Authority) -> anyhow::Result<Self> {
        let store = Self { path: path.into() };
        // The key goes first: who finds a certificate finds its key too.
        files::create_signing_key(&path.join(AUTHORITY_KEY), authority.key())?;
        let text = files::certificates_to_pem([authority.certificate()])?;
        files::create(&path.join(AUTHORITY_CERTIFICATE), &text)?;
        fs::create_dir_all(path.join(ISSUED))
            .with_context(|| format!("cannot make {}", path.join(ISSUED).display()))?;
        Ok(store)
    }

    /// The directory of a CA that is there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.join(AUTHORITY_CERTIFICATE).exists() {
            bail!(
                "there is no CA in {}; make one with: chainmesh ca init --ca {}",
                path.display(),
                path.display()
            );
        }
        Ok(Self { path: path.into() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn agency_path(&self, name: &str) -> PathBuf {
        self.path.join(AGENCIES).join(name)
    }

    /// The agency `name` of this CA.
    pub(super) fn agency(&self, name: &str) -> anyhow::Result<Self> {
        let known = self.agencies()?.into_iter().find(|agency| agency.path.ends_with(name));
        known.with_context(|| {
            format!("there is no agency {name:?}; make it with: chainmesh ca agency {name}")
        })
    }

    fn agencies(&self) -> anyhow::Result<Vec<Self>> {
        let paths = entries(&self.path.join(AGENCIES))?;
        Ok(paths.into_iter().map(|path| Self { path }).collect())
    }

    /// The CA's certificate, ready to sign with its key.
    pub(super) fn authority(&self) -> anyhow::Result<Authority> {
        let key = files::read_signing_key(&self.path.join(AUTHORITY_KEY))?;
        Ok(Authority::new(self.certificate()?, key)?)
    }

    pub(super) fn certificate(&self) -> anyhow::Result<CertificateDer<'static>> {
        let path = self.path.join(AUTHORITY_CERTIFICATE);
        let certificates = files::read_certificates(&path)?;
        let first = certificates.into_iter().next();
        first.with_context(|| format!("there is no certificate in {}", path.display()))
    }

    /// Remembers a certificate that was issued.
    pub(super) fn record(&self, certificate: &CertificateDer<'static>) -> anyhow::Result<()> {
        let serial = InspectedCertificate::read(certificate)?.serial;
        let path = self.path.join(ISSUED).join(format!("{serial}.crt"));
        Ok(files::create(&path, &files::certificates_to_pem([certificate])?)?)
    }

    /// Everything that this CA and its agencies have issued, in the order of the end dates.
    pub(super) fn issued(&self) -> anyhow::Result<Vec<Issued>> {
        let mut all = self.issued_by_itself()?;
        for agency in self.agencies()? {
            let own = InspectedCertificate::read(&agency.certificate()?)?.serial;
            let gone = all.iter().any(|issued| issued.revoked && issued.seen.serial == own);
            let issued = agency.issued_by_itself()?.into_iter();
            all.extend(issued.map(|issued| Issued { agency_revoked: gone, ..issued }));
        }
        all.sort_by(|a, b| {
            (a.seen.not_after, &a.seen.serial).cmp(&(b.seen.not_after, &b.seen.serial))
        });
        Ok(all)
    }

    fn issued_by_itself(&self) -> anyhow::Result<Vec<Issued>> {
        let revoked = self.revoked()?;
        let mut all = Vec::new();
        for path in entries(&self.path.join(ISSUED))? {
            for der in files::read_certificates(&path)? {
                let seen = InspectedCertificate::read(&der)
                    .with_context(|| format!("{} is damaged", path.display()))?;
                let revoked = revoked.iter().any(|entry| serial(&entry.serial) == seen.serial);
                all.push(Issued { der, seen, revoked, agency_revoked: false, store: self.clone() });
            }
        }
        Ok(all)
    }

    /// What this CA has revoked.
    pub(super) fn revoked(&self) -> anyhow::Result<Vec<RevokedCertificate>> {
        let mut revoked = Vec::new();
        for list in files::read_revocation_lists(&self.path.join(OWN_LIST))? {
            revoked.extend(revoked_on(&list)?);
        }
        Ok(revoked)
    }

    /// Puts a new list in place of the old one. Its number is the time, which grows.
    pub(super) fn set_revoked(
        &self,
        revoked: &[RevokedCertificate],
        now: u64,
    ) -> anyhow::Result<()> {
        let authority = self.authority()?;
        let validity = ValidityPeriod { not_before: now, not_after: authority.not_after() };
        let list = authority.revocation_list(now, validity, revoked)?;
        let text = files::revocation_list_to_pem(&list)?;
        Ok(files::replace(&self.path.join(OWN_LIST), &text)?)
    }

    /// Signs the lists of this CA and its agencies anew. One who checks strictly needs the list of
    /// each CA, also of those that have revoked nobody.
    pub(super) fn renew_lists(&self, now: u64) -> anyhow::Result<()> {
        for store in std::iter::once(self.clone()).chain(self.agencies()?) {
            store.set_revoked(&store.revoked()?, now)?;
        }
        Ok(())
    }

    /// The lists of this CA and its agencies together; `None` as long as there is none.
    pub(super) fn revocation_lists(&self) -> anyhow::Result<Option<String>> {
        let mut text = String::new();
        for store in std::iter::once(self.clone()).chain(self.agencies()?) {
            for list in files::read_revocation_lists(&store.path.join(OWN_LIST))? {
                text.push_str(&files::revocation_list_to_pem(&list)?);
            }
        }
        Ok((!text.is_empty()).then_some(text))
    }
}

impl Issued {
    /// The certificates of `which`: a name, a serial number, or an ID in any form.
    pub(super) fn find(all: Vec<Self>, which: &str) -> anyhow::Result<Vec<Self>> {
        let id: Option<ShortId> = which.parse().ok();
        let number = which.to_ascii_lowercase();
        let found: Vec<_> = all
            .into_iter()
            .filter(|issued| {
                let identity = issued.seen.identity.as_ref();
                issued.name() == which
                    || issued.seen.serial == number
                    || (id.is_some() && identity.map(|identity| identity.short()) == id)
            })
            .collect();
        if found.is_empty() {
            bail!("no certificate with the name, serial number or ID {which:?} was issued here");
        }
        Ok(found)
    }

    /// The name in its subject.
    pub(super) fn name(&self) -> &str {
        part(&self.seen.subject, "CN=")
    }

    /// `agency` or `node`.
    pub(super) fn kind(&self) -> &str {
        if self.seen.authority { "agency" } else { "node" }
    }

    /// The name of who issued it.
    pub(super) fn issuer(&self) -> &str {
        part(&self.seen.issuer, "CN=")
    }

    /// `node.crt`: the certificate, and the agency's if there is one between it and the CA.
    pub(super) fn chain(&self, root: &Store) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let mut chain = vec![self.der.clone()];
        if self.store.path != root.path {
            chain.push(self.store.certificate()?);
        }
        Ok(chain)
    }
}

/// A serial number as [`InspectedCertificate`] shows it.
fn serial(number: &[u8]) -> String {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    alloy_primitives::hex::encode(number.get(zeros..).unwrap_or_default())
}

/// What stands behind `label` in a name such as `CN=n0,OU=node,O=chainmesh`.
fn part<'a>(name: &'a str, label: &str) -> &'a str {
    name.split(',').find_map(|part| part.strip_prefix(label)).unwrap_or(name)
}

/// The entries of a directory, sorted; none if it is not there. Hidden ones are files in the making.
fn entries(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut paths = Vec::new();
    for entry in read {
        let path = entry.with_context(|| format!("cannot read {}", path.display()))?.path();
        if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
