//! Topics by node: AMOP's TopicSeq, RequestTopic and ResponseTopic between 3.x gateways
//! (`TopicManager`, `AMOPImpl`), and messages on them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::{AmopKind, AmopMessage, AmopRequest, MAX_NODE_TOPICS, TopicList};
use chainmesh_wire::mesh::{ModuleId, Packet, PacketType};

use super::config::MAX_LIST_BYTES;
use super::sessions::{From, unpack};
use super::{AmopEvent, AmopWords, Cast, Delivery, Mesh, MeshEvent, MeshFault, Output};
use crate::time::Instant;

/// The topics of all members, and ours.
#[derive(Debug)]
pub(super) struct Topics {
    /// Ours.
    pub(super) own: BTreeSet<String>,
    /// Those of the broker's SDKs.
    pub(super) broker: BTreeSet<String>,
    /// When the number of our list was told because of a change.
    pub(super) told: Option<Instant>,
    /// Number of our list towards 3.x nodes; starts at 1. Towards 2.x nodes it is one less.
    pub(super) seq: u32,
    members: BTreeMap<ShortId, (u32, Vec<Bytes>)>,
    by_topic: BTreeMap<Bytes, BTreeSet<ShortId>>,
}

impl Topics {
    pub(super) fn new() -> Self {
        let (members, by_topic) = (BTreeMap::new(), BTreeMap::new());
        let (own, broker) = (BTreeSet::new(), BTreeSet::new());
        Self { own, broker, told: None, seq: 1, members, by_topic }
    }

    /// What we tell others.
    pub(super) fn told_topics(&self) -> impl Iterator<Item = &String> {
        self.own.union(&self.broker)
    }

    /// How many these are at most.
    pub(super) fn count(&self) -> usize {
        self.own.len() + self.broker.len()
    }

    /// Number and list of a member.
    pub(super) fn get(&self, member: &ShortId) -> Option<&(u32, Vec<Bytes>)> {
        self.members.get(member)
    }

    /// Who follows a topic.
    pub(super) fn followers(&self, topic: &[u8]) -> impl Iterator<Item = ShortId> {
        self.by_topic.get(topic).into_iter().flatten().copied()
    }

    pub(super) fn forget(&mut self, member: &ShortId) {
        let Some((_, topics)) = self.members.remove(member) else { return };
        for topic in topics {
            if let Some(followers) = self.by_topic.get_mut(&topic) {
                followers.remove(member);
                if followers.is_empty() {
                    self.by_topic.remove(&topic);
                }
            }
        }
    }

    pub(super) fn put(&mut self, member: ShortId, seq: u32, topics: Vec<Bytes>) {
        self.forget(&member);
        for topic in &topics {
            self.by_topic.entry(topic.clone()).or_default().insert(member);
        }
        self.members.insert(member, (seq, topics));
    }
}

impl Mesh {
    pub(super) fn subscribe(&mut self, now: Instant, topic: String) {
        // A list that is longer than others read would be refused whole.
        let known = self.topics.broker.contains(&topic);
        let room = known || self.topics.count() < MAX_NODE_TOPICS;
        if room && self.topics.own.insert(topic) && !known {
            self.topics_changed(now);
        }
    }

    pub(super) fn unsubscribe(&mut self, now: Instant, topic: &str) {
        if self.topics.own.remove(topic) && !self.topics.broker.contains(topic) {
            self.topics_changed(now);
        }
    }

    pub(super) fn topics_changed(&mut self, now: Instant) {
        self.topics.seq = self.topics.seq.wrapping_add(1);
        self.announce_topics_soon(now);
    }

    /// Tells everybody the number of our list; FISCO does so every period only.
    pub(super) fn announce_topics(&mut self) {
        for member in self.router.reachable().collect::<Vec<_>>() {
            self.send_topic_seq(member);
        }
    }

