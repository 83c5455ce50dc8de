//! What peers have earned: a score for each ID that has done something, fading with time.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::DisconnectReason;

use crate::time::Instant;

/// A score is worth half as much after this time: the mistake of an hour ago says nothing about a node
/// that was restarted or repaired since, and whoever goes on misbehaving is faster than that.
pub const SCORE_HALF_LIFE: Duration = Duration::from_secs(600);
/// The best score. Small beside any offence that proves intent, so that good conduct buys none.
pub const MAX_SCORE: i32 = 20;
/// The worst score: after [`CONDUCT_BAN`] even this one has faded to almost nothing.
pub const MIN_SCORE: i32 = -200;
/// Below this, others are dialled first (dynamic targets only).
pub const SHUNNED_SCORE: i32 = -25;
/// At this or below, the session ends and the ID is banned for [`CONDUCT_BAN`], unless the operator
/// asked for the peer.
pub const BAN_SCORE: i32 = -100;
/// How long a peer is banned for its conduct: six half-lives, so that it comes back with a clean
/// slate, and long beside the time in which an address list is worked through.
pub const CONDUCT_BAN: Duration = Duration::from_secs(3600);
/// IDs whose score is remembered, about 100 bytes each. When there are more, the one whose score has
/// faded most is forgotten.
pub const MAX_SCORES: usize = 4096;

/// Scores are counted in thousandths of a point.
const MILLI: i64 = 1000;

/// What a peer did wrong.
///
/// The weights are set so that one proof of intent is enough for a ban ([`BAN_SCORE`] is -100), what a
/// bug of an honest node could do takes a few times within one half-life, and what the network between
/// could have done, or a chain at odds with itself, does not add up to a ban at the rate at which it
/// occurs to honest nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offence {
    /// A block whose header or seal breaks a rule: every node checks those before it passes a block
    /// on.
    InvalidBlock,
    /// A block whose header and seal are right, and which does not do what it says. Honest nodes pass
    /// such a block on before they execute it: the sealer is to blame, not always the sender.
    InvalidExecution,
    /// A block of the future. One of the two clocks is wrong, and it may be ours: a node whose clock is
    /// slow must not ban everybody who brings it news.
    EarlyBlock,
    /// Something that is no transaction.
    InvalidTransaction,
    /// A message that breaks the rules of the base protocol or of a module.
    Breach,
    /// An answer that contradicts the question, or what the peer said before.
    FalseAnswer,
    /// No answer, or none of use.
    UselessAnswer,
    /// Something that nobody asked for, in place of an answer.
    Unsolicited,
    /// The handshakes after the proof of identity came to nothing: another chain, a malformed greeting,
    /// silence.
    FailedHandshake,
    /// Damaged frames: the peer, or somebody on the way.
    BrokenSession,
}

impl Offence {
    /// Each kind once.
    pub const ALL: [Self; 10] = [
        Self::InvalidBlock,
        Self::InvalidExecution,
        Self::EarlyBlock,
        Self::InvalidTransaction,
        Self::Breach,
        Self::FalseAnswer,
        Self::UselessAnswer,
        Self::Unsolicited,
        Self::FailedHandshake,
        Self::BrokenSession,
    ];

    /// What it costs, points.
    #[must_use]
    pub const fn weight(self) -> i32 {
        match self {
            Self::InvalidBlock => 100,
            // A validator that makes a bad block at each of its turns (13 in ten minutes among five,
            // every 15 s) costs those who pass them on 80 points at the most.
            // And whoever waits between its dials as a node should never comes to -100.
            Self::InvalidExecution | Self::FailedHandshake => 4,
            // A node of a newer version may pass on a type that this one does not know.
            Self::InvalidTransaction => 25,
            Self::Breach => 50,
            Self::FalseAnswer | Self::Unsolicited => 34,
            Self::UselessAnswer | Self::BrokenSession => 10,
            Self::EarlyBlock => 1,
        }
    }

    /// What the peer is told when this ends its session.
    #[must_use]
    pub const fn wire_reason(self) -> DisconnectReason {
        match self {
            Self::InvalidBlock
            | Self::InvalidExecution
            | Self::EarlyBlock
            | Self::InvalidTransaction
            | Self::FalseAnswer
            | Self::Unsolicited => DisconnectReason::SubprotocolError,
            Self::UselessAnswer => DisconnectReason::UselessPeer,
            Self::Breach | Self::FailedHandshake | Self::BrokenSession => {
                DisconnectReason::BreachOfProtocol
            }
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidBlock => "invalid block",
            Self::InvalidExecution => "block with a wrong result",
            Self::EarlyBlock => "block of the future",
            Self::InvalidTransaction => "invalid transaction",
            Self::Breach => "breach of protocol",
            Self::FalseAnswer => "false answer",
            Self::UselessAnswer => "useless answer",
            Self::Unsolicited => "not asked for",
            Self::FailedHandshake => "failed handshake",
            Self::BrokenSession => "broken session",
        })
    }
}

