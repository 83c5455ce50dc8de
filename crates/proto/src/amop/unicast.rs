//! Messages to one subscriber: who is asked, who next, and how it ends.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::channel::MAX_CHANNEL_TOPIC;
use chainmesh_wire::amop::channel::needs_verification;

use super::draw::draw;
use super::nodes::Nodes;
use super::private::{Holder, Judgements};
use super::{
    AmopCast, AmopFailure, AmopNotice, Broker, MAX_WAITING_BYTES, Message, NODE_TIMEOUT, Output,
    SUBSCRIBER_TIMEOUT, SdkSession, Timer, UNICAST_TIMEOUT,
};
use crate::mesh::{AmopReplyTo, AmopSend, AmopWords};
use crate::module::PeerKind;
use crate::time::Instant;

/// Whose unicast it is.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// An SDK's at this node.
    Session(SdkSession),
    /// Another node's; `rc2` if it speaks 2.x.
    Node { reply: AmopReplyTo, rc2: bool },
}

/// Who is asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Nobody,
    Node { node: ShortId, number: u32 },
    Session { session: SdkSession, seq: Bytes },
}

/// How far the subscribers at this node are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    NotYet,
    /// It is their turn until then.
    Until(Instant),
    Over,
}

/// A unicast that has not ended.
#[derive(Debug)]
pub(super) struct Unicast {
    pub(super) origin: Origin,
    pub(super) message: Message,
    pub(super) asked: Asked,
    here: Here,
    tried_nodes: BTreeSet<ShortId>,
    tried_sessions: BTreeSet<SdkSession>,
    /// What the publisher is told when nobody is left.
    failure: AmopFailure,
    ends: Instant,
}

/// All that have not ended.
#[derive(Debug, Default)]
pub(super) struct Unicasts {
    waiting: BTreeMap<u64, Unicast>,
    /// By the number of the request to another node.
    by_number: BTreeMap<u32, u64>,
    bytes: usize,
    of_nodes: usize,
    ids: u64,
    number: u32,
}

/// Our requests to nodes have the highest bit set, so that nobody takes them for the numbers of the
/// mesh's own messages in a trace.
const NUMBERS: u32 = 1 << 31;

impl Unicasts {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn of_nodes(&self) -> usize {
        self.of_nodes
    }

    pub(super) fn has_room_for(&self, size: usize) -> bool {
        // One large message passes whatever the limit.
        self.bytes == 0 || self.bytes.saturating_add(size) <= MAX_WAITING_BYTES
    }

    /// The unicast for which this node was asked with this number.
    pub(super) fn asked(&self, node: &ShortId, number: u32) -> Option<u64> {
        let id = *self.by_number.get(&number)?;
        match &self.waiting.get(&id)?.asked {
            Asked::Node { node: asked, .. } if asked == node => Some(id),
            _ => None,
        }
    }

    pub(super) fn numbered(&self, number: u32) -> Option<u64> {
        self.by_number.get(&number).copied()
    }

    /// The unicasts for which a node was asked.
    pub(super) fn asked_of(&self, node: &ShortId) -> Vec<u64> {
        let of = |it: &Unicast| matches!(&it.asked, Asked::Node { node: at, .. } if at == node);
        self.waiting.iter().filter(|(_, it)| of(it)).map(|(id, _)| *id).collect()
    }

    fn insert(&mut self, unicast: Unicast) -> u64 {
        self.ids += 1;
        self.bytes += unicast.message.size();
        self.of_nodes += usize::from(matches!(unicast.origin, Origin::Node { .. }));
        self.waiting.insert(self.ids, unicast);
        self.ids
    }

    fn remove(&mut self, id: u64) -> Option<Unicast> {
        let unicast = self.waiting.remove(&id)?;
        self.bytes -= unicast.message.size();
        self.of_nodes -= usize::from(matches!(unicast.origin, Origin::Node { .. }));
        Some(unicast)
    }

