//! The JSON-RPC methods of a node. They are go-ethereum's in name and shape; what is ours alone is
//! under `chainmesh_` and `mesh_`, or beside theirs under names of its own.

mod admin;
pub mod amop;
mod clique;
pub mod dispatch;
mod eth;
pub mod mesh;
pub mod peers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use chainmesh_chain::Chain;
use chainmesh_chain::clique::CliqueHandle;
use chainmesh_identity::{Enode, NodeKey, record};
use chainmesh_net::P2pHandle;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::ErrorObjectOwned;
use jsonrpsee_types::error::{CALL_EXECUTION_FAILED_CODE, INTERNAL_ERROR_CODE};
use serde_json::json;
use tracing::error;

use crate::consortium::Reloader;

/// The namespaces, each with its version, as `rpc_modules` tells them.
const NAMESPACES: [&str; 9] =
    ["admin", "amop", "chainmesh", "clique", "eth", "mesh", "net", "rpc", "web3"];

/// What the methods are answered from.
#[derive(Debug)]
pub struct RpcContext {
    pub(crate) chain: Option<Arc<Chain>>,
    pub(crate) net: P2pHandle,
    pub(crate) enode: Enode,
    /// The signed node record as text; empty when it could not be made.
    pub(crate) record: String,
    pub(crate) network_id: u64,
    pub(crate) reloader: Option<Arc<Reloader>>,
    /// Votes and signers, in a clique network.
    pub(crate) clique: Option<CliqueHandle>,
    pub(crate) listeners: mesh::Listeners,
    /// Where SDKs of 2.x connect.
    pub(crate) sdk_channel: Option<SocketAddr>,
    /// Where SDKs of 3.x connect.
    pub(crate) sdk_websocket: Option<SocketAddr>,
    /// Whether they speak TLS.
    pub(crate) sdk_tls: bool,
    /// Where a client on this machine finds certificates that they accept.
    pub(crate) sdk_certificates: Option<PathBuf>,
}

impl RpcContext {
    /// The context of a node that listens at `enode`. The key signs the node record, and is not
    /// kept.
    #[must_use]
    pub fn new(
        chain: Option<Arc<Chain>>,
        net: P2pHandle,
        key: &NodeKey,
        enode: &Enode,
        network_id: u64,
    ) -> Self {
        let (sequence, port) = (crate::unix_time(), enode.tcp_port);
        let record = record::build_record(key, sequence, enode.host.ip(), port, port, &[]);
        let record = record.map_or_else(
            |why| {
                error!("{why}");
                String::new()
            },
            |record| record.to_base64(),
        );
        Self {
            chain,
            net,
            enode: enode.clone(),
            record,
            network_id,
            reloader: None,
            clique: None,
            listeners: Default::default(),
            sdk_channel: None,
            sdk_websocket: None,
            sdk_tls: false,
            sdk_certificates: None,
        }
    }
}

impl RpcContext {
    /// The chain, for the methods that need one.
    fn chain(&self) -> Result<&Arc<Chain>, ErrorObjectOwned> {
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

fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    eth::register(module)?;
    admin::register(module)?;
    clique::register(module)?;
    mesh::register(module)?;
    amop::register(module)?;
    module.register_method("net_version", |_, context, _| context.network_id.to_string())?;
    module.register_method("net_listening", |_, context, _| context.net.listening().is_some())?;
    module.register_method("net_peerCount", |_, context, _| {
        quantity(context.net.peer_count() as u64)
    })?;
    module.register_method("web3_clientVersion", |_, _, _| crate::node::client_name())?;
    module.register_method("rpc_modules", |_, _, _| {
        let versions: BTreeMap<_, _> = NAMESPACES.map(|name| (name, "1.0")).into();
        json!(versions)
    })?;
    Ok(())
}

/// A number as Ethereum's JSON-RPC writes it.
fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// The request was understood, and something on our side failed.
fn internal(why: impl core::fmt::Display) -> ErrorObjectOwned {
    error!("an RPC request failed: {why}");
    ErrorObjectOwned::owned(INTERNAL_ERROR_CODE, why.to_string(), None::<()>)
}

/// The request was understood, and cannot be carried out.
fn refused(why: impl core::fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(CALL_EXECUTION_FAILED_CODE, why.to_string(), None::<()>)
}
