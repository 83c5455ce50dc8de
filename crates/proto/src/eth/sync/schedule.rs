//! What is asked of whom next.

use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockId, Origin};

use super::peer::{BodyQuery, HeaderQuery, Peer, Slot};
use super::types::{SyncEvent, SyncOutput};
use super::{BlockSyncManager, Mode, id_of};
use crate::time::Instant;

impl BlockSyncManager {
    /// Goes through all decisions once.
    pub(super) fn decide(&mut self, now: Instant) {
        self.drop_orphans();
        self.ask_for_head_numbers(now);
        self.choose_mode(now);
        if matches!(self.mode, Mode::Fetching) {
            self.ask_for_headers(now);
            self.drop_blocks_that_nobody_has();
            self.ask_for_bodies(now);
        }
        if matches!(self.mode, Mode::Following) {
            self.ask_for_announced(now);
        }
        self.start_import(now);
    }

    /// A Status of eth/66 to eth/68 has no number: the header of the head does.
    fn ask_for_head_numbers(&mut self, now: Instant) {
        let local = self.local;
        let asked = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.number.is_none() && peer.can_send_headers(now))
            .filter(|(_, peer)| peer.is_better(&local))
            .map(|(id, peer)| (*id, peer.hash))
            .collect::<Vec<_>>();
        for (id, hash) in asked {
            self.send_header_query(now, id, HeaderQuery::Head { hash });
        }
    }

    /// Whether a peer is worth asking for what comes after `base`.
    fn leads(&self, peer: &Peer) -> bool {
        !peer.diverged
            && peer.is_better(&self.local)
            && peer.number.is_some_and(|number| number > self.line.base().number)
            && !self.announced.contains_key(&peer.hash)
    }

    /// The highest number that a usable peer claims.
    pub(super) fn target(&self) -> Option<u64> {
        self.peers.values().filter(|peer| self.leads(peer)).filter_map(|peer| peer.number).max()
    }

    fn choose_mode(&mut self, now: Instant) {
        if matches!(self.mode, Mode::Searching(_)) {
            return;
        }
        if self.line.is_empty() && self.importing.is_none() {
            self.leave_finished_branch();
        }
        if let Some(target) = self.target() {
            if matches!(self.mode, Mode::Following) {
                self.announced.clear();
                let from = self.line.base().number;
                self.outputs.push_back(SyncOutput::Event(SyncEvent::Started { from, target }));
            }
            self.mode = Mode::Fetching;
            return;
        }
        if !self.line.is_empty() || self.importing.is_some() || self.start_search(now) {
            return;
        }
        if matches!(self.mode, Mode::Fetching) && !self.has_better_peer() {
            self.mode = Mode::Following;
            let head = self.local;
            self.outputs.push_back(SyncOutput::Event(SyncEvent::Synced { head }));
            self.outputs.push_back(SyncOutput::Announce(head));
        }
    }

    /// Nothing is left of what was fetched: whoever has no more than that has been tried, and the
    /// line begins at the local head again unless it is on its way elsewhere.
    fn leave_finished_branch(&mut self) {
        let base = self.line.base();
        let searched =
            self.branch_of.filter(|id| self.peers.get(id).is_some_and(|peer| !self.leads(peer)));
        for (id, peer) in &mut self.peers {
            if peer.hash == base.hash || searched == Some(*id) {
                peer.exhausted = Some(peer.hash);
            }
        }
        if searched.is_some() {
            self.branch_of = None;
            self.master = None;
        }
        let on_its_way = !matches!(self.mode, Mode::Following) && self.target().is_some();
        if base != id_of(&self.local) && !on_its_way {
            self.master = None;
            self.restart_line(id_of(&self.local));
            self.forgive_diverged();
        }
    }

    /// Whether a peer has a better chain, though it may not be possible to ask it just now.
    fn has_better_peer(&self) -> bool {
        self.peers.values().any(|peer| peer.number.is_some() && peer.is_better(&self.local))
    }

    fn ask_for_headers(&mut self, now: Instant) {
        let window = self.line.base().number.saturating_add(self.limits.pending_blocks);
        loop {
            let mut in_flight = Vec::new();
            for peer in self.peers.values() {
                if let Some(job) = peer.headers.job()
                    && let HeaderQuery::Range { start, count } = job.query
                {
                    in_flight.push((start, count));
                }
            }
            let first = self.line.tip().number.saturating_add(1);
            let end = self.target().unwrap_or(0).min(window);
            let gap = self.line.gap(&in_flight, end, self.limits.header_batch);
            let Some((start, count)) = gap else { return };
            let bare = self.line.is_bare();
            if bare && self.master.is_some() && start != first {
                // The first headers decide which branch it is.
                return;
            }
            if self.line.bytes() >= self.limits.pending_bytes && start != first {
                return;
            }
            let Some((id, number)) = self.best_header_peer(now, start) else { return };
            let count = count.min((number - start).saturating_add(1));
            self.send_header_query(now, id, HeaderQuery::Range { start, count });
        }
    }

    /// The best free peer that claims the block `start`, and the number of its head.
    fn best_header_peer(&self, now: Instant, start: u64) -> Option<(PeerId, u64)> {
        let master = self.master.filter(|_| self.line.is_bare());
        self.peers
            .iter()
            .filter(|(id, _)| master.is_none_or(|master| master == **id))
            .filter(|(_, peer)| peer.can_send_headers(now) && self.leads(peer))
            .filter_map(|(id, peer)| Some((*id, peer, peer.number.filter(|one| *one >= start)?)))
            .min_by_key(|(_, peer, _)| peer.preference())
            .map(|(id, _, number)| (id, number))
    }

    /// Sends a request for headers; the peer's place for them must be free.
    pub(super) fn send_header_query(&mut self, now: Instant, id: PeerId, query: HeaderQuery) {
        let (origin, count) = match query {
            HeaderQuery::Range { start, count } => (Origin::Number(start), count),
            HeaderQuery::Ancestor { number } => (Origin::Number(number), 1),
            HeaderQuery::Head { hash } | HeaderQuery::Announced { hash } => (Origin::Hash(hash), 1),
            HeaderQuery::Abandoned => return,
        };
        let token = self.token();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.headers = Slot::Busy(peer.job(token, query, now));
        self.outputs.push_back(SyncOutput::RequestHeaders { peer: id, token, origin, count });
    }

    /// Sends a request for bodies; the peer's place for them must be free.
    pub(super) fn send_body_query(&mut self, now: Instant, id: PeerId, query: BodyQuery) {
        let hashes = query.wanted().iter().map(|one| one.block.hash).collect();
        let token = self.token();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.bodies = Slot::Busy(peer.job(token, query, now));
        self.outputs.push_back(SyncOutput::RequestBodies { peer: id, token, hashes });
    }

    /// Whether a peer may have the body of a block of the line.
    fn may_have(&self, id: PeerId, peer: &Peer, number: u64) -> bool {
        let Some(waiting) = self.line.get(number) else { return false };
        let claims = waiting.owner == id
            || (!peer.diverged && peer.number.is_some_and(|head| head >= number));
        claims && number >= peer.earliest && !peer.lacks(&waiting.header.hash)
    }

    fn ask_for_bodies(&mut self, now: Instant) {
        let mut free = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.can_send_bodies(now))
            .map(|(id, peer)| (peer.preference(), *id))
            .collect::<Vec<_>>();
        free.sort_unstable();
        let mut left = free.len();
        for (_, id) in free {
            let room = self.body_room();
            if room == 0 {
                return;
            }
            let Some(peer) = self.peers.get(&id) else { continue };
            let share = self.line.wanted().len().div_ceil(left);
            left -= 1;
            let most = peer.body_allowance().min(room).min(share.max(1));
            let numbers = self
                .line
                .wanted()
                .iter()
                .copied()
                .filter(|number| self.may_have(id, peer, *number))
                .take(most)
                .collect::<Vec<_>>();
            let wanted =
                numbers.into_iter().filter_map(|number| self.line.ask(number)).collect::<Vec<_>>();
            if !wanted.is_empty() {
                self.send_body_query(now, id, BodyQuery::Line(wanted));
            }
        }
    }

    /// How many bodies more may be asked for: as many as there will be room for when all that
    /// were asked for have come. One at least when the line's first block has none.
    fn body_room(&self) -> usize {
        let in_flight = self
            .peers
            .values()
            .filter_map(|peer| peer.bodies.job())
            .map(|job| job.query.wanted().len())
            .sum::<usize>();
        let size = self.body_size.max(1);
        let expected = self.line.bytes().saturating_add(in_flight.saturating_mul(size));
        let room = self.limits.pending_bytes.saturating_sub(expected) / size;
        let blocked = self.line.first_missing().is_some_and(|number| {
            self.line.get(number.saturating_sub(1)).is_none()
                && self.line.wanted().contains(&number)
        });
        room.max(usize::from(blocked))
    }

    /// If all that could have a body said that they have not, the header was made up by somebody
    /// who is gone: the line ends below it.
    fn drop_blocks_that_nobody_has(&mut self) {
        let Some(number) = self.line.wanted().first().copied() else { return };
        let Some(waiting) = self.line.get(number) else { return };
        let hash = waiting.header.hash;
        let asked = self.peers.values().any(|peer| peer.lacks(&hash));
        let hope = self.peers.iter().any(|(id, peer)| self.may_have(*id, peer, number));
        if asked && !hope {
            self.line.truncate(number);
            self.forgive_diverged();
            let tip = self.line.tip();
            self.abandon_ranges_above(tip);
        }
    }

    fn abandon_ranges_above(&mut self, tip: BlockId) {
        for peer in self.peers.values_mut() {
            if let Slot::Busy(job) = &mut peer.headers
                && let HeaderQuery::Range { start, .. } = job.query
                && start > tip.number
            {
                job.query = HeaderQuery::Abandoned;
            }
        }
    }
}
