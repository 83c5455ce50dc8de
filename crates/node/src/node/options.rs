//! What a node is made from.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chainmesh_chain::execute::DEFAULT_CALL_GAS_CAP;
use chainmesh_chain::{Chain, DataDirLock, MempoolConfig};
use chainmesh_identity::{Enode, NodeKey};
use chainmesh_net::NodeRole;
use chainmesh_net::discovery::DiscoveryOptions;
use chainmesh_net::mesh::MeshOptions;
use chainmesh_net::nat::NatChoice;
use chainmesh_proto::peers::DEFAULT_MAX_PEERS;

use crate::consortium::Consortium;
use crate::data_dir::DataDir;
use crate::http::HttpOptions;
use crate::sdk::SdkOptions;
use crate::validator::ValidatorOptions;

/// What a node is made from. The fields without a default are the arguments of
/// [`NodeOptions::new`].
#[derive(Debug)]
pub struct NodeOptions {
    /// The lock of the data directory.
    pub lock: DataDirLock,
    /// The chain; a node of a consortium may do without one.
    pub chain: Option<Arc<Chain>>,
    /// The key by which peers know the node.
    pub key: NodeKey,
    /// Address to listen on; all of them by default.
    pub listen_address: IpAddr,
    /// TCP port to listen on; 0 lets the system choose one.
    pub port: u16,
    /// Nodes to connect to, for ever.
    pub boot_nodes: Vec<Enode>,
    /// Discovery over UDP; `None`: only the nodes named here are dialled.
    pub discovery: Option<DiscoveryOptions>,
    /// Whether peers are asked for nodes and told of some; not by default.
    pub pex: bool,
    /// How the node gets to be reached from outside its network.
    pub nat: NatChoice,
    /// Whether peers are asked to dial back, and dialled back.
    pub reach: bool,
    /// What the node is on its chain, as it tells its peers.
    pub role: NodeRole,
    /// As `boot_nodes`, beside `max_peers`.
    pub trusted_peers: Vec<Enode>,
    /// Peers at most, trusted ones not counted.
    pub max_peers: usize,
    /// See [`P2pConfig::min_peers`](chainmesh_net::P2pConfig::min_peers).
    pub min_peers: Option<usize>,
    /// See [`P2pConfig::rotation`](chainmesh_net::P2pConfig::rotation).
    pub rotation: bool,
    /// Network ID of the `eth` Status; the chain ID if `None`.
    pub network_id: Option<u64>,
    /// Whether eth/69 is offered where it is not by default: on a chain that is not of proof of
    /// stake, to nodes that speak nothing older.
    pub eth69: bool,
    /// Seals blocks.
    pub validator: Option<ValidatorOptions>,
    /// Certificates and nodes of a consortium: sessions are TLS then.
    pub consortium: Option<Consortium>,
    /// The mesh.
    pub mesh: Option<MeshOptions>,
    /// The ports for SDKs; they need the mesh.
    pub sdk: Option<SdkOptions>,
    /// How much the pool of transactions holds, and what it asks of a transaction.
    pub mempool: MempoolConfig,
    /// Where JSON-RPC is served beside the Unix socket, and what to whom; nowhere by default.
    pub rpc: HttpOptions,
    /// Most gas of a call by JSON-RPC.
    pub rpc_gas_cap: u64,
    /// Where metrics and readiness are served; nowhere by default.
    pub metrics: Option<SocketAddr>,
}

impl NodeOptions {
    /// A node on a data directory, with the defaults of `chainmesh run`.
    #[must_use]
    pub fn new(data: DataDir, key: NodeKey) -> Self {
        let (lock, chain) = data.into_parts();
        Self::of_parts(lock, chain, key)
    }

    /// The same, where there may be no chain.
    #[must_use]
    pub fn of_parts(lock: DataDirLock, chain: Option<Arc<Chain>>, key: NodeKey) -> Self {
        Self {
            lock,
            chain,
            key,
            listen_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: chainmesh_identity::enode::DEFAULT_PORT,
            boot_nodes: Vec::new(),
            discovery: None,
            pex: false,
            nat: NatChoice::None,
            reach: false,
            role: NodeRole::default(),
            trusted_peers: Vec::new(),
            max_peers: DEFAULT_MAX_PEERS,
            min_peers: None,
            rotation: true,
            network_id: None,
            eth69: false,
            validator: None,
            consortium: None,
            mesh: None,
            sdk: None,
            mempool: MempoolConfig::default(),
            rpc: HttpOptions::default(),
            rpc_gas_cap: DEFAULT_CALL_GAS_CAP,
            metrics: None,
        }
    }
}
