//! The nodes of a development network: how they come into being, and how they end.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use anyhow::{Context as _, bail};
use chainmesh_chain::file::{self, ImportSummary};
use chainmesh_chain::genesis::{DevNetwork, dev_clique};
use chainmesh_chain::{Chain, ChainSpec, Consensus, clique};
use chainmesh_identity::Enode;
use chainmesh_identity::key_file::{self, KEY_FILE_NAME};
use chainmesh_net::discovery::DiscoveryOptions;
use chainmesh_proto::peers::DEFAULT_MAX_PEERS;
use tokio::task::JoinHandle;

use super::chatter::Chatter;
use super::sample::Sampler;
use super::traffic::{Payments, Traffic};
use super::{DevnetOptions, accounts, mesh};
use crate::cli::output::grouped;
use crate::config::NodeAddress;
use crate::data_dir::{DataDir, DataDirError};
use crate::http::{Api, Apis, HttpOptions};
use crate::node::{Node, NodeOptions};
use crate::validator::ValidatorOptions;

/// Chain ID of a new development network: geth's `--dev` has the same.
const DEV_CHAIN_ID: u64 = 1337;

/// JSON-RPC of the first node, where it is free: geth's port.
const RPC_PORT: u16 = 8545;

/// Name of the genesis file in the directory of a development network.
const GENESIS_FILE: &str = "genesis.json";

/// Nodes that find each other and are all connected, each with each: 190 sessions.
const SMALL: usize = 20;

/// Peers at most of a node that finds them in a network that is not [`SMALL`]: a hundred nodes have some
/// 450 sessions, each with two sockets in this process.
const SOME_PEERS: usize = 8;

/// Seconds between two blocks of a new network when nobody says.
const DEFAULT_PERIOD: u64 = 1;

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Makes the blocks.
    Validator,
    /// Has the blocks from a file.
    Source,
    /// Gets them from the others.
    Full,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Source => "source",
            Self::Full => "full",
        }
    }
}

/// One node, running or about to.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) chain: Arc<Chain>,
    /// Until it runs.
    data: Option<DataDir>,
    pub(super) node: Option<Node>,
}

/// An import of a chain file on another thread.
#[derive(Debug)]
struct Import {
    path: PathBuf,
    task: JoinHandle<Result<ImportSummary, file::FileError>>,
    shared: Arc<ImportState>,
}

#[derive(Debug, Default)]
struct ImportState {
    bytes: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

/// All nodes of a development network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) members: Vec<Member>,
    import: Option<Import>,
    begun: bool,
    /// The directory of the network, if it is a consortium.
    consortium: Option<PathBuf>,
    chatter: Option<Chatter>,
    /// Whether the nodes look for each other.
    discovery: bool,
    /// Payments a second, and those under way.
    transactions: u32,
    traffic: Option<Traffic>,
}

impl Network {
    /// Opens the data directories, and begins to import the chain file if there is one.
    pub(super) async fn open(options: &DevnetOptions) -> anyhow::Result<Self> {
        let (count, period) = (options.nodes, options.period);
        let data_dir = options.data_dir.clone();
        let genesis = options.chain.as_ref().map(|(genesis, _)| genesis.clone());
        let consortium = options.consortium;
        let open = move || {
            let members = open_all(&data_dir, count, period, genesis.as_deref())?;
            if consortium {
                let directories: Vec<_> = (1..=count).map(|node| folder(&data_dir, node)).collect();
                mesh::certify(&data_dir, &directories)?;
            }
            Ok::<_, anyhow::Error>(members)
        };
        let members = tokio::task::spawn_blocking(open).await??;
        let consortium = options.consortium.then(|| options.data_dir.clone());
        let mut network = Self {
            members,
            import: None,
            begun: false,
            consortium,
            chatter: None,
            discovery: options.discovery,
            transactions: options.transactions,
            traffic: None,
        };
        if let (Some((_, path)), Some(first)) = (&options.chain, network.members.first()) {
            network.import = Some(Import::start(path, &first.chain)?);
        }
        Ok(network)
    }

    pub(super) const fn len(&self) -> usize {
        self.members.len()
    }

    /// The directory of the network, if it is a consortium.
    pub(super) fn consortium(&self) -> Option<&Path> {
        self.consortium.as_deref()
    }

    /// What the nodes of a consortium say to each other.
    pub(super) const fn chatter(&self) -> Option<&Chatter> {
        self.chatter.as_ref()
    }

    /// What became of the payments of the network, if it makes some.
    pub(super) fn payments(&self) -> Option<Payments> {
        self.traffic.as_ref().map(Traffic::payments)
    }

    /// Whether every node has its network.
    pub(super) fn is_running(&self) -> bool {
        self.members.iter().all(|member| member.node.is_some())
    }

    /// Which part of the chain file is imported, while it is.
    pub(super) fn import_progress(&self) -> Option<f64> {
        let state = &self.import.as_ref()?.shared;
        let total = state.total.load(Relaxed).max(1);
        Some(state.bytes.load(Relaxed) as f64 / total as f64)
    }