    pub(super) fn send_topic_seq(&mut self, member: ShortId) {
        let payload = AmopMessage::topic_seq(self.topics.seq).encode();
        self.send_payload(member, PacketType::AmopMessage, payload);
    }

    /// A packet of type 7 without the response bit.
    pub(super) fn amop_came(
        &mut self,
        now: Instant,
        from: From,
        mut packet: Packet,
        size: usize,
    ) -> Result<(), MeshFault> {
        packet.unpack()?;
        let message = AmopMessage::decode(packet.payload.clone())?;
        match message.kind {
            AmopKind::TopicSeq => self.topic_seq_came(from.node, message.read_topic_seq()?),
            AmopKind::RequestTopic => self.topics_asked(from.node),
            AmopKind::ResponseTopic => {
                packet.payload = message.data;
                unpack(&mut packet, MAX_LIST_BYTES)?;
                self.topics_came(from.node, TopicList::from_json(&packet.payload)?);
            }
            AmopKind::ResponseOrBroadcast => self.multicast_came(now, from, message.data, size)?,
            AmopKind::Request => self.amop_asked(now, from, packet.seq, message.data, size)?,
            AmopKind::Unknown(_) => self.counters.unknown_type += 1,
        }
        Ok(())
    }

    fn topic_seq_came(&mut self, from: ShortId, seq: u32) {
        if self.router.distance(&from).is_none() {
            self.counters.unknown_source += 1;
            return;
        }
        if self.topics.get(&from).is_none_or(|(known, _)| *known != seq) {
            let payload = AmopMessage::request_topic().encode();
            self.send_payload(from, PacketType::AmopMessage, payload);
        }
    }

    fn topics_asked(&mut self, from: ShortId) {
        let topics = self.topics.told_topics().cloned().collect();
        let list = TopicList { topics, seq: self.topics.seq };
        // Our own list is within the limits: it is filled above.
        let Ok(message) = AmopMessage::response_topic(&list) else { return };
        self.send_payload(from, PacketType::AmopMessage, message.encode());
    }

    fn topics_came(&mut self, from: ShortId, list: TopicList) {
        if self.router.distance(&from).is_none() {
            self.counters.unknown_source += 1;
            return;
        }
        let mut topics: Vec<_> = list.topics.into_iter().map(Bytes::from).collect();
        topics.sort_unstable();
        topics.dedup();
        let (member, count) = (self.router.name(&from), topics.len());
        self.topics.put(from, list.seq, topics);
        self.outputs.push_back(Output::Event(MeshEvent::Topics { member, topics: count }));
        self.broker_hears(from);
    }

    fn multicast_came(
        &mut self,
        now: Instant,
        from: From,
        data: Bytes,
        size: usize,
    ) -> Result<(), MeshFault> {
        let request = AmopRequest::decode(data)?;
        if !self.inbound.admit(now, Some(&from.neighbour), None, Some(ModuleId::AMOP), size) {
            self.counters.dropped_limit += 1;
            return Ok(());
        }
        let topic = core::str::from_utf8(&request.topic).unwrap_or_default();
        let own = self.topics.own.contains(topic);
        let broker = self.topics.broker.contains(topic);
        if !own && !broker {
            self.counters.not_for_us += 1;
            return Ok(());
        }
        if own {
            let (topic, data) = (request.topic.clone(), request.data.clone());
            self.deliver_multicast(self.router.name(&from.node), topic, data);
        }
        if broker {
            self.amop(AmopEvent::Multicast { words: AmopWords::Gateway(request) });
        }
        Ok(())
    }

    pub(super) fn deliver_multicast(
        &mut self,
        gateway: chainmesh_identity::PeerId,
        topic: Bytes,
        payload: Bytes,
    ) {
        self.counters.delivered += 1;
        self.outputs.push_back(Output::Deliver(Delivery {
            gateway,
            source: Bytes::new(),
            cast: Cast::Multicast { topic },
            group: Bytes::new(),
            module: ModuleId::AMOP,
            uuid: Bytes::new(),
            payload,
        }));
    }
}
