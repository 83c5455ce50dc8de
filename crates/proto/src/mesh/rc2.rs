//! Neighbours of FISCO BCOS 2.x: their topic protocol, which is also their heartbeat. They are
//! neighbours only: nothing is routed to them or through them.

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::MAX_NODE_TOPICS;
use chainmesh_wire::mesh::rc2::{Rc2Packet, TopicMessage};

use super::config::{MAX_LIST_BYTES, RC2_PERIOD};
use super::{AmopEvent, Mesh, MeshEvent, MeshFault, Output, SessionId};
use crate::module::PeerKind;
use crate::session::Class;
use crate::time::Instant;
use bytes::BytesMut;

/// What is known of the topics of a 2.x node.
#[derive(Debug, Default)]
pub(super) struct Rc2Topics {
    /// Its name, which no route tells.
    pub(super) name: Option<PeerId>,
    /// Number of its list; 0 before anything came, as FISCO has it.
    pub(super) seq: u32,
    /// Its list, without duplicates, in the order it was sent.
    pub(super) topics: Vec<Bytes>,
    /// The request that waits for its answer.
    asked: Option<(u32, Instant)>,
}

impl Mesh {
    pub(super) fn rc2_opened(&mut self, id: SessionId, name: PeerId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.rc2.name = Some(name);
        }
        self.rc2_send(id, &TopicMessage::SendTopicSeq(self.rc2_seq()), 0);
    }

    /// Number of our list towards 2.x nodes: starts at 0, which means that there never was one.
    const fn rc2_seq(&self) -> u32 {
        self.topics.seq.wrapping_sub(1)
    }

    /// The heartbeat, to all 2.x neighbours.
    pub(super) fn rc2_announce(&mut self) {
        let own = TopicMessage::SendTopicSeq(self.rc2_seq());
        let sessions = self.sessions.iter().filter(|(_, it)| it.kind == PeerKind::Fisco2);
        for id in sessions.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.rc2_send(id, &own, 0);
        }
    }

    pub(super) fn rc2_frame(
        &mut self,
        now: Instant,
        id: SessionId,
        frame: Bytes,
    ) -> Result<(), MeshFault> {
        let mut packet = Rc2Packet::decode(frame)?;
        use chainmesh_wire::mesh::rc2::module;
        if packet.protocol.module() == module::AMOP {
            return self.rc2_amop(now, id, packet);
        }
        if packet.protocol.module() != module::TOPIC {
            self.counters.unknown_type += 1;
            return Ok(());
        }
        packet.unpack()?;
        let (what, size, limit) = ("topic list", packet.payload.len(), MAX_LIST_BYTES);
        if size > limit {
            return Err(MeshFault::TooLarge { what, size, limit });
        }
        match TopicMessage::decode(&packet)? {
            Some(TopicMessage::SendTopicSeq(seq)) => self.rc2_seq_came(now, id, seq),
            Some(TopicMessage::RequestTopics) => self.rc2_asked(id, packet.seq),
            Some(TopicMessage::SendTopics { seq, topics }) => {
                self.rc2_topics_came(id, packet.seq, seq, &topics)?;
            }
            None => self.counters.unknown_type += 1,
        }
        Ok(())
    }

    fn rc2_seq_came(&mut self, now: Instant, id: SessionId, seq: u32) {
        let number = self.next_seq();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // FISCO gives an answer 5 s, which is also the time between two numbers.
        let waits = session.rc2.asked.is_some_and(|(_, at)| now.saturating_since(at) < RC2_PERIOD);
        if seq == session.rc2.seq || waits {
            return;
        }
        session.rc2.asked = Some((number, now));
        self.rc2_send(id, &TopicMessage::RequestTopics, number);
    }

    fn rc2_asked(&mut self, id: SessionId, number: u32) {
        // A topic with a tab in it cannot be told; 2.x nodes do not hear of it.
        let topics = self.topics.told_topics().filter(|it| !it.is_empty() && !it.contains('\t'));
        let topics = topics.map(|topic| Bytes::copy_from_slice(topic.as_bytes())).collect();
        self.rc2_send(id, &TopicMessage::SendTopics { seq: self.rc2_seq(), topics }, number);
    }

    fn rc2_topics_came(
        &mut self,
        id: SessionId,
        number: u32,
        seq: u32,
        topics: &[Bytes],
    ) -> Result<(), MeshFault> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        if session.rc2.asked.is_none_or(|(asked, _)| asked != number) {
            self.counters.unknown_answer += 1;
            return Ok(());
        }
        if topics.len() > MAX_NODE_TOPICS {
            let (what, size) = ("topics of a member", topics.len());
            return Err(MeshFault::TooLarge { what, size, limit: MAX_NODE_TOPICS });
        }
        session.rc2.asked = None;
        session.rc2.seq = seq;
        session.rc2.topics = topics.iter().map(|topic| Bytes::copy_from_slice(topic)).collect();
        let (node, mut topics) = (session.peer, session.rc2.topics.clone());
        if let Some(name) = session.rc2.name {
            let event = MeshEvent::Topics { member: name, topics: topics.len() };
            self.outputs.push_back(Output::Event(event));
            topics.sort_unstable();
            topics.dedup();
            self.amop(AmopEvent::Topics { node, name, kind: PeerKind::Fisco2, topics });
        }
        Ok(())
    }

    /// A session with a 2.x node is over.
    pub(super) fn rc2_closed(&mut self, node: ShortId) {
        let mut others = self.sessions.values();
        if !others.any(|it| it.kind == PeerKind::Fisco2 && it.peer == node) {
            self.amop(AmopEvent::Lost { node });
        }
    }

    fn rc2_send(&mut self, id: SessionId, message: &TopicMessage, number: u32) {
        let Ok(packet) = message.to_packet(number) else { return };
        let mut head = BytesMut::new();
        if packet.encode_head(&mut head).is_ok() {
            self.push(id, Class::Control, head.as_ref().into(), packet.payload, None);
        }
    }
}
