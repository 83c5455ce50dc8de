//! Certificates, lists and nodes that change while a node runs.
//!
//! Everything is read and checked before anything is put in place: a file that is damaged, or a
//! certificate whose key has not come yet, leaves all as it was.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chainmesh_identity::NodeKey;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_identity::tls::TlsMaterial;
use chainmesh_net::{NodeEnded, NodeKind, P2pHandle};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::certificates::{CertificateFiles, FileStamp, LoadError, Loaded};
use super::change::{Change, Shown};
use super::expiry::ExpiryWatch;
use super::membership::{Membership, Said};
use crate::config::{ConfigError, ConfigFile, LimitsSection, NodeAddress};
use crate::sdk::PortCertificates;

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
    shown: Shown,
    /// What the ports for SDKs have for themselves, if they have been looked at.
    ports: Option<Arc<Shown>>,
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
    ports: Option<PortCertificates>,
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
        let stamps = stamps(&source, &said.files, None);
        let loaded = said.files.load()?;
        let files = said.files.clone();
        let current = Looked { current: Current::new(said, &loaded, None), files, stamps };
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
    fn new(said: Said, loaded: &Loaded, ports: Option<&Loaded>) -> Self {
        let Said { nodes, limits, fixed, .. } = said;
        Self {
            nodes,
            limits,
            fixed,
            shown: Shown::new(loaded),
            ports: ports.map(|loaded| Arc::new(Shown::new(loaded))),
        }
    }

    /// What is different in `new`.
    fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = self.shown.changes(&new.shown);
        if let (Some(old), Some(new)) = (&self.ports, &new.ports) {
            let of_ports = old.changes(new).into_iter().map(Box::new).map(Change::OfPorts);
            changes.extend(of_ports);
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
    /// Reloads what the node that has this handle was started with. `ports` are those for SDKs, if it
    /// has some, with what their own files had.
    #[must_use]
    pub fn new(
        consortium: Consortium,
        net: P2pHandle,
        ports: Option<PortCertificates>,
    ) -> Arc<Self> {
        let Consortium { material, source, mut current } = consortium;
        // Files that changed since the ports were opened have another stamp then: they are read.
        if let Some(own) = ports.as_ref().and_then(PortCertificates::own) {
            current.stamps.extend(own.stamps.iter().cloned());
            current.current.ports = Some(Arc::clone(&own.shown));
        }
        Arc::new(Self { source, material, ports, net, current: Mutex::new(current) })
    }

    /// Our certificate and our trust, as they are now.
    #[must_use]
    pub const fn material(&self) -> &Arc<TlsMaterial> {
        &self.material
    }

    /// The certificate of the ports for SDKs, if they have one of their own.
    #[must_use]
    pub fn sdk_material(&self) -> Option<&Arc<TlsMaterial>> {
        Some(&self.ports.as_ref()?.own()?.material)
    }

    /// Reads everything again, puts it in place, and ends the sessions with peers that would be
    /// refused now. What changed is logged.
    ///
    /// # Errors
    /// See [`ReloadError`]; nothing was changed then.
    pub async fn reload(&self) -> Result<ReloadReport, ReloadError> {
        let mut looked = self.current.lock().await;
        let (source, files) = (self.source.clone(), looked.files.clone());
        let own = self.own_files();
        let read = move || {
            // Before the look inside: what changes meanwhile is seen at the next look.
            let before = stamps(&source, &files, own.as_ref());
            let said = match source.read() {
                Ok(said) => said,
                Err(error) => return (before, Err(error.into())),
            };
            let stamps = stamps(&source, &said.files, own.as_ref());
            let load = || {
                let loaded = said.files.load()?;
                let own = own.as_ref().map(CertificateFiles::load).transpose()?;
                Ok::<_, ReloadError>((loaded, own))
            };
            let loaded = load();
            (stamps, loaded.map(|(loaded, own)| (said, loaded, own)))
        };
        // It does not panic; when it was not run, the node is ending.
        let (stamps, read) = tokio::task::spawn_blocking(read).await.map_err(|_| NodeEnded)?;
        looked.stamps = stamps;
        let (said, loaded, own) = read?;
        let files = said.files.clone();
        let (old, new) = (self.material.credentials(), &loaded.credentials);
        if old.identity() != new.identity() {
            return Err(ReloadError::OtherIdentity {
                path: files.certificate,
                old: Box::new(old.identity().clone()),
                new: Box::new(new.identity().clone()),
            });
        }
        let next = Current::new(said, &loaded, own.as_ref());
        let changes = looked.current.changes(&next);
        // Always both: a list can change without a difference that is told.
        self.material.set_credentials(loaded.credentials);
        self.material.set_trust(loaded.trust);
        let mut sessions_ended = self.net.certificates_changed().await?;
        if let Some(ports) = &self.ports {
            if let Some(own) = own {
                ports.material().set_credentials(own.credentials);
                ports.material().set_trust(own.trust);
            }
            sessions_ended += ports.judge_again().await;
        }
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

    /// The files that the ports for SDKs have for themselves.
    fn own_files(&self) -> Option<CertificateFiles> {
        Some(self.ports.as_ref()?.own()?.files.clone())
    }

    /// Looks after the files until it is dropped.
    pub async fn watch(&self) {
        let mut last = Stamps::new();
        let (mut expiry, mut of_ports) = (ExpiryWatch::default(), ExpiryWatch::for_sdks());
        loop {
            expiry.look(self.material.credentials().certificate());
            if let Some(ports) = self.ports.as_ref().filter(|ports| ports.own().is_some()) {
                of_ports.look(ports.material().credentials().certificate());
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
            let (files, known) = {
                let looked = self.current.lock().await;
                (looked.files.clone(), looked.stamps.clone())
            };
            let (source, own) = (self.source.clone(), self.own_files());
            let look = move || stamps(&source, &files, own.as_ref());
            let look = tokio::task::spawn_blocking(look).await;
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
fn stamps(
    source: &Membership,
    files: &CertificateFiles,
    of_ports: Option<&CertificateFiles>,
) -> Stamps {
    let of_ports = of_ports.map(CertificateFiles::stamps).unwrap_or_default();
    files.stamps().into_iter().chain(source.stamp()).chain(of_ports).collect()
}
