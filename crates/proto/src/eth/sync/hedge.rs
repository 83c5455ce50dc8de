//! The request that all others wait for, once more to a second peer, when that peer has nothing
//! else to do: a silent peer costs a few round trips then, and not a whole time-out.

use chainmesh_identity::PeerId;

use super::BlockSyncManager;
use super::limits::{HEDGE_ROUND_TRIPS, MIN_HEDGE};
use super::peer::{BodyQuery, HeaderQuery, Peer, WantedBody};
use crate::time::{Instant, earliest};

impl Peer {
    /// How old another peer's request must be for this one to get it, too.
    fn hedges_after(&self) -> core::time::Duration {
        self.round_trip.saturating_mul(HEDGE_ROUND_TRIPS).max(MIN_HEDGE)
    }
}

impl BlockSyncManager {
    /// Sends what is due, and notes when the next may be.
    pub(super) fn hedge(&mut self, now: Instant) {
        self.hedge_at = None;
        self.hedge_headers(now);
        self.hedge_bodies(now);
    }

    /// Whether a request that was sent at `sent` is old enough; if not, when it will be.
    fn is_due(&mut self, now: Instant, sent: Instant, second: PeerId) -> bool {
        let Some(peer) = self.peers.get(&second) else { return false };
        let due = sent + peer.hedges_after();
        if due > now {
            self.hedge_at = earliest(self.hedge_at, Some(due));
        }
        due <= now
    }

    fn hedge_headers(&mut self, now: Instant) {
        let Some(next) = self.line.tip().number.checked_add(1) else { return };
        let mut asked = self.peers.values().filter_map(|peer| {
            let job = peer.headers.job()?;
            match job.query {
                HeaderQuery::Range { start, count } if start == next => Some((job.sent, count)),
                _ => None,
            }
        });
        let (Some((sent, count)), None) = (asked.next(), asked.next()) else { return };
        let Some((second, number)) = self.best_header_peer(now, next) else { return };
        if self.is_due(now, sent, second) {
            let count = count.min((number - next).saturating_add(1));
            self.send_header_query(now, second, HeaderQuery::Range { start: next, count });
        }
    }

    fn hedge_bodies(&mut self, now: Instant) {
        let Some(next) = self.line.base().number.checked_add(1) else { return };
        let mut asked = self.peers.values().filter_map(|peer| {
            let job = peer.bodies.job()?;
            let BodyQuery::Line(wanted) = &job.query else { return None };
            wanted.iter().any(|one| one.block.number == next).then_some((job.sent, wanted))
        });
        let (Some((sent, wanted)), None) = (asked.next(), asked.next()) else { return };
        let second = self
            .peers
            .iter()
            .filter(|(id, peer)| peer.can_send_bodies(now) && self.may_have(**id, peer, next))
            .min_by_key(|(_, peer)| peer.preference());
        let Some((second, peer)) = second else { return };
        let missing = |one: &&WantedBody| {
            self.line.get(one.block.number).is_some_and(|here| {
                here.header.hash == one.block.hash
                    && here.body.is_none()
                    && !peer.lacks(&one.block.hash)
            })
        };
        let again =
            wanted.iter().filter(missing).take(peer.body_allowance()).copied().collect::<Vec<_>>();
        let second = *second;
        if !again.is_empty() && self.is_due(now, sent, second) {
            self.send_body_query(now, second, BodyQuery::Line(again));
        }
    }
}
