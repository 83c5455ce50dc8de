//! Where SDKs connect, and how.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainmesh_identity::tls::TlsMaterial;
use chainmesh_net::amop::AmopOptions;

use crate::consortium::{CertificateFiles, FileStamp, LoadError, Shown};

/// TCP port for SDKs of 2.x: `channel_listen_port` of FISCO BCOS 2.x.
pub const CHANNEL_PORT: u16 = 20200;
/// TCP port for SDKs of 3.x. FISCO BCOS 3.x has 20200, too; this is the next one.
pub const WEBSOCKET_PORT: u16 = 20201;
/// `chain.id` of FISCO BCOS, as its `build_chain.sh` and the SDKs' examples have it.
pub const DEFAULT_CHAIN_ID: u64 = 1;
/// Clients of a port at once, unless told otherwise. Chosen: a connection costs a few KiB, and a
/// process often has 1,024 or 4,096 file descriptors.
pub const DEFAULT_MAX_CLIENTS: usize = 2_048;

/// The ports of a node.
#[derive(Debug, Clone)]
pub struct SdkOptions {
    /// Where SDKs of 2.x connect; `None`: nowhere. Port 0 lets the system choose one.
    pub channel: Option<SocketAddr>,
    /// Where SDKs of 3.x connect; `None`: nowhere.
    pub websocket: Option<SocketAddr>,
    /// Whether clients need a certificate. Without TLS anybody who can connect may take part.
    pub tls: bool,
    /// The certificate that clients see, and whom they are judged by; that of the node if `None`.
    pub certificates: Option<SdkCertificates>,
    /// A directory with certificates that the ports accept, for clients on the same machine:
    /// `amop_topics` tells it.
    pub directory: Option<PathBuf>,
    /// Whether a client's certificate must be of the same issuer as the one it sees
    /// (`check_cert_issuer` of FISCO BCOS 2.x).
    pub check_issuer: bool,
    /// What SDKs are told is the chain ID; some compare it with their configuration.
    pub chain_id: u64,
    /// Clients of each port at once.
    pub max_clients: usize,
    /// Limits of the broker.
    pub amop: AmopOptions,
}

/// Certificates that the ports have for themselves, as a directory had them.
#[derive(Debug, Clone)]
pub struct SdkCertificates {
    /// Where they are, to be read again.
    pub files: CertificateFiles,
    /// What is shown and what is trusted.
    pub material: Arc<TlsMaterial>,
    /// How the files were before they were read.
    pub(crate) stamps: Vec<(PathBuf, FileStamp)>,
    pub(crate) shown: Arc<Shown>,
}

impl SdkCertificates {
    /// Reads `ca.crt`, `node.crt`, `node.key` and the lists of a directory. Reads the disk.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(directory: &Path) -> Result<Self, LoadError> {
        let files = CertificateFiles::of_directory(directory);
        let stamps = files.stamps();
        let loaded = files.load()?;
        let shown = Arc::new(Shown::new(&loaded));
        let material = TlsMaterial::new(loaded.credentials, loaded.trust);
        Ok(Self { files, material, stamps, shown })
    }
}

impl Default for SdkOptions {
    /// Both ports on loopback, TLS with the node's certificate, no limits but those of memory.
    fn default() -> Self {
        let local = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self {
            channel: local(CHANNEL_PORT),
            websocket: local(WEBSOCKET_PORT),
            tls: true,
            certificates: None,
            directory: None,
            check_issuer: false,
            chain_id: DEFAULT_CHAIN_ID,
            max_clients: DEFAULT_MAX_CLIENTS,
            amop: AmopOptions::default(),
        }
    }
}
