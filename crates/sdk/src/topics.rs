//! Who of the application follows which topic.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_wire::amop;
use tokio::sync::mpsc;

use crate::subscription::{Kind, Queued, TopicName};

/// The queues of the subscriptions, by topic.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_topic: HashMap<Bytes, Followers>,
}

/// The subscriptions of one topic.
#[derive(Debug)]
pub(crate) struct Followers {
    pub(crate) name: Arc<TopicName>,
    queues: Vec<mpsc::Sender<Queued>>,
    /// Whose turn it is.
    turn: usize,
}

impl Topics {
    /// Whether it was followed by nobody before.
    pub(crate) fn add(&mut self, topic: String, queue: mpsc::Sender<Queued>) -> bool {
        let bytes = Bytes::from(topic.clone());
        let followers = self.by_topic.entry(bytes.clone()).or_insert_with(|| Followers {
            name: Arc::new(TopicName { text: topic, bytes }),
            queues: Vec::new(),
            turn: 0,
        });
        followers.queues.push(queue);
        followers.queues.len() == 1
    }

    /// Takes the last subscription of a topic back.
    pub(crate) fn take_back(&mut self, topic: &str) {
        if let Some(followers) = self.by_topic.get_mut(topic.as_bytes()) {
            followers.queues.pop();
            if followers.queues.is_empty() {
                self.by_topic.remove(topic.as_bytes());
            }
        }
    }

    /// Forgets the subscriptions that were dropped; whether a topic has none any more.
    pub(crate) fn sweep(&mut self) -> bool {
        let before = self.by_topic.len();
        self.by_topic.retain(|_, followers| {
            followers.queues.retain(|queue| !queue.is_closed());
            !followers.queues.is_empty()
        });
        self.by_topic.len() != before
    }

    /// All topics, in the order of the alphabet.
    pub(crate) fn list(&self) -> amop::Subscription {
        let mut list: Vec<String> =
            self.by_topic.values().map(|followers| followers.name.text.clone()).collect();
        list.sort_unstable();
        amop::Subscription(list)
    }

    /// Who follows a topic.
    pub(crate) fn of(&mut self, topic: &[u8]) -> Option<&mut Followers> {
        self.by_topic.get_mut(topic)
    }
}

impl Followers {
    /// Who gets a message of this kind: one after the other in turn, or all.
    pub(crate) fn receivers(&mut self, kind: Kind) -> &[mpsc::Sender<Queued>] {
        match kind {
            Kind::Multicast => &self.queues,
            Kind::Unicast => {
                let count = self.queues.len();
                // Those that were dropped a moment ago are passed over.
                for _ in 0..count {
                    self.turn = (self.turn + 1) % count;
                    let turn = self.queues.get(self.turn..=self.turn).unwrap_or_default();
                    if turn.iter().any(|queue| !queue.is_closed()) {
                        break;
                    }
                }
                self.queues.get(self.turn..=self.turn).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests;
