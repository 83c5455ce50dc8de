//! What the mesh carries for the broker of AMOP ([`crate::amop`]): requests to a node that follows a
//! topic and their answers, multicasts, and who follows what. The mesh finds the way and the form
//! (packet types 7 and 8, or RC2 packets towards neighbours of 2.x); whose turn it is, how long to
//! wait and what an answer means is the broker's business.

use bytes::{Bytes, BytesMut};
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::amop::channel::{Carried, Frame, FrameType, ResultCode, TopicBody};
use chainmesh_wire::amop::ws::WsMessage;
use chainmesh_wire::amop::{AmopKind, AmopMessage, AmopRequest, MAX_NODE_TOPICS};
use chainmesh_wire::mesh::rc2::Rc2Packet;
use chainmesh_wire::mesh::{ErrorCode, Ext, ModuleId, Packet, PacketType};

use super::forward::Parcel;
use super::sessions::From;
use super::{Mesh, MeshFault, MessageId, Output, SessionId, TOPIC_SPACING, Timer};
use crate::module::PeerKind;
use crate::session::Class;
use crate::time::Instant;

/// What the broker has the mesh send. Requests and answers are numbered by the asking node; the
/// broker counts its own, and no answer to a group message has their packet types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmopSend {
    /// The broker's SDKs follow other topics: these come, those go.
    Topics {
        /// Followed from now on.
        added: Vec<String>,
        /// Followed no longer.
        removed: Vec<String>,
    },
    /// A request to one node. If it cannot be sent, [`AmopEvent::Failed`] comes.
    Request {
        /// The node.
        to: ShortId,
        /// The packet's seq; comes back in the answer.
        number: u32,
        /// What is asked, in the form that the node reads.
        words: AmopWords,
    },
    /// A message to nodes, without answers; lost where there is no way.
    Multicast {
        /// The nodes.
        to: Vec<ShortId>,
        /// What is said.
        request: AmopRequest,
        /// The same for nodes of 2.x; without it they get nothing.
        frame: Option<Frame>,
    },
    /// An answer to [`AmopEvent::Request`].
    Answer {
        /// Where the request came from.
        to: AmopReplyTo,
        /// What is answered.
        answer: AmopAnswer,
    },
}

/// A request, as the node at the other end reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmopWords {
    /// For our own nodes and gateways of 3.x.
    Gateway(AmopRequest),
    /// For nodes of 2.x: the whole frame of an SDK.
    Channel(Frame),
}

/// An answer, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmopAnswer {
    /// Packet type 8: the message of the subscriber's SDK.
    Delivered(WsMessage),
    /// Packet type 7: nobody took it. The low 16 bits of a code, and text.
    Failed(ErrorCode, Bytes),
    /// Between nodes of 2.x: the frame of the subscriber's SDK, or the node's own.
    Channel(Frame),
}

/// Where an answer goes: over the session the request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmopReplyTo {
    from: From,
    number: u32,
}

impl AmopReplyTo {
    /// The node that asked.
    #[must_use]
    pub const fn node(&self) -> ShortId {
        self.from.node
    }
}

/// What the mesh tells the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmopEvent {
    /// A node that can be reached follows these topics, and no others.
    Topics {
        /// The node.
        node: ShortId,
        /// Its name.
        name: PeerId,
        /// What sort of node it is.
        kind: PeerKind,
        /// The topics, as the node wrote them: escape them before they are shown.
        topics: Vec<Bytes>,
    },
    /// A node cannot be reached any more; its topics are forgotten.
    Lost {
        /// The node.
        node: ShortId,
    },
    /// Another node asks for a subscriber here.
    Request {
        /// Where the answer goes.
        reply: AmopReplyTo,
        /// What it asks.
        words: AmopWords,
    },
    /// A message to all subscribers here.
    Multicast {
        /// What it says.
        words: AmopWords,
    },
    /// The answer to a request of ours, or what came as such.
    Answer {
        /// Who answered.
        from: ShortId,
        /// The request's number.
        number: u32,
        /// What was answered.
        answer: AmopAnswer,
    },
    /// A request of ours was not sent: no way, or no room.
    Failed {
        /// Its number.
        number: u32,
    },
}

/// Stands for a request of the broker where the mesh names messages: version 0, which no UUID of a
/// message of ours has.
fn id_of(number: u32) -> MessageId {
    MessageId(u128::from(number))
}

/// The number of the request that an id stands for.
pub(super) fn number_of(id: MessageId) -> Option<u32> {
    u32::try_from(id.0).ok()
}

impl Mesh {
    /// The broker has something to be sent.
    pub(super) fn amop_send(&mut self, now: Instant, send: AmopSend) {
        match send {
            AmopSend::Topics { added, removed } => self.broker_topics(now, added, removed),
            AmopSend::Request { to, number, words } => {
                if !self.amop_request(now, to, number, words) {
                    self.amop(AmopEvent::Failed { number });
                }
            }
            AmopSend::Multicast { to, request, frame } => {
                self.amop_multicast(now, &to, request, frame.as_ref());
            }
            AmopSend::Answer { to, answer } => self.amop_answer(to, answer),
        }
    }

