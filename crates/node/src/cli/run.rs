//! `chainmesh run`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chainmesh_chain::ChainSpec;
use chainmesh_identity::{Enode, NodeKey, key_file};
use clap::Args;
use serde::{Deserialize, Deserializer};

use super::signals::StopSignals;
use super::{logging, output};
use crate::data_dir::DataDir;
use crate::node::{Node, NodeOptions};

/// Longest configuration file that is read, bytes.
const MAX_CONFIG_FILE: u64 = 1 << 20;

/// Run a node until Ctrl-C or SIGTERM
///
/// The node keeps its key and its chain in the data directory, prints its enode URL when it has
/// started, and logs to stderr. Other commands reach it through the socket chainmesh.ipc in the
/// data directory.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[command(after_help = "\
Examples:
  chainmesh run --data-dir ./node --genesis genesis.json
  chainmesh run --data-dir ./other --genesis genesis.json --port 30304 \\
      --bootnode enode://…@10.0.0.1:30303
  chainmesh run --config node.toml

A configuration file has the same names, and a flag goes before it:
  data-dir = \"/var/lib/chainmesh\"
  genesis  = \"/etc/chainmesh/genesis.json\"
  port     = 30303
  bootnode = [\"enode://…@10.0.0.1:30303\"]")]
pub(super) struct RunArgs {
    /// Directory for key, chain and socket; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The genesis file of the network; not needed when the data directory has a chain already
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// TCP port to listen on; 0 lets the system choose one [default: 30303]
    #[arg(long)]
    port: Option<u16>,
    /// IP address to listen on [default: 0.0.0.0, all of them]
    #[arg(long, value_name = "ADDR")]
    listen: Option<IpAddr>,
    /// A node to connect to, for ever; may be given several times
    #[arg(long, value_name = "ENODE")]
    #[serde(deserialize_with = "enodes")]
    bootnode: Vec<Enode>,
    /// As --bootnode, and not counted against --max-peers; may be given several times
    #[arg(long, value_name = "ENODE")]
    #[serde(deserialize_with = "enodes")]
    trusted_peer: Vec<Enode>,
    /// Peers at most, trusted ones not counted [default: 50]
    #[arg(long, value_name = "NUMBER")]
    max_peers: Option<usize>,
    /// Network ID of the eth handshake [default: the chain ID]
    #[arg(long, value_name = "NUMBER")]
    network_id: Option<u64>,
    /// Seal clique blocks with the key in this file (64 hex digits)
    #[arg(long, value_name = "FILE")]
    validator_key: Option<PathBuf>,
    /// Use the node key in this file [default: p2p_key in the data directory, made if missing]
    #[arg(long, value_name = "FILE")]
    node_key: Option<PathBuf>,
    /// Read what is not given as a flag from this TOML file
    #[arg(long, value_name = "FILE.toml")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// What is logged: a level, or target=level pairs [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn enodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Enode>, D::Error> {
    let urls = Vec::<String>::deserialize(deserializer)?;
    urls.iter().map(|url| url.parse().map_err(serde::de::Error::custom)).collect()
}

impl RunArgs {
    /// What is not given as a flag is taken from the file.
    fn or(self, file: Self) -> Self {
        let list = |flags: Vec<Enode>, file| if flags.is_empty() { file } else { flags };
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            genesis: self.genesis.or(file.genesis),
            port: self.port.or(file.port),
            listen: self.listen.or(file.listen),
            bootnode: list(self.bootnode, file.bootnode),
            trusted_peer: list(self.trusted_peer, file.trusted_peer),
            max_peers: self.max_peers.or(file.max_peers),
            network_id: self.network_id.or(file.network_id),
            validator_key: self.validator_key.or(file.validator_key),
            node_key: self.node_key.or(file.node_key),
            config: self.config,
            log: self.log.or(file.log),
        }
    }
}

pub(super) fn run(args: RunArgs) -> anyhow::Result<()> {
    let file = args.config.as_deref().map(read_config).transpose()?;
    let args = args.or(file.unwrap_or_default());
    logging::to_stderr(args.log.as_deref().unwrap_or(logging::DEFAULT_FILTER))?;
    let options = options(&args)?;
    super::runtime()?.block_on(async {
        let mut signals = StopSignals::listen()?;
        let node = Node::start(options).await?;
        if let Err(error) = output::line(&node.enode.to_string()) {
            // Whoever started the node need not listen to it.
            tracing::warn!("the enode URL was not printed: {error}");
        }
        signals.next().await;
        signals.end_on_next();
        node.stop().await;
        Ok(())
    })
}

fn options(args: &RunArgs) -> anyhow::Result<NodeOptions> {
    let Some(data_dir) = &args.data_dir else {
        bail!("the node needs a place for its key and its chain: give --data-dir DIR");
    };
    let spec = args.genesis.as_deref().map(ChainSpec::read).transpose()?;
    let validator_key = args.validator_key.as_deref().map(read_key).transpose()?;
    let node_key = args.node_key.as_deref().map(read_key).transpose()?;
    let data = DataDir::open(data_dir, spec)?;
    let key = match node_key {
        Some(key) => key,
        None => data.key()?,
    };
    let mut options = NodeOptions::new(data, key);
    options.port = args.port.unwrap_or(options.port);
    options.listen_address = args.listen.unwrap_or(options.listen_address);
    options.max_peers = args.max_peers.unwrap_or(options.max_peers);
    options.boot_nodes.clone_from(&args.bootnode);
    options.trusted_peers.clone_from(&args.trusted_peer);
    options.network_id = args.network_id;
    options.validator_key = validator_key;
    Ok(options)
}

/// A key in a file of its own: there must be one.
fn read_key(path: &Path) -> anyhow::Result<NodeKey> {
    match key_file::load(path)? {
        Some(key) => Ok(key),
        None => bail!(
            "there is no key file {}; make one with: chainmesh key new --out {}",
            path.display(),
            path.display()
        ),
    }
}

fn read_config(path: &Path) -> anyhow::Result<RunArgs> {
    let failed = || format!("cannot read the configuration file {}", path.display());
    let length = path.metadata().with_context(failed)?.len();
    if length > MAX_CONFIG_FILE {
        bail!("the configuration file {} is longer than {MAX_CONFIG_FILE} bytes", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(failed)?;
    let invalid = || format!("the configuration file {} is not valid", path.display());
    toml::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{}", error.to_string().trim_end()))
        .with_context(invalid)
}
