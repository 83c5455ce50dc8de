//! How much may be sent and received: token buckets per peer, group and module.

use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_wire::mesh::ModuleId;

/// Modules that FISCO exempts by default: PBFT, Raft and the two transaction syncs
/// (`modules_without_bw_limit`: raft,pbft,cons_txs_sync,txs_sync).
pub const EXEMPT_MODULES: [ModuleId; 4] =
    [ModuleId::PBFT, ModuleId::RAFT, ModuleId::TXS_SYNC, ModuleId::CONS_TXS_SYNC];

/// How much a second. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Bytes of whole packets a second.
    pub bytes: Option<u64>,
    /// Messages a second.
    pub messages: Option<u64>,
}

/// Limits of application messages, in and out together. Sessions, routes, statuses and topic lists
/// are never limited. By default there is none, as in FISCO (`flow_control.enable` is false).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Each neighbour's messages, also those that are passed on.
    pub peer: Rate,
    /// The messages of each group that `groups` does not name.
    pub group: Rate,
    /// The messages of a group.
    pub groups: BTreeMap<Bytes, Rate>,
    /// The messages of a module, all groups together.
    pub modules: BTreeMap<ModuleId, Rate>,
    /// Modules whose messages no limit holds up.
    pub exempt: Vec<ModuleId>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peer: Rate::default(),
            group: Rate::default(),
            groups: BTreeMap::new(),
            modules: BTreeMap::new(),
            exempt: EXEMPT_MODULES.to_vec(),
        }
    }
}
