//! Answers: checked whole before anything of them is kept.

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, Origin};

use super::limits::{MAX_STRIKES, RETRY_PAUSE};
use super::peer::{Answered, BodyQuery, HeaderQuery, Job, WantedBody, settle};
use super::types::{RequestToken, SyncFault};
use super::{BlockSyncManager, Mode};
use crate::time::Instant;

impl HeaderQuery {
    /// How many headers it asks for.
    pub(super) const fn count(&self) -> u64 {
        match self {
            Self::Range { count, .. } => *count,
            Self::Head { .. } | Self::Ancestor { .. } | Self::Announced { .. } => 1,
            Self::Abandoned => 0,
        }
    }

    const fn origin(&self) -> Option<Origin> {
        match self {
            Self::Range { start, .. } => Some(Origin::Number(*start)),
            Self::Ancestor { number } => Some(Origin::Number(*number)),
            Self::Head { hash } | Self::Announced { hash } => Some(Origin::Hash(*hash)),
            Self::Abandoned => None,
        }
    }
}

impl BlockSyncManager {
    pub(super) fn on_headers(
        &mut self,
        now: Instant,
        id: PeerId,
        token: RequestToken,
        headers: Vec<BlockHeader>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let job = match settle(&mut peer.headers, token) {
            Answered::Unknown => return,
            Answered::Late { sent } => {
                peer.measure_late(now.saturating_since(sent));
                return;
            }
            Answered::Job(job) => job,
        };
        peer.measure_round_trip(now.saturating_since(job.sent));
        if let Err(fault) = self.check_headers(&job.query, &headers) {
            self.fault(id, fault);
            return;
        }
        if headers.is_empty() && job.query != HeaderQuery::Abandoned {
            self.no_headers(now, id, job.query);
            return;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.strikes = 0;
        }
        match job.query {
            HeaderQuery::Range { start, .. } => self.range_headers(id, start, headers),
            HeaderQuery::Head { hash } => self.head_header(id, hash, &headers),
            HeaderQuery::Ancestor { .. } => self.ancestor_header(id, &headers),
            HeaderQuery::Announced { hash } => self.announced_header(id, hash, headers),
            HeaderQuery::Abandoned => {}
        }
    }

    fn check_headers(&self, query: &HeaderQuery, headers: &[BlockHeader]) -> Result<(), SyncFault> {
        let Some(origin) = query.origin() else { return Ok(()) };
        let asked = usize::try_from(query.count()).unwrap_or(usize::MAX);
        if headers.len() > asked {
            return Err(SyncFault::TooMany { got: headers.len(), asked });
        }
        if let Some(first) = headers.first() {
            let fits = match origin {
                Origin::Number(number) => first.header.number == number,
                Origin::Hash(hash) => first.hash == hash,
            };
            if !fits {
                return Err(SyncFault::WrongStart { asked: origin, got: first.header.number });
            }
        }
        for (parent, child) in headers.iter().zip(headers.iter().skip(1)) {
            let number = child.header.number;
            let follows = parent.header.number.checked_add(1) == Some(number)
                && child.header.parent_hash == parent.hash;
            if !follows {
                return Err(SyncFault::NotContinuous { number });
            }
        }
        match headers.iter().find(|header| self.is_invalid(&header.hash)) {
            Some(header) => Err(SyncFault::InvalidBlock { hash: header.hash }),
            None => Ok(()),
        }
    }

    fn no_headers(&mut self, now: Instant, id: PeerId, query: HeaderQuery) {
        match query {
            HeaderQuery::Announced { hash } => {
                self.announced.remove(&hash);
            }
            HeaderQuery::Ancestor { .. } => self.mode = Mode::Fetching,
            _ => {}
        }
        self.strike(now, id, |peer, until| peer.headers.pause(until));
    }

