//! One question for other nodes: prove ourselves first, then ask.

use chainmesh_wire::discv4::{Contact, EnrRequest, FindNode, MAX_NEIGHBORS, Neighbors, Packet};
use core::time::Duration;

use super::bonds::PeerKey;
use super::config::{BUCKET_SIZE, MAX_QUESTIONS, REQUEST_TIMEOUT};
use super::io::{Answer, DiscoveryEvent, DropReason, LookupId, Output, Question, QuestionId};
use super::lookup::QueryId;
use super::requests::{About, Kind, Pending, RequestKey};
use super::table::Origin;
use super::{Discovery, Timer};
use crate::time::Instant;

/// How long the other side is given to ping us, before it is asked: it does so only when it has no
/// proof of us (geth: 0.5 s).
const PING_BACK_WAIT: Duration = Duration::from_millis(500);
/// How much later than our Pong the question is sent, since datagrams overtake each other.
const AFTER_OUR_PONG: Duration = Duration::from_millis(100);
/// How long a question waits for another one to the same node.
const TURN_WAIT: Duration = Duration::from_millis(250);
/// How long a second packet of an answer is waited for.
const NEXT_PACKET_WAIT: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Our Ping is under way.
    Bonding,
    /// It is answered: the other side may want to ping us before it answers questions.
    Settling,
    /// The question is under way.
    Asked,
}

/// Who wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Lookup(LookupId),
    /// The owner of the machine.
    Owner(QuestionId, Question),
}

#[derive(Debug)]
pub(super) struct Query {
    asker: Asker,
    pub(super) contact: Contact,
    /// Whether another node told us of it.
    found: bool,
    stage: Stage,
    retries: u8,
}

impl Discovery {
    /// [`Input::Query`](super::Input::Query).
    pub(super) fn question(
        &mut self,
        now: Instant,
        id: QuestionId,
        contact: Contact,
        question: Question,
    ) {
        let room = self.questions < MAX_QUESTIONS;
        if room {
            self.questions = self.questions.saturating_add(1);
            if self.ask(now, Asker::Owner(id, question), contact, true) {
                return;
            }
            self.questions = self.questions.saturating_sub(1);
        }
        let event = DiscoveryEvent::QueryDone { query: id, answer: None };
        self.outputs.push_back(Output::Event(event));
    }

