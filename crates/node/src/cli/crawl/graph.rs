//! What was found: nodes, and who told of whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_net::discovery::{Contact, may_relay};
use chainmesh_wire::eth::Status;

/// Further addresses of a node that others told of: the first of them may be a lie.
const MAX_ADDRESSES: usize = 3;

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Nobody has asked it, for lack of time.
    Waiting,
    /// It answers Pings.
    Answered,
    /// It does not.
    Silent,
}

impl State {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "not asked",
            Self::Answered => "answered",
            Self::Silent => "silent",
        }
    }
}

/// What a node said over TCP.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Escaped.
    pub(super) client: Option<String>,
    pub(super) capabilities: Vec<String>,
    pub(super) status: Option<Box<Status>>,
    /// Why there is not all of it.
    pub(super) problem: Option<String>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) contact: Contact,
    /// Where else it may be.
    others: Vec<Contact>,
    pub(super) state: State,
    pub(super) rtt: Option<Duration>,
    pub(super) record: Option<Box<NodeRecord>>,
    /// Whether its record is of the chain that is walked; `None`: nobody asked for one.
    pub(super) of_chain: Option<bool>,
    /// Questions for neighbours, and how many were answered.
    pub(super) asked: u32,
    pub(super) told: u32,
    pub(super) greeting: Option<Greeting>,
}

/// The network, as far as it was walked.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) began: SystemTime,
    pub(super) took: Duration,
    /// Why it ended before everybody was asked.
    pub(super) cut: Option<&'static str>,
    pub(super) boot_nodes: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    by_id: BTreeMap<PeerId, usize>,
    /// Who told of whom.
    pub(super) edges: BTreeSet<(usize, usize)>,
    /// Nodes that were told of and not taken: there was no room for them.
    pub(super) beyond: u64,
    /// Contacts at addresses that the teller cannot know, or nobody can have.
    pub(super) unfit: u64,
    max_nodes: usize,
    waiting: VecDeque<usize>,
}

impl Network {
    pub(super) fn new(max_nodes: usize) -> Self {
        Self {
            began: SystemTime::now(),
            took: Duration::ZERO,
            cut: None,
            boot_nodes: Vec::new(),
            nodes: Vec::new(),
            by_id: BTreeMap::new(),
            edges: BTreeSet::new(),
            beyond: 0,
            unfit: 0,
            max_nodes,
            waiting: VecDeque::new(),
        }
    }

    /// A node that a person named.
    pub(super) fn begin_at(&mut self, contact: Contact) {
        if let Some(number) = self.take(contact)
            && !self.boot_nodes.contains(&number)
        {
            self.boot_nodes.push(number);
        }
    }

    /// A node told of another.
    pub(super) fn told(&mut self, teller: usize, contact: Contact) {
        let Some(from) = self.nodes.get(teller).map(|node| node.contact) else { return };
        if !may_relay(from.endpoint.ip, &contact) {
            self.unfit += 1;
            return;
        }
        if let Some(number) = self.take(contact)
            && number != teller
        {
            self.edges.insert((teller, number));
        }
    }

    fn take(&mut self, contact: Contact) -> Option<usize> {
        if let Some(number) = self.by_id.get(&contact.id).copied() {
            let node = self.nodes.get_mut(number)?;
            let known =
                |other: &Contact| other.endpoint.udp_address() == contact.endpoint.udp_address();
            let new = !known(&node.contact) && !node.others.iter().any(known);
            if new && node.state != State::Answered && node.others.len() < MAX_ADDRESSES {
                node.others.push(contact);
                if node.state == State::Silent {
                    self.retry(number);
                }
            }
            return Some(number);
        }
        if self.nodes.len() >= self.max_nodes {
            self.beyond += 1;
            return None;
        }
        let number = self.nodes.len();
        self.nodes.push(Node {
            contact,
            others: Vec::new(),
            state: State::Waiting,
            rtt: None,
            record: None,
            of_chain: None,
            asked: 0,
            told: 0,
            greeting: None,
        });
        self.by_id.insert(contact.id, number);
        self.waiting.push_back(number);
        Some(number)
    }

    /// It does not answer where we thought that it is: once more elsewhere, if somebody said where.
    pub(super) fn silent(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        node.state = State::Silent;
        self.retry(number);
    }

    fn retry(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        if let Some(other) = node.others.pop() {
            (node.contact, node.state) = (other, State::Waiting);
            self.waiting.push_back(number);
        }
    }

    /// The next node to ask, at an address that is free to be asked.
    pub(super) fn next(&mut self, free: impl Fn(IpAddr) -> bool) -> Option<(usize, Contact)> {
        let contact = |number: &usize| self.nodes.get(*number).map(|node| node.contact);
        let fits = |number: &usize| contact(number).is_some_and(|c| free(c.endpoint.ip));
        let at = self.waiting.iter().position(fits)?;
        let number = self.waiting.remove(at)?;
        Some((number, self.nodes.get(number)?.contact))
    }

    /// Nodes that nobody has asked.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }

    pub(super) fn answered(&self) -> usize {
        self.count(State::Answered)
    }
}

#[cfg(test)]
mod tests;
