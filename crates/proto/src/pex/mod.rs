//! Peer exchange: nodes that have a session tell each other of nodes.
//!
//! [`Pex`] decides when whom is asked, who is answered, and what of an answer is taken; it knows no
//! address book. What a peer is told is a [sample](crate::peers::book::AddressBook::sample) of the book;
//! what is taken goes there as hearsay, which a dial or a Ping has to prove.

mod config;
mod io;
mod module;
mod quota;
mod report;
mod take;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use chainmesh_identity::PeerId;
use chainmesh_wire::discv4::Contact;
use chainmesh_wire::pex::{GetNodes, MAX_NODES, Message, Nodes};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

pub use self::config::*;
pub use self::io::{Ignored, Input, Output, PexFault, SessionId};
pub use self::module::{PexModule, PexSink};
pub use self::report::{PexCounters, PexReport};

use self::quota::{Answered, Quota};
use crate::time::Instant;
use crate::timers::Timers;

/// A deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The peer may be asked.
    Ask(SessionId),
    /// Its answer has not come.
    Expire(SessionId),
}

#[derive(Debug)]
struct Session {
    peer: PeerId,
    address: IpAddr,
    dialled: bool,
    ready: bool,
    /// The question that waits for its answer.
    waiting: Option<u64>,
    /// The last one that has waited too long.
    lapsed: Option<u64>,
    /// When it was asked last.
    asked_at: Option<Instant>,
    /// From one question to the next.
    wait: Duration,
    /// The last answer, to see whether the next one has anything new.
    last: Vec<Contact>,
    /// Its question, which waits for the sample, or for the session to be ready.
    question: Option<GetNodes>,
    too_soon: u32,
    unasked: u32,
}

/// Peer exchange of one node.
#[derive(Debug)]
pub struct Pex {
    config: PexConfig,
    rng: ChaCha8Rng,
    sessions: BTreeMap<SessionId, Session>,
    timers: Timers<Timer>,
    /// The next question to anybody.
    next: Instant,
    need: usize,
    answered: Answered,
    quota: Quota,
    counters: PexCounters,
    outputs: VecDeque<Output>,
}

