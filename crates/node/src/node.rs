//! One running node: its chain, its network, its validator and its IPC socket.
//!
//! `chainmesh run` has one of them, `chainmesh devnet` several in one process: there is no state
//! outside of [`Node`].

mod options;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use chainmesh_chain::clique::CliqueHandle;
use chainmesh_chain::pool::MempoolSubscription;
use chainmesh_chain::producer::PoolBlocks;
use chainmesh_chain::{Chain, Consensus, DataDirLock, Mempool, Producer, StoreError};
use chainmesh_identity::Enode;
use chainmesh_net::mesh::{MeshHandle, NodeType};
use chainmesh_net::tls::{TlsMaterial, Versions};
use chainmesh_net::{EthChain, NodeKind, P2pConfig, P2pHandle, SessionKind, StartError, TlsConfig};
use chainmesh_proto::eth::chain::ChainReader;
use chainmesh_wire::eth::EthVersion;
use jsonrpsee_core::server::Methods;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::info;

use crate::book::{self, BookKeeper};
use crate::config::NodeAddress;
use crate::consortium::{Consortium, Reloader};
use crate::future;
use crate::http::{Apis, HttpError, HttpOptions, HttpServer};
use crate::ipc::{IpcError, IpcServer};
use crate::metrics::{MetricsError, MetricsServer, MetricsSources};
use crate::pool::NodePool;
use crate::rpc::{self, NodeServices, RpcContext};
use crate::sdk::{Ledger, SdkError, SdkOptions, SdkPorts};
use crate::validator::{self, Validator, ValidatorError};
pub use options::NodeOptions;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The network did not start.
    #[error("{0}; another program may use the port: choose another one with --port (0: any)")]
    Network(#[from] StartError),
    /// The IPC socket could not be made.
    #[error(transparent)]
    Ipc(#[from] IpcError),
    /// JSON-RPC cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A port for SDKs was not opened.
    #[error(transparent)]
    Sdk(#[from] SdkError),
    /// The state of the chain cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node cannot seal blocks.
    #[error(transparent)]
    Validator(#[from] ValidatorError),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its chain, if it has one.
    pub chain: Option<Arc<Chain>>,
    /// Its network.
    pub net: P2pHandle,
    /// The URL under which others reach it, with the port it really listens on.
    pub enode: Enode,
    /// What reads certificates, lists and nodes again, in a consortium.
    pub reloader: Option<Arc<Reloader>>,
    /// Where SDKs connect.
    pub sdk: Option<SdkPorts>,
    /// Where JSON-RPC is served beside the Unix socket.
    pub rpc: HttpServer,
    /// Where metrics and readiness are served.
    pub metrics: Option<MetricsServer>,
    /// Votes and signers, in a clique network.
    pub clique: Option<CliqueHandle>,
    pool: Option<NodePool>,
    validator: Option<(Validator, MempoolSubscription)>,
    book: Option<BookKeeper>,
    ipc: IpcServer,
    tasks: Vec<AbortOnDrop>,
    lock: DataDirLock,
}

impl Node {
    /// Starts a node inside the current tokio runtime.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn start(mut options: NodeOptions) -> Result<Self, NodeError> {
        let clique = options.chain.clone().and_then(CliqueHandle::new);
        let producer = match (&options.validator, &clique) {
            (Some(validator), Some(clique)) => Some(validator::producer(validator, clique)?),
            (Some(_), None) => return Err(ValidatorError::NotClique.into()),
            (None, _) => None,
        };
        if options.sdk.is_some() && options.mesh.is_none() {
            return Err(SdkError::NoMesh.into());
        }
        let consortium = options.consortium.take();
        let material = consortium.as_ref().map(|consortium| Arc::clone(&consortium.material));
        let pool = match &options.chain {
            Some(chain) => {
                let data_dir = options.lock.data_dir();
                Some(NodePool::start(chain, options.mempool.clone(), data_dir)?)
            }
            None => None,
        };
        let mut config = network(&options, consortium.as_ref());
        if let (Some(eth), Some(pool)) = (&mut config.chain, &pool) {
            eth.pool = Some(pool.network());
        }
        let role = config.mesh.as_ref().map(|mesh| mesh.role);
        let network_id = options.network_id.unwrap_or(config.chain_id);
        let (book, known) = book::open(options.lock.data_dir(), config.local_id());
        config.book = Some(known);
        let net = chainmesh_net::start(config).await?;
        let book = book.map(|store| BookKeeper::start(store, net.clone()));
        let NodeOptions { lock, chain, key, sdk, rpc: http, rpc_gas_cap, metrics, .. } = options;
        // The ports are open before there are methods: these tell where the ports are.
        let methods = Arc::<OnceLock<Methods>>::default();
        let ledger = |mesh, chain_id| {
            let (chain, methods) = (chain.clone(), Arc::clone(&methods));
            Ledger { mesh, chain, chain_id, methods }
        };
        let sdk_tls = sdk.as_ref().is_some_and(|sdk| sdk.tls);
        // The client may be started elsewhere.
        let sdk_certificates = sdk.as_ref().and_then(|sdk| sdk.directory.as_ref());
        let sdk_certificates =
            sdk_certificates.and_then(|directory| std::path::absolute(directory).ok());
        let sdk = match open_ports(sdk.as_ref(), &net, ledger, material.as_ref()).await {
            Ok(sdk) => sdk,
            Err(error) => {
                net.shutdown().await;
                return Err(error.into());
            }
        };

        // A node always listens here, so it has an address.
        let fallback = || Enode::new(net.local_id, options.listen_address, options.port);
        let enode = net.enode().unwrap_or_else(fallback);
        let certificates = sdk.as_ref().and_then(|ports| ports.certificates.clone());
        let reloader =
            consortium.map(|consortium| Reloader::new(consortium, net.clone(), certificates));
        let services = NodeServices {
            chain: chain.clone(),
            pool: pool.as_ref().map(|pool| Arc::clone(pool.pool())),
            net: net.clone(),
            clique: clique.clone(),
            signer: producer.as_ref().map(Producer::signer),
        };
        let context = RpcContext::new(services, &key, &enode, network_id);
        let context = RpcContext {
            reloader: reloader.clone(),
            sdk_channel: sdk.as_ref().and_then(|ports| ports.channel),
            sdk_websocket: sdk.as_ref().and_then(|ports| ports.websocket),
            data_dir: lock.data_dir().into(),
            gas_cap: rpc_gas_cap,
            sdk_tls,
            sdk_certificates,
            ..context
        };
        let sources = MetricsSources {
            net: net.clone(),
            chain: chain.clone(),
            pool: pool.as_ref().map(|pool| Arc::clone(pool.pool())),
            clique: clique.clone(),
            reloader: reloader.clone(),
        };
        let module: Methods = rpc::module(context).into();
        let _ = methods.set(rpc::select(&module, &Apis::default()));
        let ports = Ports { http: &http, metrics };
        let (ipc, rpc, metrics) = match serve(lock.data_dir(), &ports, &module, sources).await {
            Ok(served) => served,
            Err(error) => {
                net.shutdown().await;
                return Err(error);
            }
        };
        match chain.as_ref().map(|chain| chain.head()) {
            Some(head) => info!(%enode, head = head.number, hash = %head.hash, "node started"),
            None => info!(%enode, "node started, without a chain"),
        }
        let validator = match (producer, &chain, &clique, &pool) {
            (Some(producer), Some(chain), Some(clique), Some(pool)) => {
                Some(start_validator(producer, chain, clique, pool.pool(), &net))
            }
            _ => None,
        };
        let watch = reloader
            .clone()
            .map(|reloader| AbortOnDrop(tokio::spawn(async move { reloader.watch().await })));
        let height = match (net.mesh(), role, &chain) {
            (Some(mesh), Some(role), Some(chain)) => {
                Some(AbortOnDrop(tokio::spawn(tell_height(mesh, role, Arc::clone(chain)))))
            }
            _ => None,
        };
        let early = clique.as_ref().and(chain.as_ref()).map(|chain| {
            let import = future::import_due_blocks(Arc::clone(chain), net.clone());
            AbortOnDrop(tokio::spawn(import))
        });
        let tasks = [watch, height, early].into_iter().flatten().collect();
        Ok(Self {
            chain,
            net,
            enode,
            reloader,
            sdk,
            rpc,
            metrics,
            clique,
            pool,
            validator,
            book,
            ipc,
            tasks,
            lock,
        })
    }

    /// Whether it seals blocks.
    #[must_use]
    pub const fn is_validator(&self) -> bool {
        self.validator.is_some()
    }

    /// The transactions that wait for a block, if it has a chain.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Mempool>> {
        self.pool.as_ref().map(NodePool::pool)
    }

    /// Makes no more blocks. Everything else goes on.
    pub fn stop_validator(&mut self) {
        self.validator = None;
    }

    /// Says goodbye to its peers and ends the node; returns when that is done.
    pub async fn stop(self) {
        drop(self.validator);
        drop(self.pool);
        drop(self.tasks);
        drop(self.sdk);
        drop((self.rpc, self.metrics));
        self.ipc.stop().await;
        if let Some(book) = self.book {
            book.stop().await;
        }
        self.net.shutdown().await;
        match self.chain.map(|chain| chain.head()) {
            Some(head) => info!(head = head.number, hash = %head.hash, "node stopped"),
            None => info!("node stopped"),
        }
        drop(self.lock);
    }
}

/// Begins to seal blocks with what is in the pool. On a network with period 0 a transaction makes a
/// block possible.
fn start_validator(
    producer: Producer,
    chain: &Arc<Chain>,
    clique: &CliqueHandle,
    pool: &Arc<Mempool>,
    net: &P2pHandle,
) -> (Validator, MempoolSubscription) {
    let blocks = Arc::new(PoolBlocks::new(Arc::clone(chain), Arc::clone(pool)));
    let validator =
        Validator::start(Arc::clone(chain), net.clone(), producer, blocks, clique.clone());
    let transactions = Arc::clone(validator.transactions());
    let subscription = pool.subscribe(move |_| transactions.notify_one());
    (validator, subscription)
}

/// What is served on TCP ports to programs of the operator.
struct Ports<'a> {
    http: &'a HttpOptions,
    metrics: Option<SocketAddr>,
}

