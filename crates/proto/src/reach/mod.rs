//! Whether others can reach this node: peers are asked to dial back, and peers that ask are dialled.
//!
//! [`Reach`] chooses whom to ask, counts what they say, and limits what it does for others. A driver
//! dials and carries messages.

mod answers;
mod asks;
mod config;
mod io;
mod report;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use chainmesh_identity::PeerId;
use chainmesh_wire::reach::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

pub use self::config::*;
pub use self::io::{DialId, Input, Output, SessionId};
pub use self::report::{Report, Statement, Verdict};

use self::answers::Answers;
use self::asks::Asks;
use crate::time::Instant;
use crate::timers::Timers;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// It is time to ask.
    Round,
    /// Those who were asked have had their time.
    Answers,
    /// A dial for somebody takes too long.
    Dial(DialId),
}

/// A peer that has the module.
#[derive(Debug, Clone, Copy)]
struct Peer {
    id: PeerId,
    address: SocketAddr,
    /// Whether this node dialled: then it chose the peer, and not the peer it.
    dialled: bool,
}

/// Asks peers to dial back, and dials back for them.
///
/// # What a hostile peer gets
/// A dial of its own address, at most one in [`DIAL_INTERVAL`] for each identity and for each address,
/// and [`MAX_DIALS`] at once for all; a port above 1,024. The dial proves nothing about this node and sends
/// nothing but the first packet of a handshake. What a peer says counts as one of
/// [`ASKED`] voices, of which each is of another prefix, and more than half must agree.
#[derive(Debug)]
pub struct Reach {
    port: u16,
    rng: ChaCha8Rng,
    outputs: VecDeque<Output>,
    timers: Timers<Timer>,
    peers: BTreeMap<SessionId, Peer>,
    asks: Asks,
    answers: Answers,
}

impl Reach {
    /// A node that listens on a TCP port; with port 0 it asks nobody.
    #[must_use]
    pub fn new(port: u16, seed: [u8; 32]) -> Self {
        Self {
            port,
            rng: ChaCha8Rng::from_seed(seed),
            outputs: VecDeque::new(),
            timers: Timers::new(),
            peers: BTreeMap::new(),
            asks: Asks::default(),
            answers: Answers::default(),
        }
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::PeerUp { session, id, address, dialled } => {
                self.peer_up(now, session, Peer { id, address: canonical(address), dialled });
            }
            Input::PeerDown { session } => {
                self.peers.remove(&session);
                self.lost(now, session);
            }
            Input::Message { session, message } => match message {
                Message::DialMe(question) => self.asked(now, session, question),
                Message::Dialled(answer) => self.answered(now, session, answer),
            },
            Input::Dialled { dial, outcome } => self.dialled(dial, outcome),
            Input::Moved => self.moved(now),
        }
    }

    /// The next thing to do; call it until it gives `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Round => self.begin_round(now),
                Timer::Answers => self.answers_due(now),
                Timer::Dial(dial) => self.dial_overdue(dial),
            }
        }
    }

    /// Everything there is to know, as of now.
    #[must_use]
    pub fn snapshot(&self) -> Report {
        Report {
            port: self.port,
            verdict: self.asks.verdict,
            statements: self.asks.statements.clone(),
            checked: self.asks.checked,
            next: self.timers.deadline(&Timer::Round),
            peers: self.peers.len(),
            dialling: self.answers.dialling(),
            dialled: self.answers.counts.clone(),
            not_tried: self.answers.not_tried,
        }
    }

    fn peer_up(&mut self, now: Instant, session: SessionId, peer: Peer) {
        if self.peers.len() >= MAX_PEERS {
            return;
        }
        self.peers.insert(session, peer);
        if self.port != 0 && self.asks.is_idle() && self.timers.deadline(&Timer::Round).is_none() {
            self.timers.set(Timer::Round, now + SETTLE);
        }
    }

    fn send(&mut self, session: SessionId, message: Message) {
        self.outputs.push_back(Output::Send { session, message });
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address that more than half of all say, if there is one.
fn majority(said: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    let mut votes: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut all = 0_usize;
    for ip in said {
        *votes.entry(ip).or_default() += 1;
        all += 1;
    }
    let (ip, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
    (count.saturating_mul(2) > all).then_some(ip)
}
