//! What a connection does on which requests, answers and notifications travel side by side: the
//! Unix socket and WebSockets.
//!
//! Everything is bounded: no request is read while [`MAX_OPEN`] are being answered or their bytes
//! reach the limit of one request; an answer is written before anything else happens; and who does
//! not read what is written is cut off.

use core::future::Future;
use core::time::Duration;
use std::io;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, FuturesUnordered, SelectAll};
use serde_json::value::RawValue;

use super::dispatch::{Answer, Dispatcher};

/// Requests of one connection that are answered at the same time, at most.
const MAX_OPEN: usize = 16;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of requests that are being answered: one more is read when they are fewer.
    pub(crate) max_bytes: usize,
    /// How long the other end may leave what is written to it unread.
    pub(crate) patience: Duration,
}

/// How often [`Pipe::tick`] is called (go-ethereum, `wsPingInterval`).
const TICK: Duration = Duration::from_secs(30);

/// What came from the other end.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request, or several.
    Request(Vec<u8>),
    /// Something after which nothing else can be understood: what is said to it.
    Lost(String),
    /// The other end has closed.
    End,
}

/// The two directions of a connection.
pub(crate) trait Pipe: Send {
    /// The next request. May be dropped at any time, and nothing is lost.
    fn read(&mut self) -> impl Future<Output = io::Result<Incoming>> + Send;

    /// Writes one message.
    fn write(&mut self, text: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// Closes it, behind an answer after which nothing can be understood.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Some time has passed: an error ends the connection.
    fn tick(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Answers what comes until one of the two ends it.
pub(crate) async fn run<P: Pipe>(
    mut pipe: P,
    dispatcher: &Dispatcher,
    bounds: Bounds,
) -> io::Result<()> {
    let Bounds { max_bytes, patience } = bounds;
    let mut open = FuturesUnordered::new();
    let mut held = 0;
    let mut notifications: SelectAll<BoxStream<'static, Box<RawValue>>> = SelectAll::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        let room = open.len() < MAX_OPEN && held < max_bytes;
        tokio::select! {
            incoming = pipe.read(), if room => match incoming? {
                Incoming::Request(request) => {
                    held += request.len();
                    open.push(async move {
                        (request.len(), dispatcher.answer(&request).await)
                    });
                }
                Incoming::Lost(text) => {
                    patiently(patience, pipe.write(&text)).await?;
                    return patiently(patience, pipe.finish()).await;
                }
                Incoming::End => return Ok(()),
            },
            Some((length, answer)) = open.next(), if !open.is_empty() => {
                held -= length;
                let Answer { text, subscriptions } = answer;
                if let Some(text) = text {
                    patiently(patience, pipe.write(&text)).await?;
                }
                for mut begun in subscriptions {
                    let messages = stream::poll_fn(move |cx| begun.poll_recv(cx));
                    notifications.push(messages.boxed());
                }
            }
            Some(notification) = notifications.next(), if !notifications.is_empty() => {
                patiently(patience, pipe.write(notification.get())).await?;
            }
            _ = ticks.tick() => patiently(patience, pipe.tick()).await?,
        }
    }
}

async fn patiently(
    patience: Duration,
    write: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    match tokio::time::timeout(patience, write).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
