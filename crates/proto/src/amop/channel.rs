//! The face towards SDKs of 2.x: one connection of the channel protocol. Bytes in, frames out.
//!
//! It answers handshakes and heartbeats itself, hands RPC calls up, and translates the rest for the
//! [`Broker`](super::Broker). Nothing is said to the broker before the SDK's first frame.
//!
//! Each [`Output::Send`] is one frame and must be one write: the SDKs for Go, Python and Node.js read
//! at most one frame from a TLS record.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use chainmesh_wire::amop::channel::{
    ChannelVersion, DEFAULT_FRAME_LIMIT, Frame, FrameReader, FrameType, Handshake, HandshakeReply,
    Heartbeat, ResultCode, TopicBody, TopicVerdict, VerifyTopic,
};
use chainmesh_wire::amop::{AmopError, Subscription};

use super::{
    AmopCast, AmopFailure, MAX_CALLS, Message, NoticeBudget, SdkFault, SdkKind, SdkSession,
    frame_seq,
};
use crate::time::Instant;

/// A connection from which nothing comes for this time is cut (`ChannelSession`, 60 s). Java's SDK
/// beats every 2 s, Go's every 30 s.
pub const CHANNEL_IDLE: Duration = Duration::from_secs(60);
/// The version of FISCO BCOS that an SDK is told. The Java SDK wants 2.1.0 or higher.
pub const NODE_VERSION: &str = "2.9.1";

/// What a connection is told before it starts.
#[derive(Debug, Clone)]
pub struct ChannelConfig {
    /// Its name towards the broker.
    pub session: SdkSession,
    /// Who the SDK is, such as the key of its certificate; empty: nobody knows.
    pub identity: Bytes,
    /// `supported_version` of FISCO, as the handshake tells it.
    pub node_version: String,
    /// Largest frame that is read, bytes, header included.
    pub frame_limit: usize,
}

impl ChannelConfig {
    /// [`NODE_VERSION`] and frames as large as packets between nodes.
    #[must_use]
    pub fn new(session: SdkSession, identity: Bytes) -> Self {
        let (node_version, frame_limit) = (NODE_VERSION.to_owned(), DEFAULT_FRAME_LIMIT);
        Self { session, identity, node_version, frame_limit }
    }
}

/// What the SDK is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`super::Output::Push`].
    Push(AmopCast, Message),
    /// [`super::Output::Done`].
    Done(AmopCast, Message, Result<Bytes, AmopFailure>),
    /// [`super::Output::Verify`]: the seq and the question.
    Verify(Bytes, VerifyTopic),
    /// The answer to [`Output::Rpc`], JSON.
    RpcAnswer {
        /// The call's.
        seq: Bytes,
        /// The answer.
        body: Bytes,
    },
    /// A frame of the node's own, such as a block notice.
    Frame(Frame),
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// One frame: the head, then the body, in one write.
    Send {
        /// The header, and what of the body is not shared.
        head: Bytes,
        /// The rest.
        body: Bytes,
        /// The seq of the push that it is, for [`super::Input::Refused`].
        push: Option<Bytes>,
    },
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
    Notice(ChannelNotice),
    /// The connection is over; nothing more is taken from it.
    Close(SdkFault),
}

/// Something that the log should tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelNotice {
    /// The SDK and this node agreed on a version.
    Handshake {
        /// The version.
        version: ChannelVersion,
        /// What the SDK says it is: any text, escape it before it is shown.
        client_type: String,
    },
    /// A message could not be read; where the protocol has an answer, the SDK was told (105).
    Unreadable {
        /// Its type.
        frame_type: FrameType,
        /// What is wrong.
        error: AmopError,
    },
    /// A message that this node has no use for; dropped.
    Unused(FrameType),
    /// So many notices were left out, since this SDK caused too many.
    LeftOut(u64),
}

/// One connection, as a machine.
#[derive(Debug)]
pub struct Channel {
    config: ChannelConfig,
    reader: FrameReader,
    version: ChannelVersion,
    /// The broker knows of it.
    opened: bool,
    closed: bool,
    calls: usize,
    heard: Instant,
    notices: NoticeBudget,
    outputs: VecDeque<Output>,
}

