//! A connection of the WebSocket protocol: binary messages in and out, pings in between.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chainmesh_net::amop::ws::{Input, Output, Ws, WsConfig, WsNotice};
use chainmesh_net::amop::{QUEUE_BYTES, SdkCommand, SdkLink};
use futures_util::{Sink, Stream as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{debug, info};

use super::channel::{ANSWERS, WRITING};
use super::ledger::{Generation, Ledger};
use super::ports::End;
use super::secure::{Client, Stream};

/// Largest message that is read, bytes (`wsMaxMsgSize` of FISCO BCOS 3.x's SDKs: 32 MiB).
pub(super) const MAX_MESSAGE: usize = 32 * 1024 * 1024;
/// Bytes read at once; each connection has a buffer of this size.
const READ: usize = 8 * 1024;

pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

struct Conversation {
    link: SdkLink,
    face: Ws,
    ledger: Arc<Ledger>,
    socket: Socket,
    messages: Messages,
    /// Reading and writing take turns.
    reads_first: bool,
}

/// Messages that wait to be written.
#[derive(Default)]
struct Messages {
    /// What is to be said, and whether it is an answer.
    waiting: VecDeque<(Message, bool)>,
    bytes: usize,
    answers: usize,
    unflushed: bool,
}

enum Moved {
    Read(Option<Message>),
    Written,
}

/// Answers a client's request for a WebSocket.
pub(super) async fn upgrade(client: Client) -> Result<Client<Socket>, Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let Client { stream, identity, subject } = client;
    let stream = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await?;
    Ok(Client { stream, identity, subject })
}

/// Speaks with a client until one of the two ends it.
pub(super) async fn serve(client: Client<Socket>, link: SdkLink, ledger: Arc<Ledger>) -> End {
    let Client { stream: socket, identity, .. } = client;
    let config = WsConfig { session: link.session(), identity, heights: Vec::new() };
    let face = Ws::new(config, link.now());
    let messages = Messages::default();
    Conversation { link, face, ledger, socket, messages, reads_first: false }.run().await
}

impl Conversation {
    async fn run(mut self) -> End {
        loop {
            if let Err(end) = self.carry_out() {
                return end;
            }
            let takes = self.messages.bytes < WRITING;
            let reads = self.messages.answers < ANSWERS && self.link.answers() < QUEUE_BYTES;
            let deadline = self.face.poll_timeout().map(|at| self.link.at(at));
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            self.reads_first = !self.reads_first;
            let (socket, messages, first) =
                (&mut self.socket, &mut self.messages, self.reads_first);
            tokio::select! {
                moved = core::future::poll_fn(|cx| {
                    for read in [first, !first] {
                        let moved = match read {
                            false => messages.poll_write(socket, cx).map_ok(|()| Moved::Written),
                            true if reads => poll_read(socket, cx),
                            true => Poll::Pending,
                        };
                        if moved.is_ready() {
                            return moved;
                        }
                    }
                    Poll::Pending
                }) => match moved {
                    Ok(Moved::Read(message)) => {
                        if let Some(end) = self.read(message) {
                            return end;
                        }
                    }
                    Ok(Moved::Written) => {}
                    Err(error) => return end_of(error),
                },
                command = self.link.next(), if takes => {
                    if let Some(end) = self.command(command) {
                        return end;
                    }
                }
                last = self.link.last() => {
                    if let Some(end) = self.command(last) {
                        return end;
                    }
                }
                () = timer => self.face.handle_timeout(self.link.now()),
            }
        }
    }

    fn read(&mut self, message: Option<Message>) -> Option<End> {
        let input = match message {
            None | Some(Message::Close(_)) => return Some(End::Client),
            Some(Message::Binary(message)) => Input::Message(message),
            // FISCO's node reads both alike.
            Some(Message::Text(text)) => Input::Message(text.into()),
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                // The answer to a ping is in the socket's own hands.
                self.messages.unflushed = true;
                Input::Alive
            }
        };
        self.face.handle(self.link.now(), input);
        None
    }

    fn command(&mut self, command: SdkCommand) -> Option<End> {
        let input = match command {
            SdkCommand::Push(cast, message) => Input::Push(cast, message),
            SdkCommand::Done(cast, message, result) => Input::Done(cast, message, result),
            // Only SDKs of 2.x are asked.
            SdkCommand::Verify(..) => return None,
            SdkCommand::Close(fault) => return Some(End::Fault(fault)),
            SdkCommand::Ended => return Some(End::Node),
        };
        self.face.handle(self.link.now(), input);
        None
    }

    fn carry_out(&mut self) -> Result<(), End> {
        while let Some(output) = self.face.poll() {
            match output {
                Output::Send { head, body, push } => {
                    self.messages.put(Message::Binary(whole(head, body)), push.is_none());
                }
                Output::Ping => self.messages.put(Message::Ping(Bytes::new()), true),
                Output::Broker(input) => self.link.handle(input),
                Output::Rpc { seq, body } => {
                    let body = self.ledger.answer(Generation::Three, &body).into();
                    self.face.handle(self.link.now(), Input::RpcAnswer { seq, body });
                }
                Output::Notice(notice) => tell(&self.link, &notice),
                Output::Close(fault) => return Err(End::Fault(fault)),
            }
        }
        Ok(())
    }
}

fn poll_read(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<Moved, Error>> {
    let message = ready!(Pin::new(socket).poll_next(cx)).transpose()?;
    Poll::Ready(Ok(Moved::Read(message)))
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
        self.bytes += message.len();
        self.answers += if answer { message.len() } else { 0 };
        self.waiting.push_back((message, answer));
    }

    /// Ready when a message was taken; pending also when there is nothing to be written.
    fn poll_write(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(socket);
        if self.waiting.is_empty() {
            if self.unflushed {
                ready!(socket.poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Pending;
        }
        ready!(socket.as_mut().poll_ready(cx))?;
        if let Some((message, answer)) = self.waiting.pop_front() {
            self.bytes -= message.len();
            self.answers -= if answer { message.len() } else { 0 };
            self.unflushed = true;
            socket.start_send(message)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn end_of(error: Error) -> End {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::Client,
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => End::Client,
        Error::Io(error) => End::Broken(error),
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
        WsNotice::Unused(kind) => debug!(sdk, ?kind, "a message of an SDK is of no use here"),
    }
}
