//! What the machine knows of one peer.

use core::time::Duration;
use std::collections::BTreeSet;

use alloy_primitives::{B256, U256};
use chainmesh_wire::eth::{BlockHeader, BlockId};

use super::super::chain::ChainHead;
use super::super::handler::PeerHead;
use super::limits::{
    INITIAL_BODIES_PER_SECOND, INITIAL_ROUND_TRIP, MAX_BODY_REQUEST, MAX_LACKING, MAX_TIMEOUT,
    MEASUREMENT_IMPACT, MIN_TIMEOUT, TARGET_ROUND_TRIP, TIMEOUT_ROUND_TRIPS,
};
use super::types::RequestToken;
use crate::time::{Instant, earliest};

/// What headers were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderQuery {
    /// Blocks of the chain that is being fetched.
    Range { start: u64, count: u64 },
    /// The header of the peer's head, to learn its number.
    Head { hash: B256 },
    /// One block of the peer's chain, in the search for an ancestor.
    Ancestor { number: u64 },
    /// An announced block.
    Announced { hash: B256 },
    /// Nobody wants the answer any more.
    Abandoned,
}

/// A body that was asked for, and what proves that it is the right one.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedBody {
    pub(super) block: BlockId,
    pub(super) transactions_root: B256,
    pub(super) ommers_hash: B256,
    pub(super) withdrawals_root: Option<B256>,
}

impl WantedBody {
    pub(super) const fn of(header: &BlockHeader) -> Self {
        Self {
            block: BlockId { hash: header.hash, number: header.header.number },
            transactions_root: header.header.transactions_root,
            ommers_hash: header.header.ommers_hash,
            withdrawals_root: header.header.withdrawals_root,
        }
    }
}

/// What bodies were asked for.
#[derive(Debug, Clone)]
pub(super) enum BodyQuery {
    /// Of blocks of the chain that is being fetched.
    Line(Vec<WantedBody>),
    /// Of an announced block.
    Announced(WantedBody),
}

impl BodyQuery {
    pub(super) const fn wanted(&self) -> &[WantedBody] {
        match self {
            Self::Line(wanted) => wanted.as_slice(),
            Self::Announced(wanted) => core::slice::from_ref(wanted),
        }
    }
}

/// A request under way.
#[derive(Debug, Clone)]
pub(super) struct Job<Q> {
    pub(super) token: RequestToken,
    pub(super) query: Q,
    pub(super) sent: Instant,
    deadline: Instant,
}

/// The one place of a peer for requests of one kind: `Idle` → `Busy` → `Idle`, or by way of
/// `Late` when the deadline passes first: the request is given to another peer, and this one gets
/// no new request of the kind until it has answered or is dropped.
#[derive(Debug, Clone)]
pub(super) enum Slot<Q> {
    /// Free, though perhaps not at once.
    Idle {
        not_before: Instant,
    },
    Busy(Job<Q>),
    /// What counts is when it became late, not when it was sent: a machine that was not run for a
    /// while must not find all its peers silent.
    Late {
        token: RequestToken,
        sent: Instant,
        since: Instant,
    },
}

impl<Q> Slot<Q> {
    fn is_free(&self, now: Instant) -> bool {
        matches!(self, Self::Idle { not_before } if *not_before <= now)
    }

    const fn is_late(&self) -> bool {
        matches!(self, Self::Late { .. })
    }

    pub(super) const fn job(&self) -> Option<&Job<Q>> {
        match self {
            Self::Busy(job) => Some(job),
            _ => None,
        }
    }