    /// Waits until the chain file is imported; says at once that there is none, and never returns
    /// when the nodes have begun already.
    pub(super) async fn imported(&mut self) -> anyhow::Result<Option<ImportSummary>> {
        if self.begun {
            return core::future::pending().await;
        }
        let Some(import) = &mut self.import else { return Ok(None) };
        let ended = (&mut import.task).await;
        let path = import.path.display().to_string();
        self.import = None;
        Ok(Some(ended?.with_context(|| format!("{path} cannot be imported"))?))
    }

    /// Starts the nodes: the first one, and then the others with its URL.
    pub(super) async fn begin(
        &mut self,
        imported: Option<ImportSummary>,
        sampler: &mut Sampler,
    ) -> anyhow::Result<()> {
        self.begun = true;
        if let Some(summary) = imported {
            let progress = summary.progress;
            let blocks = grouped(progress.blocks);
            sampler.tell(format!("node 1 has {blocks} blocks from the file"));
        }
        let mut started: Vec<Enode> = Vec::new();
        // All of the others want the first one, and a part of its slots is not for inbound peers.
        let count = self.members.len();
        let star = (count * 2).max(DEFAULT_MAX_PEERS);
        for (index, member) in self.members.iter_mut().enumerate() {
            let Some(data) = member.data.take() else { continue };
            let key = data.key()?;
            let seals = member.role == Role::Validator;
            let validator = seals.then(|| ValidatorOptions::new(key.duplicate()));
            let mut options = NodeOptions::new(data, key);
            options.listen_address = Ipv4Addr::LOCALHOST.into();
            options.port = 0;
            let is_crowded = self.discovery && index > 0 && count > SMALL;
            options.max_peers = if is_crowded { SOME_PEERS } else { star };
            options.discovery = self.discovery.then(DiscoveryOptions::default);
            options.rpc = endpoint(index);
            options.validator = validator;
            if self.consortium.is_some() {
                // By their addresses, as in a node list of FISCO: the certificate says who is there.
                let others = started.iter().enumerate();
                let linked = others.filter(|(at, _)| mesh::are_linked(at + 1, index + 1, count));
                let links = linked
                    .map(|(_, node)| NodeAddress::Address(node.host.clone(), node.tcp_port))
                    .collect();
                mesh::join(&mut options, member.role, links)?;
            } else {
                options.boot_nodes.extend(started.first().cloned());
            }
            let node = Node::start(options).await?;
            if let Some(address) = node.rpc.http {
                sampler.tell(format!("node {}: JSON-RPC at http://{address}", index + 1));
            }
            if let Some(ports) = mesh::ports(index + 1, &node) {
                sampler.tell(ports);
            }
            started.push(node.enode.clone());
            member.node = Some(node);
        }
        self.begin_payments(sampler);
        if let Some(data_dir) = &self.consortium {
            sampler.tell(format!("to see it from inside: {}", mesh::hint(data_dir)));
            let nodes = self.members.iter().filter_map(|member| member.node.as_ref());
            let meshes = nodes.filter_map(|node| Some((node.net.local_id, node.net.mesh()?)));
            self.chatter = Some(Chatter::start(meshes.collect()));
        }
        Ok(())
    }

    /// The last node sends payments, where blocks are made and there is money for it.
    fn begin_payments(&mut self, sampler: &mut Sampler) {
        let makes_blocks = self.members.iter().any(|member| member.role == Role::Validator);
        let Some(last) = self.members.last().filter(|_| makes_blocks) else { return };
        let pool = last.node.as_ref().and_then(Node::pool);
        let traffic = pool.and_then(|pool| Traffic::start(&last.chain, pool, self.transactions));
        if traffic.is_some() {
            sampler.tell(format!("node {} sends payments", self.members.len()));
        }
        if let Some(hint) = accounts::hint(&last.chain) {
            sampler.tell(hint);
        }
        if let Some(hint) = accounts::key_hint(&last.chain) {
            sampler.tell(hint);
        }
        self.traffic = traffic;
    }

    pub(super) fn stop_making_blocks(&mut self) {
        self.traffic = None;
        self.members
            .iter_mut()
            .filter_map(|member| member.node.as_mut())
            .for_each(Node::stop_validator);
    }

    /// Ends all nodes.
    pub(super) async fn stop(self) {
        drop(self.chatter);
        drop(self.traffic);
        if let Some(import) = self.import {
            import.shared.stop.store(true, Relaxed);
            // Whatever came of it, what it has stored is kept.
            let _ = import.task.await;
        }
        let nodes = self.members.into_iter().filter_map(|member| member.node);
        let mut stopping: tokio::task::JoinSet<()> = nodes.map(Node::stop).collect();
        while stopping.join_next().await.is_some() {}
    }
}