/// Serves JSON-RPC: everything on the Unix socket, and what the options say on ports; and metrics.
async fn serve(
    data_dir: &Path,
    ports: &Ports<'_>,
    module: &Methods,
    sources: MetricsSources,
) -> Result<(IpcServer, HttpServer, Option<MetricsServer>), NodeError> {
    let http = HttpServer::open(ports.http, |apis| rpc::select(module, apis)).await?;
    let metrics = match ports.metrics {
        Some(address) => Some(MetricsServer::open(address, sources).await?),
        None => None,
    };
    let ipc = IpcServer::start(data_dir, rpc::select(module, &Apis::all()))?;
    Ok((ipc, http, metrics))
}

/// Opens the ports for SDKs, if there are to be some.
async fn open_ports(
    options: Option<&SdkOptions>,
    net: &P2pHandle,
    ledger: impl FnOnce(MeshHandle, u64) -> Ledger,
    material: Option<&Arc<TlsMaterial>>,
) -> Result<Option<SdkPorts>, SdkError> {
    let Some(options) = options else { return Ok(None) };
    let (amop, mesh) = net.amop().zip(net.mesh()).ok_or(SdkError::NoMesh)?;
    SdkPorts::open(options, &amop, ledger(mesh, options.chain_id), material).await.map(Some)
}