    fn wake(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Idle { not_before } => (*not_before > now).then_some(*not_before),
            Self::Busy(job) => Some(job.deadline),
            Self::Late { since, .. } => Some(*since + MAX_TIMEOUT),
        }
    }

    pub(super) fn pause(&mut self, until: Instant) {
        *self = Self::Idle { not_before: until };
    }

    /// Takes the job if its deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Job<Q>> {
        let Self::Busy(job) = self else { return None };
        if job.deadline > now {
            return None;
        }
        let late = Self::Late { token: job.token, sent: job.sent, since: now };
        match core::mem::replace(self, late) {
            Self::Busy(job) => Some(job),
            _ => None,
        }
    }

    /// How long an unanswered request is old, if that is too long.
    pub(super) fn overdue(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Late { sent, since, .. } if now.saturating_since(*since) >= MAX_TIMEOUT => {
                Some(now.saturating_since(*sent))
            }
            _ => None,
        }
    }
}

/// What came of an answer's token.
pub(super) enum Answered<Q> {
    /// It is the job's.
    Job(Job<Q>),
    /// It is for a request that was given up.
    Late { sent: Instant },
    /// There was no such request.
    Unknown,
}

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// Number of its head; it has to be asked for when the Status has none.
    pub(super) number: Option<u64>,
    /// Hash of its head.
    pub(super) hash: B256,
    /// Total difficulty of its head, as it claims; with eth/69 there is none.
    pub(super) total_difficulty: Option<U256>,
    /// Its head is still the one of its Status.
    introduced: bool,
    /// Number of the first body that it has.
    pub(super) earliest: u64,
    /// The head that turned out to bring nothing.
    pub(super) exhausted: Option<B256>,
    /// Its chain does not continue the one that is being fetched.
    pub(super) diverged: bool,
    pub(super) headers: Slot<HeaderQuery>,
    pub(super) bodies: Slot<BodyQuery>,
    /// Empty answers in a row where it claims to have headers.
    pub(super) strikes: u32,
    /// Empty answers in a row to requests for bodies.
    pub(super) without_bodies: u32,
    /// Estimate of a round trip.
    pub(super) round_trip: Duration,
    /// Estimate of the bodies that it delivers in a second.
    pub(super) rate: f64,
    /// Decides between peers that are otherwise equal.
    pub(super) lot: u64,
    lacking: BTreeSet<B256>,
    /// Whether an answer has been measured: the first replaces the guess.
    measured: bool,
}

impl Peer {
    pub(super) const fn new(head: PeerHead, lot: u64) -> Self {
        let (number, hash, total_difficulty, earliest) = match head {
            PeerHead::TotalDifficulty { hash, total_difficulty } => {
                (None, hash, Some(total_difficulty), 0)
            }
            PeerHead::Range(range) => (Some(range.latest), range.latest_hash, None, range.earliest),
        };
        Self {
            number,
            hash,
            total_difficulty,
            introduced: true,
            earliest,
            exhausted: None,
            diverged: false,
            headers: Slot::Idle { not_before: Instant::ZERO },
            bodies: Slot::Idle { not_before: Instant::ZERO },
            strikes: 0,
            without_bodies: 0,
            round_trip: INITIAL_ROUND_TRIP,
            rate: INITIAL_BODIES_PER_SECOND,
            lot,
            lacking: BTreeSet::new(),
            measured: false,
        }
    }

    /// Whether it claims a better chain than ours, and has not been tried in vain.
    ///
    /// Two branches of a clique chain may be equally heavy, and neither can go on where each has half of the
    /// signers. The chain prefers the lower head then (as go-ethereum does), so whoever comes with one is
    /// asked for it. Of heads that are announced the next block decides soon.
    pub(super) fn is_better(&self, local: &ChainHead) -> bool {
        if self.hash == local.hash || self.exhausted == Some(self.hash) {
            return false;
        }
        match (self.total_difficulty, self.number) {
            (Some(claimed), number) if claimed == local.total_difficulty => {
                let lower = |number| (number, self.hash) < (local.number, local.hash);
                self.introduced && number.is_none_or(lower)
            }
            (Some(claimed), _) => claimed > local.total_difficulty,
            (None, Some(number)) => number > local.number,
            (None, None) => false,
        }
    }