    pub(super) fn amop(&mut self, event: AmopEvent) {
        self.outputs.push_back(Output::Amop(event));
    }

    fn broker_topics(&mut self, now: Instant, added: Vec<String>, removed: Vec<String>) {
        let mut changed = false;
        for topic in removed {
            changed |= self.topics.broker.remove(&topic) && !self.topics.own.contains(&topic);
        }
        for topic in added {
            let known = self.topics.own.contains(&topic);
            if known || self.topics.count() < MAX_NODE_TOPICS {
                changed |= self.topics.broker.insert(topic) && !known;
            }
        }
        if changed {
            self.topics_changed(now);
        }
    }

    /// Whether it was sent.
    fn amop_request(&mut self, now: Instant, to: ShortId, number: u32, words: AmopWords) -> bool {
        let size = match &words {
            AmopWords::Gateway(request) => request.data.len(),
            AmopWords::Channel(frame) => frame.data.len(),
        };
        let next = self.router.next_hop(&to);
        if !self.outbound.admit(now, next.as_ref(), None, Some(ModuleId::AMOP), size) {
            self.counters.dropped_limit += 1;
            return false;
        }
        let id = Some(id_of(number));
        match words {
            AmopWords::Gateway(request) => {
                let Ok([front, payload]) = request.to_message_parts(AmopKind::Request) else {
                    return false;
                };
                let (packet_type, ext) = (PacketType::AmopMessage, Ext::NONE);
                let parcel =
                    Parcel { packet_type, seq: number, ext, options: None, front, payload };
                self.send(to, &parcel, Class::Blocks, id).is_ok()
            }
            AmopWords::Channel(frame) => {
                let Some(session) = self.rc2_session(&to) else { return false };
                self.rc2_push(session, &frame, Carried::Request, number, id)
            }
        }
    }

    /// The session with a neighbour of 2.x; the newest if there are two.
    fn rc2_session(&self, node: &ShortId) -> Option<SessionId> {
        let mut sessions = self.sessions.iter().rev();
        let of = |(_, it): &(&SessionId, &super::sessions::Session)| {
            it.kind == PeerKind::Fisco2 && it.peer == *node
        };
        sessions.find(of).map(|(id, _)| *id)
    }

    fn rc2_push(
        &mut self,
        session: SessionId,
        frame: &Frame,
        carried: Carried,
        number: u32,
        id: Option<MessageId>,
    ) -> bool {
        let Ok([head, payload]) = frame.to_rc2_parts(carried, number) else { return false };
        self.push(session, Class::Blocks, head.as_ref().into(), payload, id);
        true
    }

    fn amop_multicast(
        &mut self,
        now: Instant,
        to: &[ShortId],
        request: AmopRequest,
        frame: Option<&Frame>,
    ) {
        let size = request.data.len().saturating_mul(to.len());
        if !self.outbound.admit(now, None, None, Some(ModuleId::AMOP), size) {
            self.counters.dropped_limit += 1;
            return;
        }
        if core::str::from_utf8(&request.topic).is_ok_and(|it| self.topics.own.contains(it)) {
            let (topic, data) = (request.topic.clone(), request.data.clone());
            self.deliver_multicast(self.own.name, topic, data);
        }
        let Ok([front, payload]) = request.to_message_parts(AmopKind::ResponseOrBroadcast) else {
            return;
        };
        let (packet_type, seq, ext) = (PacketType::AmopMessage, self.next_seq(), Ext::NONE);
        let parcel = Parcel { packet_type, seq, ext, options: None, front, payload };
        for node in to {
            let sent = match (self.rc2_session(node), frame) {
                (Some(session), Some(frame)) => {
                    self.rc2_push(session, frame, Carried::Multicast, seq, None)
                }
                (Some(_), None) => false,
                (None, _) => self.send(*node, &parcel, Class::Blocks, None).is_ok(),
            };
            match sent {
                true => self.counters.copies_sent += 1,
                false => self.counters.dropped_no_way += 1,
            }
        }
    }

    fn amop_answer(&mut self, to: AmopReplyTo, answer: AmopAnswer) {
        let AmopReplyTo { from, number } = to;
        match answer {
            AmopAnswer::Delivered(message) => {
                let mut front = BytesMut::new();
                if message.encode_head(&mut front).is_err() {
                    self.counters.dropped_no_way += 1;
                    return;
                }
                let front = front.freeze();
                self.answer_parts(from, number, PacketType::WsMessage, front, message.payload);
            }
            AmopAnswer::Failed(code, text) => {
                let payload = AmopMessage::failure(code, text).encode();
                self.answer(from, number, PacketType::AmopMessage, payload);
            }
            AmopAnswer::Channel(frame) => {
                let here = self.sessions.contains_key(&from.session);
                if !here || !self.rc2_push(from.session, &frame, Carried::Response, number, None) {
                    self.counters.dropped_no_way += 1;
                }
            }
        }
    }