impl Channel {
    /// A connection whose TLS handshake is done.
    #[must_use]
    pub fn new(config: ChannelConfig, now: Instant) -> Self {
        let reader = FrameReader::with_limit(config.frame_limit);
        Self {
            config,
            reader,
            version: ChannelVersion::V1,
            opened: false,
            closed: false,
            calls: 0,
            heard: now,
            notices: NoticeBudget::of_session(now),
            outputs: VecDeque::new(),
        }
    }

    /// Takes what was read. Whole frames leave the buffer, their bodies are slices of it.
    pub fn receive(&mut self, now: Instant, buffer: &mut BytesMut) {
        self.heard = now;
        while !self.closed {
            match self.reader.read(buffer) {
                Ok(Some(frame)) => self.frame(frame),
                Ok(None) => return,
                Err(error) => self.close(error.into()),
            }
        }
        buffer.clear();
    }

    /// The SDK is to be told something.
    pub fn handle(&mut self, _now: Instant, input: Input) {
        if self.closed {
            return;
        }
        match input {
            Input::Push(cast, message) => {
                let frame_type = match cast {
                    AmopCast::Unicast => FrameType::AmopRequest,
                    AmopCast::Multicast => FrameType::AmopMulticast,
                };
                // The broker asks nobody who has no words for the topic.
                if let Ok([head, body]) = message.to_frame_parts(frame_type) {
                    self.outputs.push_back(Output::Send { head, body, push: Some(message.seq) });
                }
            }
            Input::Done(cast, message, result) => self.done(cast, &message, result),
            Input::Verify(seq, question) => {
                let body = question.to_json();
                self.send(&Frame::new(FrameType::VerifyTopic, frame_seq(&seq), body));
            }
            Input::RpcAnswer { seq, body } => {
                self.calls = self.calls.saturating_sub(1);
                self.send(&Frame::new(FrameType::Rpc, frame_seq(&seq), body));
            }
            Input::Frame(frame) => self.send(&frame),
        }
    }