    /// It has a new head.
    pub(super) const fn set_head(&mut self, block: BlockId, total_difficulty: Option<U256>) {
        self.number = Some(block.number);
        self.hash = block.hash;
        self.total_difficulty = total_difficulty;
        self.introduced = false;
    }

    /// Whether it can be asked for headers now. Not while it owes an answer of either kind for too
    /// long: it is silent, not slow with one thing.
    pub(super) fn can_send_headers(&self, now: Instant) -> bool {
        self.headers.is_free(now) && !self.bodies.is_late()
    }

    /// Whether it can be asked for bodies now.
    pub(super) fn can_send_bodies(&self, now: Instant) -> bool {
        self.bodies.is_free(now) && !self.headers.is_late()
    }

    pub(super) fn lacks(&self, hash: &B256) -> bool {
        self.lacking.contains(hash)
    }

    pub(super) fn set_lacking(&mut self, hash: B256) {
        if self.lacking.len() >= MAX_LACKING {
            self.lacking.clear();
        }
        self.lacking.insert(hash);
    }

    /// What to ask a peer first that is as good as another: few strikes, quick, and by lot.
    pub(super) const fn preference(&self) -> (u32, Duration, u64) {
        (self.strikes, self.round_trip, self.lot)
    }

    /// How many bodies to ask for at once.
    pub(super) fn body_allowance(&self) -> usize {
        let count = self.rate * TARGET_ROUND_TRIP.as_secs_f64();
        // A float to integer conversion saturates.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = count as usize;
        count.saturating_add(1).min(MAX_BODY_REQUEST)
    }

    fn timeout(&self) -> Duration {
        self.round_trip.saturating_mul(TIMEOUT_ROUND_TRIPS).clamp(MIN_TIMEOUT, MAX_TIMEOUT)
    }

    pub(super) fn job<Q>(&self, token: RequestToken, query: Q, now: Instant) -> Job<Q> {
        Job { token, query, sent: now, deadline: now + self.timeout() }
    }

    /// An answer came after this long.
    pub(super) fn measure_round_trip(&mut self, took: Duration) {
        if !core::mem::replace(&mut self.measured, true) {
            self.round_trip = took.min(MAX_TIMEOUT);
            return;
        }
        let estimate = self.round_trip.as_secs_f64() * (1.0 - MEASUREMENT_IMPACT)
            + took.min(MAX_TIMEOUT).as_secs_f64() * MEASUREMENT_IMPACT;
        self.round_trip = Duration::from_secs_f64(estimate);
    }

    /// An answer came after its deadline: the peer needs this long.
    pub(super) fn measure_late(&mut self, took: Duration) {
        self.round_trip = self.round_trip.max(took.min(MAX_TIMEOUT));
    }

    /// So many bodies came after this long.
    pub(super) fn measure_bodies(&mut self, count: usize, took: Duration) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let measured = f64::from(count) / took.as_secs_f64().max(0.001);
        self.rate = self.rate * (1.0 - MEASUREMENT_IMPACT) + measured * MEASUREMENT_IMPACT;
    }

    /// A request timed out: the peer is slower than was thought, and gets less.
    pub(super) fn measure_timeout(&mut self) {
        self.round_trip = self.round_trip.saturating_mul(2).min(MAX_TIMEOUT);
        self.rate /= 2.0;
    }

    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        earliest(self.headers.wake(now), self.bodies.wake(now))
    }
}

/// Finds out what a token is about, and frees the slot.
pub(super) fn settle<Q>(slot: &mut Slot<Q>, token: RequestToken) -> Answered<Q> {
    let matches = match slot {
        Slot::Busy(job) => job.token == token,
        Slot::Late { token: late, .. } => *late == token,
        Slot::Idle { .. } => false,
    };
    if !matches {
        return Answered::Unknown;
    }
    match core::mem::replace(slot, Slot::Idle { not_before: Instant::ZERO }) {
        Slot::Busy(job) => Answered::Job(job),
        Slot::Late { sent, .. } => Answered::Late { sent },
        Slot::Idle { .. } => Answered::Unknown,
    }
}
