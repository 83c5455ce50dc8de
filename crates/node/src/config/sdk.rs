//! `[sdk]`: the ports for SDKs of applications.

use std::net::SocketAddr;
use std::path::PathBuf;

use chainmesh_net::amop::AmopOptions;
use serde::Deserialize;

use super::{ListenAddress, RateSection};
use crate::consortium::LoadError;
use crate::sdk::{SdkCertificates, SdkOptions};

/// `[sdk]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SdkSection {
    /// Address and port for SDKs of FISCO BCOS 2.x: `"127.0.0.1:20200"`. None if not given.
    pub channel: Option<ListenAddress>,
    /// Address and port for SDKs of 3.x: `"127.0.0.1:20201"`. None if not given.
    pub websocket: Option<ListenAddress>,
    /// Whether clients need a certificate; they do if not given.
    pub tls: Option<bool>,
    /// A directory with ca.crt, node.crt and node.key for these ports alone, such as RSA or P-256
    /// certificates for clients that cannot read the node's own. Read again when they change, as the
    /// node's own.
    pub cert_dir: Option<PathBuf>,
    /// Whether a client's certificate must be of the same issuer as the one it sees.
    pub check_issuer: bool,
    /// What SDKs are told is the chain ID; 1 if not given.
    pub chain_id: Option<u64>,
    /// Clients of each port at once, at most.
    pub max_clients: Option<usize>,
    /// Topics of one client, at most.
    pub max_topics: Option<usize>,
    /// How much each client may publish.
    pub client_limit: RateSection,
    /// How much all clients together may publish.
    pub limit: RateSection,
}

impl SdkSection {
    /// What the ports are made from. Reads the disk.
    ///
    /// # Errors
    /// [`LoadError`] when there is a directory of certificates that cannot be used.
    pub fn options(&self) -> Result<SdkOptions, LoadError> {
        let address = |listen: Option<ListenAddress>| listen.map(|ListenAddress(at)| at);
        let (channel, websocket): (Option<SocketAddr>, Option<SocketAddr>) =
            (address(self.channel), address(self.websocket));
        let defaults = SdkOptions::default();
        Ok(SdkOptions {
            channel,
            websocket,
            tls: self.tls.unwrap_or(defaults.tls),
            certificates: self.cert_dir.as_deref().map(SdkCertificates::load).transpose()?,
            directory: self.cert_dir.clone(),
            check_issuer: self.check_issuer,
            chain_id: self.chain_id.unwrap_or(defaults.chain_id),
            max_clients: self.max_clients.unwrap_or(defaults.max_clients),
            amop: AmopOptions {
                max_topics: self.max_topics,
                session_limit: self.client_limit.into(),
                limit: self.limit.into(),
            },
        })
    }
}
