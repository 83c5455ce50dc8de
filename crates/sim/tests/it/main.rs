//! Scenarios in virtual time.

mod crowd;
mod discovery;
mod faults;
mod mesh;
mod mesh_bounds;
mod mesh_faults;
mod mesh_messages;
mod mesh_routes;
mod pair;
mod peers;
mod simultaneous;
mod sync;
mod sync_crowd;
mod sync_half;

use core::time::Duration;

use chainmesh_identity::NodeKey;
use chainmesh_proto::session::SessionKind;
use chainmesh_sim::{Conditions, NodeConfig, NodeIndex, World, WorldConfig};

const CLEAR: WorldConfig = WorldConfig {
    conditions: Conditions {
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss_per_mille: 0,
    },
    session: SessionKind::Clear,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two keys, the one with the lower ID first.
fn two_keys() -> [NodeKey; 2] {
    let mut keys = [1, 2].map(|n| NodeKey::from_entropy([n; 32]));
    keys.sort_by_key(NodeKey::peer_id);
    keys
}

/// Two nodes, the one with the lower ID first.
fn two_nodes(world: &mut World) -> [NodeIndex; 2] {
    two_keys().map(|key| world.add_node(NodeConfig { key: Some(key), ..NodeConfig::default() }))
}
