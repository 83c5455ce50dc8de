//! `chainmesh run`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chainmesh_chain::{ChainSpec, clique};
use chainmesh_identity::{BootNode, Enode, NodeKey, NodeRecord, key_file, keystore};
use chainmesh_net::discovery::DiscoveryOptions;
use chainmesh_net::mesh::NodeType;
use chainmesh_net::nat::NatChoice;
use clap::Args;

use super::rpc::RpcArgs;
use super::signals::{self, StopSignals};
use super::{logging, output};
use crate::config::{
    CertificateSection, ConfigFile, ListenAddress, NodeAddress, SdkSection, SessionChoice,
};
use crate::consortium::{Consortium, Membership};
use crate::data_dir::DataDir;
use crate::node::{Node, NodeOptions};
use crate::sdk::SdkOptions;
use crate::validator::ValidatorOptions;

/// TCP port that a node of a consortium listens on: FISCO BCOS's default for its gateways.
const CONSORTIUM_PORT: u16 = 30300;

/// Run a node until Ctrl-C or SIGTERM
///
/// The node keeps its key and its chain in the data directory, prints its enode URL when it has
/// started, and logs to stderr. Other commands reach it through the socket chainmesh.ipc in the
/// data directory.
///
/// In a consortium (--consortium) nodes talk over TLS and only to those who have a certificate of
/// the same CA; the node is known by the key of its certificate. There it may do without a chain.
/// Certificates, revocation lists and the lists of nodes are read again when their files change, on
/// SIGHUP, and by `chainmesh mesh --reload`; those of the ports for SDKs, too.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  chainmesh run --data-dir ./node --genesis genesis.json
  chainmesh run --data-dir ./other --genesis genesis.json --port 30304 \\
      --bootnode enode://…@10.0.0.1:30303
  chainmesh run --consortium --cert-dir ./n0 --data-dir ./data0 \\
      --node 10.0.0.2:30300
  chainmesh run --data-dir ./node --http --ws 127.0.0.1:8545
  chainmesh run --config node.toml

