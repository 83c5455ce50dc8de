//! A connection of the WebSocket protocol: binary messages in and out, pings in between.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chainmesh_net::amop::ws::{Input, Output, Ws, WsConfig, WsNotice};
use chainmesh_net::amop::{SdkCommand, SdkFault, SdkLink};
use chainmesh_proto::time::Instant;
use chainmesh_wire::amop::AmopError;
use futures_util::{Sink, Stream as _};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{info, warn};

use super::calls::Calls;
use super::clients::Refused;
use super::conversation::{self, Backlog, Talk};
use super::ledger::{Generation, Ledger};
use super::metered::{Metered, NoRoom};
use super::ports::End;
use super::secure::Client;

/// Largest message that is read, bytes (`wsMaxMsgSize` of FISCO BCOS 3.x's SDKs: 32 MiB).
pub(super) const MAX_MESSAGE: usize = 32 * 1024 * 1024;
/// Bytes of text in a frame that closes (RFC 6455 section 5.5: 125, two of them for the code).
const MAX_REASON: usize = 123;
/// Bytes read at once; each connection has a buffer of this size.
const READ: usize = 8 * 1024;
/// Bytes of messages above which they are written without waiting for more; a connection that was
/// ever busy keeps a buffer of this size. Chosen: sixteen messages of 1 KiB cost one call of the
/// system, not sixteen.
const WRITE: usize = 16 * 1024;
/// Most messages, and bytes of them above which there is none more, that are taken at once.
const AT_ONCE: (usize, usize) = (64, 64 * 1024);

pub(super) type Socket = WebSocketStream<Metered>;

struct Conversation {
    face: Ws,
    calls: Calls,
    socket: Socket,
    messages: Messages,
    /// It has ended, once what came before is carried out.
    end: Option<End>,
}

/// Messages that wait to be written.
#[derive(Default)]
struct Messages {
    /// What is to be said, and whether it is an answer.
    waiting: VecDeque<(Message, bool)>,
    backlog: Backlog,
    unflushed: bool,
}

/// Answers a client's request for a WebSocket.
pub(super) async fn upgrade(client: Client) -> Result<Client<Socket>, Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(WRITE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let Client { stream, identity, subject, certificates, has_records } = client;
    let stream = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await?;
    Ok(Client { stream, identity, subject, certificates, has_records })
}

/// Speaks with a client until one of the two ends it.
pub(super) async fn serve(
    client: Client<Socket>,
    link: SdkLink,
    refused: oneshot::Receiver<Refused>,
    ledger: Arc<Ledger>,
) -> End {
    let Client { stream: socket, identity, .. } = client;
    let config = WsConfig { session: link.session(), identity, heights: Vec::new() };
    let face = Ws::new(config, link.now());
    let messages = Messages::default();
    let calls = Calls::new(ledger, Generation::Three, &link);
    let mut talk = Conversation { face, calls, socket, messages, end: None };
    let end = conversation::run(&mut talk, link, refused).await;
    if let Some(code) = code_of(&end) {
        let mut reason = end.to_string();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        let frame = CloseFrame { code, reason: reason.into() };
        // Who does not read is not waited for.
        let _ = tokio::time::timeout(conversation::FAREWELL, talk.socket.close(Some(frame))).await;
    }
    end
}

/// How a client is told the end (RFC 6455 section 7.4.1); it does not hear of one of its own making.
fn code_of(end: &End) -> Option<CloseCode> {
    Some(match end {
        End::Client | End::Broken(_) | End::Refused(_) => return None,
        End::NeedsWebSocketPort | End::NoUpgrade(_) => return None,
        End::Node => CloseCode::Away,
        End::NoRoom(_) => CloseCode::Again,
        End::Fault(SdkFault::Message(AmopError::TooLarge { .. })) => CloseCode::Size,
        End::Fault(SdkFault::Message(_)) => CloseCode::Protocol,
        End::Fault(_) | End::NotTrusted(_) => CloseCode::Policy,
        End::WebSocket(error) => match **error {
            Error::Capacity(_) => CloseCode::Size,
            Error::Utf8(_) => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        },
    })
}

