//! Asking for what was announced.
//!
//! A transaction that is wanted is in the queue of each peer that announced it, until it is asked
//! of one of them; if that one does not deliver, it goes back to the front of the queues of the
//! others.

use std::collections::{BTreeSet, VecDeque};

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::TransactionAnnouncements;

use super::limits::{
    ARRIVE_WAIT, ASSUMED_SIZE, BLOB_KIND, FETCH_TIMEOUT, MAX_FETCHED, MAX_FETCHED_BYTES,
    MAX_SILENT, MAX_WANTED_PER_PEER, SILENCE, SIZE_TOLERANCE,
};
use super::types::{BatchId, FetchToken, GossipFault, GossipOutput, ReceivedTransaction};
use super::{TransactionGossip, Wait};
use crate::time::Instant;

/// A queue that is longer is rid of what has arrived meanwhile.
const MAX_QUEUE: usize = 2 * MAX_WANTED_PER_PEER;

/// Type and size, as announced; unknown before eth/68.
type Claim = Option<(u8, u32)>;

/// A transaction that was announced and is not here.
#[derive(Debug)]
pub(super) struct Wanted {
    /// When it may be asked for.
    ready: Instant,
    /// Who announced it, in the order in which they did.
    from: Vec<(PeerId, Claim)>,
    /// Who is being asked.
    asked: Option<PeerId>,
}

impl Wanted {
    fn claim_of(&self, peer: PeerId) -> Option<Claim> {
        self.from.iter().find(|(id, _)| *id == peer).map(|(_, claim)| *claim)
    }
}

/// A request under way.
#[derive(Debug)]
struct Asked {
    token: FetchToken,
    hashes: Vec<B256>,
    /// The answer is late: the others are being asked.
    late: bool,
}

/// What one peer announced, and is asked.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    /// In the order in which they become ready. A hash may have gone from `wanted` since.
    queue: VecDeque<B256>,
    asked: Option<Asked>,
    /// Those in `wanted` that have this peer among their sources.
    source_of: BTreeSet<B256>,
    /// Requests in a row without an answer.
    silent: u32,
}

impl Fetcher {
    pub(super) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Everything that this peer may be a source of.
    pub(super) fn all(self) -> Vec<B256> {
        self.source_of.into_iter().collect()
    }
}

impl TransactionGossip {
    pub(super) fn on_announced(
        &mut self,
        now: Instant,
        id: PeerId,
        transactions: &TransactionAnnouncements,
        wanted: &[bool],
    ) {
        self.refused.expire(now);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.fetcher.queue.len() > MAX_QUEUE {
            let wanted = &self.wanted;
            peer.fetcher
                .queue
                .retain(|hash| wanted.get(hash).is_some_and(|one| one.asked.is_none()));
        }
        let mut claims: Vec<(B256, Claim)> = Vec::new();
        match transactions {
            TransactionAnnouncements::Hashes(hashes) => {
                claims.extend(hashes.iter().map(|hash| (*hash, None)));
            }
            TransactionAnnouncements::Described(all) => {
                claims.extend(all.iter().map(|one| (one.hash, Some((one.kind, one.size)))));
            }
        }
        for ((hash, claim), wanted) in claims.into_iter().zip(wanted) {
            peer.known.insert(&hash);
            // They come with their blobs, 128 KiB each, which no pool of ours takes.
            if claim.is_some_and(|(kind, _)| kind == BLOB_KIND) {
                continue;
            }
            let fetcher = &mut peer.fetcher;
            let is_new = *wanted && !self.checking.contains(&hash) && !self.refused.contains(&hash);
            if !is_new || fetcher.source_of.len() >= MAX_WANTED_PER_PEER {
                continue;
            }
            let place = self.wanted.entry(hash).or_insert_with(|| Wanted {
                ready: now + ARRIVE_WAIT,
                from: Vec::new(),
                asked: None,
            });
            if place.claim_of(id).is_some() {
                continue;
            }
            place.from.push((id, claim));
            fetcher.source_of.insert(hash);
            if place.asked.is_none() {
                fetcher.queue.push_back(hash);
            }
        }
        self.ask(now, id);
    }

    /// Asks a peer for what it announced and is ready, if it is not being asked already.
    pub(super) fn ask(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let fetcher = &mut peer.fetcher;
        if fetcher.asked.is_some() {
            return;
        }
        let (mut hashes, mut bytes) = (Vec::new(), 0);
        while let Some(hash) = fetcher.queue.front().copied() {
            let source = self.wanted.get_mut(&hash).and_then(|wanted| {
                let claim = wanted.claim_of(id)?;
                wanted.asked.is_none().then_some((wanted, claim))
            });
            // It is here, or another peer is being asked for it.
            let Some((wanted, claim)) = source else {
                fetcher.queue.pop_front();
                continue;
            };
            if wanted.ready > now {
                self.timers.set((id, Wait::Arrive), wanted.ready);
                break;
            }
            let size = claim.map_or(ASSUMED_SIZE, |(_, size)| size as usize);
            let full = hashes.len() >= MAX_FETCHED || bytes + size > MAX_FETCHED_BYTES;
            if full && !hashes.is_empty() {
                break;
            }
            wanted.asked = Some(id);
            bytes += size;
            hashes.push(hash);
            fetcher.queue.pop_front();
        }
        if hashes.is_empty() {
            return;
        }
        self.last_token = self.last_token.wrapping_add(1);
        let token = FetchToken(self.last_token);
        fetcher.asked = Some(Asked { token, hashes: hashes.clone(), late: false });
        self.timers.set((id, Wait::Answer), now + FETCH_TIMEOUT);
        self.outputs.push_back(GossipOutput::Request { peer: id, token, hashes });
    }