A configuration file has the same names, and a flag goes before it:
  data-dir = \"/var/lib/chainmesh\"
  genesis  = \"/etc/chainmesh/genesis.json\"
  port     = 30303
  bootnode = [\"enode://…@10.0.0.1:30303\"]

  [validator]                          # to seal blocks
  key       = \"validator.key\"         # or keystore and password-file
  gas-limit = 30000000

For a node of a consortium it has these sections, too:
  [p2p]
  listen  = \"0.0.0.0:30300\"
  nodes   = [\"10.0.0.2:30300\", \"10.0.0.3:30300\"]
  session = \"tls\"                    # or \"rlpx\", without [cert]

  [cert]
  ca   = [\"conf/ca.crt\"]             # two of them during a rollover
  cert = \"conf/node.crt\"
  key  = \"conf/node.key\"
  crl  = [\"conf/ca.crl\"]
  deny = [\"<node id>\"]               # or allow, or both

  [mesh]
  groups = [\"group0\"]

This one serves JSON-RPC to wallets, as --http and --ws do:
  [rpc]
  http     = \"127.0.0.1:8545\"
  ws       = \"127.0.0.1:8545\"          # one port may have both
  http-api = [\"eth\", \"net\", \"web3\", \"txpool\"]

And this one opens ports for the SDKs of FISCO BCOS:
  [sdk]
  channel   = \"0.0.0.0:20200\"          # for those of 2.x
  websocket = \"0.0.0.0:20201\"          # for those of 3.x
  tls       = true")]
pub(super) struct RunArgs {
    /// Directory for key, chain and socket; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The genesis file of the network; not needed when the data directory has a chain already
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// TCP port to listen on; 0 lets the system choose one [default: 30303; 30300 in a consortium]
    #[arg(long)]
    port: Option<u16>,
    /// IP address to listen on [default: 0.0.0.0, all of them]
    #[arg(long, value_name = "ADDR")]
    listen: Option<IpAddr>,
    /// A node to connect to, for ever, and to find others through; may be given several times
    #[arg(long, value_name = "ENODE or ENR", visible_alias = "bootnodes")]
    bootnode: Vec<BootNode>,
    /// Look for no other nodes, and do not let this one be found (a consortium never does)
    #[arg(long)]
    no_discovery: bool,
    /// Look for other nodes by Node Discovery v4 alone [default: by v4 and v5, on one UDP port]
    #[arg(long)]
    no_discovery_v5: bool,
    /// Address under which others reach this node [default: what other nodes see]
    #[arg(long, value_name = "ADDR")]
    external_ip: Option<IpAddr>,
    /// How to be reached from outside, when behind a gateway: none; extip:ADDR, when somebody has seen to
    /// it; or ask the gateway to map the ports, by any, upnp, or pmp[:ADDR of the gateway] (only in builds
    /// with the cargo feature upnp) [default: none]
    #[arg(long, value_name = "HOW", conflicts_with = "external_ip")]
    nat: Option<NatChoice>,
    /// As --bootnode, and not counted against --max-peers; may be given several times
    #[arg(long, value_name = "ENODE")]
    trusted_peer: Vec<Enode>,
    /// Peers at most, trusted ones not counted [default: 50]
    #[arg(long, value_name = "NUMBER")]
    max_peers: Option<usize>,
    /// Network ID of the eth handshake [default: the chain ID]
    #[arg(long, value_name = "NUMBER")]
    network_id: Option<u64>,
    /// Offer eth/69 on a chain of proof of authority, too: go-ethereum speaks nothing older since
    /// v1.17.1, and can fetch the chain from this node (--synctarget). Not for validators: two nodes
    /// with this flag do not tell each other how heavy their chains are
    #[arg(long)]
    eth69: bool,
    /// Seal clique blocks with the key in this file (64 hex digits)
    #[arg(long, value_name = "FILE")]
    validator_key: Option<PathBuf>,
    /// Seal clique blocks with the key in this file of go-ethereum's keystore
    #[arg(long, value_name = "FILE", requires = "password_file", conflicts_with = "validator_key")]
    validator_keystore: Option<PathBuf>,
    /// The file whose first line is the password for --validator-keystore
    #[arg(long, value_name = "FILE", requires = "validator_keystore")]
    password_file: Option<PathBuf>,
    /// What the blocks that are sealed say about themselves, 32 bytes at most [default: chainmesh]
    #[arg(long, value_name = "TEXT")]
    vanity: Option<String>,
    /// The gas limit that the blocks that are sealed move towards, by less than 1/1024 each
    /// [default: that of the block before]
    #[arg(long, value_name = "GAS")]
    gas_limit: Option<u64>,
    /// Use the node key in this file [default: p2p_key in the data directory, made if missing]
    #[arg(long, value_name = "FILE")]
    node_key: Option<PathBuf>,
    /// Take part in a consortium: TLS with certificates, as [p2p] session = \"tls\" says it
    #[arg(long, conflicts_with = "node_key")]
    consortium: bool,
    /// With --consortium: the directory with ca.crt, node.crt and node.key, as chainmesh ca issue
    /// writes it
    #[arg(long, value_name = "DIR", requires = "consortium")]
    cert_dir: Option<PathBuf>,
    /// A node to connect to, for ever: host:port (in a consortium) or an enode URL; may be given
    /// several times
    #[arg(long, value_name = "NODE")]
    node: Vec<NodeAddress>,
    /// Let SDKs of FISCO BCOS 2.x connect here, such as 127.0.0.1:20200; port 0: any
    #[arg(long, value_name = "IP:PORT")]
    sdk_channel: Option<SocketAddr>,
    /// Let SDKs of FISCO BCOS 3.x connect here, such as 127.0.0.1:20201; port 0: any
    #[arg(long, value_name = "IP:PORT")]
    sdk_websocket: Option<SocketAddr>,
    /// Let SDKs connect without TLS: whoever can reach the ports may use them
    #[arg(long)]
    sdk_plain: bool,
    /// The directory with ca.crt, node.crt and node.key for the SDKs' ports [default: the node's]
    #[arg(long, value_name = "DIR")]
    sdk_cert_dir: Option<PathBuf>,
    #[command(flatten)]
    rpc: RpcArgs,
    /// Read what is not given as a flag from this TOML file
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// What is logged: a level, or target=level pairs [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl RunArgs {
    /// What is not given as a flag is taken from the file.
    fn or(self, file: &ConfigFile) -> Self {
        let listen = file.p2p.listen.map(|listen| listen.0);
        Self {
            data_dir: self.data_dir.or_else(|| file.data_dir.clone()),
            genesis: self
                .genesis
                .or_else(|| file.chain.genesis.clone())
                .or_else(|| file.genesis.clone()),
            port: self.port.or(file.port).or(listen.map(|listen| listen.port())),
            listen: self.listen.or(file.listen).or(listen.map(|listen| listen.ip())),
            bootnode: either(self.bootnode, &file.bootnode),
            trusted_peer: either(self.trusted_peer, &file.trusted_peer),
            max_peers: self.max_peers.or(file.max_peers),
            network_id: self.network_id.or(file.network_id),
            eth69: self.eth69 || file.eth69,
            node_key: self.node_key.or_else(|| file.node_key.clone()),
            no_discovery: self.no_discovery || file.no_discovery,
            no_discovery_v5: self.no_discovery_v5 || file.no_discovery_v5,
            external_ip: self.external_ip.or(file.external_ip),
            nat: self.nat.or(file.nat),
            consortium: self.consortium || file.p2p.session == Some(SessionChoice::Tls),
            log: self.log.or_else(|| file.log.clone()),
            ..self
        }
    }

    /// The key that seals blocks, and what is said in them. The key of the flags goes before that
    /// of the file.
    fn validator(&self, file: &ConfigFile) -> anyhow::Result<Option<ValidatorOptions>> {
        let section = &file.validator;
        let flags = [self.validator_key.as_ref(), self.validator_keystore.as_ref()];
        let by_file = flags.iter().all(Option::is_none);
        let (key, keystore, password) = match by_file {
            false => (flags[0], flags[1], self.password_file.as_ref()),
            true => (
                section.key.as_ref().or(file.validator_key.as_ref()),
                section.keystore.as_ref(),
                section.password_file.as_ref(),
            ),
        };
        let vanity = self.vanity.clone().or_else(|| section.vanity.clone());
        let gas_limit = self.gas_limit.or(section.gas_limit);
        let key = match (key, keystore, password) {
            (Some(_), Some(_), _) => bail!(
                "two keys are given to seal blocks with: leave [validator] key or keystore out"
            ),
            (Some(key), None, _) => read_key(key)?,
            (None, Some(keystore), Some(password)) => keystore::open(keystore, password)?,
            (None, Some(keystore), None) => {
                bail!("{} needs a password: say [validator] password-file", keystore.display())
            }
            (None, None, _) if vanity.is_some() || gas_limit.is_some() => bail!(
                "--vanity and --gas-limit are for blocks that this node seals: give --validator-key \
                 or --validator-keystore, too"
            ),
            (None, None, _) => return Ok(None),
        };
        if let Some(text) = vanity.as_ref().filter(|text| text.len() > clique::VANITY_LENGTH) {
            bail!("--vanity has room for 32 bytes, and this text has {}", text.len());
        }
        Ok(Some(ValidatorOptions { key, vanity, gas_limit }))
    }

    /// The ports for SDKs; a flag goes before the file.
    fn sdk(&self, file: &ConfigFile) -> anyhow::Result<Option<SdkOptions>> {
        let mut section = file.sdk.clone().unwrap_or_default();
        section.channel = self.sdk_channel.map(ListenAddress).or(section.channel);
        section.websocket = self.sdk_websocket.map(ListenAddress).or(section.websocket);
        section.cert_dir = self.sdk_cert_dir.clone().or(section.cert_dir);
        if self.sdk_plain {
            section.tls = Some(false);
        }
        if section.channel.is_none() && section.websocket.is_none() {
            if section != SdkSection::default() {
                bail!(
                    "there is something about ports for SDKs, but no port: give --sdk-channel or \
                     --sdk-websocket, or [sdk] channel or websocket"
                );
            }
            return Ok(None);
        }
        let mut options = section.options()?;
        let own = self.cert_dir.as_ref().or(file.cert.dir.as_ref());
        options.directory = options.directory.or_else(|| own.cloned());
        Ok(Some(options))
    }

    /// Where certificates and nodes are named, to be read again.
    fn membership(&self) -> Membership {
        Membership {
            config: self.config.clone(),
            directory: self.cert_dir.clone(),
            nodes: self.node.iter().cloned().collect(),
        }
    }
}

pub(super) fn run(args: RunArgs) -> anyhow::Result<()> {
    let file = args.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
    check(&args, &file)?;
    let args = args.or(&file);
    logging::to_stderr(args.log.as_deref().unwrap_or(logging::DEFAULT_FILTER))?;
    let options = options(&args, &file)?;
    super::runtime()?.block_on(async {
        let mut signals = StopSignals::listen()?;
        let mut hangup = signals::hangup()?;
        let node = Node::start(options).await?;
        let enode = &node.enode;
        let name = match enode.id.certificate() {
            None => enode.to_string(),
            // A key of another kind has no enode URL.
            Some(_) => format!("{}:{}", enode.host, enode.tcp_port),
        };
        let metrics =
            node.metrics.as_ref().map(|metrics| format!("http://{}/metrics", metrics.address));
        let printed = [Some(name), url("http", node.rpc.http), url("ws", node.rpc.ws), metrics];
        let printed = printed.iter().flatten().try_for_each(|line| output::line(line));
        if let Err(error) = printed {
            // Whoever started the node need not listen to it.
            tracing::warn!("the node's address was not printed: {error}");
        }
        loop {
            tokio::select! {
                () = signals.next() => break,
                _ = hangup.recv() => match &node.reloader {
                    Some(reloader) => reloader.reload_and_log("SIGHUP").await,
                    None => tracing::info!("SIGHUP: there is nothing to reload"),
                },
            }
        }
        signals.end_on_next();
        node.stop().await;
        Ok(())
    })
}

/// Where JSON-RPC is served.
fn url(scheme: &str, address: Option<SocketAddr>) -> Option<String> {
    address.map(|address| format!("{scheme}://{address}"))
}

/// Flags and sections that contradict each other.
fn check(args: &RunArgs, file: &ConfigFile) -> anyhow::Result<()> {
    let path = args.config.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    let tls = args.consortium || file.p2p.session == Some(SessionChoice::Tls);
    if args.consortium && file.p2p.session == Some(SessionChoice::Rlpx) {
        bail!("--consortium needs TLS, but {path} says [p2p] session = \"rlpx\"");
    }
    if !tls && file.cert != CertificateSection::default() {
        bail!(
            "{path} has a section [cert], which only TLS uses: say [p2p] session = \"tls\", or give \
             --consortium"
        );
    }
    if file.p2p.listen.is_some() && (file.port.is_some() || file.listen.is_some()) {
        bail!("{path} says where to listen twice: leave [p2p] listen, or port and listen, out");
    }
    let mut nodes = args.node.iter().chain(&file.p2p.nodes);
    let address = nodes.find(|node| matches!(node, NodeAddress::Address(..)));
    if let (false, Some(address)) = (tls, address) {
        bail!(
            "RLPx can only dial a node whose ID is known, so {address} must be an enode URL \
             (chainmesh run prints it at its start); in a consortium give --consortium"
        );
    }
    Ok(())
}

fn options(args: &RunArgs, file: &ConfigFile) -> anyhow::Result<NodeOptions> {
    let Some(data_dir) = &args.data_dir else {
        bail!("the node needs a place for its key and its chain: give --data-dir DIR");
    };
    let spec = args.genesis.as_deref().map(ChainSpec::read).transpose()?;
    let validator = args.validator(file)?;
    let mut options = match args.consortium {
        true => {
            let consortium = Consortium::load(args.membership())?;
            let (lock, chain) = DataDir::open_parts(data_dir, spec)?;
            // A certificate may be for a key of another kind: what is signed with a node key then
            // has one of its own.
            let key = match consortium.node_key() {
                Some(key) => key,
                None => key_file::load_or_create(
                    &lock.data_dir().join(key_file::KEY_FILE_NAME),
                    chainmesh_net::entropy(),
                )?,
            };
            let mut options = NodeOptions::of_parts(lock, chain, key);
            options.port = CONSORTIUM_PORT;
            options.consortium = Some(consortium);
            options
        }
        false => {
            let node_key = args.node_key.as_deref().map(read_key).transpose()?;
            let data = DataDir::open(data_dir, spec)?;
            let key = match node_key {
                Some(key) => key,
                None => data.key()?,
            };
            NodeOptions::new(data, key)
        }
    };
    options.port = args.port.unwrap_or(options.port);
    options.listen_address = args.listen.unwrap_or(options.listen_address);
    options.max_peers = args.max_peers.unwrap_or(options.max_peers);
    options.boot_nodes = args.bootnode.iter().map(|boot| boot.enode.clone()).collect();
    if !args.consortium {
        // In a consortium the reloader has them.
        let nodes = if args.node.is_empty() { &file.p2p.nodes } else { &args.node };
        options.boot_nodes.extend(nodes.iter().filter_map(|node| match node {
            NodeAddress::Enode(enode) => Some(enode.clone()),
            NodeAddress::Address(..) => None,
        }));
    }
    options.discovery = (!args.consortium && !args.no_discovery).then(|| DiscoveryOptions {
        external_ip: args.external_ip,
        boot_records: boot_records(&args.bootnode),
        discv5: !args.no_discovery_v5,
        ..DiscoveryOptions::default()
    });
    options.nat = args.nat.unwrap_or_default();
    options.nat.check().context("--nat")?;
    options.trusted_peers.clone_from(&args.trusted_peer);
    options.network_id = args.network_id;
    options.eth69 = args.eth69;
    options.validator = validator;
    options.sdk = args.sdk(file)?;
    let rpc = args.rpc.section(file)?;
    (options.rpc, options.rpc_gas_cap) = (rpc.options(), rpc.gas_cap());
    options.metrics = args.rpc.metrics(file);
    if args.consortium || file.mesh.is_some() {
        // A node that only follows a chain is an observer.
        let follows = options.chain.is_some() && options.validator.is_none();
        let role = if follows { NodeType::OBSERVER } else { NodeType::CONSENSUS };
        options.mesh = Some(file.mesh.clone().unwrap_or_default().options(role));
    }
    Ok(options)
}

/// The list of the flags, or that of the file if there were none.
fn either<T: Clone>(flags: Vec<T>, file: &[T]) -> Vec<T> {
    if flags.is_empty() { file.to_vec() } else { flags }
}

/// The records among the boot nodes.
pub(super) fn boot_records(nodes: &[BootNode]) -> Vec<NodeRecord> {
    nodes.iter().filter_map(|node| node.record.as_deref().cloned()).collect()
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
