//! Certificates, lists and nodes that change while a node runs.
//!
//! Everything is read and checked before anything is put in place: a file that is damaged, or a
//! certificate whose key has not come yet, leaves all as it was.

use core::fmt;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::{CertificateIdentity, Date};
use chainmesh_identity::tls::{ListPolicy, TlsMaterial};
use chainmesh_net::{NodeEnded, NodeKind, P2pHandle};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::certificates::{CertificateFiles, FileStamp, LoadError, Loaded};
use super::expiry::ExpiryWatch;
use super::membership::{Membership, Said};
use crate::config::{ConfigError, ConfigFile, LimitsSection, NodeAddress};

/// Time between two looks at the files. What is found changed is read when it has not changed for
/// as long again, so that a file is not read while it is written.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that it names.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The certificate has another key: that is another node.
    #[error(
        "the new certificate {} is for another key ({new}) than this node has ({old}): stop the \
         node to make another node of it",
        path.display()
    )]
    OtherIdentity {
        /// The certificate.
        path: PathBuf,
        /// Who this node is.
        old: Box<CertificateIdentity>,
        /// Who it would be.
        new: Box<CertificateIdentity>,
    },
    /// The node has ended.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A CA is trusted from now on.
    AuthorityAdded(String),
    /// A CA is not trusted any more.
    AuthorityRemoved(String),
    /// So many certificates are on the revocation lists now.
    Revoked {
        /// Before.
        before: usize,
        /// Now.
        now: usize,
    },
    /// The list of those who may take part; `None` where all with a certificate may.
    Allowed {
        /// IDs before.
        before: Option<usize>,
        /// IDs now.
        now: Option<usize>,
    },
    /// The list of those who may not.
    Denied {
        /// IDs before.
        before: usize,
        /// IDs now.
        now: usize,
    },
    /// This node has a new certificate for its key, which ends then (seconds since 1970).
    Certificate {
        /// Its serial number.
        serial: String,
        /// When it ends.
        not_after: u64,
    },
    /// This node is to be connected to.
    NodeAdded(NodeAddress),
    /// This node need not be connected to any more. A session with it goes on.
    NodeRemoved(NodeAddress),
    /// How much may be sent and received is another now.
    Limits,
    /// Something else is different in the configuration file; it takes a restart.
    NeedsRestart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = |ids: usize| if ids == 1 { "1 ID".to_owned() } else { format!("{ids} IDs") };
        let count = |count: &Option<usize>| {
            count.map_or_else(|| "everybody with a certificate".to_owned(), ids)
        };
        match self {
            Self::AuthorityAdded(name) => write!(f, "the CA {name} is trusted"),
            Self::AuthorityRemoved(name) => write!(f, "the CA {name} is not trusted any more"),
            Self::Revoked { before, now } => {
                write!(f, "certificates that are revoked: {now}, before: {before}")
            }
            Self::Allowed { before, now } => {
                write!(f, "allowed: {}, before: {}", count(now), count(before))
            }
            Self::Denied { before, now } => {
                write!(f, "denied: {}, before: {}", ids(*now), ids(*before))
            }
            Self::Certificate { serial, not_after } => {
                write!(f, "new certificate {serial}, valid to {}", Date(*not_after))
            }
            Self::NodeAdded(node) => write!(f, "{node} is to be connected to"),
            Self::NodeRemoved(node) => write!(f, "{node} need not be connected to any more"),
            Self::Limits => f.write_str("other limits hold for messages"),
            Self::NeedsRestart => {
                f.write_str("other parts of the configuration changed: they take a restart")
            }
        }
    }
}

/// What came of reading everything again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// What is not as it was; nothing, most of the time.
    pub changes: Vec<Change>,
    /// Sessions that were ended, since their peers would be refused now.
    pub sessions_ended: usize,
}

/// The state that a change is told against.
#[derive(Debug)]
struct Current {
    nodes: BTreeSet<NodeAddress>,
    limits: LimitsSection,
    fixed: ConfigFile,
    authorities: BTreeSet<String>,
    policy: ListPolicy,
    revoked: usize,
    serial: String,
}

