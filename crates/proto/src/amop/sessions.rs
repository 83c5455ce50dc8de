//! SDKs at this node: who follows what, who comes back, who does not keep up.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chainmesh_wire::amop::AmopError;

use super::draw::fresh_seq;
use super::io::SdkFault;
use super::quiet::NoticeBudget;
use super::{
    AmopCast, AmopFailure, AmopNotice, Broker, MAX_BAD_LISTS, MAX_GONE, MAX_NODE_TOPIC_BYTES,
    MAX_NODE_TOPICS, MAX_SESSION_WAITING_BYTES, MAX_TOPIC_BYTES, MAX_UNANSWERED, MAX_WAITING,
    Message, Output, SLOW_TIMEOUT, SdkKind, SdkSession, Timer,
};
use crate::mesh::{AmopSend, Bucket, Rate};
use crate::time::Instant;

/// A session with an SDK.
#[derive(Debug)]
pub(super) struct Sdk {
    pub(super) kind: SdkKind,
    pub(super) identity: Bytes,
    pub(super) topics: BTreeSet<String>,
    /// The topics are those of before, it has not told them itself.
    pub(super) restored: bool,
    bad_lists: u8,
    /// Since when its queue is full.
    pub(super) slow: Option<Instant>,
    /// Unicasts that it has not answered, by the seq they were given with.
    pub(super) pushes: BTreeMap<Bytes, u64>,
    /// Unicasts of its own that have not ended, by their seq.
    pub(super) publishing: BTreeSet<(Bytes, u64)>,
    /// Bytes of them.
    pub(super) waiting_bytes: usize,
    pub(super) bucket: Bucket,
    /// For the log.
    pub(super) notices: NoticeBudget,
    /// The same for answers that nobody waits for: some SDKs send them all the time.
    pub(super) answer_notices: NoticeBudget,
}

impl Sdk {
    /// Whether a seq means something on its link already.
    fn in_use(&self, seq: &Bytes) -> bool {
        let own = (seq.clone(), 0)..=(seq.clone(), u64::MAX);
        self.pushes.contains_key(seq) || self.publishing.range(own).next().is_some()
    }

    /// Whether another unicast of its own may wait.
    pub(super) fn may_publish(&self, size: usize) -> bool {
        self.publishing.len() < MAX_WAITING
            && (self.waiting_bytes == 0
                || self.waiting_bytes.saturating_add(size) <= MAX_SESSION_WAITING_BYTES)
    }

    /// Whether it takes a unicast on a topic of this length now.
    pub(super) fn takes(&self, topic: usize) -> bool {
        self.slow.is_none() && self.pushes.len() < MAX_UNANSWERED && self.can_read(topic)
    }

    /// Whether its protocol has words for a topic of this length.
    pub(super) fn can_read(&self, topic: usize) -> bool {
        self.kind != SdkKind::Channel || topic <= chainmesh_wire::amop::channel::MAX_CHANNEL_TOPIC
    }
}

/// An SDK that left a moment ago.
#[derive(Debug)]
struct Gone {
    identity: Bytes,
    kind: SdkKind,
    topics: BTreeSet<String>,
}

/// All of them, and who follows what.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) open: BTreeMap<SdkSession, Sdk>,
    by_topic: BTreeMap<String, Vec<SdkSession>>,
    /// Of all topics in it.
    bytes: usize,
    gone: BTreeMap<u64, Gone>,
    places: u64,
}

impl Sessions {
    /// The sessions that follow a topic.
    pub(super) fn with(&self, topic: &[u8]) -> &[SdkSession] {
        let topic = core::str::from_utf8(topic).unwrap_or_default();
        self.by_topic.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, &Vec<SdkSession>)> {
        self.by_topic.iter()
    }

    /// SDKs that left and may come back.
    pub(super) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// Says whether the topic is new at this node.
    fn follow(&mut self, topic: &str, session: SdkSession) -> bool {
        let sessions = self.by_topic.entry(topic.to_owned()).or_default();
        sessions.push(session);
        let first = sessions.len() == 1;
        self.bytes += if first { topic.len() } else { 0 };
        first
    }

    /// Says whether nobody at this node follows the topic any more.
    fn unfollow(&mut self, topic: &str, session: SdkSession) -> bool {
        let Some(sessions) = self.by_topic.get_mut(topic) else { return false };
        sessions.retain(|one| *one != session);
        let last = sessions.is_empty();
        if last {
            self.by_topic.remove(topic);
            self.bytes -= topic.len();
        }
        last
    }
}

