//! Private topics of 2.x: a publisher's SDK judges each subscriber before anything is sent to it.
//!
//! Whoever follows a private topic follows a channel of its own beside it. A publisher (its SDK
//! follows the push channel of the topic) is told of it, proves the subscriber over that channel with
//! ordinary unicasts, and gives its verdict, which holds at this node alone. FISCO judges nodes only:
//! here the sessions of this node are judged too, one by one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::channel::{
    PUSH_CHANNEL, TopicVerdict, VerifyTopic, is_verify_channel_of, needs_verification,
    push_channel_of,
};

use super::draw::{draw, fresh_seq};
use super::{AmopNotice, Broker, Output, SdkKind, SdkSession, Timer, VERIFY_TIMEOUT};
use crate::time::Instant;

/// Who follows a private topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A node, for all its SDKs.
    Node(ShortId),
    /// A session at this node.
    Session(SdkSession),
}

/// What is known of one that follows a private topic.
#[derive(Debug, Default)]
struct Judgement {
    /// How publishers name the node with it.
    node_id: String,
    /// Its channels, and the verdict on each.
    channels: BTreeMap<String, Option<bool>>,
    /// The last verdicts were good. SDKs make new channels with every list of topics; what was
    /// granted holds until the new one is judged, as with FISCO.
    granted: bool,
    /// Who is asked about which channel, and until when.
    asked: Option<Question>,
}

#[derive(Debug)]
struct Question {
    channel: String,
    publisher: SdkSession,
    until: Instant,
}

/// All judgements, by topic and holder.
#[derive(Debug, Default)]
pub(super) struct Judgements {
    entries: BTreeMap<String, BTreeMap<Holder, Judgement>>,
}

impl Judgements {
    /// Whether messages on a private topic may go to a holder.
    pub(super) fn allow(&self, holder: &Holder, topic: &[u8]) -> bool {
        let holders = core::str::from_utf8(topic).ok().and_then(|topic| self.entries.get(topic));
        holders.and_then(|holders| holders.get(holder)).is_some_and(|it| {
            it.granted && !it.channels.values().any(|verdict| *verdict == Some(false))
        })
    }

    /// Subscribers that are judged, and those that may have their topics.
    pub(super) fn count(&self) -> (usize, usize) {
        let all = self.entries.iter().flat_map(|(topic, holders)| {
            holders.keys().map(move |holder| self.allow(holder, topic.as_bytes()))
        });
        all.fold((0, 0), |(all, allowed), may| (all + 1, allowed + usize::from(may)))
    }

    /// A holder follows these topics now; says which private ones may need a question.
    fn update(
        &mut self,
        holder: Holder,
        node_id: impl Fn() -> String,
        topics: &BTreeSet<&str>,
    ) -> Vec<String> {
        let mut touched = Vec::new();
        for (topic, holders) in &mut self.entries {
            if !topics.contains(topic.as_str()) && holders.remove(&holder).is_some() {
                touched.push(topic.clone());
            }
        }
        self.entries.retain(|_, holders| !holders.is_empty());
        for topic in topics.iter().filter(|topic| needs_verification(topic.as_bytes())) {
            let holders = self.entries.entry((*topic).to_owned()).or_default();
            let entry = holders
                .entry(holder)
                .or_insert_with(|| Judgement { node_id: node_id(), ..Judgement::default() });
            let channels = topics.iter().filter(|channel| is_verify_channel_of(channel, topic));
            let channels = channels.map(|channel| {
                let verdict = entry.channels.get(*channel).copied().flatten();
                ((*channel).to_owned(), verdict)
            });
            entry.channels = channels.collect();
            if entry.asked.as_ref().is_some_and(|it| !entry.channels.contains_key(&it.channel)) {
                entry.asked = None;
            }
            touched.push((*topic).to_owned());
        }
        touched
    }
}

impl Broker {
    /// A node's list of topics is another one, or it is lost.
    pub(super) fn node_topics_changed(&mut self, now: Instant, node: ShortId) {
        let Some(known) = self.nodes.get(&node) else {
            let touched = self.judgements.update(Holder::Node(node), String::new, &BTreeSet::new());
            return self.question(now, touched);
        };
        let topics = known.topics.iter().filter_map(|topic| core::str::from_utf8(topic).ok());
        let topics = topics.filter(|topic| topic.starts_with("#!$")).collect();
        let node_id = || const_hex::encode(known.name.as_bytes());
        let touched = self.judgements.update(Holder::Node(node), node_id, &topics);
        self.question(now, touched);
    }