/// A consortium's certificates and nodes as a node starts with them.
#[derive(Debug)]
pub struct Consortium {
    /// What is shown and what is trusted.
    pub material: Arc<TlsMaterial>,
    source: Membership,
    current: Looked,
}

/// Puts what is read again in the place of what is there.
#[derive(Debug)]
pub struct Reloader {
    source: Membership,
    material: Arc<TlsMaterial>,
    net: P2pHandle,
    current: Mutex<Looked>,
}

/// What was read last.
#[derive(Debug)]
struct Looked {
    current: Current,
    files: CertificateFiles,
    /// How the files were when they were looked into last, whether that went well or not.
    stamps: Stamps,
}

type Stamps = Vec<(PathBuf, FileStamp)>;

impl Consortium {
    /// Reads everything for the first time. Reads the disk.
    ///
    /// # Errors
    /// See [`ReloadError`].
    pub fn load(source: Membership) -> Result<Self, ReloadError> {
        let said = source.read()?;
        let stamps = stamps(&source, &said.files);
        let loaded = said.files.load()?;
        let files = said.files.clone();
        let current = Looked { current: Current::new(said, &loaded), files, stamps };
        let material = TlsMaterial::new(loaded.credentials, loaded.trust);
        Ok(Self { material, source, current })
    }

    /// The key of the certificate, if it is one of secp256k1. Reads the disk.
    #[must_use]
    pub fn node_key(&self) -> Option<NodeKey> {
        let key = chainmesh_identity::certificate::files::read_key(&self.current.files.key).ok()?;
        let name = self.material.credentials().identity().name();
        (key.peer_id() == name).then_some(key)
    }

    /// The nodes to connect to.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeSet<NodeAddress> {
        &self.current.current.nodes
    }
}

impl Current {
    fn new(said: Said, loaded: &Loaded) -> Self {
        let Said { nodes, limits, fixed, .. } = said;
        let authorities = loaded.trust.authorities().iter();
        Self {
            nodes,
            limits,
            fixed,
            authorities: authorities.map(|ca| format!("{} ({})", ca.subject, ca.serial)).collect(),
            policy: loaded.policy.clone(),
            revoked: loaded.revoked,
            serial: loaded.credentials.certificate().serial.clone(),
        }
    }

    /// What is different in `new`.
    fn changes(&self, new: &Self, loaded: &Loaded) -> Vec<Change> {
        let mut changes = Vec::new();
        let added = new.authorities.difference(&self.authorities).cloned();
        changes.extend(added.map(Change::AuthorityAdded));
        let removed = self.authorities.difference(&new.authorities).cloned();
        changes.extend(removed.map(Change::AuthorityRemoved));
        if self.revoked != new.revoked {
            changes.push(Change::Revoked { before: self.revoked, now: new.revoked });
        }
        if self.policy.allowed != new.policy.allowed {
            let count = |policy: &ListPolicy| policy.allowed.as_ref().map(BTreeSet::len);
            changes.push(Change::Allowed { before: count(&self.policy), now: count(&new.policy) });
        }
        if self.policy.denied != new.policy.denied {
            let (before, now) = (self.policy.denied.len(), new.policy.denied.len());
            changes.push(Change::Denied { before, now });
        }
        if self.serial != new.serial {
            let not_after = loaded.credentials.certificate().not_after;
            changes.push(Change::Certificate { serial: new.serial.clone(), not_after });
        }
        changes.extend(new.nodes.difference(&self.nodes).cloned().map(Change::NodeAdded));
        changes.extend(self.nodes.difference(&new.nodes).cloned().map(Change::NodeRemoved));
        if self.limits != new.limits {
            changes.push(Change::Limits);
        }
        if self.fixed != new.fixed {
            changes.push(Change::NeedsRestart);
        }
        changes
    }
}

impl Reloader {
    /// Reloads what the node that has this handle was started with.
    #[must_use]
    pub fn new(consortium: Consortium, net: P2pHandle) -> Arc<Self> {
        let Consortium { material, source, current } = consortium;
        Arc::new(Self { source, material, net, current: Mutex::new(current) })
    }

    /// Our certificate and our trust, as they are now.
    #[must_use]
    pub const fn material(&self) -> &Arc<TlsMaterial> {
        &self.material
    }

