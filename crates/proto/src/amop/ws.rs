//! The face towards SDKs of 3.x: one WebSocket connection, after the upgrade. Whole binary messages
//! in and out; the WebSocket's own frames are the driver's business, but not when to ping.
//!
//! It answers the handshake itself, hands RPC calls up, and translates the rest for the
//! [`Broker`](super::Broker). Nothing is said to the broker before the handshake.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use chainmesh_wire::amop::ws::{
    GroupHeight, Handshake, HandshakeReply, WsMessage, WsStatus, WsType,
};
use chainmesh_wire::amop::{AmopError, Subscription};

use super::{
    AmopCast, AmopFailure, MAX_CALLS, Message, NoticeBudget, SdkFault, SdkKind, SdkSession,
};
use crate::time::Instant;

/// How long an SDK has to send its handshake (decision 5; Beast's handshake timeout).
pub const WS_HANDSHAKE: Duration = Duration::from_secs(30);
/// After this time of silence the node pings (decision 15; Beast pings after half its idle time).
pub const WS_PING: Duration = Duration::from_secs(5);
/// After this time of silence the connection is cut (Beast's idle timeout, 10 s).
pub const WS_IDLE: Duration = Duration::from_secs(10);

/// What a connection is told before it starts.
#[derive(Debug, Clone)]
pub struct WsConfig {
    /// Its name towards the broker.
    pub session: SdkSession,
    /// Who the SDK is, such as the key of its certificate; empty: nobody knows.
    pub identity: Bytes,
    /// Heights of the groups, as the handshake tells them; may be none.
    pub heights: Vec<GroupHeight>,
}

/// What the SDK is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A whole binary message came.
    Message(Bytes),
    /// Something else came: a pong, a ping.
    Alive,
    /// [`super::Output::Push`].
    Push(AmopCast, Message),
    /// [`super::Output::Done`].
    Done(AmopCast, Message, Result<Bytes, AmopFailure>),
    /// [`super::Output::ListRefused`].
    ListRefused(AmopError),
    /// The answer to [`Output::Rpc`], JSON.
    RpcAnswer {
        /// The call's.
        seq: Bytes,
        /// The answer.
        body: Bytes,
    },
    /// A message of the node's own, such as a block notice.
    Notify(WsMessage),
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// One binary message: the head, then the body.
    Send {
        /// All before the payload, and what of it is not shared.
        head: Bytes,
        /// The rest.
        body: Bytes,
        /// The seq of the push that it is, for [`super::Input::Refused`].
        push: Option<Bytes>,
    },
    /// Send a ping.
    Ping,
    /// Something for the broker.
    Broker(super::Input),
    /// A call of JSON-RPC 2.0; [`Input::RpcAnswer`] with this seq is expected.
    Rpc {
        /// Its seq.
        seq: Bytes,
        /// The call, unread.
        body: Bytes,
    },
    /// Something that the log should tell.
    Notice(WsNotice),
    /// The connection is over; nothing more is taken from it.
    Close(SdkFault),
}

/// Something that the log should tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WsNotice {
    /// The SDK and this node agreed on a version.
    Handshake {
        /// The version.
        version: i32,
    },
    /// A message could not be read; where the protocol has an answer, the SDK was told (-4005).
    Unreadable {
        /// Its type.
        kind: WsType,
        /// What is wrong.
        error: AmopError,
    },
    /// A message that this node has no use for; the SDK was told (-1).
    Unused(WsType),
    /// So many notices were left out, since this SDK caused too many.
    LeftOut(u64),
}

/// One connection, as a machine.
#[derive(Debug)]
pub struct Ws {
    config: WsConfig,
    /// After the handshake.
    version: Option<i32>,
    closed: bool,
    calls: usize,
    began: Instant,
    heard: Instant,
    pinged: bool,
    /// The seq of its last list of topics.
    list: Bytes,
    notices: NoticeBudget,
    outputs: VecDeque<Output>,
}

