//! What of a peer's answer is taken.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::PeerId;
use chainmesh_wire::discv4::Contact;
use chainmesh_wire::pex::Nodes;

use super::{
    ASK_EVERY, Ignored, MAX_UNASKED, Output, Pex, PexCounters, PexFault, SessionId, Timer,
};
use crate::discovery::{Prefix, is_lan, may_know};
use crate::time::Instant;

impl PexCounters {
    fn ignore(&mut self, why: Ignored, nodes: usize) {
        if nodes > 0 {
            let count = self.ignored.entry(why).or_default();
            *count = count.saturating_add(u64::try_from(nodes).unwrap_or(u64::MAX));
        }
    }
}

impl Pex {
    /// A peer tells of nodes.
    pub(super) fn answer(&mut self, now: Instant, id: SessionId, answer: Nodes) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Nodes { request, nodes } = answer;
        // An empty answer counts, too, as something that was not asked for.
        let count = nodes.len().max(1);
        if session.waiting != Some(request) {
            if session.lapsed.take_if(|lapsed| *lapsed == request).is_some() {
                self.counters.ignore(Ignored::Late, count);
                return;
            }
            session.unasked = session.unasked.saturating_add(1);
            let unasked = session.unasked;
            self.counters.ignore(Ignored::Unasked, count);
            if unasked >= MAX_UNASKED {
                self.close(id, PexFault::Unasked(unasked));
            }
            return;
        }
        session.waiting = None;
        let (teller, from) = (session.peer, session.address);
        session.wait = if nodes == session.last { session.longer_wait() } else { ASK_EVERY };
        session.last.clone_from(&nodes);
        self.timers.cancel(&Timer::Expire(id));
        self.counters.answered = self.counters.answered.saturating_add(1);
        let mut believed = self.believable(teller, from, nodes);
        let room = self.quota.take(now, from, believed.len());
        self.counters.ignore(Ignored::Quota, believed.len().saturating_sub(room));
        believed.truncate(room);
        let taken = u64::try_from(believed.len()).unwrap_or(u64::MAX);
        self.counters.taken = self.counters.taken.saturating_add(taken);
        if !believed.is_empty() {
            self.outputs.push_back(Output::Learned { teller, from, nodes: believed });
        }
        self.plan(now, id);
    }

    /// Leaves out what cannot be, or what one teller has too much of.
    fn believable(&mut self, teller: PeerId, from: IpAddr, nodes: Vec<Contact>) -> Vec<Contact> {
        let mut seen = BTreeSet::new();
        let mut prefixes: BTreeMap<Prefix, usize> = BTreeMap::new();
        let mut believed = Vec::new();
        for node in nodes {
            let ip = node.endpoint.ip;
            let prefix = (!is_lan(ip)).then(|| Prefix::of(ip));
            let of_prefix = prefix.and_then(|prefix| prefixes.get(&prefix).copied()).unwrap_or(0);
            let why = if node.id == self.config.local_id {
                Some(Ignored::Own)
            } else if node.id == teller {
                Some(Ignored::Teller)
            } else if !seen.insert(node.id) {
                Some(Ignored::Repeated)
            } else if node.endpoint.tcp_port == 0 {
                Some(Ignored::NoPort)
            } else if !may_know(from, ip) {
                Some(Ignored::Address)
            } else if of_prefix >= self.config.per_prefix {
                Some(Ignored::Crowded)
            } else {
                None
            };
            match why {
                Some(why) => self.counters.ignore(why, 1),
                None => {
                    if let Some(prefix) = prefix {
                        prefixes.insert(prefix, of_prefix.saturating_add(1));
                    }
                    believed.push(node);
                }
            }
        }
        believed
    }
}
