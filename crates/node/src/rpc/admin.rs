//! `admin_…`: this node and its peers.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use alloy_primitives::U256;
use chainmesh_identity::{Enode, PeerId};
use chainmesh_net::{EscapedTo, PeerQuery};
use chainmesh_proto::discovery::Report;
use chainmesh_proto::eth::chain::ChainReader;
use jsonrpsee_core::RegisterMethodError;
use jsonrpsee_core::server::RpcModule;
use jsonrpsee_types::{ErrorObjectOwned, Params};
use serde_json::{Value, json};

use super::RpcContext;
use super::error::{RpcResult, internal, refused};
use super::params::Args;
use super::peers::{BannedPeer, ConnectedPeer, WantedPeer};
use super::pex;
use super::reach::Reachability;
use super::story::{self, PeerReport};

/// Characters of the reason of a ban.
const REASON_SHOWN: usize = 100;

pub(super) fn register(module: &mut RpcModule<RpcContext>) -> Result<(), RegisterMethodError> {
    module.register_async_method("admin_nodeInfo", |_, context, _| async move {
        RpcResult::Ok(node_info(&context).await)
    })?;
    module.register_async_method("admin_peers", |_, context, _| async move {
        let peers = context.net.peers().await.map_err(internal)?;
        let (heads, roles) = (head_numbers(&context), context.net.peer_roles());
        let connected = peers.iter().filter_map(|peer| {
            let head = peer.info.id.and_then(|id| heads.get(&id).copied());
            let role = peer.info.id.and_then(|id| roles.get(&id).copied());
            ConnectedPeer::new(peer, head, role)
        });
        Ok::<_, ErrorObjectOwned>(connected.collect::<Vec<_>>())
    })?;
    module
        .register_method("admin_datadir", |_, context, _| context.data_dir.display().to_string())?;
    module.register_async_method("admin_addPeer", |params, context, _| async move {
        add(&params, &context, false).await
    })?;
    module.register_async_method("admin_addTrustedPeer", |params, context, _| async move {
        add(&params, &context, true).await
    })?;
    module.register_async_method("admin_removePeer", |params, context, _| async move {
        let id = who(Args::new(&params, 1)?.required()?)?;
        context.net.drop_peer(id).await.map_err(internal)?;
        RpcResult::Ok(true)
    })?;
    module.register_async_method("admin_removeTrustedPeer", |params, context, _| async move {
        let id = who(Args::new(&params, 1)?.required()?)?;
        context.net.distrust_peer(id).await.map_err(internal)?;
        RpcResult::Ok(true)
    })?;
    module.register_async_method("admin_explainPeer", |params, context, _| async move {
        let text: String = Args::new(&params, 1)?.required()?;
        let query = story::query(&text).map_err(refused)?;
        let stories = context.net.peer_stories(query).await.map_err(internal)?;
        RpcResult::Ok(stories.iter().map(PeerReport::new).collect::<Vec<_>>())
    })?;
    module.register_async_method("admin_banPeer", |params, context, _| async move {
        let mut args = Args::new(&params, 3)?;
        let who: String = args.required()?;
        let span = args.optional::<u64>()?.map(Duration::from_secs);
        let reason = args.optional::<String>()?.unwrap_or_default();
        let reason = EscapedTo(&reason, REASON_SHOWN).to_string();
        let result = match banned(&who)? {
            Banned::Id(id) => context.net.ban_peer(id, span, &reason).await,
            Banned::Address(ip) => context.net.ban_address(ip, span, &reason).await,
        };
        result.map_err(refused)?;
        RpcResult::Ok(true)
    })?;
    module.register_async_method("admin_unbanPeer", |params, context, _| async move {
        let who: String = Args::new(&params, 1)?.required()?;
        let was = match banned(&who)? {
            Banned::Id(id) => context.net.unban_peer(id).await,
            Banned::Address(ip) => context.net.unban_address(ip).await,
        };
        was.map_err(internal)
    })?;
    module.register_async_method("admin_bannedPeers", |_, context, _| async move {
        let bans = context.net.bans().await.map_err(internal)?;
        RpcResult::Ok(bans.iter().map(BannedPeer::from).collect::<Vec<_>>())
    })?;
    module.register_async_method("chainmesh_wantedPeers", |_, context, _| async move {
        let peers = context.net.peers().await.map_err(internal)?;
        let wanted = peers.iter().filter_map(WantedPeer::new);
        Ok::<_, ErrorObjectOwned>(wanted.collect::<Vec<_>>())
    })?;
    module.register_method("chainmesh_peerExchange", |_, context, _| {
        pex::report(context.net.pex_report())
    })?;
    Ok(())
}