impl Ws {
    /// A connection after the upgrade.
    #[must_use]
    pub const fn new(config: WsConfig, now: Instant) -> Self {
        Self {
            config,
            version: None,
            closed: false,
            calls: 0,
            began: now,
            heard: now,
            pinged: false,
            list: Bytes::new(),
            notices: NoticeBudget::of_session(now),
            outputs: VecDeque::new(),
        }
    }

    /// Something came, or the SDK is to be told something.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.closed {
            return;
        }
        match input {
            Input::Message(bytes) => {
                self.alive(now);
                match WsMessage::decode(bytes) {
                    Ok(message) => self.message(message),
                    Err(error) => self.close(error.into()),
                }
            }
            Input::Alive => self.alive(now),
            Input::Push(cast, message) => {
                let kind = match cast {
                    AmopCast::Unicast => WsType::AmopRequest,
                    AmopCast::Multicast => WsType::AmopBroadcast,
                };
                self.push(kind, message);
            }
            Input::Done(AmopCast::Unicast, message, result) => self.done(message, result),
            // 3.x has no answer to a broadcast.
            Input::Done(AmopCast::Multicast, ..) => {}
            // FISCO's node says nothing; an SDK that waits for nothing under this seq logs it.
            Input::ListRefused(error) => {
                let list = WsMessage::new(WsType::AmopSubTopic, self.list.clone(), Bytes::new());
                self.send(&list.failure(WsStatus::PACKET, error.to_string()));
            }
            Input::RpcAnswer { seq, body } => {
                self.calls = self.calls.saturating_sub(1);
                self.send(&WsMessage::new(WsType::Untyped, seq, body));
            }
            Input::Notify(message) => self.send(&message),
        }
    }

    /// What the driver has to do next; `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Ws::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silence = if self.pinged { WS_IDLE } else { WS_PING };
        let handshake = self.version.is_none().then(|| self.began + WS_HANDSHAKE);
        let next = crate::time::earliest(handshake, Some(self.heard + silence));
        next.filter(|_| !self.closed)
    }

    /// Pings, and cuts silent connections.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        let silence = now.saturating_since(self.heard);
        if self.version.is_none() && now.saturating_since(self.began) >= WS_HANDSHAKE {
            self.close(SdkFault::NoHandshake);
        } else if silence >= WS_IDLE {
            self.close(SdkFault::Silent(WS_IDLE.as_secs()));
        } else if silence >= WS_PING && !self.pinged {
            self.pinged = true;
            self.outputs.push_back(Output::Ping);
        }
    }

    /// The version that both speak; `None` before the handshake.
    #[must_use]
    pub const fn version(&self) -> Option<i32> {
        self.version
    }

    const fn alive(&mut self, now: Instant) {
        (self.heard, self.pinged) = (now, false);
    }

    fn close(&mut self, fault: SdkFault) {
        self.closed = true;
        let left_out = self.notices.left_out();
        self.left_out(left_out);
        self.outputs.push_back(Output::Close(fault));
    }

    fn send(&mut self, message: &WsMessage) {
        if let Ok([head, body]) = message.to_parts() {
            self.outputs.push_back(Output::Send { head, body, push: None });
        }
    }

    fn broker(&mut self, input: super::Input) {
        self.outputs.push_back(Output::Broker(input));
    }

    fn notice(&mut self, notice: WsNotice) {
        let Some(left_out) = self.notices.take(self.heard) else { return };
        self.left_out(left_out);
        self.outputs.push_back(Output::Notice(notice));
    }

    fn left_out(&mut self, count: u64) {
        if count > 0 {
            self.outputs.push_back(Output::Notice(WsNotice::LeftOut(count)));
        }
    }

    fn push(&mut self, kind: WsType, message: Message) {
        let Ok(front) = message.to_request().encode_head() else { return };
        let mut head = BytesMut::new();
        let wrapped = WsMessage::new(kind, message.seq.clone(), Bytes::new());
        if wrapped.encode_head(&mut head).is_err() {
            return;
        }
        head.extend_from_slice(&front);
        let (head, body, push) = (head.freeze(), message.data, Some(message.seq));
        self.outputs.push_back(Output::Send { head, body, push });
    }

    /// Tells a publisher the end of its unicast: type 0x113 with the bare answer, or no type and a
    /// text.
    fn done(&mut self, message: Message, result: Result<Bytes, AmopFailure>) {
        let request = WsMessage::new(WsType::AmopRequest, message.seq, Bytes::new());
        let answer = match result {
            Ok(data) => request.answer(WsType::AmopResponse, data),
            Err(failure) => request.failure(failure.ws_status(), text_of(failure, &message.topic)),
        };
        self.send(&answer);
    }

    fn message(&mut self, message: WsMessage) {
        let session = self.config.session;
        if self.version.is_none() && message.kind != WsType::Handshake {
            return self.close(SdkFault::NoHandshake);
        }
        match message.kind {
            WsType::Handshake => self.handshake(&message),
            WsType::RpcRequest => {
                self.calls += 1;
                if self.calls > MAX_CALLS {
                    return self.close(SdkFault::TooManyCalls(MAX_CALLS));
                }
                let (seq, body) = (message.seq, message.payload);
                self.outputs.push_back(Output::Rpc { seq, body });
            }
            WsType::AmopSubTopic => {
                self.list = message.seq;
                let input = match Subscription::from_json(&message.payload) {
                    Ok(Subscription(topics)) => super::Input::Subscribe { session, topics },
                    Err(error) => super::Input::BadList { session, error },
                };
                self.broker(input);
            }
            WsType::AmopRequest => self.publish(&message, AmopCast::Unicast),
            WsType::AmopBroadcast => self.publish(&message, AmopCast::Multicast),
            // Answers are known by their seq, a failure has no type.
            WsType::AmopResponse | WsType::Untyped => {
                let result = match message.status {
                    WsStatus::SUCCESS => Ok(message.payload),
                    WsStatus(code) => Err(code.into()),
                };
                self.broker(super::Input::Answer { session, seq: message.seq, result });
            }
            unused => {
                self.notice(WsNotice::Unused(unused));
                self.send(&message.failure(WsStatus::UNAVAILABLE, "not served by this node"));
            }
        }
    }

    fn handshake(&mut self, message: &WsMessage) {
        let read = Handshake::from_json(&message.payload);
        let version = match read.and_then(|handshake| handshake.negotiate()) {
            Ok(version) => version,
            Err(error) => return self.close(error.into()),
        };
        let heights = self.config.heights.clone();
        let reply = HandshakeReply { heights, protocol_version: version };
        self.send(&message.answer(WsType::Handshake, reply.to_json()));
        self.notice(WsNotice::Handshake { version });
        if self.version.replace(version).is_none() {
            let (session, identity) = (self.config.session, self.config.identity.clone());
            let kind = SdkKind::WebSocket;
            self.broker(super::Input::Opened { session, kind, identity });
        }
    }

    fn publish(&mut self, message: &WsMessage, cast: AmopCast) {
        let session = self.config.session;
        match Message::of_request(message.seq.clone(), message.payload.clone()) {
            Ok(request) => {
                if let Err(error) = request.topic_is_text() {
                    self.notice(WsNotice::Unreadable { kind: message.kind, error });
                }
                self.broker(super::Input::Publish { session, cast, message: request });
            }
            Err(error) => {
                self.notice(WsNotice::Unreadable { kind: message.kind, error });
                if cast == AmopCast::Unicast {
                    self.send(&message.failure(WsStatus::PACKET, error.to_string()));
                }
            }
        }
    }
}

/// What a publisher reads. FISCO's words where it has some.
fn text_of(failure: AmopFailure, topic: &[u8]) -> String {
    match failure {
        AmopFailure::NoSubscriber => {
            let topic = topic.escape_ascii();
            format!("there has no node subscribe this topic, topic: {topic}")
        }
        failure => failure.to_string(),
    }
}
