//! The network as JSON, one object a line: `"type": "status"` each second, `"type": "summary"` last.

use serde_json::{Value, json};

use super::chatter::Pings;
use super::mesh::{MeshView, Route};
use super::sample::{NodeView, View};
use super::traffic::Payments;

/// One line of `chainmesh devnet --json`, with the events after the first `seen`.
pub(super) fn status(view: &View, seen: u64) -> String {
    let node = |node: &NodeView| {
        json!({
            "node": node.number,
            "role": node.role.name(),
            "state": node.state.name(),
            "progress": rounded(node.state.progress()),
            "enode": node.enode,
            "http": node.rpc.map(|address| format!("http://{address}")),
            "ws": node.rpc.map(|address| format!("ws://{address}")),
            "peers": node.peers,
            "head": head(node),
            "blocksPerSecond": rounded(node.blocks_per_second),
            "bytesIn": node.bytes_in,
            "bytesOut": node.bytes_out,
            "pool": node.pool,
            "mesh": node.mesh.as_ref().map(mesh),
        })
    };
    let events = view.events_after(seen).iter();
    let event = |event: &super::events::Event| json!({"seconds": rounded(event.at.as_secs_f64()), "text": event.text});
    json!({
        "type": "status",
        "seconds": rounded(view.elapsed.as_secs_f64()),
        "synced": view.synced,
        "nodes": view.nodes.iter().map(node).collect::<Vec<_>>(),
        "payments": view.payments.as_ref().map(payments),
        "pings": view.consortium.as_ref().map(|consortium| pings(&consortium.pings)),
        "events": events.map(event).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The last line of `chainmesh devnet --json`.
pub(super) fn summary(view: &View) -> String {
    let node = |node: &NodeView| {
        json!({
            "node": node.number,
            "role": node.role.name(),
            "head": head(node),
            "blocks": node.blocks,
            "peers": node.peers,
            "bytesIn": node.bytes_in,
            "bytesOut": node.bytes_out,
            "mesh": node.mesh.as_ref().map(mesh),
        })
    };
    json!({
        "type": "summary",
        "seconds": rounded(view.elapsed.as_secs_f64()),
        "headsAgree": view.heads_agree(),
        "payments": view.payments.as_ref().map(payments),
        "pings": view.consortium.as_ref().map(|consortium| pings(&consortium.pings)),
        "nodes": view.nodes.iter().map(node).collect::<Vec<_>>(),
    })
    .to_string()
}

fn head(node: &NodeView) -> Value {
    json!({"number": node.head.number, "hash": node.head.hash})
}

/// How a node of a consortium sees the mesh.
fn mesh(mesh: &MeshView) -> Value {
    let route = |route: &Route| json!({"to": route.to, "via": route.via, "hops": route.hops});
    json!({
        "members": mesh.members,
        "links": mesh.links,
        "routes": mesh.routes.iter().map(route).collect::<Vec<_>>(),
        "topics": mesh.topics,
        "messagesSent": mesh.sent,
        "messagesDelivered": mesh.delivered,
        "packetsPassedOn": mesh.forwarded,
    })
}

/// Messages from the first node of a consortium to the last, which has no link to it.
fn pings(pings: &Pings) -> Value {
    json!({
        "answered": pings.answered,
        "lost": pings.lost,
        "milliseconds": pings.last.map(|last| rounded(last.as_secs_f64() * 1000.0)),
    })
}

/// The payments that the network makes by itself.
fn payments(payments: &Payments) -> Value {
    json!({"sent": payments.sent, "included": payments.included})
}

/// Three digits behind the point: more say nothing here.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