impl Import {
    fn start(path: &Path, chain: &Arc<Chain>) -> anyhow::Result<Self> {
        let failed = || format!("cannot open the chain file {}", path.display());
        let length =
            std::fs::File::open(path).and_then(|file| file.metadata()).with_context(failed)?;
        let shared = Arc::new(ImportState::default());
        shared.total.store(length.len(), Relaxed);
        let (chain, state, file) = (Arc::clone(chain), Arc::clone(&shared), path.to_path_buf());
        let task = tokio::task::spawn_blocking(move || {
            file::import_path(&chain, &file, |progress| {
                state.bytes.store(progress.bytes, Relaxed);
                if state.stop.load(Relaxed) {
                    core::ops::ControlFlow::Break(())
                } else {
                    core::ops::ControlFlow::Continue(())
                }
            })
        });
        Ok(Self { path: path.into(), task, shared })
    }
}

/// JSON-RPC over HTTP and WebSocket on one port, for programs on this machine: on the port that
/// wallets look at for the first node, the next one for the second and so on, where they are free.
fn endpoint(index: usize) -> HttpOptions {
    let wanted = u16::try_from(index).ok().and_then(|index| RPC_PORT.checked_add(index));
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, wanted.unwrap_or(0)));
    let is_free = std::net::TcpListener::bind(wanted).is_ok();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let anywhere = if is_free { wanted } else { anywhere };
    let apis = Apis::of(&[Api::Debug, Api::Eth, Api::Net, Api::Txpool, Api::Web3]);
    HttpOptions {
        http: Some(anywhere),
        ws: Some(anywhere),
        http_apis: apis.clone(),
        ws_apis: apis,
        ..HttpOptions::default()
    }
}

/// The data directory of a node, from 1.
fn folder(data_dir: &Path, number: usize) -> PathBuf {
    data_dir.join(format!("node{number}"))
}

fn open_all(
    data_dir: &Path,
    count: usize,
    period: Option<u64>,
    genesis: Option<&Path>,
) -> anyhow::Result<Vec<Member>> {
    let first = open_first(&folder(data_dir, 1), period, genesis)?;
    let spec = first.chain.spec().clone();
    write_genesis(&data_dir.join(GENESIS_FILE), &spec)?;
    let address = clique::address(first.key()?.public_key());
    let signers = clique::signers_in_extra_data(&spec.genesis_header().extra_data);
    let seals = matches!(spec.consensus(), Consensus::Clique { .. })
        && signers.is_some_and(|signers| signers.contains(&address));
    let mut members = vec![member(if seals { Role::Validator } else { Role::Source }, first)];
    for number in 2..=count {
        members.push(member(Role::Full, {
            let data = DataDir::open(&folder(data_dir, number), Some(spec.clone()))?;
            // Its certificate is made for it.
            data.key()?;
            data
        }));
    }
    Ok(members)
}

/// Leaves the genesis file where others find it: another node, or geth, can join the network.
fn write_genesis(path: &Path, spec: &ChainSpec) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let json = serde_json::to_string_pretty(spec.genesis())?;
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
}

fn member(role: Role, data: DataDir) -> Member {
    Member { role, chain: Arc::clone(&data.chain), data: Some(data), node: None }
}

/// The chain of node 1: of the genesis file, else the one that is there, else a new one that its
/// own key seals.
fn open_first(path: &Path, period: Option<u64>, genesis: Option<&Path>) -> anyhow::Result<DataDir> {
    if let Some(genesis) = genesis {
        return Ok(DataDir::open(path, Some(ChainSpec::read(genesis)?))?);
    }
    match DataDir::open(path, None) {
        Err(DataDirError::Missing { .. } | DataDirError::NoGenesis { .. }) => {}
        opened => {
            let data = opened?;
            check_period(&data, period)?;
            return Ok(data);
        }
    }
    let made = std::fs::create_dir_all(path);
    made.with_context(|| format!("cannot make the data directory {}", path.display()))?;
    let key = key_file::load_or_create(&path.join(KEY_FILE_NAME), chainmesh_net::entropy())?;
    let genesis = dev_clique(&DevNetwork {
        chain_id: DEV_CHAIN_ID,
        period: period.unwrap_or(DEFAULT_PERIOD),
        timestamp: crate::unix_time(),
        signers: vec![clique::address(key.public_key())],
        balances: accounts::balances(),
    });
    Ok(DataDir::open(path, Some(ChainSpec::new(genesis)?))?)
}

/// The time between two blocks is a rule of the chain that all its blocks were checked with.
fn check_period(data: &DataDir, wanted: Option<u64>) -> anyhow::Result<()> {
    match (data.chain.spec().consensus(), wanted) {
        (Consensus::Clique { period, .. }, Some(wanted)) if wanted != period => bail!(
            "the chain in {} has a block every {period} s, which cannot be changed: leave --period \
             out, or use another --data-dir",
            data.path().display()
        ),
        _ => Ok(()),
    }
}
