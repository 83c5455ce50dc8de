//! What keeps the node from being ready.

use core::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chainmesh_chain::clique::ValidatorState;
use chainmesh_net::SyncState;

use super::MetricsSources;

/// Blocks by which a node may be behind its peers and still be ready: those that are on their way.
const BEHIND: u64 = 16;

/// Why a node is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotReady {
    /// Blocks cannot be stored.
    Disk(String),
    /// It fetches the blocks that it has missed.
    Synchronising { head: u64, target: u64 },
    /// Its certificate has ended, or is not valid yet.
    Certificate,
    /// The network part has ended.
    Network,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(f, "disk: blocks cannot be stored: {error}"),
            Self::Synchronising { head, target } => {
                write!(f, "synchronising: at block {head} of {target}")
            }
            Self::Certificate => {
                f.write_str("certificate: the node's certificate is not valid now: issue another")
            }
            Self::Network => f.write_str("network: the node is shutting down"),
        }
    }
}

/// Everything that keeps the node from being ready.
pub(super) async fn reasons(sources: &MetricsSources) -> Vec<NotReady> {
    let mut reasons = Vec::new();
    if sources.net.peer_report().await.is_err() {
        reasons.push(NotReady::Network);
    }
    let validator = sources.clique.as_ref().map(|clique| clique.validator_state());
    if let Some(ValidatorState::StoreFailed { error, .. }) = validator {
        reasons.push(NotReady::Disk(error.to_string()));
    }
    if let Some(sync) = sources.net.sync_report() {
        let (head, target) = (sync.head.number, sync.target);
        if sync.state != SyncState::Following && target.saturating_sub(head) > BEHIND {
            reasons.push(NotReady::Synchronising { head, target });
        }
    }
    if let Some(reloader) = &sources.reloader {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let credentials = reloader.material().credentials();
        let certificate = credentials.certificate();
        if now > certificate.not_after || now < certificate.not_before {
            reasons.push(NotReady::Certificate);
        }
    }
    reasons
}
