//! One running node: its chain, its network, its validator and its IPC socket.
//!
//! `chainmesh run` has one of them, `chainmesh devnet` several in one process: there is no state
//! outside of [`Node`].

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chainmesh_chain::{Chain, Consensus};
use chainmesh_identity::{Enode, NodeKey};
use chainmesh_net::{EthChain, NodeKind, P2pConfig, P2pHandle, StartError};
use chainmesh_proto::eth::chain::ChainReader;
use chainmesh_proto::peers::DEFAULT_MAX_PEERS;
use chainmesh_wire::eth::EthVersion;
use tracing::info;

use crate::data_dir::DataDir;
use crate::ipc::{IpcError, IpcServer};
use crate::rpc::{self, RpcContext};
use crate::validator::{self, Validator, ValidatorError};

/// What a node is made from. The fields without a default are the arguments of
/// [`NodeOptions::new`].
#[derive(Debug)]
pub struct NodeOptions {
    /// The locked data directory with the chain.
    pub data: DataDir,
    /// The key by which peers know the node.
    pub key: NodeKey,
    /// Address to listen on; all of them by default.
    pub listen_address: IpAddr,
    /// TCP port to listen on; 0 lets the system choose one.
    pub port: u16,
    /// Nodes to connect to, for ever.
    pub boot_nodes: Vec<Enode>,
    /// The same, beside `max_peers`.
    pub trusted_peers: Vec<Enode>,
    /// Peers at most, trusted ones not counted.
    pub max_peers: usize,
    /// Network ID of the `eth` Status; the chain ID if `None`.
    pub network_id: Option<u64>,
    /// Seals blocks with this key.
    pub validator_key: Option<NodeKey>,
}

impl NodeOptions {
    /// A node on a data directory, with the defaults of `chainmesh run`.
    #[must_use]
    pub fn new(data: DataDir, key: NodeKey) -> Self {
        Self {
            data,
            key,
            listen_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: chainmesh_identity::enode::DEFAULT_PORT,
            boot_nodes: Vec::new(),
            trusted_peers: Vec::new(),
            max_peers: DEFAULT_MAX_PEERS,
            network_id: None,
            validator_key: None,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The network did not start.
    #[error("{0}; another program may use the port: choose another one with --port (0: any)")]
    Network(#[from] StartError),
    /// The IPC socket could not be made.
    #[error(transparent)]
    Ipc(#[from] IpcError),
    /// The node cannot seal blocks.
    #[error(transparent)]
    Validator(#[from] ValidatorError),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its chain.
    pub chain: Arc<Chain>,
    /// Its network.
    pub net: P2pHandle,
    /// The URL under which others reach it, with the port it really listens on.
    pub enode: Enode,
    validator: Option<Validator>,
    ipc: IpcServer,
    data: DataDir,
}

impl Node {
    /// Starts a node inside the current tokio runtime.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let NodeOptions { data, key, .. } = options;
        let chain = Arc::clone(&data.chain);
        let chain_id = chain.spec().config().chain_id;
        let producer = match &options.validator_key {
            Some(key) => Some(validator::producer(&chain, key)?),
            None => None,
        };

        let mut config = P2pConfig::new(key.duplicate(), chain_id, chain.genesis_hash());
        config.listen_address = options.listen_address;
        config.listen_port = options.port;
        config.max_peers = options.max_peers;
        config.boot_nodes = options.boot_nodes;
        let trusted = options.trusted_peers.into_iter();
        config.configured_nodes = trusted.map(|node| (node, NodeKind::Trusted)).collect();
        config.client_name = client_name();
        let reader: Arc<dyn ChainReader> = Arc::<Chain>::clone(&chain);
        let mut eth = EthChain::new(reader, chain.fork_filter());
        if !matches!(chain.spec().consensus(), Consensus::ProofOfStake) {
            // The Status of eth/69 has no total difficulty, by which the branches of other chains
            // are compared: after a partition a shorter, heavier branch would never be asked for.
            eth.versions.retain(|version| *version < EthVersion::Eth69);
        }
        eth.network_id = options.network_id;
        eth.sync = Some(Arc::<Chain>::clone(&chain));
        config.chain = Some(eth);
        let net = chainmesh_net::start(config).await?;

        // A node always listens here, so it has an address.
        let fallback = || Enode::new(net.local_id, options.listen_address, options.port);
        let enode = net.enode().unwrap_or_else(fallback);
        let network_id = options.network_id.unwrap_or(chain_id);
        let context = RpcContext::new(Arc::clone(&chain), net.clone(), &key, &enode, network_id);
        let ipc = match IpcServer::start(data.path(), rpc::module(context)) {
            Ok(ipc) => ipc,
            Err(error) => {
                net.shutdown().await;
                return Err(error.into());
            }
        };
        let head = chain.head();
        info!(%enode, head = head.number, hash = %head.hash, "node started");
        let start = |producer| Validator::start(Arc::clone(&chain), net.clone(), producer);
        let validator = producer.map(start);
        Ok(Self { chain, net, enode, validator, ipc, data })
    }

    /// Whether it seals blocks.
    #[must_use]
    pub const fn is_validator(&self) -> bool {
        self.validator.is_some()
    }

    /// Makes no more blocks. Everything else goes on.
    pub fn stop_validator(&mut self) {
        self.validator = None;
    }

    /// Says goodbye to its peers and ends the node; returns when that is done.
    pub async fn stop(self) {
        drop(self.validator);
        self.ipc.stop().await;
        self.net.shutdown().await;
        let head = self.chain.head();
        info!(head = head.number, hash = %head.hash, "node stopped");
        drop(self.data);
    }
}

/// Name, version and platform, as peers see them: `chainmesh/v0.1.0/linux-x86_64`.
#[must_use]
pub fn client_name() -> String {
    format!("{}/{}-{}", crate::CLIENT_VERSION, std::env::consts::OS, std::env::consts::ARCH)
}