impl Broker {
    pub(super) fn opened(
        &mut self,
        now: Instant,
        session: SdkSession,
        kind: SdkKind,
        identity: Bytes,
    ) {
        let back = self.sessions.gone.iter().find(|(_, gone)| {
            !identity.is_empty() && gone.identity == identity && gone.kind == kind
        });
        let back = back.map(|(place, _)| *place);
        let sdk = Sdk {
            kind,
            identity,
            topics: BTreeSet::new(),
            restored: false,
            bad_lists: 0,
            slow: None,
            pushes: BTreeMap::new(),
            publishing: BTreeSet::new(),
            waiting_bytes: 0,
            bucket: Bucket::new(self.config.session_limit, now),
            notices: NoticeBudget::of_session(now),
            answer_notices: NoticeBudget::of_session(now),
        };
        self.sessions.open.insert(session, sdk);
        let Some(gone) = back.and_then(|place| {
            self.timers.cancel(&Timer::Gone(place));
            self.sessions.gone.remove(&place)
        }) else {
            return;
        };
        let topics = gone.topics.len();
        self.set_topics(now, session, gone.topics);
        if let Some(sdk) = self.sessions.open.get_mut(&session) {
            sdk.restored = true;
        }
        self.notice(AmopNotice::Restored { session, topics });
    }

    pub(super) fn closed(&mut self, now: Instant, session: SdkSession) {
        let topics = self.sessions.open.get(&session).map(|sdk| sdk.topics.clone());
        self.set_topics(now, session, BTreeSet::new());
        self.timers.cancel(&Timer::Slow(session));
        let Some(mut sdk) = self.sessions.open.remove(&session) else { return };
        self.left_out(session, sdk.notices.left_out());
        let topics = topics.unwrap_or_default();
        if !topics.is_empty() && !sdk.identity.is_empty() && !self.config.grace.is_zero() {
            self.keep(now, Gone { identity: sdk.identity, kind: sdk.kind, topics });
        }
        self.forget_judge(now, session);
        for (_, id) in sdk.publishing {
            self.drop_unicast(id);
        }
        for id in sdk.pushes.into_values() {
            self.next_one(now, id, AmopFailure::Unreachable);
        }
    }

    fn keep(&mut self, now: Instant, gone: Gone) {
        let place = self.sessions.places;
        self.sessions.places += 1;
        self.sessions.gone.insert(place, gone);
        self.timers.set(Timer::Gone(place), now + self.config.grace);
        if self.sessions.gone.len() > MAX_GONE
            && let Some((oldest, _)) = self.sessions.gone.pop_first()
        {
            self.timers.cancel(&Timer::Gone(oldest));
        }
    }

    pub(super) fn forget_gone(&mut self, place: u64) {
        self.sessions.gone.remove(&place);
    }

    pub(super) fn subscribe(&mut self, now: Instant, session: SdkSession, topics: Vec<String>) {
        let Some(sdk) = self.sessions.open.get(&session) else { return };
        // The empty topic stands for none in other messages; nobody can publish on it.
        let topics: BTreeSet<_> = topics.into_iter().filter(|topic| !topic.is_empty()).collect();
        let new = topics.iter().filter(|topic| !self.sessions.by_topic.contains_key(*topic));
        let freed = sdk.topics.difference(&topics);
        let freed = freed.filter(|topic| self.sessions.with(topic.as_bytes()).len() == 1).count();
        let in_all = (self.sessions.by_topic.len() + new.clone().count()).saturating_sub(freed);
        let bytes = |topics: &mut dyn Iterator<Item = &String>| topics.map(String::len).sum();
        let new_bytes: usize = bytes(&mut new.clone());
        let limits = [
            (topics.len(), self.config.max_topics),
            (bytes(&mut topics.iter()), MAX_TOPIC_BYTES),
            (in_all, MAX_NODE_TOPICS),
            (self.sessions.bytes + new_bytes, MAX_NODE_TOPIC_BYTES),
        ];
        if let Some((count, limit)) = limits.into_iter().find(|(count, limit)| count > limit) {
            self.counters.lists_refused += 1;
            self.notice_of(now, session, AmopNotice::TooManyTopics { session, count, limit });
            let error = AmopError::TooMany { what: "topic list", count, limit };
            self.output(Output::ListRefused { session, error });
            return;
        }
        self.set_topics(now, session, topics);
        if let Some(sdk) = self.sessions.open.get_mut(&session) {
            sdk.restored = false;
        }
    }