    /// The answer to a request is here: what was delivered is checked, the rest asked of others.
    pub(super) fn on_fetched(
        &mut self,
        now: Instant,
        id: PeerId,
        token: FetchToken,
        batch: BatchId,
        transactions: Vec<ReceivedTransaction>,
    ) {
        let asked = self.peers.get_mut(&id).and_then(|peer| {
            peer.fetcher.silent = 0;
            peer.fetcher.asked.take_if(|asked| asked.token == token)
        });
        let Some(Asked { hashes, .. }) = asked else {
            return self.check(id, batch, Vec::new());
        };
        self.timers.cancel(&(id, Wait::Answer));
        for one in &transactions {
            if let Some(fault) = self.mismatch(id, &hashes, one) {
                self.check(id, batch, Vec::new());
                return self.fault(now, id, fault);
            }
        }
        self.fetched += transactions.len() as u64;
        if let Some(peer) = self.peers.get_mut(&id) {
            transactions.iter().for_each(|one| {
                peer.known.insert(&one.hash);
            });
        }
        // An answer stops where it would be too long: what comes behind the last one delivered may
        // be asked for again, what is missing before it the peer does not have.
        let delivered = |hash: &B256| transactions.iter().any(|one| one.hash == *hash);
        let end = hashes.iter().rposition(delivered).map_or(hashes.len(), |last| last + 1);
        let (before, behind) = hashes.split_at(end);
        let missing = before.iter().filter(|hash| !delivered(hash)).copied().collect();
        let again: Vec<B256> = behind.to_vec();
        self.check(id, batch, transactions);
        self.release(now, id, missing);
        self.ask_again(id, &again);
        self.ask(now, id);
    }

    /// Why a transaction is not what was asked for.
    fn mismatch(
        &self,
        id: PeerId,
        asked: &[B256],
        one: &ReceivedTransaction,
    ) -> Option<GossipFault> {
        let hash = one.hash;
        if !asked.contains(&hash) {
            return Some(GossipFault::Unrequested { hash });
        }
        let (kind, size) = self.wanted.get(&hash)?.claim_of(id)??;
        let found = one.kind();
        if found != kind {
            return Some(GossipFault::WrongKind { hash, announced: kind, found });
        }
        let length = one.raw.len();
        let off = length.abs_diff(size as usize);
        (off > SIZE_TOLERANCE).then_some(GossipFault::WrongSize {
            hash,
            announced: size,
            found: length,
        })
    }

    pub(super) fn on_request_failed(&mut self, now: Instant, id: PeerId, token: FetchToken) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(asked) = peer.fetcher.asked.take_if(|asked| asked.token == token) {
            self.timers.cancel(&(id, Wait::Answer));
            self.release(now, id, asked.hashes);
        }
    }

    /// No answer in time: first the others are asked, then this peer may be asked for other things.
    pub(super) fn on_silence(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(asked) = &mut peer.fetcher.asked else { return };
        if !asked.late {
            asked.late = true;
            let hashes = asked.hashes.clone();
            self.timers.set((id, Wait::Answer), now + SILENCE);
            return self.release(now, id, hashes);
        }
        peer.fetcher.asked = None;
        peer.fetcher.silent += 1;
        let count = peer.fetcher.silent;
        if count >= MAX_SILENT {
            return self.fault(now, id, GossipFault::Silent { count });
        }
        self.ask(now, id);
    }

    /// This peer is no source of these any more. The others that announced them are asked.
    pub(super) fn release(&mut self, now: Instant, id: PeerId, hashes: Vec<B256>) {
        let mut others = Vec::new();
        for hash in hashes {
            let Some(wanted) = self.wanted.get_mut(&hash) else { continue };
            wanted.from.retain(|(source, _)| *source != id);
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.fetcher.source_of.remove(&hash);
            }
            wanted.asked.take_if(|asked| *asked == id);
            if wanted.from.is_empty() {
                self.wanted.remove(&hash);
                continue;
            }
            if wanted.asked.is_some() {
                continue;
            }
            for (source, _) in &wanted.from {
                if let Some(peer) = self.peers.get_mut(source) {
                    peer.fetcher.queue.push_front(hash);
                    others.push(*source);
                }
            }
        }
        others.sort_unstable();
        others.dedup();
        for other in others {
            self.ask(now, other);
        }
    }

    /// Puts what an answer had no room for back to the front of the peer's queue.
    fn ask_again(&mut self, id: PeerId, hashes: &[B256]) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for hash in hashes.iter().rev() {
            if let Some(wanted) = self.wanted.get_mut(hash) {
                wanted.asked.take_if(|asked| *asked == id);
                peer.fetcher.queue.push_front(*hash);
            }
        }
    }

    /// A transaction is here: nobody has to be asked for it. It stays in queues, where it is passed
    /// over.
    pub(super) fn arrived(&mut self, hash: &B256) {
        let Some(wanted) = self.wanted.remove(hash) else { return };
        for (source, _) in wanted.from {
            if let Some(peer) = self.peers.get_mut(&source) {
                peer.fetcher.source_of.remove(hash);
            }
        }
    }
}
