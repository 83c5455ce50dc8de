//! Whom others told of, and who was asked because of it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_proto::time::Instant;

/// Nodes that are remembered; the one asked longest ago goes first.
pub(super) const MAX_ASKED: usize = 1024;
/// How soon a node that others tell of is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Default)]
pub(super) struct Asked {
    by_id: BTreeMap<[u8; 32], Instant>,
    by_time: BTreeSet<(Instant, [u8; 32])>,
}

impl Asked {
    /// Whether a node may be asked now; if so, it counts as asked.
    pub(super) fn note(&mut self, now: Instant, id: [u8; 32]) -> bool {
        if let Some(at) = self.by_id.get(&id).copied() {
            if now.saturating_since(at) < ASK_AGAIN {
                return false;
            }
            self.by_time.remove(&(at, id));
        } else if self.by_id.len() >= MAX_ASKED
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id, now);
        self.by_time.insert((now, id));
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_id.len(), self.by_time.len());
        self.by_id.len()
    }
}
