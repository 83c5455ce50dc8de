//! The JSON-RPC methods of a node. They are go-ethereum's in name and shape; what is ours alone is
//! under `chainmesh_` and `mesh_`, or beside theirs under names of its own.

mod admin;
pub mod amop;
mod blocks;
mod call;
mod clique;
pub(crate) mod conversation;
mod debug;
pub mod dispatch;
pub mod error;
mod eth;
mod fees;
mod filters;
mod follow;
mod halt;
mod logs;
pub mod mesh;
mod overrides;
mod params;
pub mod peers;
mod pex;
pub mod reach;
mod reading;
mod shapes;
mod state;
pub mod story;
mod subscribe;
mod transaction_args;
mod txpool;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes, keccak256};
use chainmesh_chain::clique::CliqueHandle;
use chainmesh_chain::execute::DEFAULT_CALL_GAS_CAP;
use chainmesh_chain::{Chain, Mempool};
use chainmesh_identity::{Enode, NodeKey, record};
use chainmesh_net::P2pHandle;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::{Methods, RpcModule};
use serde_json::json;
use tracing::error;

use crate::consortium::Reloader;
use crate::http::{Api, Apis};
use error::{RpcResult, refused};
use params::{Args, Hex};
use reading::plain;

pub use logs::{MAX_LOG_BLOCKS, MAX_LOGS};

/// The parts of a node that its methods are answered from.
#[derive(Debug, Clone)]
pub struct NodeServices {
    /// Its chain, if it has one.
    pub chain: Option<Arc<Chain>>,
    /// Its transactions that wait for a block, if it keeps them.
    pub pool: Option<Arc<Mempool>>,
    /// Its network.
    pub net: P2pHandle,
    /// Signers and its votes, in a clique network.
    pub clique: Option<CliqueHandle>,
    /// For whom it seals blocks, if it does.
    pub signer: Option<Address>,
}

/// What the methods are answered from.
#[derive(Debug)]
pub struct RpcContext {
    pub(crate) chain: Option<Arc<Chain>>,
    pub(crate) pool: Option<Arc<Mempool>>,
    pub(crate) net: P2pHandle,
    pub(crate) clique: Option<CliqueHandle>,
    /// For whom the node seals blocks.
    pub(crate) signer: Option<Address>,
    pub(crate) enode: Enode,
    /// The signed node record as text; empty when it could not be made.
    pub(crate) record: String,
    pub(crate) network_id: u64,
    pub(crate) reloader: Option<Arc<Reloader>>,
    pub(crate) listeners: mesh::Listeners,
    /// Where SDKs of 2.x connect.
    pub(crate) sdk_channel: Option<SocketAddr>,
    /// Where SDKs of 3.x connect.
    pub(crate) sdk_websocket: Option<SocketAddr>,
    pub(crate) data_dir: PathBuf,
    /// Most gas of a call.
    pub(crate) gas_cap: u64,
    pub(crate) readers: reading::Workers,
    pub(crate) callers: reading::Workers,
    pub(crate) events: follow::Events,
    pub(crate) filters: filters::Filters,
    /// Whether they speak TLS.
    pub(crate) sdk_tls: bool,
    /// Where a client on this machine finds certificates that they accept.
    pub(crate) sdk_certificates: Option<PathBuf>,
}

impl RpcContext {
    /// The context of a node that listens at `enode`. The key signs the node record, and is not
    /// kept.
    #[must_use]
    pub fn new(services: NodeServices, key: &NodeKey, enode: &Enode, network_id: u64) -> Self {
        let (sequence, port) = (crate::unix_time(), enode.tcp_port);
        let record = record::build_record(key, sequence, enode.host.ip(), port, port, &[]);
        let record = record.map_or_else(
            |why| {
                error!("{why}");
                String::new()
            },
            |record| record.to_base64(),
        );
        let NodeServices { chain, pool, net, clique, signer } = services;
        Self {
            events: follow::Events::new(chain.as_ref(), pool.as_ref()),
            chain,
            pool,
            net,
            clique,
            signer,
            enode: enode.clone(),
            record,
            network_id,
            reloader: None,
            listeners: Default::default(),
            sdk_channel: None,
            sdk_websocket: None,
            data_dir: PathBuf::new(),
            gas_cap: DEFAULT_CALL_GAS_CAP,
            readers: reading::Workers::for_reads(),
            callers: reading::Workers::for_calls(),
            filters: filters::Filters::default(),
            sdk_tls: false,
            sdk_certificates: None,
        }
    }
}

impl RpcContext {
    /// The chain, for the methods that need one.
    fn chain(&self) -> RpcResult<&Arc<Chain>> {
        self.chain.as_ref().ok_or_else(|| refused("this node has no chain"))
    }
}

/// All methods of a node.
#[must_use]
pub fn module(context: RpcContext) -> RpcModule<RpcContext> {
    let mut module = RpcModule::new(context);
    if let Err(why) = register(&mut module) {
        // Two methods of one name: the tests see it, and those before it still answer.
        error!("RPC methods are missing: {why}");
    }
    module
}

/// Those methods of a module that are in some groups, and `rpc_modules`, which names the groups.
#[must_use]
pub fn select(module: &Methods, apis: &Apis) -> Methods {
    let mut selected = RpcModule::new(());
    let add = |selected: &mut RpcModule<()>| -> Result<(), RegisterMethodError> {
        for name in module.method_names().filter(|name| apis.serve(name)) {
            if let Some(method) = module.method(name) {
                selected.verify_and_insert(name, method.clone())?;
            }
        }
        let rpc = [("rpc", "1.0")].into_iter();
        let versions: BTreeMap<&'static str, &'static str> =
            apis.iter().map(|api| (Api::name(api), "1.0")).chain(rpc).collect();
        selected.register_method("rpc_modules", move |_, _, _| json!(versions))?;
        Ok(())
    };
    if let Err(why) = add(&mut selected) {
        error!("RPC methods are missing: {why}");
    }
    selected.into()
}

fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    eth::register(module)?;
    state::register(module)?;
    fees::register(module)?;
    logs::register(module)?;
    filters::register(module)?;
    subscribe::register(module)?;
    call::register(module)?;
    txpool::register(module)?;
    clique::register(module)?;
    debug::register(module)?;
    admin::register(module)?;
    mesh::register(module)?;
    amop::register(module)?;
    plain(module, "net_version", |context| Ok(json!(context.network_id.to_string())))?;
    plain(module, "net_listening", |context| Ok(json!(context.net.listening().is_some())))?;
    plain(module, "net_peerCount", |context| Ok(json!(quantity(context.net.peer_count() as u64))))?;
    plain(module, "web3_clientVersion", |_| Ok(json!(crate::node::client_name())))?;
    module.register_method("web3_sha3", |params, _, _| {
        let Hex::<Bytes>(bytes) = Args::new(&params, 1)?.required()?;
        RpcResult::Ok(keccak256(bytes))
    })?;
    Ok(())
}

/// A number as Ethereum's JSON-RPC writes it.
fn quantity(number: u64) -> String {
    format!("{number:#x}")
}
