//! What has to hold at each node, whatever happens to it.

use core::time::Duration;
use std::collections::BTreeSet;

use chainmesh_proto::peers::book::{BUCKET_PLACES, MAX_PINNED, NEW_BUCKETS, TRIED_BUCKETS};
use chainmesh_proto::peers::{ConnectionId, MAX_CONCURRENT_DIALS};
use chainmesh_proto::session::connection::IDLE_TIMEOUT;

use super::PeersWorld;
use crate::invariants::{Broken, Violation};
use crate::network::NodeIndex;

/// How long two nodes may disagree: until the silent one is given up, and its handshake, and somewhat
/// for the way.
const DISAGREEMENT: Duration = IDLE_TIMEOUT.saturating_add(Duration::from_secs(10));
/// Records that a book has at most.
pub(crate) const BOOK_LIMIT: usize =
    (NEW_BUCKETS as usize + TRIED_BUCKETS as usize) * BUCKET_PLACES as usize + MAX_PINNED;

impl PeersWorld {
    /// Looks at one node, and whether any two disagree.
    pub(super) fn look(&self, index: NodeIndex) -> Result<(), Broken> {
        let broken = |violation| Broken { seed: self.seed, at: self.now, violation };
        self.violation(index).map_or(Ok(()), |violation| Err(broken(violation)))
    }

    fn violation(&self, index: NodeIndex) -> Option<Violation> {
        let node = self.nodes.get(index.0)?;
        if let Some((peer, connected)) = node.repeated {
            return Some(Violation::Repeated { node: index, peer, connected });
        }
        for ((a, b), since) in &self.disagreements {
            let lasts = self.now.saturating_since(*since);
            if lasts > DISAGREEMENT {
                return Some(Violation::Disagreement(*a, *b, lasts));
            }
        }
        let plane = node.plane.as_ref()?;
        let mut peers = BTreeSet::new();
        let mut known: BTreeSet<ConnectionId> = BTreeSet::new();
        for (peer, conn) in plane.manager.connected_peers() {
            peers.insert(peer);
            known.insert(conn);
        }
        if peers.contains(&node.id) {
            return Some(Violation::SelfConnection(index));
        }
        // Nobody is trusted here.
        let allowed = plane.manager.max_peers();
        if peers.len() > allowed {
            return Some(Violation::TooManyPeers { node: index, peers: peers.len(), allowed });
        }
        let mut dials = 0;
        for (conn, _) in plane.manager.pending_connections() {
            known.insert(conn);
            dials += usize::from(plane.conns.get(&conn) == Some(&None));
        }
        let driver: BTreeSet<ConnectionId> = plane.conns.keys().copied().collect();
        if driver != known {
            return Some(Violation::Orphans { node: index, driver, manager: known });
        }
        let records = plane.keeper.book.len();
        if records > BOOK_LIMIT || dials > MAX_CONCURRENT_DIALS {
            return Some(Violation::BeyondLimits { node: index, records, dials });
        }
        None
    }
}