/// A task that ends with what it belongs to.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(pub(crate) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Least time between two heights that the mesh is told: while a chain is synchronised it has
/// thousands a second.
const HEIGHT_PERIOD: Duration = Duration::from_secs(1);

/// Tells the mesh how high the chain is, whenever it has grown.
async fn tell_height(mesh: MeshHandle, role: NodeType, chain: Arc<Chain>) {
    let moved = Arc::new(Notify::new());
    let _subscription = chain.subscribe({
        let moved = Arc::clone(&moved);
        move |_| moved.notify_one()
    });
    loop {
        mesh.set_status(role, chain.head().number);
        tokio::time::sleep(HEIGHT_PERIOD).await;
        moved.notified().await;
    }
}

/// What the network of a node is made from.
fn network(options: &NodeOptions, consortium: Option<&Consortium>) -> P2pConfig {
    let chain = options.chain.as_ref();
    let chain_id = chain.map_or(0, |chain| chain.spec().config().chain_id);
    let genesis = chain.map(|chain| chain.genesis_hash()).unwrap_or_default();
    let mut config = P2pConfig::new(options.key.duplicate(), chain_id, genesis);
    config.listen_address = options.listen_address;
    config.listen_port = options.port;
    config.max_peers = options.max_peers;
    config.min_peers = options.min_peers;
    config.rotation = options.rotation;
    config.boot_nodes.clone_from(&options.boot_nodes);
    config.discovery.clone_from(&options.discovery);
    config.pex = options.pex;
    config.nat = options.nat;
    config.reach = options.reach;
    config.role = options.role;
    let trusted = options.trusted_peers.iter().cloned();
    config.configured_nodes = trusted.map(|node| (node, NodeKind::Trusted)).collect();
    config.client_name = client_name();
    config.chain = chain.map(|chain| {
        let mut eth = eth(chain, options.network_id, options.eth69);
        // A member of a consortium need not have the chain.
        eth.required = consortium.is_none();
        eth
    });
    config.mesh.clone_from(&options.mesh);
    config.amop = options.sdk.as_ref().map(|sdk| sdk.amop.clone());
    if let (Some(mesh), Some(chain)) = (&mut config.mesh, chain) {
        mesh.height = chain.head().number;
    }
    if let Some(consortium) = consortium {
        config.session = SessionKind::Tls;
        let material = Arc::clone(&consortium.material);
        config.tls = Some(TlsConfig { material, versions: Versions::Both });
        for node in consortium.nodes() {
            match node {
                NodeAddress::Enode(enode) => {
                    config.configured_nodes.push((enode.clone(), NodeKind::Static));
                }
                NodeAddress::Address(host, port) => config.addresses.push((host.clone(), *port)),
            }
        }
    }
    config
}

fn eth(chain: &Arc<Chain>, network_id: Option<u64>, eth69: bool) -> EthChain {
    let reader: Arc<dyn ChainReader> = Arc::<Chain>::clone(chain);
    let mut eth = EthChain::new(reader, chain.fork_filter());
    let staked = matches!(chain.spec().consensus(), Consensus::ProofOfStake);
    eth.block_gossip = !staked;
    // The Status of eth/69 has no total difficulty, by which the branches of other chains are
    // compared: after a partition a shorter, heavier branch would never be asked for.
    if staked || eth69 {
        eth.versions = EthVersion::ALL.to_vec();
    }
    eth.network_id = network_id;
    eth.sync = Some(Arc::<Chain>::clone(chain));
    eth
}

/// Name, version and platform, as peers see them: `chainmesh/v0.1.0/linux-x86_64`.
#[must_use]
pub fn client_name() -> String {
    format!("{}/{}-{}", crate::CLIENT_VERSION, std::env::consts::OS, std::env::consts::ARCH)
}