    /// A packet of type 7 or 8 with the response bit.
    pub(super) fn amop_answered(
        &mut self,
        from: From,
        mut packet: Packet,
    ) -> Result<(), MeshFault> {
        packet.unpack()?;
        let answer = match packet.packet_type {
            PacketType::WsMessage => AmopAnswer::Delivered(WsMessage::decode(packet.payload)?),
            _ => {
                let message = AmopMessage::decode(packet.payload)?;
                AmopAnswer::Failed(ErrorCode(message.status.into()), message.data)
            }
        };
        self.amop(AmopEvent::Answer { from: from.node, number: packet.seq, answer });
        Ok(())
    }

    /// A packet of type 7 that asks for a subscriber.
    pub(super) fn amop_asked(
        &mut self,
        now: Instant,
        from: From,
        number: u32,
        data: Bytes,
        size: usize,
    ) -> Result<(), MeshFault> {
        let request = AmopRequest::decode(data)?;
        let reply = AmopReplyTo { from, number };
        if !self.inbound.admit(now, Some(&from.neighbour), None, Some(ModuleId::AMOP), size) {
            self.counters.dropped_limit += 1;
            let code = ErrorCode::GATEWAY_BANDWIDTH_OVERFLOW;
            let text = Bytes::from_static(code.name().as_bytes());
            self.amop_answer(reply, AmopAnswer::Failed(code, text));
            return Ok(());
        }
        // Without a broker there is nobody else who would answer, and FISCO's nodes wait for ever.
        if !self.is_broker_topic(&request.topic) {
            let code = ErrorCode::NOT_FOUND_CLIENT_BY_TOPIC;
            let text = Bytes::from_static(code.name().as_bytes());
            self.amop_answer(reply, AmopAnswer::Failed(code, text));
            return Ok(());
        }
        self.amop(AmopEvent::Request { reply, words: AmopWords::Gateway(request) });
        Ok(())
    }

    fn is_broker_topic(&self, topic: &[u8]) -> bool {
        core::str::from_utf8(topic).is_ok_and(|topic| self.topics.broker.contains(topic))
    }

    /// An AMOP packet of a 2.x neighbour. What it is says the frame inside, as with FISCO.
    pub(super) fn rc2_amop(
        &mut self,
        now: Instant,
        session: SessionId,
        mut packet: Rc2Packet,
    ) -> Result<(), MeshFault> {
        let Some(neighbour) = self.sessions.get(&session).map(|it| it.peer) else { return Ok(()) };
        let size = packet.encoded_len();
        packet.unpack()?;
        let Some((carried, frame)) = Frame::from_rc2(&packet)? else { return Ok(()) };
        let (number, from) = (packet.seq, From { session, neighbour, node: neighbour });
        if carried == Carried::Response {
            let answer = AmopAnswer::Channel(frame);
            self.amop(AmopEvent::Answer { from: neighbour, number, answer });
            return Ok(());
        }
        let asked = frame.frame_type == FrameType::AmopRequest;
        if !asked && frame.frame_type != FrameType::AmopMulticast {
            self.counters.unknown_type += 1;
            return Ok(());
        }
        let reply = AmopReplyTo { from, number };
        let topic = TopicBody::decode(frame.data.clone()).map(|body| body.topic);
        let admitted = self.inbound.admit(now, Some(&neighbour), None, Some(ModuleId::AMOP), size);
        let refusal = match topic {
            _ if !admitted => Some(ResultCode::REJECT_OVER_BANDWIDTH_LIMIT),
            Err(_) => Some(ResultCode::DECODE_ERROR),
            Ok(topic) if !self.is_broker_topic(&topic) => Some(ResultCode::NO_AVAILABLE_SESSION),
            Ok(_) => None,
        };
        if let Some(refusal) = refusal {
            self.counters.dropped_limit += u64::from(!admitted);
            if asked {
                self.amop_answer(reply, AmopAnswer::Channel(frame.failure(refusal)));
            }
            return Ok(());
        }
        let words = AmopWords::Channel(frame);
        self.amop(match asked {
            true => AmopEvent::Request { reply, words },
            false => AmopEvent::Multicast { words },
        });
        Ok(())
    }

    /// Tells the broker what a 3.x or own node follows now.
    pub(super) fn broker_hears(&mut self, node: ShortId) {
        let kind = match self.is_own_kind(&node) {
            true => PeerKind::Own,
            false => PeerKind::Fisco3,
        };
        let topics = self.topics.get(&node).map(|(_, topics)| topics.clone()).unwrap_or_default();
        self.amop(AmopEvent::Topics { node, name: self.router.name(&node), kind, topics });
    }

    /// Tells all the number of our topic list, at once unless that was done just now.
    pub(super) fn announce_topics_soon(&mut self, now: Instant) {
        let next = self.topics.told.map(|told| told + TOPIC_SPACING);
        match next.filter(|next| *next > now) {
            Some(next) => self.timers.set(Timer::TopicsChange, next),
            None => self.announce_changed_topics(now),
        }
    }

    pub(super) fn announce_changed_topics(&mut self, now: Instant) {
        self.topics.told = Some(now);
        self.timers.cancel(&Timer::TopicsChange);
        self.announce_topics();
        self.rc2_announce();
    }
}
