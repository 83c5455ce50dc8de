//! What can be seen of synchronisation from outside.

use std::sync::Arc;

use alloy_primitives::B256;
use chainmesh_proto::eth::chain::{ChainHead, ChainReader};
use chainmesh_proto::eth::sync::{SyncFault, SyncReport};
use chainmesh_proto::time::Instant;

use crate::chain::{Audit, MemoryChain};
use crate::{NodeIndex, World};

/// A node's machine found a peer at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accusation {
    /// When.
    pub at: Instant,
    /// Who says so.
    pub by: NodeIndex,
    /// Of whom.
    pub accused: NodeIndex,
    /// What.
    pub fault: SyncFault,
}

impl World {
    /// A node's chain, whether the node runs or not.
    #[must_use]
    pub fn chain(&self, node: NodeIndex) -> Option<&Arc<MemoryChain>> {
        Some(&self.nodes.get(node.0)?.chain.as_ref()?.chain)
    }

    /// The head of a node's chain.
    #[must_use]
    pub fn head(&self, node: NodeIndex) -> Option<ChainHead> {
        self.chain(node).map(|chain| chain.head())
    }

    /// Where a running node's synchronisation stands.
    #[must_use]
    pub fn sync_report(&self, node: NodeIndex) -> Option<SyncReport> {
        let running = self.nodes.get(node.0)?.running.as_ref()?;
        running.eth.as_ref().map(|eth| eth.machine.snapshot())
    }

    /// How often a node was told of this block by an announcement.
    #[must_use]
    pub fn announcements(&self, node: NodeIndex, hash: &B256) -> u32 {
        self.announcements.get(&(node, *hash)).copied().unwrap_or(0)
    }

    /// When this block was canonical at an honest node for the first time.
    #[must_use]
    pub fn arrival(&self, node: NodeIndex, hash: &B256) -> Option<Instant> {
        self.audits.get(&node)?.arrived.get(hash).copied()
    }

    /// What the nodes' machines found about their peers, in order.
    #[must_use]
    pub fn accusations(&self) -> &[Accusation] {
        &self.accusations
    }

    pub(crate) fn audited(&self, node: NodeIndex) -> Option<&Audit> {
        self.audits.get(&node)
    }
}