    /// An empty answer for something that the peer claims to have.
    fn strike(&mut self, now: Instant, id: PeerId, pause: impl FnOnce(&mut super::Peer, Instant)) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.strikes += 1;
        let count = peer.strikes;
        if count >= MAX_STRIKES {
            self.fault(id, SyncFault::EmptyAnswers { count });
        } else {
            pause(peer, now + RETRY_PAUSE.saturating_mul(count));
        }
    }

    fn range_headers(&mut self, id: PeerId, start: u64, headers: Vec<BlockHeader>) {
        let bytes = headers.iter().map(|header| header.rlp.len()).sum::<usize>();
        let is_next = self.line.tip().number.checked_add(1) == Some(start);
        if !is_next && self.line.bytes().saturating_add(bytes) > self.limits.pending_bytes {
            return;
        }
        self.line.insert(id, headers);
        while let Err(mismatch) = self.line.join() {
            let (owner, number) = (mismatch.owner, mismatch.number);
            if mismatch.before == Some(owner) {
                self.fault(owner, SyncFault::NotContinuous { number });
            } else if mismatch.before.is_none() && self.master == Some(owner) {
                self.fault(owner, SyncFault::NotLinked { number });
            } else {
                // One of the two is on another branch, or lies. The line goes on with whoever it
                // belongs to; if that one lies, import or the missing bodies will tell.
                self.line.drop_ahead(owner);
                if let Some(peer) = self.peers.get_mut(&owner) {
                    peer.diverged = true;
                }
            }
        }
        if !self.line.is_bare() {
            self.master = None;
        }
    }

    /// The number of a peer's head.
    fn head_header(&mut self, id: PeerId, hash: alloy_primitives::B256, headers: &[BlockHeader]) {
        let (Some(peer), Some(header)) = (self.peers.get_mut(&id), headers.first()) else { return };
        if peer.hash == hash {
            peer.number = Some(header.header.number);
        }
    }

    pub(super) fn on_bodies(
        &mut self,
        now: Instant,
        id: PeerId,
        token: RequestToken,
        bodies: Vec<BlockBody>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let job = match settle(&mut peer.bodies, token) {
            Answered::Unknown => return,
            Answered::Late { sent } => {
                peer.measure_late(now.saturating_since(sent));
                return;
            }
            Answered::Job(job) => job,
        };
        let took = now.saturating_since(job.sent);
        peer.measure_round_trip(took);
        peer.measure_bodies(bodies.len(), took);
        let matched = match match_bodies(job.query.wanted(), &bodies) {
            Ok(matched) => matched,
            Err(fault) => {
                self.want_again(&job.query);
                self.fault(id, fault);
                return;
            }
        };
        if bodies.is_empty() {
            self.no_bodies(now, id, &job);
            return;
        }
        peer.strikes = 0;
        match &job.query {
            BodyQuery::Line(wanted) => self.line_bodies(id, wanted, &matched, bodies),
            BodyQuery::Announced(wanted) => {
                if let Some(body) = bodies.into_iter().next() {
                    self.announced_body(wanted.block, body);
                }
            }
        }
    }

    fn no_bodies(&mut self, now: Instant, id: PeerId, job: &Job<BodyQuery>) {
        self.want_again(&job.query);
        if let BodyQuery::Line(wanted) = &job.query {
            self.set_lacking(id, wanted);
        }
        self.strike(now, id, |peer, until| peer.bodies.pause(until));
    }

    fn line_bodies(
        &mut self,
        id: PeerId,
        wanted: &[WantedBody],
        matched: &[usize],
        bodies: Vec<BlockBody>,
    ) {
        let total = bodies.iter().map(|body| body.rlp.len()).sum::<usize>();
        let fits = self.line.bytes().saturating_add(total) <= self.limits.pending_bytes;
        let first_missing = self.line.first_missing();
        for (place, body) in matched.iter().zip(bodies) {
            let Some(wanted) = wanted.get(*place) else { continue };
            let size = body.rlp.len();
            self.body_size = (self.body_size.saturating_mul(15).saturating_add(size)) / 16;
            if fits {
                self.line.set_body(wanted.block, body.rlp);
            } else if first_missing == Some(wanted.block.number) {
                // The others wait for this one. A copy, so that the rest of the message goes.
                self.line.set_body(wanted.block, Bytes::copy_from_slice(&body.rlp));
            }
        }
        for one in wanted {
            self.line.want_again(one.block);
        }
        // What was passed over is not there; what is missing at the end may just have been too much.
        let answered = matched.last().map_or(0, |last| last + 1);
        let passed_over = wanted.iter().take(answered).enumerate();
        let passed_over = passed_over
            .filter(|(place, _)| !matched.contains(place))
            .map(|(_, one)| *one)
            .collect::<Vec<_>>();
        self.set_lacking(id, &passed_over);
    }

    /// A peer does not have these bodies. If it sent a header of them, that was a lie.
    fn set_lacking(&mut self, id: PeerId, blocks: &[WantedBody]) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let mut own = None;
        for WantedBody { block: BlockId { hash, number }, .. } in blocks {
            peer.set_lacking(*hash);
            let waiting = self.line.get(*number).filter(|one| one.header.hash == *hash);
            if waiting.is_some_and(|one| one.owner == id) && *number >= peer.earliest {
                own = own.or(Some(*number));
            }
        }
        if let Some(number) = own {
            self.fault(id, SyncFault::MissingBody { number });
        }
    }

    /// Gives the blocks of a request back to be asked for.
    pub(super) fn want_again(&mut self, query: &BodyQuery) {
        match query {
            BodyQuery::Line(wanted) => {
                for one in wanted {
                    self.line.want_again(one.block);
                }
            }
            BodyQuery::Announced(wanted) => {
                self.announced.remove(&wanted.block.hash);
            }
        }
    }

    pub(super) fn on_request_failed(&mut self, now: Instant, id: PeerId, token: RequestToken) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Answered::Job(job) = settle(&mut peer.headers, token) {
            peer.headers.pause(now + RETRY_PAUSE);
            self.header_job_lost(&job.query);
        } else if let Answered::Job(job) = settle(&mut peer.bodies, token) {
            peer.bodies.pause(now + RETRY_PAUSE);
            self.want_again(&job.query);
        }
    }

    /// A request for headers will not be answered.
    fn header_job_lost(&mut self, query: &HeaderQuery) {
        match query {
            HeaderQuery::Announced { hash } => {
                self.announced.remove(hash);
            }
            HeaderQuery::Ancestor { .. } => self.mode = Mode::Fetching,
            _ => {}
        }
    }

    /// Gives the requests of silent peers to others, and drops peers that stay silent.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut silent = Vec::new();
        let (mut headers, mut bodies) = (Vec::new(), Vec::new());
        for (id, peer) in &mut self.peers {
            let overdue = peer.headers.overdue(now).or_else(|| peer.bodies.overdue(now));
            if let Some(waited) = overdue {
                silent.push((*id, waited));
                continue;
            }
            if let Some(job) = peer.headers.expire(now) {
                peer.measure_timeout();
                headers.push(job.query);
            }
            if let Some(job) = peer.bodies.expire(now) {
                peer.measure_timeout();
                bodies.push(job.query);
            }
        }
        for query in &headers {
            self.header_job_lost(query);
        }
        for query in &bodies {
            self.want_again(query);
        }
        for (peer, waited) in silent {
            self.fault(peer, SyncFault::Stalled { waited });
        }
    }
}

/// For each body the place of its block among those that were asked for. Bodies come in the order
/// of the question, and some may be missing.
fn match_bodies(wanted: &[WantedBody], bodies: &[BlockBody]) -> Result<Vec<usize>, SyncFault> {
    if bodies.len() > wanted.len() {
        return Err(SyncFault::TooMany { got: bodies.len(), asked: wanted.len() });
    }
    let mut matched = Vec::with_capacity(bodies.len());
    let mut rest = wanted.iter().enumerate();
    for body in bodies {
        let found = rest.find(|(_, one)| {
            one.transactions_root == body.transactions_root
                && one.ommers_hash == body.ommers_hash
                && one.withdrawals_root == body.withdrawals_root
        });
        match found {
            Some((place, _)) => matched.push(place),
            None => return Err(SyncFault::WrongBody),
        }
    }
    Ok(matched)
}