    /// The topics of a session are these from now on.
    fn set_topics(&mut self, now: Instant, session: SdkSession, topics: BTreeSet<String>) {
        let Some(sdk) = self.sessions.open.get_mut(&session) else { return };
        let old = core::mem::replace(&mut sdk.topics, topics.clone());
        let mut added: Vec<_> = topics.difference(&old).cloned().collect();
        let mut removed: Vec<_> = old.difference(&topics).cloned().collect();
        if added.is_empty() && removed.is_empty() {
            return;
        }
        let came = added.clone();
        added.retain(|topic| self.sessions.follow(topic, session));
        removed.retain(|topic| self.sessions.unfollow(topic, session));
        if !added.is_empty() || !removed.is_empty() {
            self.output(Output::Mesh(AmopSend::Topics { added, removed }));
        }
        self.session_topics_changed(now, session, &came);
    }

    pub(super) fn bad_list(&mut self, now: Instant, session: SdkSession, error: AmopError) {
        let Some(sdk) = self.sessions.open.get_mut(&session) else { return };
        sdk.bad_lists = sdk.bad_lists.saturating_add(1);
        let last = sdk.bad_lists >= MAX_BAD_LISTS;
        self.counters.lists_refused += 1;
        self.notice_of(now, session, AmopNotice::BadList { session, error });
        self.output(Output::ListRefused { session, error });
        if last {
            self.output(Output::Close { session, fault: SdkFault::BadLists(error) });
        }
    }

    /// A push found no room.
    pub(super) fn refused(&mut self, now: Instant, session: SdkSession, seq: &Bytes) {
        let Some(sdk) = self.sessions.open.get_mut(&session) else { return };
        let first = sdk.slow.is_none();
        sdk.slow.get_or_insert(now);
        let id = sdk.pushes.remove(seq);
        if first {
            self.timers.set(Timer::Slow(session), now + SLOW_TIMEOUT);
            self.notice_of(now, session, AmopNotice::Slow { session });
        }
        match id {
            Some(id) => self.next_one(now, id, AmopFailure::Unreachable),
            None => self.counters.missed += 1,
        }
    }

    pub(super) fn room(&mut self, session: SdkSession) {
        if let Some(sdk) = self.sessions.open.get_mut(&session) {
            sdk.slow = None;
            self.timers.cancel(&Timer::Slow(session));
        }
    }

    pub(super) fn too_slow(&mut self, session: SdkSession) {
        self.counters.cut += 1;
        self.output(Output::Close { session, fault: SdkFault::TooSlow });
    }

    pub(super) fn set_limits(&mut self, now: Instant, session: Rate, all: Rate) {
        (self.config.session_limit, self.config.limit) = (session, all);
        self.bucket = Bucket::new(all, now);
        for sdk in self.sessions.open.values_mut() {
            sdk.bucket = Bucket::new(session, now);
        }
    }

    /// Gives a message to a session and says with which seq. The publisher's is kept for a channel
    /// SDK, as FISCO 2.x does, but not where it means something on the link already, or the
    /// publisher is that session (decision 1). A WebSocket SDK has a new one, as with FISCO 3.x, and
    /// none in a multicast.
    pub(super) fn push(
        &mut self,
        session: SdkSession,
        publisher: Option<SdkSession>,
        cast: AmopCast,
        message: &Message,
    ) -> Bytes {
        let sdk = self.sessions.open.get(&session);
        let keeps = |sdk: &Sdk| {
            sdk.kind == SdkKind::Channel
                && message.seq.len() == chainmesh_wire::amop::channel::Seq::LENGTH
                && publisher != Some(session)
                && !sdk.in_use(&message.seq)
        };
        let seq = match sdk {
            Some(sdk) if sdk.kind == SdkKind::WebSocket && cast == AmopCast::Multicast => {
                Bytes::new()
            }
            Some(sdk) if keeps(sdk) => message.seq.clone(),
            _ => fresh_seq(&mut self.rng),
        };
        self.counters.pushed += 1;
        let message = message.with_seq(seq.clone());
        self.output(Output::Push { session, cast, message });
        seq
    }
}
