//! The read model: what RPC, metrics and `chainmesh topics` show.

use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::PeerId;

use super::{Broker, SdkKind, SdkSession};
use crate::text::shown;

/// The broker as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmopReport {
    /// The SDKs at this node.
    pub sessions: Vec<SdkReport>,
    /// All topics that are known, in order.
    pub topics: Vec<TopicReport>,
    /// Unicasts that have not ended, those of other nodes included.
    pub waiting: usize,
    /// Of these, those of other nodes.
    pub of_nodes: usize,
    /// SDKs that left a moment ago, whose topics are kept.
    pub gone: usize,
    /// Subscribers of private topics, and how many of them were granted.
    pub private: (usize, usize),
    /// Counts since the start.
    pub counters: AmopCounters,
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkReport {
    /// The session.
    pub session: SdkSession,
    /// Which protocol it speaks.
    pub kind: SdkKind,
    /// The topics it follows, escaped and cut.
    pub topics: Vec<String>,
    /// Whether these are those of before, because it has not said itself.
    pub restored: bool,
    /// Whether its queue is full.
    pub slow: bool,
    /// Unicasts that it has not answered.
    pub unanswered: usize,
    /// Unicasts of its own that have not ended.
    pub publishing: usize,
}

/// Who follows a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic, escaped and cut.
    pub topic: String,
    /// The sessions at this node.
    pub sessions: Vec<SdkSession>,
    /// The other nodes.
    pub nodes: Vec<PeerId>,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AmopCounters {
    /// Messages that SDKs here published and that were taken.
    pub published: u64,
    /// Unicasts of other nodes that were taken.
    pub from_nodes: u64,
    /// Messages given to sessions here.
    pub pushed: u64,
    /// Unicasts that a subscriber answered.
    pub delivered: u64,
    /// Messages of SDKs here that failed.
    pub failed: u64,
    /// Requests to other nodes.
    pub asked_nodes: u64,
    /// Unicasts for which somebody else had to be asked.
    pub asked_again: u64,
    /// Multicasts that a session missed: it did not keep up, or may not have it.
    pub missed: u64,
    /// Messages above a limit.
    pub over_limit: u64,
    /// Lists of topics that were refused.
    pub lists_refused: u64,
    /// Answers that nobody waits for: late ones, and those of Go's SDK to multicasts.
    pub unknown_answer: u64,
    /// Verdicts on private topics for which nobody was asked.
    pub unknown_verdict: u64,
    /// Sessions that were cut because they did not read.
    pub cut: u64,
}

/// Longest topic that is shown, characters.
const SHOWN: usize = 1024;

impl Broker {
    /// The broker as it is.
    #[must_use]
    pub fn snapshot(&self) -> AmopReport {
        let sessions = self.sessions.open.iter().map(|(session, sdk)| SdkReport {
            session: *session,
            kind: sdk.kind,
            topics: sdk.topics.iter().map(|topic| shown(topic.as_bytes(), SHOWN)).collect(),
            restored: sdk.restored,
            slow: sdk.slow.is_some(),
            unanswered: sdk.pushes.len(),
            publishing: sdk.publishing.len(),
        });
        AmopReport {
            sessions: sessions.collect(),
            topics: self.topic_reports(),
            waiting: self.unicasts.len(),
            of_nodes: self.unicasts.of_nodes(),
            gone: self.sessions.gone(),
            private: self.judgements.count(),
            counters: self.counters,
        }
    }

    /// Counts since the start, without the rest of the report.
    #[must_use]
    pub const fn counters(&self) -> AmopCounters {
        self.counters
    }

    fn topic_reports(&self) -> Vec<TopicReport> {
        let mut topics: BTreeMap<Bytes, TopicReport> = BTreeMap::new();
        let empty = |topic: &[u8]| {
            let topic = shown(topic, SHOWN);
            TopicReport { topic, sessions: Vec::new(), nodes: Vec::new() }
        };
        for (topic, sessions) in self.sessions.topics() {
            let key = Bytes::copy_from_slice(topic.as_bytes());
            topics
                .entry(key)
                .or_insert_with_key(|topic| empty(topic))
                .sessions
                .clone_from(sessions);
        }
        for (topic, nodes) in self.nodes.topics() {
            let names = nodes.iter().filter_map(|node| Some(self.nodes.get(node)?.name));
            let report = topics.entry(topic.clone()).or_insert_with_key(|topic| empty(topic));
            report.nodes.extend(names);
        }
        topics.into_values().collect()
    }
}
