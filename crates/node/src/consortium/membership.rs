//! [`Membership`]: where it is said who takes part, so that it can be read again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::certificates::{CertificateFiles, FileStamp, stamp};
use crate::config::{ConfigError, ConfigFile, LimitsSection, NodeAddress};

/// Where a node is told of its certificates and of the nodes it connects to: a configuration file,
/// and the flags that go before it.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The directory of certificates that was given as a flag.
    pub directory: Option<PathBuf>,
    /// Nodes that were given as flags; those of the file are taken if there are none.
    pub nodes: BTreeSet<NodeAddress>,
}

/// What a [`Membership`] says at one time.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) files: CertificateFiles,
    pub(super) nodes: BTreeSet<NodeAddress>,
    pub(super) limits: LimitsSection,
    /// The parts of the configuration that are looked at only when the node starts.
    pub(super) fixed: ConfigFile,
}

impl Membership {
    /// Reads the configuration file, if there is one.
    pub(super) fn read(&self) -> Result<Said, ConfigError> {
        let mut config = match &self.config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        let files = CertificateFiles::of_section(&config.cert, self.directory.as_deref());
        let listed = core::mem::take(&mut config.p2p.nodes);
        config.cert = Default::default();
        let mesh = config.mesh.as_mut();
        let limits = mesh.map(|mesh| core::mem::take(&mut mesh.limits)).unwrap_or_default();
        let nodes = match self.nodes.is_empty() {
            true => listed.into_iter().collect(),
            false => self.nodes.clone(),
        };
        Ok(Said { files, nodes, limits, fixed: config })
    }

    /// When the configuration file was changed last.
    pub(super) fn stamp(&self) -> Option<(PathBuf, FileStamp)> {
        self.config.as_ref().map(|path| (path.clone(), stamp(path)))
    }
}