/// What a peer did well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Merit {
    /// It was the first to send a new block whose header and seal are right.
    NewBlock,
    /// It answered a request with what was asked for.
    Answer,
}

impl Merit {
    /// What it is worth, points. The sum ends at [`MAX_SCORE`].
    #[must_use]
    pub const fn weight(self) -> i32 {
        match self {
            Self::NewBlock => 2,
            Self::Answer => 1,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The score at `at`, thousandths of a point.
    milli: i64,
    at: Instant,
    banned_until: Option<Instant>,
}

impl Entry {
    fn milli(&self, now: Instant) -> i64 {
        faded(self.milli, now.saturating_since(self.at))
    }
}

/// The scores of those who have one, connected or not.
#[derive(Debug, Default)]
pub(super) struct Reputation {
    entries: BTreeMap<PeerId, Entry>,
}

impl Reputation {
    /// The score of a peer, whole points; zero for one of whom nothing is known.
    pub(super) fn score(&self, now: Instant, id: &PeerId) -> i32 {
        self.entries.get(id).map_or(0, |entry| points(entry.milli(now)))
    }

    /// Adds points, or takes them; returns the score after it.
    pub(super) fn change(&mut self, now: Instant, id: PeerId, by: i32) -> i32 {
        if !self.entries.contains_key(&id) && self.entries.len() >= MAX_SCORES {
            self.forget_faintest(now);
        }
        let fresh = Entry { milli: 0, at: now, banned_until: None };
        let entry = self.entries.entry(id).or_insert(fresh);
        let limits = (i64::from(MIN_SCORE) * MILLI, i64::from(MAX_SCORE) * MILLI);
        let sum = entry.milli(now).saturating_add(i64::from(by).saturating_mul(MILLI));
        entry.milli = sum.clamp(limits.0, limits.1);
        entry.at = entry.at.max(now);
        points(entry.milli)
    }

    fn forget_faintest(&mut self, now: Instant) {
        let weight = |entry: &Entry| entry.milli(now).unsigned_abs();
        let faintest = self.entries.iter().min_by_key(|(_, entry)| weight(entry));
        if let Some(id) = faintest.map(|(id, _)| *id) {
            self.entries.remove(&id);
        }
    }

    /// Bans an ID that has a score.
    pub(super) fn ban(&mut self, id: &PeerId, until: Instant) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.banned_until = Some(until);
        }
    }

    pub(super) fn is_banned(&self, now: Instant, id: &PeerId) -> bool {
        let until = self.entries.get(id).and_then(|entry| entry.banned_until);
        until.is_some_and(|until| now < until)
    }

    /// Forgets what an ID has done.
    pub(super) fn pardon(&mut self, id: &PeerId) {
        self.entries.remove(id);
    }

    /// IDs that have a score.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// 2^32 times 2^(-1/2), 2^(-1/4), 2^(-1/8) …: what is left after the half, the quarter, the eighth of a
/// half-life, rounded down.
const LEFT_AFTER: [u64; 16] = [
    3037000499, 3611622602, 3938502375, 4112874773, 4202935003, 4248701964, 4271771996, 4283353945,
    4289156690, 4292061009, 4293513906, 4294240539, 4294603902, 4294785595, 4294876444, 4294921870,
];

/// A score after some time: halved with each half-life, and between two of them on the curve, so that
/// it does not matter how often it is looked at or changed. Towards zero always. In steps of one in
/// 65,536 of a half-life, 9 ms.
fn faded(milli: i64, passed: Duration) -> i64 {
    let half_life = SCORE_HALF_LIFE.as_micros();
    let halvings = u32::try_from(passed.as_micros() / half_life).unwrap_or(u32::MAX);
    let fraction = (passed.as_micros() % half_life) * 65_536 / half_life;
    let mut left = 1_u64 << 32;
    for (bit, factor) in (0..16).rev().zip(LEFT_AFTER) {
        if fraction >> bit & 1 == 1 {
            left = left.saturating_mul(factor) >> 32;
        }
    }
    let left = left.checked_shr(halvings).unwrap_or(0);
    let product = i128::from(milli) * i128::from(left);
    i64::try_from(product / (1 << 32)).unwrap_or(0)
}

/// Rounded to the nearest, so that two halves within a second are a whole. Bounded by [`MIN_SCORE`] and
/// [`MAX_SCORE`].
fn points(milli: i64) -> i32 {
    let half = MILLI / 2 * milli.signum();
    i32::try_from(milli.saturating_add(half) / MILLI).unwrap_or(0)
}

#[cfg(test)]
mod tests;
