//! The WebSocket protocol of FISCO BCOS 3.x (`chainmesh_wire::amop::ws`).

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use chainmesh_wire::amop::ws::{MAX_WS_MESSAGE, WsMessage, WsStatus, WsType};
use chainmesh_wire::amop::{AmopRequest, Subscription};
use chainmesh_wire::mesh::EncodeError;
use futures_util::{Sink as _, Stream as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{AnswerTo, Incoming, Protocol, Refusal, Seqs};
use crate::error::Lost;
use crate::stream::Stream;
use crate::subscription::Kind;

/// Bytes read at once; each connection has a buffer of this size.
const READ: usize = 16 * 1024;
/// Bytes written at once, when so many wait.
const WRITE: usize = 64 * 1024;

/// What the WebSocket is told: messages as large as FISCO's, and buffers of moderate size.
pub(crate) fn options() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(WRITE)
        .max_message_size(Some(MAX_WS_MESSAGE))
        .max_frame_size(Some(MAX_WS_MESSAGE))
}

/// A connection of the WebSocket protocol.
pub(crate) struct WebSocket {
    socket: WebSocketStream<Stream>,
    seqs: Seqs,
    messages: VecDeque<Message>,
    waiting: usize,
    unflushed: bool,
}

impl WebSocket {
    pub(crate) fn new(socket: WebSocketStream<Stream>, seqs: Seqs) -> Self {
        Self { socket, seqs, messages: VecDeque::new(), waiting: 0, unflushed: false }
    }

    fn put(&mut self, message: Message) {
        self.waiting += message.len();
        self.messages.push_back(message);
    }

    /// One message: its head, what comes before the payload, and the payload, in one piece. The one
    /// copy that a WebSocket needs.
    fn send(&mut self, head: &WsMessage, before: &[u8], payload: &[u8]) -> Result<(), EncodeError> {
        let size = head.encoded_len() + before.len() + payload.len();
        if size > MAX_WS_MESSAGE {
            return Err(EncodeError::TooLarge { what: "message", size, limit: MAX_WS_MESSAGE });
        }
        let mut whole = BytesMut::with_capacity(size);
        head.encode_head(&mut whole)?;
        whole.put_slice(before);
        whole.put_slice(payload);
        self.put(Message::Binary(whole.freeze()));
        Ok(())
    }

    fn seq(&self, number: u64) -> Bytes {
        Bytes::copy_from_slice(&self.seqs.of(number).0)
    }

    /// Says hello.
    pub(crate) fn hello(&mut self, number: u64, hello: &[u8]) -> Result<(), EncodeError> {
        let head = WsMessage::new(WsType::Handshake, self.seq(number), Bytes::new());
        self.send(&head, &[], hello)
    }

    /// The next binary message, or a sign of life.
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Bytes, Option<u64>>, Lost>> {
        let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            None | Some(Ok(Message::Close(_))) => return Poll::Ready(Err(Lost::Ended)),
            Some(message) => message.map_err(lost)?,
        };
        Poll::Ready(Ok(match message {
            Message::Binary(bytes) => Ok(bytes),
            Message::Text(text) => Ok(text.into()),
            Message::Pong(payload) => {
                Err(payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)))
            }
            _ => {
                // The answer to a ping is in the socket's own hands.
                self.unflushed = true;
                Err(None)
            }
        }))
    }

    fn incoming(&self, message: WsMessage) -> Incoming {
        let kind = match message.kind {
            WsType::AmopRequest => Kind::Unicast,
            WsType::AmopBroadcast => Kind::Multicast,
            WsType::AmopResponse | WsType::Untyped | WsType::RpcRequest | WsType::Handshake => {
                return self.answered(message);
            }
            _ => return Incoming::Unused,
        };
        match AmopRequest::decode(message.payload) {
            Ok(AmopRequest { topic, data, .. }) => {
                let seq = AnswerTo::WebSocket(message.seq);
                Incoming::Message { kind, seq, topic, payload: data }
            }
            Err(_) => Incoming::Unreadable,
        }
    }

    fn answered(&self, message: WsMessage) -> Incoming {
        let Some(number) = self.seqs.number(&message.seq) else { return Incoming::Unused };
        let result = match message.status {
            WsStatus::SUCCESS => Ok(message.payload),
            WsStatus(code) => Err(Refusal { code: code.into(), text: message.payload }),
        };
        Incoming::Answer { number, result }
    }
}

/// How an error of the WebSocket ends a connection.
pub(crate) fn lost(error: Error) -> Lost {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
        ) => Lost::Ended,
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Lost::Ended,
        Error::Io(error) => Lost::Broken(error),
        error => Lost::WebSocket(Box::new(error)),
    }
}

impl Protocol for WebSocket {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Lost>> {
        let bytes = match ready!(self.poll_message(cx))? {
            Ok(bytes) => bytes,
            Err(number) => return Poll::Ready(Ok(Incoming::Alive(number))),
        };
        let message = WsMessage::decode(bytes).map_err(Lost::Unreadable)?;
        Poll::Ready(Ok(self.incoming(message)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.messages.is_empty() {
            ready!(socket.as_mut().poll_ready(cx)).map_err(lost)?;
            if let Some(message) = self.messages.pop_front() {
                self.waiting -= message.len();
                self.unflushed = true;
                socket.as_mut().start_send(message).map_err(lost)?;
            }
        }
        if self.unflushed {
            ready!(socket.as_mut().poll_flush(cx)).map_err(lost)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if ready!(self.poll_flush(cx)).is_ok() {
            let _ = ready!(Pin::new(&mut self.socket).poll_close(cx));
        }
        Poll::Ready(())
    }

    fn waiting(&self) -> usize {
        self.waiting
    }

    fn publish(
        &mut self,
        number: u64,
        kind: Kind,
        topic: Bytes,
        payload: Bytes,
    ) -> Result<(), EncodeError> {
        let (kind, seq) = match kind {
            Kind::Unicast => (WsType::AmopRequest, self.seq(number)),
            // Nobody answers, and an empty seq says so.
            Kind::Multicast => (WsType::AmopBroadcast, Bytes::new()),
        };
        let before = AmopRequest::new(topic, Bytes::new()).encode_head()?;
        self.send(&WsMessage::new(kind, seq, Bytes::new()), &before, &payload)
    }

    fn answers_multicast(&self) -> bool {
        false
    }

    fn call(&mut self, number: u64, body: Bytes) -> Result<(), EncodeError> {
        let head = WsMessage::new(WsType::RpcRequest, self.seq(number), Bytes::new());
        self.send(&head, &[], &body)
    }

    fn answer(&mut self, to: AnswerTo, _: &Bytes, payload: Bytes) -> Result<(), EncodeError> {
        let AnswerTo::WebSocket(seq) = to else { return Ok(()) };
        self.send(&WsMessage::new(WsType::AmopResponse, seq, Bytes::new()), &[], &payload)
    }

    fn subscribe(&mut self, topics: &Subscription) -> Result<(), EncodeError> {
        let head = WsMessage::new(WsType::AmopSubTopic, Bytes::new(), Bytes::new());
        self.send(&head, &[], &topics.to_json()?)
    }

    fn beat(&mut self, number: u64) {
        self.put(Message::Ping(Bytes::copy_from_slice(&number.to_be_bytes())));
    }
}
