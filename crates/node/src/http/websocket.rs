//! Messages of a WebSocket.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::HttpLimits;
use crate::rpc::conversation::{self, Bounds, Incoming, Pipe};
use crate::rpc::dispatch::{self, Dispatcher};

/// Bytes read at once; each connection has a buffer of this size.
const READ: usize = 16 * 1024;

struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// Whether anything came since the last ping.
    alive: bool,
}

/// Speaks with a client until one of the two ends it.
pub(super) async fn serve(
    upgraded: Upgraded,
    dispatcher: &Dispatcher,
    limits: &HttpLimits,
) -> io::Result<()> {
    let max_message = limits.max_body;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let io = TokioIo::new(upgraded);
    let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let bounds = Bounds { max_bytes: max_message, patience: limits.timeout };
    conversation::run(Socket { stream, alive: true }, dispatcher, bounds).await
}

impl Pipe for Socket {
    async fn read(&mut self) -> io::Result<Incoming> {
        loop {
            let message = self.stream.next().await;
            self.alive = true;
            return Ok(match message.transpose() {
                Ok(Some(Message::Text(text))) => Incoming::Request(Bytes::from(text).into()),
                // go-ethereum reads both alike.
                Ok(Some(Message::Binary(bytes))) => Incoming::Request(bytes.into()),
                // A ping is answered by the socket itself, with the next read.
                Ok(Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Ok(None | Some(Message::Close(_))) | Err(Error::ConnectionClosed) => Incoming::End,
                Err(Error::Io(error)) => return Err(error),
                Err(Error::Capacity(why)) => Incoming::Lost(dispatch::too_long(&why.to_string())),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            });
        }
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.stream.send(Message::text(text)).await.map_err(io::Error::other)
    }

    async fn finish(&mut self) -> io::Result<()> {
        let size = CloseFrame { code: CloseCode::Size, reason: "message too big".into() };
        let _ = self.stream.close(Some(size)).await;
        self.stream.get_mut().shutdown().await
    }

    /// A client that says nothing is asked whether it is there, and has until the next time to
    /// answer.
    async fn tick(&mut self) -> io::Result<()> {
        if !core::mem::take(&mut self.alive) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.send(Message::Ping(Bytes::new())).await.map_err(io::Error::other)
    }
}
