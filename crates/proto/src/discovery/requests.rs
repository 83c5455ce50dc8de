//! Questions that wait for their answers.

use core::net::IpAddr;
use std::collections::BTreeMap;

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::discv4::Contact;

use super::bonds::PeerKey;
use super::config::MAX_REQUESTS;
use super::io::PingId;
use super::lookup::QueryId;
use super::table::Origin;
use crate::time::Instant;

/// Observers of one Ping.
const MAX_OBSERVERS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Ping,
    FindNode,
    Record,
}

/// At most one question of each kind waits for each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestKey {
    pub(super) kind: Kind,
    pub(super) peer: PeerKey,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) contact: Contact,
    /// Hash of the last datagram that was sent, and when.
    pub(super) sent: (B256, Instant),
    /// The one before it, whose answer may still come.
    pub(super) earlier: Option<(B256, Instant)>,
    pub(super) retries: u8,
    pub(super) about: About,
}

#[derive(Debug)]
pub(super) enum About {
    Ping {
        origin: Origin,
        pinged_us: Option<Instant>,
        observers: Vec<PingId>,
    },
    FindNode {
        query: QueryId,
        nodes: Vec<Contact>,
        answered: bool,
    },
    /// Asked for by a question, or of our own accord.
    Record {
        query: Option<QueryId>,
    },
}

impl Pending {
    /// When the datagram of this hash was sent, if it was one of these.
    pub(super) fn sent_at(&self, hash: B256) -> Option<Instant> {
        let sent = core::iter::once(&self.sent).chain(&self.earlier);
        sent.into_iter().find(|(sent, _)| *sent == hash).map(|(_, at)| *at)
    }

    pub(super) fn observe(&mut self, ping: PingId) -> bool {
        match &mut self.about {
            About::Ping { observers, .. } if observers.len() < MAX_OBSERVERS => {
                observers.push(ping);
                true
            }
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: BTreeMap<RequestKey, Pending>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= MAX_REQUESTS
    }

    pub(super) fn insert(&mut self, key: RequestKey, pending: Pending) {
        self.pending.insert(key, pending);
    }

    pub(super) fn get_mut(&mut self, key: &RequestKey) -> Option<&mut Pending> {
        self.pending.get_mut(key)
    }

    pub(super) fn contains(&self, key: &RequestKey) -> bool {
        self.pending.contains_key(key)
    }

    pub(super) fn remove(&mut self, key: &RequestKey) -> Option<Pending> {
        self.pending.remove(key)
    }

    /// Takes the question that this answers: the node, its address and the hash have to fit.
    pub(super) fn answered(&mut self, key: &RequestKey, hash: B256) -> Option<(Pending, Instant)> {
        let sent = self.pending.get(key)?.sent_at(hash)?;
        Some((self.pending.remove(key)?, sent))
    }

    /// Pings under way to an address.
    pub(super) fn pings_to(&self, ip: IpAddr) -> usize {
        let key = |byte| RequestKey {
            kind: Kind::Ping,
            peer: PeerKey { ip, id: PeerId::from([byte; 64]) },
        };
        self.pending.range(key(0)..=key(0xff)).count()
    }
}
