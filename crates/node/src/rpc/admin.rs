//! `admin_…`: this node and its peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use chainmesh_identity::{Enode, PeerId};
use chainmesh_net::NodeKind;
use chainmesh_proto::eth::chain::ChainReader;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::{ErrorObjectOwned, Params};
use serde_json::{Value, json};

use super::RpcContext;
use super::error::{RpcResult, internal, refused};
use super::params::Args;
use super::peers::{ConnectedPeer, WantedPeer};

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_method("admin_nodeInfo", |_, context, _| node_info(context))?;
    module.register_async_method("admin_peers", |_, context, _| async move {
        let peers = context.net.peers().await.map_err(internal)?;
        let local = listen_address(&context);
        let heads = head_numbers(&context);
        let connected = peers.iter().filter_map(|peer| {
            let head = peer.info.id.and_then(|id| heads.get(&id).copied());
            ConnectedPeer::new(peer, &local, head)
        });
        Ok::<_, ErrorObjectOwned>(connected.collect::<Vec<_>>())
    })?;
    module
        .register_method("admin_datadir", |_, context, _| context.data_dir.display().to_string())?;
    module.register_async_method("admin_addPeer", |params, context, _| async move {
        add(&params, &context, NodeKind::Static).await
    })?;
    module.register_async_method("admin_addTrustedPeer", |params, context, _| async move {
        add(&params, &context, NodeKind::Trusted).await
    })?;
    module.register_async_method("admin_removePeer", |params, context, _| async move {
        let enode = enode(&params)?;
        context.net.remove_peer(enode.id).await.map_err(internal)?;
        Ok::<_, ErrorObjectOwned>(true)
    })?;
    // The session ends, too: go-ethereum keeps it, in a slot that is not beside the others.
    module.register_async_method("admin_removeTrustedPeer", |params, context, _| async move {
        let enode = enode(&params)?;
        context.net.remove_peer(enode.id).await.map_err(internal)?;
        Ok::<_, ErrorObjectOwned>(true)
    })?;
    module.register_async_method("chainmesh_wantedPeers", |_, context, _| async move {
        let peers = context.net.peers().await.map_err(internal)?;
        let wanted = peers.iter().filter_map(WantedPeer::new);
        Ok::<_, ErrorObjectOwned>(wanted.collect::<Vec<_>>())
    })?;
    Ok(())
}

fn enode(params: &Params<'_>) -> RpcResult<Enode> {
    let url: String = Args::new(params, 1)?.required()?;
    url.parse().map_err(|why| refused(format_args!("invalid enode: {why}")))
}

async fn add(params: &Params<'_>, context: &RpcContext, kind: NodeKind) -> RpcResult<bool> {
    let enode = enode(params)?;
    context.net.add_peer(&enode, kind).await.map_err(internal)?;
    Ok(true)
}

/// The heads of the peers, as far as synchronisation knows them.
fn head_numbers(context: &RpcContext) -> BTreeMap<PeerId, u64> {
    let report = context.net.sync_report();
    let peers = report.map(|report| report.peers).unwrap_or_default();
    peers.iter().filter_map(|peer| Some((peer.peer, peer.number?))).collect()
}

fn listen_address(context: &Arc<RpcContext>) -> String {
    context.net.listening().map_or_else(String::new, |address| address.to_string())
}

fn node_info(context: &RpcContext) -> Value {
    let enode = &context.enode;
    let mut protocols = serde_json::Map::new();
    if let Some(chain) = &context.chain {
        let (spec, head) = (chain.spec(), chain.head());
        let eth = json!({
            "network": context.network_id,
            "genesis": spec.genesis_hash(),
            "config": spec.config(),
            "head": head.hash,
        });
        protocols.insert("eth".into(), eth);
    }
    json!({
        "id": alloy_primitives::hex::encode(enode.id.node_hash()),
        "name": crate::node::client_name(),
        "enode": enode.to_string(),
        "enr": context.record,
        "ip": enode.host.ip(),
        "ports": {"discovery": 0, "listener": enode.tcp_port},
        "listenAddr": context.net.listening(),
        "protocols": protocols,
    })
}