    /// Begins to ask a node; `false` if it cannot be asked.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        asker: Asker,
        contact: Contact,
        found: bool,
    ) -> bool {
        let id = QueryId(self.next_query);
        self.next_query = self.next_query.saturating_add(1);
        let peer = PeerKey { ip: contact.endpoint.ip, id: contact.id };
        let mutual = self.bonds.mutual(now, &peer);
        if !mutual && !self.ping(now, contact, Origin::Found, 1) {
            return false;
        }
        let stage = if mutual { Stage::Settling } else { Stage::Bonding };
        self.queries.insert(id, Query { asker, contact, found, stage, retries: 1 });
        if mutual {
            self.send_question(now, id);
        }
        true
    }

    fn queries_with(&self, peer: &PeerKey, stage: Stage) -> Vec<QueryId> {
        let fitting = self.queries.iter().filter(|(_, query)| {
            query.stage == stage
                && query.contact.id == peer.id
                && query.contact.endpoint.ip == peer.ip
        });
        fitting.map(|(id, _)| *id).collect()
    }

    /// The node answered our Ping.
    pub(super) fn queries_bonded(&mut self, now: Instant, peer: &PeerKey) {
        let mutual = self.bonds.mutual(now, peer);
        for id in self.queries_with(peer, Stage::Bonding) {
            let Some(query) = self.queries.get_mut(&id) else { continue };
            query.stage = Stage::Settling;
            // A second attempt: it may have lost our first proof, and wants another.
            let wait = if mutual && query.retries > 0 { AFTER_OUR_PONG } else { PING_BACK_WAIT };
            self.timers.set(Timer::Query(id), now + wait);
        }
    }

    /// The node pinged us, and our Pong is on its way.
    pub(super) fn queries_proved(&mut self, now: Instant, peer: &PeerKey) {
        for id in self.queries_with(peer, Stage::Settling) {
            self.timers.set(Timer::Query(id), now + AFTER_OUR_PONG);
        }
    }

    /// The node did not answer our Ping.
    pub(super) fn queries_failed(&mut self, now: Instant, peer: &PeerKey) {
        for id in self.queries_with(peer, Stage::Bonding) {
            self.query_ended(now, id, None);
        }
    }

    /// It is time to send the question.
    pub(super) fn send_question(&mut self, now: Instant, id: QueryId) {
        let Some(query) = self.queries.get_mut(&id) else { return };
        let contact = query.contact;
        let peer = PeerKey { ip: contact.endpoint.ip, id: contact.id };
        let question = match query.asker {
            Asker::Owner(_, question) => Some(question),
            Asker::Lookup(lookup) => self.lookups.get(&lookup).map(|lookup| {
                let target = lookup.target();
                Question::Neighbors { target }
            }),
        };
        let kind = match question {
            Some(Question::Record) => Kind::Record,
            _ => Kind::FindNode,
        };
        let key = RequestKey { kind, peer };
        if self.requests.contains(&key) {
            // Answers do not say which question they answer.
            self.timers.set(Timer::Query(id), now + TURN_WAIT);
            return;
        }
        query.stage = Stage::Asked;
        let (Some(question), false) = (question, self.requests.is_full()) else {
            self.query_ended(now, id, None);
            return;
        };
        let expiration = self.expiration(now);
        let (packet, about) = match question {
            Question::Neighbors { target } => {
                let about = About::FindNode { query: id, nodes: Vec::new(), answered: false };
                (Packet::FindNode(FindNode { target, expiration }), about)
            }
            Question::Record => {
                let about = About::Record { query: Some(id) };
                (Packet::EnrRequest(EnrRequest { expiration }), about)
            }
        };
        let Some(hash) = self.send(contact.endpoint.udp_address(), &packet) else {
            return self.query_ended(now, id, None);
        };
        let sent = (hash, now);
        self.requests.insert(key, Pending { contact, sent, earlier: None, retries: 0, about });
        self.timers.set(Timer::Request(key), now + REQUEST_TIMEOUT);
    }

    /// [`Packet::Neighbors`].
    pub(super) fn neighbors(
        &mut self,
        now: Instant,
        peer: PeerKey,
        said: &Neighbors,
    ) -> Result<(), DropReason> {
        let key = RequestKey { kind: Kind::FindNode, peer };
        let pending = self.requests.get_mut(&key).ok_or(DropReason::Unsolicited)?;
        let About::FindNode { nodes, answered, .. } = &mut pending.about else {
            return Err(DropReason::Unsolicited);
        };
        *answered = true;
        let room = BUCKET_SIZE.saturating_sub(nodes.len());
        nodes.extend(said.nodes().iter().take(room));
        let complete = nodes.len() >= BUCKET_SIZE || said.nodes().is_empty();
        let (full, held) = (said.nodes().len() >= MAX_NEIGHBORS, nodes.len());
        if complete || (!full && held > said.nodes().len()) {
            self.question_over(now, &key);
        } else {
            self.timers.set(Timer::Request(key), now + NEXT_PACKET_WAIT);
        }
        Ok(())
    }

    /// A question has its answer, or its time is over.
    pub(super) fn question_over(&mut self, now: Instant, key: &RequestKey) {
        let Some(pending) = self.requests.remove(key) else { return };
        self.timers.cancel(&Timer::Request(*key));
        let About::FindNode { query, nodes, answered } = pending.about else { return };
        if answered {
            self.table.asked(&key.peer.id, true);
            if self.queries.get(&query).is_some_and(|query| query.found) {
                // It may have come to us before; now we have found it as well.
                self.place(now, &key.peer, pending.contact, Origin::Found);
            }
            self.query_ended(now, query, Some(Answer::Neighbors(nodes)));
            return;
        }
        if !self.ask_again(now, query, pending.contact) {
            self.table.asked(&key.peer.id, false);
            self.query_ended(now, query, None);
        }
    }

    /// There was no answer. The node may not know us any more, or our Pong was lost: once more from the
    /// beginning, if that is worth it.
    pub(super) fn ask_again(&mut self, now: Instant, query: QueryId, contact: Contact) -> bool {
        let again = self.queries.get_mut(&query).filter(|query| query.retries > 0);
        let Some(again) = again else { return false };
        again.retries = again.retries.saturating_sub(1);
        again.stage = Stage::Bonding;
        self.ping(now, contact, Origin::Found, 1)
    }

    /// A question is over: whoever asked hears of it. `None`: there was no answer.
    pub(super) fn query_ended(&mut self, now: Instant, query: QueryId, answer: Option<Answer>) {
        let Some(query) = self.queries.remove(&query) else { return };
        match query.asker {
            Asker::Lookup(lookup) => {
                let peer = PeerKey { ip: query.contact.endpoint.ip, id: query.contact.id };
                let nodes = match &answer {
                    Some(Answer::Neighbors(nodes)) => Some(nodes.as_slice()),
                    _ => None,
                };
                self.lookup_heard(now, lookup, &peer, nodes);
            }
            Asker::Owner(query, _) => {
                self.questions = self.questions.saturating_sub(1);
                let event = DiscoveryEvent::QueryDone { query, answer };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }
}
