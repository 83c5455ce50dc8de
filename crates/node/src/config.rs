//! The configuration file of `chainmesh run` (TOML).
//!
//! A flag goes before the file, and the file before the default. A key that nobody knows is an
//! error: one that is misspelled would otherwise be a setting that never takes effect.

mod address;
mod mesh;
mod rpc;
mod sdk;
mod suggest;
mod validator;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chainmesh_identity::certificate::ShortId;
use chainmesh_identity::{BootNode, Enode};
use chainmesh_net::Escaped;
use chainmesh_net::nat::NatChoice;
use serde::{Deserialize, Deserializer};

pub use address::{ListenAddress, NodeAddress, NodeAddressError};
pub use mesh::{LimitsSection, MeshSection, RateSection, RoleChoice};
pub use rpc::RpcSection;
pub use sdk::SdkSection;
pub use validator::{ChainSection, ValidatorSection};

/// Longest configuration file that is read, bytes.
pub const MAX_CONFIG_FILE: u64 = 1 << 20;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is longer than any configuration.
    #[error("the configuration file {} is longer than {MAX_CONFIG_FILE} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is no TOML, or has a key or a value that is none.
    #[error("the configuration file {} is not valid: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, key and reason, and what might have been meant.
        problem: Problem,
    },
}

/// What is wrong with the text of a configuration file: the line, what is wrong with it, and the
/// key that might have been meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    text: String,
}

/// Everything that a configuration file may say.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Directory for key, chain and socket.
    pub data_dir: Option<PathBuf>,
    /// The genesis file of the network.
    pub genesis: Option<PathBuf>,
    /// TCP port to listen on.
    pub port: Option<u16>,
    /// IP address to listen on.
    pub listen: Option<IpAddr>,
    /// Nodes to connect to, for ever.
    #[serde(deserialize_with = "boot_nodes")]
    pub bootnode: Vec<BootNode>,
    /// As `bootnode`, not counted against `max_peers`.
    #[serde(deserialize_with = "enodes")]
    pub trusted_peer: Vec<Enode>,
    /// Whether no other nodes are looked for.
    pub no_discovery: bool,
    /// Whether discovery goes without Node Discovery v5.
    pub no_discovery_v5: bool,
    /// How the node gets to be reached from outside its network.
    #[serde(deserialize_with = "nat")]
    pub nat: Option<NatChoice>,
    /// Address under which others reach the node.
    pub external_ip: Option<IpAddr>,
    /// Peers at most.
    pub max_peers: Option<usize>,
    /// Network ID of the `eth` handshake.
    pub network_id: Option<u64>,
    /// Whether eth/69 is offered on a chain of proof of authority, too.
    pub eth69: bool,
    /// The file with the key that seals blocks.
    pub validator_key: Option<PathBuf>,
    /// The file with the node key.
    pub node_key: Option<PathBuf>,
    /// Address and port for metrics: `"127.0.0.1:6060"`. None if not given.
    pub metrics: Option<ListenAddress>,
    /// What is logged.
    pub log: Option<String>,
    /// The chain.
    pub chain: ChainSection,
    /// Sealing blocks.
    pub validator: ValidatorSection,
    /// How peers are found and talked to.
    pub p2p: P2pSection,
    /// The node's certificate, and whom it trusts.
    pub cert: CertificateSection,
    /// The mesh. A node of a consortium has one without it, too.
    pub mesh: Option<MeshSection>,
    /// The ports for SDKs of applications; without it there are none.
    pub sdk: Option<SdkSection>,
    /// JSON-RPC beside the Unix socket; without it there is none.
    pub rpc: Option<RpcSection>,
}

/// `[p2p]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct P2pSection {
    /// Address and port to listen on: `"0.0.0.0:30300"`.
    pub listen: Option<ListenAddress>,
    /// Nodes to connect to, for ever: `"host:port"` or an enode URL.
    pub nodes: Vec<NodeAddress>,
    /// How sessions are secured.
    pub session: Option<SessionChoice>,
}

/// How sessions are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionChoice {
    /// RLPx, as Ethereum's open networks have it.
    Rlpx,
    /// TLS with certificates of a consortium's CA.
    Tls,
}

/// `[cert]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CertificateSection {
    /// A directory as `chainmesh ca issue` writes it; the keys below go before its files.
    pub dir: Option<PathBuf>,
    /// Files with the certificates of the CAs that are trusted.
    pub ca: Vec<PathBuf>,
    /// The node's own certificate, and those between it and the CA.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// Files with revocation lists.
    pub crl: Vec<PathBuf>,
    /// IDs of the nodes that may take part, and nobody else; all with a certificate if not given.
    #[serde(deserialize_with = "some_ids")]
    pub allow: Option<BTreeSet<ShortId>>,
    /// IDs of the nodes that may not.
    #[serde(deserialize_with = "ids")]
    pub deny: BTreeSet<ShortId>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.into(), source };
        if path.metadata().map_err(failed)?.len() > MAX_CONFIG_FILE {
            return Err(ConfigError::TooLong { path: path.into() });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text).map_err(|problem| ConfigError::Invalid { path: path.into(), problem })
    }

    /// Understands the text of a file.
    ///
    /// # Errors
    /// See [`Problem`].
    pub fn parse(text: &str) -> Result<Self, Problem> {
        toml::from_str(text).map_err(|error| {
            let mut text = error.to_string().trim_end().to_owned();
            if let Some(meant) = suggest::meant(error.message()) {
                text = format!("{text}\ndid you mean `{meant}`?");
            }
            Problem { text }
        })
    }
}

/// An error that names the value: of a list only the beginning is shown with its line.
fn of_value<E: serde::de::Error>(value: &str, error: impl core::fmt::Display) -> E {
    E::custom(format_args!("\"{}\": {error}", Escaped(value)))
}

fn enodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Enode>, D::Error> {
    let urls = Vec::<String>::deserialize(deserializer)?;
    urls.iter().map(|url| url.parse().map_err(|error| of_value(url, error))).collect()
}

fn nat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NatChoice>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|error| of_value(&text, error))
}

fn boot_nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BootNode>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(|error| of_value(text, error))).collect()
}

fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<ShortId>, D::Error> {
    let ids = Vec::<String>::deserialize(deserializer)?;
    ids.iter().map(|id| id.parse().map_err(|error| of_value(id, error))).collect()
}

fn some_ids<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeSet<ShortId>>, D::Error> {
    ids(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
