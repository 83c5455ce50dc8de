//! SDKs of both generations, as tests play them.

use bytes::{Bytes, BytesMut};
use chainmesh_wire::amop::channel::{Frame, FrameType, ResultCode, Seq, TopicBody};
use chainmesh_wire::amop::ws::{WsMessage, WsType};
use chainmesh_wire::amop::{AmopRequest, Subscription};

use super::network::{Face, Flight, Network, label, millis, seconds};
use crate::amop::{self, AmopCast, SdkFault, SdkKind, SdkSession, channel, ws};

/// What an SDK does with a unicast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Answers `echo:` and what came.
    Echo,
    /// Says nothing.
    Silent,
    /// Answers with this code.
    Refuse(i32),
}

/// An SDK.
pub(super) struct Client {
    pub(super) node: usize,
    pub(super) session: SdkSession,
    pub(super) kind: SdkKind,
    pub(super) habit: Habit,
    pub(super) alive: bool,
    /// Why its node ended the connection.
    pub(super) fault: Option<SdkFault>,
    /// Messages that it was given: how, the seq and the data.
    pub(super) got: Vec<(AmopCast, Bytes, Bytes)>,
    /// Answers to what it published: seq, code and body.
    pub(super) answers: Vec<(Bytes, i32, Bytes)>,
    /// All frames and messages that came to it.
    pub(super) frames: Vec<Frame>,
    pub(super) messages: Vec<WsMessage>,
    pub(super) pings: usize,
    /// Whether its queue at the node takes no pushes.
    pub(super) full: bool,
    seqs: u64,
}

impl Network {
    /// An SDK of 2.x that answers with an echo. It has said its versions.
    pub(super) fn channel(&mut self, node: usize, name: &'static str) -> usize {
        let client = self.connect(node, SdkKind::Channel, name);
        let hello = r#"{"maximumSupport":3,"minimumSupport":1,"clientType":"test"}"#;
        self.send_frame(client, FrameType::Handshake, hello.into());
        self.run_for(millis(5));
        client
    }

    /// An SDK of 3.x that answers with an echo, after its handshake.
    pub(super) fn ws(&mut self, node: usize, name: &'static str) -> usize {
        let client = self.connect(node, SdkKind::WebSocket, name);
        let hello = r#"{"maxVersion":2,"minVersion":0,"moduleID":2}"#;
        self.send_message(client, WsType::Handshake, hello.into());
        self.run_for(millis(5));
        client
    }

    /// An SDK of either kind.
    pub(super) fn sdk(&mut self, node: usize, kind: SdkKind, name: &'static str) -> usize {
        match kind {
            SdkKind::Channel => self.channel(node, name),
            SdkKind::WebSocket => self.ws(node, name),
        }
    }

    /// A connection on which nothing was said yet.
    pub(super) fn connect(&mut self, node: usize, kind: SdkKind, name: &'static str) -> usize {
        let session = SdkSession(self.count());
        let identity = Bytes::from_static(name.as_bytes());
        let face = match kind {
            SdkKind::Channel => {
                let config = channel::ChannelConfig::new(session, identity);
                Face::Channel(channel::Channel::new(config, self.now), BytesMut::new())
            }
            SdkKind::WebSocket => {
                let config = ws::WsConfig { session, identity, heights: Vec::new() };
                Face::Ws(ws::Ws::new(config, self.now))
            }
        };
        self.nodes[node].faces.insert(session, face);
        self.clients.push(Client {
            node,
            session,
            kind,
            habit: Habit::Echo,
            alive: true,
            fault: None,
            got: Vec::new(),
            answers: Vec::new(),
            frames: Vec::new(),
            messages: Vec::new(),
            pings: 0,
            full: false,
            seqs: 0,
        });
        self.clients.len() - 1
    }

