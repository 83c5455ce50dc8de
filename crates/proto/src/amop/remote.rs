//! What other nodes ask and answer.

use bytes::Bytes;
use chainmesh_wire::amop::channel::{Frame, FrameType, ResultCode, TopicBody};
use chainmesh_wire::amop::ws::WsStatus;
use chainmesh_wire::mesh::ErrorCode;

use super::message::{answer_message, result_of_message};
use super::nodes::Node;
use super::unicast::Origin;
use super::{AmopFailure, Broker, MAX_NODE_WAITING, Message, Output, SdkKind};
use crate::mesh::{AmopAnswer, AmopEvent, AmopReplyTo, AmopSend, AmopWords};
use crate::time::Instant;

impl Broker {
    /// Something from the mesh.
    pub(super) fn mesh(&mut self, now: Instant, event: AmopEvent) {
        match event {
            AmopEvent::Topics { node, name, kind, topics } => {
                self.nodes.put(node, Node { name, kind, topics });
                self.node_topics_changed(now, node);
            }
            AmopEvent::Lost { node } => {
                self.nodes.remove(&node);
                self.node_topics_changed(now, node);
                for id in self.unicasts.asked_of(&node) {
                    self.next_one(now, id, AmopFailure::Unreachable);
                }
            }
            AmopEvent::Request { reply, words } => self.node_asks(now, reply, words),
            AmopEvent::Multicast { words } => {
                if let Ok(message) = read(words) {
                    self.push_to_all(None, &message);
                }
            }
            AmopEvent::Answer { from, number, answer } => {
                let Some(id) = self.unicasts.asked(&from, number) else {
                    self.counters.unknown_answer += 1;
                    return;
                };
                match result_of(answer) {
                    Verdict::Final(result) => self.end(id, result),
                    Verdict::AskOthers(failure) => self.next_one(now, id, failure),
                }
            }
            AmopEvent::Failed { number } => {
                if let Some(id) = self.unicasts.numbered(number) {
                    self.next_one(now, id, AmopFailure::Unreachable);
                }
            }
        }
    }

    fn node_asks(&mut self, now: Instant, reply: AmopReplyTo, words: AmopWords) {
        let rc2 = matches!(words, AmopWords::Channel(_));
        let message = match read(words) {
            Ok(message) => message,
            Err(seq) => {
                let message = Message::new(seq, Bytes::new(), Bytes::new());
                return self.answer_node(reply, rc2, &message, Err(AmopFailure::BadTopic));
            }
        };
        let full = self.unicasts.of_nodes() >= MAX_NODE_WAITING;
        if full || !self.unicasts.has_room_for(message.size()) {
            self.counters.over_limit += 1;
            return self.answer_node(reply, rc2, &message, Err(AmopFailure::OverLimit));
        }
        self.counters.from_nodes += 1;
        let id = self.start(now, Origin::Node { reply, rc2 }, message);
        self.ask(now, id);
    }

    /// Answers another node's request, in its own words.
    pub(super) fn answer_node(
        &mut self,
        to: AmopReplyTo,
        rc2: bool,
        message: &Message,
        result: Result<Bytes, AmopFailure>,
    ) {
        let answer = match (rc2, result) {
            (true, result) => AmopAnswer::Channel(channel_answer(message, result)),
            (false, Err(failure @ AmopFailure::Refused { .. })) => {
                AmopAnswer::Delivered(answer_message(message.seq.clone(), Err(failure)))
            }
            (false, Ok(data)) => {
                let seq = super::draw::fresh_seq(&mut self.rng);
                AmopAnswer::Delivered(answer_message(seq, Ok(data)))
            }
            (false, Err(failure)) => {
                let status = failure.ws_status();
                let text = Bytes::from_static(status.name().as_bytes());
                AmopAnswer::Failed(ErrorCode(status.0.into()), text)
            }
        };
        self.output(Output::Mesh(AmopSend::Answer { to, answer }));
    }
}

/// The frame that ends a request of 2.x, towards a node or an SDK.
pub(super) fn channel_answer(message: &Message, result: Result<Bytes, AmopFailure>) -> Frame {
    let seq = super::frame_seq(&message.seq);
    let body = message.to_body().unwrap_or_default();
    let request = Frame::new(FrameType::AmopRequest, seq, body);
    let failure = match result {
        Ok(data) => match TopicBody::new(message.topic.clone(), data).encode() {
            Ok(body) => return request.answer(FrameType::AmopResponse, body),
            // Only a topic that no frame can hold, and then there was no request.
            Err(_) => AmopFailure::BadTopic,
        },
        // The subscriber's node says 104 for whatever did not work there.
        Err(AmopFailure::Silent | AmopFailure::Unreachable | AmopFailure::NoSubscriber) => {
            AmopFailure::NoSession
        }
        Err(failure) => failure,
    };
    request.failure(failure.channel_code())
}

/// A message in another node's words; its seq alone if it has no topic.
fn read(words: AmopWords) -> Result<Message, Bytes> {
    match words {
        AmopWords::Gateway(request) if request.topic.is_empty() => Err(Bytes::new()),
        AmopWords::Gateway(request) => Ok(Message::new(Bytes::new(), request.topic, request.data)),
        AmopWords::Channel(frame) => {
            Message::of_frame(&frame).map_err(|_| Bytes::copy_from_slice(&frame.seq.0))
        }
    }
}

/// What an answer means.
enum Verdict {
    /// A subscriber, or a node that speaks for its subscribers, has said it.
    Final(Result<Bytes, AmopFailure>),
    /// Nobody there took it.
    AskOthers(AmopFailure),
}

fn result_of(answer: AmopAnswer) -> Verdict {
    match answer {
        AmopAnswer::Delivered(message) => Verdict::Final(result_of_message(message)),
        // The low 16 bits of a code: a status, as SDKs know it.
        AmopAnswer::Failed(code, _) => {
            let failure = AmopFailure::of_ws(WsStatus(code.0 as u16 as i16));
            Verdict::AskOthers(failure.unwrap_or(AmopFailure::Unreachable))
        }
        // What a node of 2.x answers is final (decision 6).
        AmopAnswer::Channel(frame) => Verdict::Final(match frame.result {
            ResultCode::SUCCESS => {
                TopicBody::decode(frame.data).map(|body| body.data).map_err(|_| {
                    AmopFailure::Refused {
                        kind: SdkKind::Channel,
                        code: ResultCode::DECODE_ERROR.0,
                    }
                })
            }
            code => Err(AmopFailure::of_channel(code).unwrap_or(AmopFailure::Unreachable)),
        }),
    }
}
