//! Dials for others, and their limits.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use chainmesh_identity::PeerId;
use chainmesh_wire::reach::{DialMe, Dialled, Message, Outcome};

use super::config::{DIAL_INTERVAL, DIAL_TIMEOUT, MAX_DIALS, MAX_LOW_PORT, MAX_REMEMBERED};
use super::io::{DialId, Output, SessionId};
use super::{Peer, Reach, Timer};
use crate::discovery::is_special;
use crate::time::Instant;

/// Who must wait before he is dialled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Identity(PeerId),
    Address(IpAddr),
}

#[derive(Debug, Default)]
pub(super) struct Answers {
    under_way: BTreeMap<DialId, (SessionId, Dialled)>,
    next: u64,
    last: BTreeMap<Key, Instant>,
    pub(super) counts: BTreeMap<Outcome, u64>,
    pub(super) not_tried: u64,
}

impl Answers {
    pub(super) fn dialling(&self) -> usize {
        self.under_way.len()
    }

    /// Whether the peer may be dialled now; if so, that is remembered.
    fn allow(&mut self, now: Instant, peer: &Peer) -> bool {
        if self.under_way.len() >= MAX_DIALS {
            return false;
        }
        let ip = peer.address.ip();
        let address = (!ip.is_loopback()).then_some(Key::Address(ip));
        let keys = [Some(Key::Identity(peer.id)), address];
        let soon = |at: &Instant| now.saturating_since(*at) < DIAL_INTERVAL;
        if keys.iter().flatten().any(|key| self.last.get(key).is_some_and(soon)) {
            return false;
        }
        if self.last.len().saturating_add(keys.len()) > MAX_REMEMBERED {
            self.last.retain(|_, at| soon(at));
        }
        if self.last.len().saturating_add(keys.len()) > MAX_REMEMBERED {
            return false;
        }
        self.last.extend(keys.into_iter().flatten().map(|key| (key, now)));
        true
    }
}

impl Reach {
    /// A peer wants to be dialled: at the address where it is, and nowhere else.
    pub(super) fn asked(&mut self, now: Instant, session: SessionId, question: DialMe) {
        let Some(peer) = self.peers.get(&session).copied() else { return };
        let DialMe { request_id, port } = question;
        let ip = peer.address.ip();
        let answer = Dialled { request_id, outcome: Outcome::NotTried, ip, port };
        let fit = port > MAX_LOW_PORT && !is_special(ip);
        if !fit || !self.answers.allow(now, &peer) {
            self.answers.not_tried = self.answers.not_tried.saturating_add(1);
            self.send(session, Message::Dialled(answer));
            return;
        }
        let dial = DialId(self.answers.next);
        self.answers.next = self.answers.next.saturating_add(1);
        self.answers.under_way.insert(dial, (session, answer));
        self.timers.set(Timer::Dial(dial), now + DIAL_TIMEOUT);
        let address = SocketAddr::new(ip, port);
        self.outputs.push_back(Output::Dial { dial, address, id: peer.id });
    }

    /// A dial is over.
    pub(super) fn dialled(&mut self, dial: DialId, outcome: Outcome) {
        let Some((session, answer)) = self.answers.under_way.remove(&dial) else { return };
        self.timers.cancel(&Timer::Dial(dial));
        let count = self.answers.counts.entry(outcome).or_default();
        *count = count.saturating_add(1);
        if self.peers.contains_key(&session) {
            self.send(session, Message::Dialled(Dialled { outcome, ..answer }));
        }
    }

    /// The driver has not said what came of it.
    pub(super) fn dial_overdue(&mut self, dial: DialId) {
        self.dialled(dial, Outcome::TimedOut);
    }
}