impl Pex {
    /// Without sessions. The seed decides the jitter and the numbers of questions.
    #[must_use]
    pub fn new(config: PexConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            rng: ChaCha8Rng::from_seed(seed),
            sessions: BTreeMap::new(),
            timers: Timers::new(),
            next: Instant::ZERO,
            need: 0,
            answered: Answered::default(),
            quota: Quota::default(),
            counters: PexCounters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// What it was made from.
    #[must_use]
    pub const fn config(&self) -> &PexConfig {
        &self.config
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened { session, peer, address, dialled } => {
                let address = address.to_canonical();
                self.sessions.insert(session, Session::new(peer, address, dialled));
            }
            Input::Ready { peer } => self.ready(now, peer),
            Input::Closed { session } => self.forget(session),
            Input::Message { session, code, payload } => match Message::decode(code, &payload) {
                Ok(Message::GetNodes(question)) => self.question(now, session, question),
                Ok(Message::Nodes(nodes)) => self.answer(now, session, nodes),
                Err(error) => self.close(session, error.into()),
            },
            Input::Need { nodes } => {
                let rises = self.need == 0 && nodes > 0;
                self.need = nodes;
                if rises {
                    let all: Vec<SessionId> = self.sessions.keys().copied().collect();
                    all.into_iter().for_each(|session| self.plan(now, session));
                }
            }
            Input::Sampled { session, nodes } => self.tell(session, nodes),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Ask(session) => self.ask(now, session),
                Timer::Expire(session) => self.expire(now, session),
            }
        }
    }

    /// Peer exchange as it is.
    #[must_use]
    pub fn snapshot(&self) -> PexReport {
        PexReport {
            peers: self.sessions.len(),
            need: self.need,
            waiting: self.sessions.values().filter(|session| session.waiting.is_some()).count(),
            counters: self.counters.clone(),
        }
    }

    fn ready(&mut self, now: Instant, peer: PeerId) {
        let of_peer = |(id, session): (&SessionId, &Session)| {
            (session.peer == peer && !session.ready).then_some(*id)
        };
        let those: Vec<SessionId> = self.sessions.iter().filter_map(of_peer).collect();
        for id in those {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.ready = true;
                if let Some(question) = session.question.take() {
                    self.question(now, id, question);
                }
            }
            self.plan(now, id);
        }
    }

    fn forget(&mut self, session: SessionId) {
        self.timers.cancel(&Timer::Ask(session));
        self.timers.cancel(&Timer::Expire(session));
        if self.sessions.remove(&session).is_some_and(|session| session.waiting.is_some()) {
            self.counters.unanswered = self.counters.unanswered.saturating_add(1);
        }
    }

    fn close(&mut self, session: SessionId, fault: PexFault) {
        if self.sessions.contains_key(&session) {
            self.forget(session);
            self.counters.breaches = self.counters.breaches.saturating_add(1);
            self.outputs.push_back(Output::Close { session, fault });
        }
    }

    fn jitter(&mut self, span: Duration) -> Duration {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.rng.next_u64() % micros)
    }

    /// Sets when a peer is asked next, if it is to be asked at all.
    fn plan(&mut self, now: Instant, id: SessionId) {
        let jitter = self.jitter(JITTER);
        let Some(session) = self.sessions.get(&id) else { return };
        let may = session.ready && (session.dialled || self.config.ask_inbound);
        if !may || session.waiting.is_some() || self.need == 0 {
            return;
        }
        let earliest = session.asked_at.map_or(now, |at| at + session.wait);
        self.timers.set(Timer::Ask(id), earliest.max(now) + jitter);
    }

    fn ask(&mut self, now: Instant, id: SessionId) {
        if self.need == 0 {
            return;
        }
        if now < self.next {
            let at = self.next + self.jitter(PACE);
            self.timers.set(Timer::Ask(id), at);
            return;
        }
        let request = self.rng.next_u64();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.waiting = Some(request);
        session.asked_at = Some(now);
        self.next = now + PACE;
        self.timers.set(Timer::Expire(id), now + ANSWER_WITHIN);
        self.counters.asked = self.counters.asked.saturating_add(1);
        let limit = u64::try_from(MAX_NODES).unwrap_or(u64::MAX);
        self.send(id, &Message::GetNodes(GetNodes { request, limit }));
    }

    fn expire(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.lapsed = session.waiting.take().or(session.lapsed);
        session.wait = session.longer_wait();
        self.counters.unanswered = self.counters.unanswered.saturating_add(1);
        self.plan(now, id);
    }

    fn question(&mut self, now: Instant, id: SessionId, question: GetNodes) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (peer, asker) = (session.peer, session.address);
        // One at a time: the answer to it is on its way.
        let busy = session.question.is_some();
        if !busy && !session.ready {
            session.question = Some(question);
        } else if !busy && self.answered.admit(now, peer) {
            session.question = Some(question);
            self.outputs.push_back(Output::Sample { session: id, asker });
        } else {
            session.too_soon = session.too_soon.saturating_add(1);
            let too_soon = session.too_soon;
            self.counters.refused = self.counters.refused.saturating_add(1);
            if too_soon >= MAX_TOO_SOON {
                self.close(id, PexFault::TooSoon(too_soon));
            }
        }
    }

    /// Answers with the first nodes of the sample. The asker itself is left out and not replaced.
    fn tell(&mut self, id: SessionId, mut nodes: Vec<Contact>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(GetNodes { request, limit }) = session.question.take() else { return };
        let peer = session.peer;
        nodes.truncate(MAX_NODES.min(usize::try_from(limit).unwrap_or(usize::MAX)));
        nodes.retain(|node| node.id != peer);
        let told = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        self.counters.answers = self.counters.answers.saturating_add(1);
        self.counters.told = self.counters.told.saturating_add(told);
        self.send(id, &Message::Nodes(Nodes { request, nodes }));
    }

    fn send(&mut self, session: SessionId, message: &Message) {
        let (code, payload) = (message.code(), message.encode());
        self.outputs.push_back(Output::Send { session, code, payload });
    }
}

impl Session {
    const fn new(peer: PeerId, address: IpAddr, dialled: bool) -> Self {
        Self {
            peer,
            address,
            dialled,
            ready: false,
            waiting: None,
            lapsed: None,
            asked_at: None,
            wait: ASK_EVERY,
            last: Vec::new(),
            question: None,
            too_soon: 0,
            unasked: 0,
        }
    }

    fn longer_wait(&self) -> Duration {
        self.wait.saturating_mul(2).min(MAX_ASK_WAIT)
    }
}