    /// The connection is gone; what is on the way is lost.
    pub(super) fn disconnect(&mut self, client: usize) {
        let Client { node, session, .. } = self.clients[client];
        self.clients[client].alive = false;
        self.nodes[node].faces.remove(&session);
        self.flights.retain(|_, flight| match flight {
            Flight::ToClient { client: of, .. } | Flight::ToNode { client: of, .. } => {
                *of != client
            }
            Flight::Packet { .. } => true,
        });
        self.broker(node, amop::Input::Closed { session });
    }

    fn new_seq(&mut self, client: usize) -> Bytes {
        self.clients[client].seqs += 1;
        format!("{client:08x}{:024x}", self.clients[client].seqs).into()
    }

    pub(super) fn send_frame(
        &mut self,
        client: usize,
        frame_type: FrameType,
        body: Bytes,
    ) -> Bytes {
        let seq = self.new_seq(client);
        self.send_frame_as(client, frame_type, &seq, 0, body);
        seq
    }

    pub(super) fn send_frame_as(
        &mut self,
        client: usize,
        frame_type: FrameType,
        seq: &Bytes,
        result: i32,
        body: Bytes,
    ) {
        let seq = Seq(seq.as_ref().try_into().unwrap());
        let frame = Frame { frame_type, seq, result: ResultCode(result), data: body };
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        self.send_raw(client, bytes.freeze());
    }

    pub(super) fn send_message(&mut self, client: usize, kind: WsType, payload: Bytes) -> Bytes {
        let seq = self.new_seq(client);
        self.send_message_as(client, WsMessage::new(kind, seq.clone(), payload));
        seq
    }

