//! Where others see this node: what a majority of them say.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use chainmesh_identity::PeerId;

use super::address::{Prefix, is_lan, may_know};
use super::config::STATEMENT_LIFETIME;
use crate::time::Instant;

/// Statements that are held.
const MAX_STATEMENTS: usize = 256;

/// One voice: in a local network each node has one, elsewhere each prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Node(PeerId),
    Prefix(Prefix),
}

#[derive(Debug)]
struct Statement {
    voice: Voice,
    seen: SocketAddr,
    at: Instant,
}

/// What the answers to our own Pings say about our address.
#[derive(Debug)]
pub(super) struct Statements {
    min: usize,
    held: VecDeque<Statement>,
}

impl Statements {
    pub(super) const fn new(min: usize) -> Self {
        Self { min, held: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Notes what a node that answered says. A voice counts once, with its last word.
    pub(super) fn note(&mut self, now: Instant, by: SocketAddr, id: PeerId, seen: SocketAddr) {
        if seen.port() == 0 || !may_know(by.ip(), seen.ip()) {
            return;
        }
        let voice = match is_lan(by.ip()) {
            true => Voice::Node(id),
            false => Voice::Prefix(Prefix::of(by.ip())),
        };
        let old = |at: Instant| now.saturating_since(at) > STATEMENT_LIFETIME;
        self.held.retain(|statement| statement.voice != voice && !old(statement.at));
        if self.held.len() >= MAX_STATEMENTS {
            self.held.pop_front();
        }
        self.held.push_back(Statement { voice, seen, at: now });
    }

    /// The address that more than half of enough voices name.
    pub(super) fn majority(&self) -> Option<SocketAddr> {
        if self.held.len() < self.min.max(1) {
            return None;
        }
        let mut votes: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for statement in &self.held {
            *votes.entry(statement.seen).or_default() += 1;
        }
        let (seen, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
        (count * 2 > self.held.len()).then_some(seen)
    }
}