fn enode(url: &str) -> RpcResult<Enode> {
    url.parse().map_err(|why| refused(format_args!("invalid enode: {why}")))
}

/// An enode URL, as go-ethereum wants it, or an ID.
fn who(text: String) -> RpcResult<PeerId> {
    match story::peer_id(&text) {
        Some(id) => Ok(id),
        None => enode(&text).map(|enode| enode.id),
    }
}

/// Whom a ban means.
enum Banned {
    Id(PeerId),
    Address(IpAddr),
}

fn banned(text: &str) -> RpcResult<Banned> {
    if let Ok(ip) = text.parse() {
        return Ok(Banned::Address(ip));
    }
    who(text.to_owned()).map(Banned::Id)
}

/// go-ethereum's answer is `true`, and programs read a boolean; with `true` behind the URL it is what
/// is happening with the peer.
async fn add(params: &Params<'_>, context: &RpcContext, trusted: bool) -> RpcResult<Value> {
    let mut args = Args::new(params, 2)?;
    let enode = enode(&args.required::<String>()?)?;
    let explain = args.optional()?.unwrap_or(true);
    context.net.keep_peer(&enode, trusted).await.map_err(refused)?;
    if !explain {
        return Ok(json!(true));
    }
    let stories = context.net.peer_stories(PeerQuery::Id(enode.id)).await.map_err(internal)?;
    let report = stories.first().map(PeerReport::new);
    Ok(json!(report))
}

/// A total difficulty as go-ethereum's `admin_nodeInfo` has it: a number. One that does not fit in 64
/// bits is a text here, since most readers of JSON would round it.
fn difficulty(total: U256) -> Value {
    u64::try_from(total).map_or_else(|_| json!(total.to_string()), |total| json!(total))
}

/// The heads of the peers, as far as synchronisation knows them.
fn head_numbers(context: &RpcContext) -> BTreeMap<PeerId, u64> {
    let report = context.net.sync_report();
    let peers = report.map(|report| report.peers).unwrap_or_default();
    peers.iter().filter_map(|peer| Some((peer.peer, peer.number?))).collect()
}

/// What discovery says of itself, beyond what go-ethereum says: what the node advertises, what others
/// see, and how many it knows by each protocol.
async fn discovery(context: &RpcContext) -> Option<(Report, Value)> {
    let handle = context.net.discovery()?;
    let report = handle.snapshot().await.ok()?;
    let discv5 = handle.discv5().await.ok()?.map(|report| {
        json!({
            "nodes": report.table.len(),
            "connected": report.connected,
            "sessions": report.sessions,
            "lookups": report.lookups,
            "otherDatagrams": report.other_datagrams,
            "heldOff": report.held_off,
        })
    });
    let said = json!({
        "advertised": report.endpoint,
        "observed": report.observed,
        "discv4": {
            "nodes": report.table.len(),
            "found": report.counters.found,
            "dropped": report.counters.dropped.values().sum::<u64>(),
        },
        "discv5": discv5,
    });
    Some((report, said))
}

async fn node_info(context: &RpcContext) -> Value {
    let enode = &context.enode;
    let discovery = discovery(context).await;
    let report = discovery.as_ref().map(|(report, _)| report);
    let record = report.and_then(|report| report.record.as_ref()).map(|record| record.to_base64());
    let port = context.net.discovery().map_or(0, |handle| handle.listening().port());
    let mut protocols = serde_json::Map::new();
    if let Some(chain) = &context.chain {
        let (spec, head) = (chain.spec(), chain.head());
        let eth = json!({
            "network": context.network_id,
            "difficulty": difficulty(head.total_difficulty),
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
        "enr": record.unwrap_or_else(|| context.record.clone()),
        "ip": enode.host.ip(),
        "ports": {"discovery": port, "listener": enode.tcp_port},
        "listenAddr": context.net.listening(),
        "protocols": protocols,
        "discovery": discovery.map(|(_, said)| said),
        "reach": context.net.reach().map(|reach| Reachability::new(&reach.status())),
    })
}