    /// What the driver has to do next; `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Channel::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.closed).then(|| self.heard + CHANNEL_IDLE)
    }

    /// Cuts a silent connection.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.closed && now.saturating_since(self.heard) >= CHANNEL_IDLE {
            self.close(SdkFault::Silent(CHANNEL_IDLE.as_secs()));
        }
    }

    /// The version that both speak.
    #[must_use]
    pub const fn version(&self) -> ChannelVersion {
        self.version
    }

    fn close(&mut self, fault: SdkFault) {
        self.closed = true;
        let left_out = self.notices.left_out();
        self.left_out(left_out);
        self.outputs.push_back(Output::Close(fault));
    }

    fn send(&mut self, frame: &Frame) {
        if let Ok([head, body]) = frame.to_parts() {
            self.outputs.push_back(Output::Send { head, body, push: None });
        }
    }

    fn broker(&mut self, input: super::Input) {
        self.outputs.push_back(Output::Broker(input));
    }

    fn notice(&mut self, notice: ChannelNotice) {
        let Some(left_out) = self.notices.take(self.heard) else { return };
        self.left_out(left_out);
        self.outputs.push_back(Output::Notice(notice));
    }

    fn left_out(&mut self, count: u64) {
        if count > 0 {
            self.outputs.push_back(Output::Notice(ChannelNotice::LeftOut(count)));
        }
    }

    /// Tells a publisher the end of its message. A multicast is given back as it came.
    fn done(&mut self, cast: AmopCast, message: &Message, result: Result<Bytes, AmopFailure>) {
        let kind = FrameType::AmopResponse;
        let parts = match (result, cast) {
            (Ok(_), AmopCast::Multicast) => message.to_frame_parts(kind),
            (Ok(data), AmopCast::Unicast) => {
                let body = TopicBody::new(message.topic.clone(), data);
                body.to_frame_parts(kind, frame_seq(&message.seq))
            }
            (Err(failure), _) => {
                let body = message.to_body().unwrap_or_default();
                let request = Frame::new(FrameType::AmopRequest, frame_seq(&message.seq), body);
                request.failure(failure.channel_code()).to_parts()
            }
        };
        if let Ok([head, body]) = parts {
            self.outputs.push_back(Output::Send { head, body, push: None });
        }
    }

    fn frame(&mut self, frame: Frame) {
        let session = self.config.session;
        if !self.opened {
            self.opened = true;
            let (kind, identity) = (SdkKind::Channel, self.config.identity.clone());
            self.broker(super::Input::Opened { session, kind, identity });
        }
        match frame.frame_type {
            FrameType::Rpc => self.rpc(frame),
            FrameType::Heartbeat => self.heartbeat(&frame),
            FrameType::Handshake => self.handshake(&frame),
            FrameType::SubscribeTopics => {
                let input = match Subscription::from_array(&frame.data) {
                    Ok(Subscription(topics)) => super::Input::Subscribe { session, topics },
                    Err(error) => super::Input::BadList { session, error },
                };
                self.broker(input);
            }
            FrameType::AmopRequest => self.publish(&frame, AmopCast::Unicast),
            FrameType::AmopMulticast => self.publish(&frame, AmopCast::Multicast),
            FrameType::AmopResponse => self.answer(frame),
            // How Java's SDK says that it has the question.
            FrameType::VerifyTopic => {}
            FrameType::UpdateTopicStatus => match TopicVerdict::from_json(&frame.data) {
                Ok(verdict) => self.broker(super::Input::Verdict { session, verdict }),
                Err(error) => self.unreadable(frame.frame_type, error),
            },
            unused => self.notice(ChannelNotice::Unused(unused)),
        }
    }

    fn unreadable(&mut self, frame_type: FrameType, error: AmopError) {
        self.notice(ChannelNotice::Unreadable { frame_type, error });
    }

    fn rpc(&mut self, frame: Frame) {
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return self.close(SdkFault::TooManyCalls(MAX_CALLS));
        }
        let seq = Bytes::copy_from_slice(&frame.seq.0);
        self.outputs.push_back(Output::Rpc { seq, body: frame.data });
    }

    /// FISCO's node answers every heartbeat, whatever its body.
    fn heartbeat(&mut self, frame: &Frame) {
        if !matches!(Heartbeat::from_body(&frame.data), Ok(Heartbeat::Reply)) {
            let body = Heartbeat::Reply.to_body(self.version);
            self.send(&frame.answer(FrameType::Heartbeat, body));
        }
    }

    fn handshake(&mut self, frame: &Frame) {
        let read = Handshake::from_json(&frame.data);
        let agreed = read.and_then(|handshake| Ok((handshake.negotiate()?, handshake)));
        let (version, handshake) = match agreed {
            Ok(agreed) => agreed,
            Err(error) => return self.close(error.into()),
        };
        self.version = version;
        let node_version = self.config.node_version.clone();
        let reply = HandshakeReply { node_version, protocol: version };
        self.send(&frame.answer(FrameType::Handshake, reply.to_json()));
        let client_type = handshake.client_type;
        self.notice(ChannelNotice::Handshake { version, client_type });
    }

    fn publish(&mut self, frame: &Frame, cast: AmopCast) {
        let session = self.config.session;
        match Message::of_frame(frame) {
            Ok(message) => {
                if let Err(error) = message.topic_is_text() {
                    self.unreadable(frame.frame_type, error);
                }
                self.broker(super::Input::Publish { session, cast, message });
            }
            Err(error) => {
                self.unreadable(frame.frame_type, error);
                self.send(&frame.failure(ResultCode::DECODE_ERROR));
            }
        }
    }

    fn answer(&mut self, frame: Frame) {
        let seq = Bytes::copy_from_slice(&frame.seq.0);
        let result = match (frame.result, TopicBody::decode(frame.data)) {
            (ResultCode::SUCCESS, Ok(body)) => Ok(body.data),
            (ResultCode::SUCCESS, Err(error)) => {
                self.unreadable(FrameType::AmopResponse, error);
                Err(ResultCode::DECODE_ERROR.0)
            }
            (ResultCode(code), _) => Err(code),
        };
        self.broker(super::Input::Answer { session: self.config.session, seq, result });
    }
}