    /// Numbers and bytes that are accounted for, for the tests: all zero when nothing waits.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize, usize) {
        (self.waiting.len(), self.by_number.len(), self.bytes, self.of_nodes)
    }
}

impl Broker {
    /// An SDK has a message.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        session: SdkSession,
        cast: AmopCast,
        message: Message,
    ) {
        let size = message.size();
        let Some(sdk) = self.sessions.open.get_mut(&session) else { return };
        if message.topic.is_empty() {
            return self.done(session, cast, message, Err(AmopFailure::BadTopic));
        }
        let mut within = sdk.bucket.admits(now) && self.bucket.admits(now);
        if cast == AmopCast::Unicast {
            within &= sdk.may_publish(size) && self.unicasts.has_room_for(size);
        }
        if !within {
            self.counters.over_limit += 1;
            self.notice_of(now, session, AmopNotice::OverLimit { session });
            return self.done(session, cast, message, Err(AmopFailure::OverLimit));
        }
        sdk.bucket.take(size);
        self.bucket.take(size);
        self.counters.published += 1;
        match cast {
            AmopCast::Unicast => {
                let seq = message.seq.clone();
                let id = self.start(now, Origin::Session(session), message);
                if let Some(sdk) = self.sessions.open.get_mut(&session) {
                    sdk.publishing.insert((seq, id));
                    sdk.waiting_bytes += size;
                }
                self.ask(now, id);
            }
            AmopCast::Multicast => {
                self.multicast(session, &message);
                self.done(session, cast, message, Ok(Bytes::new()));
            }
        }
    }

    fn done(
        &mut self,
        session: SdkSession,
        cast: AmopCast,
        message: Message,
        result: Result<Bytes, AmopFailure>,
    ) {
        self.counters.failed += u64::from(result.is_err());
        self.output(Output::Done { session, cast, message, result });
    }

    pub(super) fn start(&mut self, now: Instant, origin: Origin, message: Message) -> u64 {
        let here = match &origin {
            Origin::Session(_) => Here::NotYet,
            Origin::Node { .. } => Here::Until(now + NODE_TIMEOUT),
        };
        let failure = match &origin {
            Origin::Session(_) => AmopFailure::NoSubscriber,
            Origin::Node { .. } => AmopFailure::NoSession,
        };
        self.unicasts.insert(Unicast {
            origin,
            message,
            asked: Asked::Nobody,
            here,
            tried_nodes: BTreeSet::new(),
            tried_sessions: BTreeSet::new(),
            failure,
            ends: now + UNICAST_TIMEOUT,
        })
    }

    /// Asks whoever is next.
    pub(super) fn ask(&mut self, now: Instant, id: u64) {
        loop {
            let Some(here) = self.unicasts.waiting.get(&id).map(|it| it.here) else { return };
            if let Here::Until(end) = here {
                if now < end
                    && let Some(session) = self.draw_session(id)
                {
                    return self.ask_session(now, id, session, end);
                }
                let Some(unicast) = self.unicasts.waiting.get_mut(&id) else { return };
                unicast.here = Here::Over;
                if matches!(unicast.origin, Origin::Node { .. }) {
                    let failure = unicast.failure;
                    return self.end(id, Err(failure));
                }
            }
            match self.draw_node(id) {
                Some(Drawn::Here) => {
                    if let Some(unicast) = self.unicasts.waiting.get_mut(&id) {
                        unicast.here = Here::Until(now + NODE_TIMEOUT);
                    }
                }
                Some(Drawn::Node(node)) => {
                    if self.ask_node(now, id, node) {
                        return;
                    }
                }
                None => {
                    let failure = self.unicasts.waiting.get(&id).map(|unicast| unicast.failure);
                    return self.end(id, Err(failure.unwrap_or(AmopFailure::NoSubscriber)));
                }
            }
        }
    }

    /// A session at this node that follows the topic, was not asked yet, and takes the message.
    fn draw_session(&mut self, id: u64) -> Option<SdkSession> {
        let unicast = self.unicasts.waiting.get(&id)?;
        let topic = &unicast.message.topic;
        let sessions = self.sessions.with(topic);
        // Another node's private messages were judged there.
        let private = needs_verification(topic) && matches!(unicast.origin, Origin::Session { .. });
        let will_do = |at: usize| {
            sessions.get(at).is_some_and(|session| {
                !unicast.tried_sessions.contains(session)
                    && self.sessions.open.get(session).is_some_and(|sdk| sdk.takes(topic.len()))
                    && (!private || self.judgements.allow(&Holder::Session(*session), topic))
            })
        };
        let at = draw(&mut self.rng, sessions.len(), will_do)?;
        sessions.get(at).copied()
    }

    /// A node that has the topic and was not asked yet; this one is one of them.
    fn draw_node(&mut self, id: u64) -> Option<Drawn> {
        let unicast = self.unicasts.waiting.get(&id)?;
        let topic = &unicast.message.topic;
        let nodes = self.nodes.with(topic);
        let here = unicast.here == Here::NotYet && !self.sessions.with(topic).is_empty();
        let will_do = |at: usize| match nodes.get(at) {
            Some(node) => {
                !unicast.tried_nodes.contains(node)
                    && takes(&self.nodes, &self.judgements, node, topic)
            }
            None => here,
        };
        let at = draw(&mut self.rng, nodes.len() + 1, will_do)?;
        Some(nodes.get(at).map_or(Drawn::Here, |node| Drawn::Node(*node)))
    }

    /// Whether messages on a topic may go to a node and can be written for it.
    pub(super) fn node_takes(&self, node: &ShortId, topic: &Bytes) -> bool {
        takes(&self.nodes, &self.judgements, node, topic)
    }

    fn ask_session(&mut self, now: Instant, id: u64, session: SdkSession, end: Instant) {
        let Some(unicast) = self.unicasts.waiting.get_mut(&id) else { return };
        unicast.tried_sessions.insert(session);
        let publisher = match unicast.origin {
            Origin::Session(publisher) => Some(publisher),
            Origin::Node { .. } => None,
        };
        let (message, ends) = (unicast.message.clone(), unicast.ends);
        let seq = self.push(session, publisher, AmopCast::Unicast, &message);
        if let Some(sdk) = self.sessions.open.get_mut(&session) {
            sdk.pushes.insert(seq.clone(), id);
        }
        if let Some(unicast) = self.unicasts.waiting.get_mut(&id) {
            unicast.asked = Asked::Session { session, seq };
        }
        let due = (now + SUBSCRIBER_TIMEOUT).min(end).min(ends);
        self.timers.set(Timer::Unicast(id), due);
    }

    /// Whether it could be asked.
    fn ask_node(&mut self, now: Instant, id: u64, node: ShortId) -> bool {
        let kind = self.nodes.get(&node).map(|node| node.kind);
        let Some(unicast) = self.unicasts.waiting.get_mut(&id) else { return false };
        unicast.tried_nodes.insert(node);
        let words = match kind {
            Some(PeerKind::Fisco2) => {
                use chainmesh_wire::amop::channel::FrameType;
                let mut message = unicast.message.clone();
                if message.seq.len() != chainmesh_wire::amop::channel::Seq::LENGTH {
                    message.seq = super::draw::fresh_seq(&mut self.rng);
                }
                let Ok(frame) = message.to_frame(FrameType::AmopRequest) else { return false };
                AmopWords::Channel(frame)
            }
            _ => AmopWords::Gateway(unicast.message.to_request()),
        };
        self.unicasts.number = self.unicasts.number.wrapping_add(1);
        let number = self.unicasts.number | NUMBERS;
        unicast.asked = Asked::Node { node, number };
        let due = (now + NODE_TIMEOUT).min(unicast.ends);
        self.unicasts.by_number.insert(number, id);
        self.timers.set(Timer::Unicast(id), due);
        self.counters.asked_nodes += 1;
        self.output(Output::Mesh(AmopSend::Request { to: node, number, words }));
        true
    }

    /// Whoever is asked will not do: the next one.
    pub(super) fn next_one(&mut self, now: Instant, id: u64, failure: AmopFailure) {
        self.release(id);
        let Some(unicast) = self.unicasts.waiting.get_mut(&id) else { return };
        unicast.failure = failure;
        if now >= unicast.ends {
            return self.end(id, Err(failure));
        }
        self.counters.asked_again += 1;
        self.ask(now, id);
    }

    pub(super) fn unicast_due(&mut self, now: Instant, id: u64) {
        self.next_one(now, id, AmopFailure::Silent);
    }

    /// A subscriber answers.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        session: SdkSession,
        seq: &Bytes,
        result: Result<Bytes, i32>,
    ) {
        let sdk = self.sessions.open.get_mut(&session);
        let Some((kind, id)) = sdk.and_then(|sdk| Some((sdk.kind, sdk.pushes.remove(seq)?))) else {
            // Go's SDK answers multicasts too, and late answers come.
            self.counters.unknown_answer += 1;
            return self.tell_unknown_answer(now, session, seq);
        };
        self.end(id, result.map_err(|code| AmopFailure::Refused { kind, code }));
    }

    /// Who was asked is looked for only as often as it can be told: that is a walk over all sessions.
    fn tell_unknown_answer(&mut self, now: Instant, session: SdkSession, seq: &Bytes) {
        let sdk = self.sessions.open.get_mut(&session);
        if sdk.and_then(|sdk| sdk.answer_notices.take(now)).is_none() {
            return;
        }
        let asked = self.sessions.open.iter().find(|(_, sdk)| sdk.pushes.contains_key(seq));
        self.notice(match asked.map(|(asked, _)| *asked) {
            Some(asked) => AmopNotice::ForeignAnswer { session, asked },
            None => AmopNotice::UnknownAnswer { session },
        });
    }

    /// Nobody is asked any more.
    fn release(&mut self, id: u64) {
        self.timers.cancel(&Timer::Unicast(id));
        let Some(unicast) = self.unicasts.waiting.get_mut(&id) else { return };
        match core::mem::replace(&mut unicast.asked, Asked::Nobody) {
            Asked::Nobody => {}
            Asked::Node { number, .. } => {
                self.unicasts.by_number.remove(&number);
            }
            Asked::Session { session, seq } => {
                if let Some(sdk) = self.sessions.open.get_mut(&session) {
                    sdk.pushes.remove(&seq);
                }
            }
        }
    }

    /// The publisher is gone: nobody wants to know.
    pub(super) fn drop_unicast(&mut self, id: u64) {
        self.release(id);
        self.unicasts.remove(id);
    }

    /// The last of a unicast.
    pub(super) fn end(&mut self, id: u64, result: Result<Bytes, AmopFailure>) {
        self.release(id);
        let Some(unicast) = self.unicasts.remove(id) else { return };
        self.counters.delivered += u64::from(result.is_ok());
        match unicast.origin {
            Origin::Session(session) => {
                if let Some(sdk) = self.sessions.open.get_mut(&session) {
                    sdk.publishing.remove(&(unicast.message.seq.clone(), id));
                    sdk.waiting_bytes -= unicast.message.size();
                }
                self.done(session, AmopCast::Unicast, unicast.message, result);
            }
            Origin::Node { reply, rc2 } => self.answer_node(reply, rc2, &unicast.message, result),
        }
    }
}

fn takes(nodes: &Nodes, judgements: &Judgements, node: &ShortId, topic: &Bytes) -> bool {
    let Some(kind) = nodes.get(node).map(|node| node.kind) else { return false };
    (kind != PeerKind::Fisco2 || topic.len() <= MAX_CHANNEL_TOPIC)
        && (!needs_verification(topic) || judgements.allow(&Holder::Node(*node), topic))
}

/// Which node was drawn.
enum Drawn {
    Here,
    Node(ShortId),
}
