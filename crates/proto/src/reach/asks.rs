//! Rounds of questions: whom to ask, and what their answers come to.

use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::PeerId;
use chainmesh_wire::reach::{DialMe, Dialled, Message, Outcome};
use rand_core::Rng;

use super::config::{
    ANSWER_TIMEOUT, ASKED, FEW_INTERVAL, MAX_ASKED, RETRY_INTERVAL, ROUND_INTERVAL,
};
use super::io::{Output, SessionId};
use super::report::{Statement, Verdict};
use super::{Peer, Reach, Timer};
use crate::discovery::{Prefix, is_lan, may_know};
use crate::time::Instant;

/// One voice: in a local network each node has one, elsewhere each prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Voice {
    Node(PeerId),
    Prefix(Prefix),
}

impl Voice {
    const fn of(peer: &Peer) -> Self {
        if is_lan(peer.address.ip()) {
            Self::Node(peer.id)
        } else {
            Self::Prefix(Prefix::of(peer.address.ip()))
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Questions that wait for their answers.
    open: BTreeMap<SessionId, u64>,
    /// Who was asked in this round.
    asked: BTreeSet<Voice>,
    /// Whether a round is under way.
    running: bool,
    /// The address has changed while one was.
    again: bool,
    next_request: u64,
    pub(super) statements: Vec<Statement>,
    pub(super) verdict: Verdict,
    pub(super) checked: Option<Instant>,
}

impl Asks {
    pub(super) const fn is_idle(&self) -> bool {
        !self.running
    }

    fn tried(&self) -> usize {
        self.statements.iter().filter(|statement| statement.outcome.is_tried()).count()
    }

    fn judge(&self, port: u16) -> Verdict {
        let tried = self.tried();
        let reached =
            self.statements.iter().filter(|said| said.outcome == Outcome::Reached).count();
        if tried == 0 {
            return Verdict::Unknown;
        }
        if reached.saturating_mul(2) > tried {
            return Verdict::Yes { reached, tried };
        }
        let mut obstacles: BTreeMap<Outcome, usize> = BTreeMap::new();
        for said in &self.statements {
            if said.outcome.is_tried() && said.outcome != Outcome::Reached {
                *obstacles.entry(said.outcome).or_default() += 1;
            }
        }
        let obstacle = obstacles.into_iter().max_by_key(|(_, count)| *count);
        let obstacle = obstacle.map_or(Outcome::TimedOut, |(outcome, _)| outcome);
        Verdict::No { reached, tried, obstacle, port }
    }
}

impl Reach {
    /// A round begins, if there is anybody to ask; if not, the next peer begins it.
    pub(super) fn begin_round(&mut self, now: Instant) {
        if self.port == 0 || self.asks.running || self.peers.is_empty() {
            return;
        }
        self.asks.running = true;
        self.asks.again = false;
        self.asks.asked.clear();
        self.asks.statements.clear();
        self.timers.set(Timer::Answers, now + ANSWER_TIMEOUT);
        self.ask_more(now);
    }

    /// Asks as many as are missing; ends the round when nobody is left to ask or to wait for.
    pub(super) fn ask_more(&mut self, now: Instant) {
        while self.asks.tried().saturating_add(self.asks.open.len()) < ASKED
            && self.asks.asked.len() < MAX_ASKED
            && let Some(session) = self.choose()
        {
            let request_id = self.asks.next_request;
            self.asks.next_request = request_id.wrapping_add(1);
            self.asks.open.insert(session, request_id);
            let question = DialMe { request_id, port: self.port };
            self.send(session, Message::DialMe(question));
        }
        if self.asks.open.is_empty() {
            self.end_round(now);
        }
    }

    /// Somebody who has not been asked: one whom this node dialled before one who came by himself.
    fn choose(&mut self) -> Option<SessionId> {
        let fresh = |peer: &Peer| !self.asks.asked.contains(&Voice::of(peer));
        let fitting: Vec<(SessionId, Peer)> =
            self.peers.iter().filter(|(_, p)| fresh(p)).map(|(s, peer)| (*s, *peer)).collect();
        let chosen: Vec<_> = fitting.iter().filter(|(_, peer)| peer.dialled).collect();
        let from = if chosen.is_empty() { fitting.iter().collect() } else { chosen };
        let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
        let at = usize::try_from(self.rng.next_u64() % count).ok()?;
        let (session, peer) = from.get(at)?;
        self.asks.asked.insert(Voice::of(peer));
        Some(*session)
    }

    /// [`Message::Dialled`].
    pub(super) fn answered(&mut self, now: Instant, session: SessionId, said: Dialled) {
        if self.asks.open.get(&session) != Some(&said.request_id) {
            return;
        }
        self.asks.open.remove(&session);
        if let Some(peer) = self.peers.get(&session) {
            let ip = said.ip.to_canonical();
            let seen = may_know(peer.address.ip(), ip).then_some(ip);
            let (by, outcome) = (peer.id, said.outcome);
            self.asks.statements.push(Statement { by, outcome, seen, at: now });
        }
        self.ask_more(now);
    }

    /// A peer is gone; what it was asked it will not answer.
    pub(super) fn lost(&mut self, now: Instant, session: SessionId) {
        if self.asks.open.remove(&session).is_some() {
            self.ask_more(now);
        }
    }

    /// Who has not answered by now says nothing.
    pub(super) fn answers_due(&mut self, now: Instant) {
        self.asks.open.clear();
        self.end_round(now);
    }

    fn end_round(&mut self, now: Instant) {
        if !core::mem::take(&mut self.asks.running) {
            return;
        }
        self.timers.cancel(&Timer::Answers);
        let verdict = self.asks.judge(self.port);
        self.asks.checked = Some(now);
        let known = verdict != Verdict::Unknown;
        let again = core::mem::take(&mut self.asks.again) || !known;
        let wait = match self.asks.tried() {
            _ if again => RETRY_INTERVAL,
            ASKED.. => ROUND_INTERVAL,
            _ => FEW_INTERVAL,
        };
        self.timers.set(Timer::Round, now + wait);
        if !known {
            // That nobody could say anything this time does not undo what was known.
            return;
        }
        let before = core::mem::replace(&mut self.asks.verdict, verdict);
        if !verdict.says_the_same(&before) {
            self.outputs.push_back(Output::Verdict(verdict));
        }
    }

    /// Others see this node elsewhere.
    pub(super) fn moved(&mut self, now: Instant) {
        if self.port == 0 {
            return;
        }
        if self.asks.running {
            self.asks.again = true;
            return;
        }
        // Not at once after a round: the same peers would say that it is too soon.
        let earliest = self.asks.checked.map_or(now, |checked| checked + RETRY_INTERVAL);
        let at = earliest.max(now);
        if !self.peers.is_empty()
            && self.timers.deadline(&Timer::Round).is_none_or(|planned| planned > at)
        {
            self.timers.set(Timer::Round, at);
        }
    }
}