    /// A session's list of topics is another one; `came` is new in it.
    pub(super) fn session_topics_changed(
        &mut self,
        now: Instant,
        session: SdkSession,
        came: &[String],
    ) {
        let Some(sdk) = self.sessions.open.get(&session) else { return };
        if sdk.kind != SdkKind::Channel {
            return;
        }
        let topics = sdk.topics.iter().map(String::as_str);
        let topics = topics.filter(|topic| topic.starts_with("#!$")).collect();
        let node_id = || const_hex::encode(self.config.name.as_bytes());
        let mut touched = self.judgements.update(Holder::Session(session), node_id, &topics);
        touched.extend(came.iter().filter_map(|it| it.strip_prefix(PUSH_CHANNEL)).map(Into::into));
        self.question(now, touched);
    }

    /// A session is gone: it gives no verdict any more.
    pub(super) fn forget_judge(&mut self, now: Instant, session: SdkSession) {
        let mut touched =
            self.judgements.update(Holder::Session(session), String::new, &BTreeSet::new());
        for (topic, holders) in &mut self.judgements.entries {
            for entry in holders.values_mut() {
                if entry.asked.as_ref().is_some_and(|asked| asked.publisher == session) {
                    entry.asked = None;
                    touched.push(topic.clone());
                }
            }
        }
        self.question(now, touched);
    }

    /// Asks publishers of these topics about subscribers that nobody has judged.
    fn question(&mut self, now: Instant, topics: Vec<String>) {
        for topic in topics {
            while self.ask_publisher(now, &topic) {}
        }
    }

    /// Whether somebody was asked. About the subscribers of one node one question is open at a time:
    /// a verdict names node and topic only.
    fn ask_publisher(&mut self, now: Instant, topic: &str) -> bool {
        let Some(holders) = self.judgements.entries.get(topic) else { return false };
        let busy = holders.values().filter(|it| it.asked.is_some());
        let busy: BTreeSet<_> = busy.map(|it| it.node_id.as_str()).collect();
        let next = holders.iter().find_map(|(holder, it)| {
            let channel = it.channels.iter().find(|(_, verdict)| verdict.is_none())?.0;
            (!busy.contains(it.node_id.as_str()))
                .then(|| (*holder, channel.clone(), it.node_id.clone()))
        });
        let Some((holder, channel, node_id)) = next else { return false };
        let publishers = self.sessions.with(push_channel_of(topic).as_bytes());
        let of_2x = |at: usize| {
            let session = publishers.get(at).and_then(|it| self.sessions.open.get(it));
            session.is_some_and(|sdk| sdk.kind == SdkKind::Channel)
        };
        let Some(publisher) =
            draw(&mut self.rng, publishers.len(), of_2x).and_then(|at| publishers.get(at).copied())
        else {
            return false;
        };
        let until = now + VERIFY_TIMEOUT;
        let holders = self.judgements.entries.get_mut(topic);
        let Some(entry) = holders.and_then(|holders| holders.get_mut(&holder)) else {
            return false;
        };
        entry.asked = Some(Question { channel: channel.clone(), publisher, until });
        if self.timers.deadline(&Timer::Verify).is_none() {
            self.timers.set(Timer::Verify, until);
        }
        let seq: Bytes = fresh_seq(&mut self.rng);
        let question = VerifyTopic { node_id, topic: topic.to_owned(), topic_for_cert: channel };
        self.output(Output::Verify { session: publisher, seq, question });
        true
    }

    /// A publisher's verdict. It counts only if this session was asked.
    pub(super) fn judged(&mut self, now: Instant, session: SdkSession, verdict: TopicVerdict) {
        let holders = self.judgements.entries.get_mut(&verdict.topic);
        let entry = holders.into_iter().flat_map(BTreeMap::values_mut).find(|it| {
            it.node_id.eq_ignore_ascii_case(&verdict.node_id)
                && it.asked.as_ref().is_some_and(|asked| asked.publisher == session)
        });
        let Some(entry) = entry else {
            self.counters.unknown_verdict += 1;
            return self.notice_of(now, session, AmopNotice::UnknownVerdict { session });
        };
        let Some(asked) = entry.asked.take() else { return };
        let good = verdict.is_granted();
        if let Some(channel) = entry.channels.get_mut(&asked.channel) {
            *channel = Some(good);
        }
        entry.granted = good || entry.channels.values().any(|verdict| *verdict == Some(true));
        let topic = verdict.topic.clone();
        self.notice_of(now, session, AmopNotice::Judged { session, verdict });
        self.question(now, vec![topic]);
    }

    /// Publishers did not answer in time: they, or others, are asked again.
    pub(super) fn verify_due(&mut self, now: Instant) {
        let mut touched = Vec::new();
        let mut next: Option<Instant> = None;
        for (topic, holders) in &mut self.judgements.entries {
            for entry in holders.values_mut() {
                match entry.asked.as_ref().map(|asked| asked.until) {
                    Some(until) if until <= now => {
                        entry.asked = None;
                        touched.push(topic.clone());
                    }
                    until => next = crate::time::earliest(next, until),
                }
            }
        }
        if let Some(next) = next {
            self.timers.set(Timer::Verify, next);
        }
        self.question(now, touched);
    }
}