impl Talk for Conversation {
    /// Messages, and the end behind them if it came with them.
    type Read = (Vec<Message>, Option<End>);

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Read, End>> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < AT_ONCE.0 && bytes < AT_ONCE.1 {
            let end = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending if messages.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(None | Some(Ok(Message::Close(_)))) => End::Client,
                Poll::Ready(Some(Err(error))) => end_of(error),
                Poll::Ready(Some(Ok(message))) => {
                    bytes += message.len();
                    messages.push(message);
                    continue;
                }
            };
            return Poll::Ready(Ok((messages, Some(end))));
        }
        Poll::Ready(Ok((messages, None)))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.messages.poll_write(&mut self.socket, cx).map_err(end_of)
    }

    fn poll_call(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (seq, body) = ready!(self.calls.poll(cx));
        self.face.handle(now, Input::RpcAnswer { seq, body });
        Poll::Ready(())
    }

    fn is_answering(&self) -> bool {
        !self.calls.is_empty()
    }

    fn backlog(&self) -> Backlog {
        self.messages.backlog
    }

    fn came(&mut self, now: Instant, (messages, end): Self::Read) -> Result<(), End> {
        self.socket.get_mut().holds(0);
        for message in messages {
            let input = match message {
                Message::Binary(message) => Input::Message(message),
                // FISCO's node reads both alike.
                Message::Text(text) => Input::Message(text.into()),
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                    // The answer to a ping is in the socket's own hands.
                    self.messages.unflushed = true;
                    Input::Alive
                }
            };
            self.face.handle(now, input);
        }
        self.end = end;
        Ok(())
    }

    fn command(&mut self, now: Instant, command: SdkCommand) -> Result<(), End> {
        let input = match command {
            SdkCommand::Push(cast, message) => Input::Push(cast, message),
            SdkCommand::Done(cast, message, result) => Input::Done(cast, message, result),
            // Only SDKs of 2.x are asked.
            SdkCommand::Verify(..) => return Ok(()),
            SdkCommand::ListRefused(error) => Input::ListRefused(error),
            SdkCommand::Close(fault) => return Err(End::Fault(fault)),
            SdkCommand::Ended => return Err(End::Node),
        };
        self.face.handle(now, input);
        Ok(())
    }

    fn carry_out(&mut self, link: &mut SdkLink) -> Result<(), End> {
        let mut said = Vec::new();
        let mut end = None;
        while let Some(output) = self.face.poll() {
            match output {
                Output::Send { head, body, push } => {
                    self.messages.put(Message::Binary(whole(head, body)), push.is_none());
                }
                Output::Ping => self.messages.put(Message::Ping(Bytes::new()), true),
                Output::Broker(input) => said.push(input),
                Output::Rpc { seq, body } => {
                    if let Some(body) = self.calls.ask(link, seq.clone(), &body) {
                        self.face.handle(link.now(), Input::RpcAnswer { seq, body });
                    }
                }
                Output::Notice(notice) => tell(link, &notice),
                Output::Close(fault) => {
                    end = Some(End::Fault(fault));
                    break;
                }
            }
        }
        link.handle_all(said);
        end.or_else(|| self.end.take()).map_or(Ok(()), Err)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.face.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        // A large message over a slow line is no silence, and no ping can be answered inside of it.
        if self.socket.get_mut().has_moved() {
            self.face.handle(now, Input::Alive);
        }
        self.face.handle_timeout(now);
    }
}

/// A message is one piece.
fn whole(head: Bytes, body: Bytes) -> Bytes {
    if body.is_empty() {
        return head;
    }
    let mut message = BytesMut::with_capacity(head.len() + body.len());
    message.extend_from_slice(&head);
    message.extend_from_slice(&body);
    message.freeze()
}

impl Messages {
    fn put(&mut self, message: Message, answer: bool) {
        self.backlog.add(message.len(), answer);
        self.waiting.push_back((message, answer));
    }

    /// Ready when messages were taken, all that wait if there is room; pending also when there is nothing to be written.
    fn poll_write(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(socket);
        let before = self.waiting.len();
        while !self.waiting.is_empty() {
            match socket.as_mut().poll_ready(cx)? {
                Poll::Pending if self.waiting.len() == before => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(()) => {}
            }
            if let Some((message, answer)) = self.waiting.pop_front() {
                self.backlog.remove(message.len(), answer);
                self.unflushed = true;
                socket.as_mut().start_send(message)?;
            }
        }
        if self.unflushed && socket.poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        if before > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

fn end_of(error: Error) -> End {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::Client,
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => End::Client,
        Error::Io(error) => match error.get_ref().and_then(|it| it.downcast_ref::<NoRoom>()) {
            Some(no_room) => End::NoRoom(*no_room),
            None => End::Broken(error),
        },
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => End::Client,
        error => End::WebSocket(Box::new(error)),
    }
}

fn tell(link: &SdkLink, notice: &WsNotice) {
    let sdk = link.session().0;
    match notice {
        WsNotice::Handshake { version } => info!(sdk, version, "an SDK of 3.x has said hello"),
        WsNotice::Unreadable { kind, error } => {
            info!(sdk, ?kind, "a message of an SDK cannot be read: {error}");
        }
        WsNotice::LeftOut(count) => {
            warn!(sdk, count, "an SDK causes too many lines here: some were left out");
        }
        WsNotice::Unused(kind) => info!(sdk, ?kind, "a message of an SDK is of no use here"),
    }
}