    /// Reads everything again, puts it in place, and ends the sessions with peers that would be
    /// refused now. What changed is logged.
    ///
    /// # Errors
    /// See [`ReloadError`]; nothing was changed then.
    pub async fn reload(&self) -> Result<ReloadReport, ReloadError> {
        let mut looked = self.current.lock().await;
        let (source, files) = (self.source.clone(), looked.files.clone());
        let read = move || {
            // Before the look inside: what changes meanwhile is seen at the next look.
            let before = stamps(&source, &files);
            let said = match source.read() {
                Ok(said) => said,
                Err(error) => return (before, Err(error.into())),
            };
            let stamps = stamps(&source, &said.files);
            let loaded = said.files.load().map_err(ReloadError::from);
            (stamps, loaded.map(|loaded| (said, loaded)))
        };
        // It does not panic; when it was not run, the node is ending.
        let (stamps, read) = tokio::task::spawn_blocking(read).await.map_err(|_| NodeEnded)?;
        looked.stamps = stamps;
        let (said, loaded) = read?;
        let files = said.files.clone();
        let (old, new) = (self.material.credentials(), &loaded.credentials);
        if old.identity() != new.identity() {
            return Err(ReloadError::OtherIdentity {
                path: files.certificate,
                old: Box::new(old.identity().clone()),
                new: Box::new(new.identity().clone()),
            });
        }
        let next = Current::new(said, &loaded);
        let changes = looked.current.changes(&next, &loaded);
        // Always both: a list can change without a difference that is told.
        self.material.set_credentials(loaded.credentials);
        self.material.set_trust(loaded.trust);
        let sessions_ended = self.net.certificates_changed().await?;
        for change in &changes {
            info!("reloaded: {change}");
            match change {
                Change::NodeAdded(NodeAddress::Enode(enode)) => {
                    self.net.add_peer(enode, NodeKind::Static).await?;
                }
                Change::NodeAdded(NodeAddress::Address(host, port)) => {
                    self.net.add_address(host.clone(), *port, NodeKind::Static).await?;
                }
                Change::NodeRemoved(NodeAddress::Enode(enode)) => {
                    self.net.forget_peer(enode.id).await?;
                }
                Change::NodeRemoved(NodeAddress::Address(host, port)) => {
                    self.net.forget_address(host.clone(), *port).await?;
                }
                Change::Limits => {
                    if let Some(mesh) = self.net.mesh() {
                        mesh.set_limits(next.limits.limits());
                    }
                }
                _ => {}
            }
        }
        if sessions_ended > 0 {
            info!(sessions_ended, "reloaded: sessions ended, since their peers are refused now");
        }
        (looked.current, looked.files) = (next, files);
        Ok(ReloadReport { changes, sessions_ended })
    }

    /// As [`Reloader::reload`], for those who cannot be told what is wrong: it is logged.
    pub async fn reload_and_log(&self, why: &str) {
        match self.reload().await {
            Ok(report) if report == ReloadReport::default() => {
                info!("{why}: certificates, lists and nodes are as they were");
            }
            Ok(_) | Err(ReloadError::Ended(_)) => {}
            Err(error) => warn!("{why}: {error}; everything stays as it was"),
        }
    }

    /// Looks after the files until it is dropped.
    pub async fn watch(&self) {
        let mut last = Stamps::new();
        let mut expiry = ExpiryWatch::default();
        loop {
            expiry.look(self.material.credentials().certificate());
            tokio::time::sleep(WATCH_INTERVAL).await;
            let (files, known) = {
                let looked = self.current.lock().await;
                (looked.files.clone(), looked.stamps.clone())
            };
            let source = self.source.clone();
            let look = tokio::task::spawn_blocking(move || stamps(&source, &files)).await;
            // It does not panic; when it was not run, the node is ending.
            let Ok(now) = look else { return };
            if now != known && now == last {
                self.reload_and_log("a file changed").await;
            }
            last = now;
        }
    }
}

/// How all files are now.
fn stamps(source: &Membership, files: &CertificateFiles) -> Stamps {
    files.stamps().into_iter().chain(source.stamp()).collect()
}