    pub(super) fn send_message_as(&mut self, client: usize, message: WsMessage) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes).unwrap();
        self.send_raw(client, bytes.freeze());
    }

    /// Anything at all, in one piece.
    pub(super) fn send_raw(&mut self, client: usize, bytes: Bytes) {
        let Client { node, kind, .. } = self.clients[client];
        self.note(format!("sdk{client}>node{node} {}", label(kind, &bytes)));
        self.fly(Flight::ToNode { client, bytes });
    }

    pub(super) fn subscribe(&mut self, client: usize, topics: &[&str]) {
        let list = Subscription(topics.iter().map(|topic| (*topic).to_owned()).collect());
        match self.clients[client].kind {
            SdkKind::Channel => {
                self.send_frame(client, FrameType::SubscribeTopics, list.to_array().unwrap());
            }
            SdkKind::WebSocket => {
                self.send_message(client, WsType::AmopSubTopic, list.to_json().unwrap());
            }
        }
    }

    pub(super) fn publish(&mut self, client: usize, topic: &str, data: &str) -> Bytes {
        self.cast(client, AmopCast::Unicast, topic, data)
    }

    pub(super) fn multicast(&mut self, client: usize, topic: &str, data: &str) -> Bytes {
        self.cast(client, AmopCast::Multicast, topic, data)
    }

    fn cast(&mut self, client: usize, cast: AmopCast, topic: &str, data: &str) -> Bytes {
        let (topic, data) = (topic.to_owned(), Bytes::from(data.to_owned()));
        match self.clients[client].kind {
            SdkKind::Channel => {
                let kind = match cast {
                    AmopCast::Unicast => FrameType::AmopRequest,
                    AmopCast::Multicast => FrameType::AmopMulticast,
                };
                self.send_frame(client, kind, TopicBody::new(topic, data).encode().unwrap())
            }
            SdkKind::WebSocket => {
                let kind = match cast {
                    AmopCast::Unicast => WsType::AmopRequest,
                    AmopCast::Multicast => WsType::AmopBroadcast,
                };
                self.send_message(client, kind, AmopRequest::new(topic, data).encode().unwrap())
            }
        }
    }

    /// The end of what a client published: the answer's data, or the code.
    pub(super) fn result(&self, client: usize, seq: &Bytes) -> Option<Result<Bytes, i32>> {
        let mut answers = self.clients[client].answers.iter().filter(|(of, ..)| of == seq);
        let (_, code, body) = answers.next()?;
        assert!(answers.next().is_none(), "{seq:?} was answered twice");
        Some(match (code, self.clients[client].kind) {
            (0, SdkKind::Channel) => Ok(TopicBody::decode(body.clone()).unwrap().data),
            (0, SdkKind::WebSocket) => Ok(body.clone()),
            (code, _) => Err(*code),
        })
    }

    /// Data of what a client was given, in order.
    pub(super) fn got(&self, client: usize) -> Vec<&str> {
        let got = self.clients[client].got.iter();
        got.map(|(_, _, data)| core::str::from_utf8(data).unwrap()).collect()
    }

    /// Runs until a publish has its answer.
    pub(super) fn await_result(&mut self, client: usize, seq: &Bytes) -> Result<Bytes, i32> {
        let end = self.now + seconds(300);
        while self.now < end {
            if let Some(result) = self.result(client, seq) {
                return result;
            }
            self.run_for(millis(1));
        }
        panic!("no answer to {seq:?}");
    }

    /// All SDKs of 2.x beat.
    pub(super) fn keep_alive(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].alive && self.clients[client].kind == SdkKind::Channel {
                self.send_frame(client, FrameType::Heartbeat, Bytes::new());
            }
        }
    }

    pub(super) fn client_gets(&mut self, client: usize, bytes: Bytes) {
        match self.clients[client].kind {
            SdkKind::Channel => {
                let frame = Frame::decode(bytes).unwrap();
                self.clients[client].frames.push(frame.clone());
                self.channel_gets(client, &frame);
            }
            SdkKind::WebSocket => {
                let message = WsMessage::decode(bytes).unwrap();
                self.clients[client].messages.push(message.clone());
                self.ws_gets(client, message);
            }
        }
    }

    fn channel_gets(&mut self, client: usize, frame: &Frame) {
        let seq = Bytes::copy_from_slice(&frame.seq.0);
        let cast = match frame.frame_type {
            FrameType::AmopRequest => AmopCast::Unicast,
            FrameType::AmopMulticast => AmopCast::Multicast,
            FrameType::AmopResponse => {
                return self.clients[client].answers.push((
                    seq,
                    frame.result.0,
                    frame.data.clone(),
                ));
            }
            _ => return,
        };
        let TopicBody { topic, data } = TopicBody::decode(frame.data.clone()).unwrap();
        self.clients[client].got.push((cast, seq.clone(), data.clone()));
        let kind = FrameType::AmopResponse;
        match self.clients[client].habit {
            Habit::Echo if cast == AmopCast::Unicast => {
                let body = TopicBody::new(topic, echo(&data)).encode().unwrap();
                self.send_frame_as(client, kind, &seq, 0, body);
            }
            Habit::Refuse(code) if cast == AmopCast::Unicast => {
                self.send_frame_as(client, kind, &seq, code, Bytes::new());
            }
            _ => {}
        }
    }

    fn ws_gets(&mut self, client: usize, message: WsMessage) {
        let cast = match message.kind {
            WsType::AmopRequest => AmopCast::Unicast,
            WsType::AmopBroadcast => AmopCast::Multicast,
            WsType::AmopResponse | WsType::Untyped => {
                let code = message.status.0.into();
                return self.clients[client].answers.push((message.seq, code, message.payload));
            }
            _ => return,
        };
        let request = AmopRequest::decode(message.payload.clone()).unwrap();
        self.clients[client].got.push((cast, message.seq.clone(), request.data.clone()));
        match self.clients[client].habit {
            Habit::Echo if cast == AmopCast::Unicast => {
                let answer = message.answer(WsType::AmopResponse, echo(&request.data));
                self.send_message_as(client, answer);
            }
            Habit::Refuse(code) if cast == AmopCast::Unicast => {
                let mut answer = message.answer(WsType::AmopResponse, Bytes::new());
                answer.status.0 = i16::try_from(code).unwrap();
                self.send_message_as(client, answer);
            }
            _ => {}
        }
    }
}

fn echo(data: &[u8]) -> Bytes {
    [b"echo:", data].concat().into()
}
