//! What the two protocols have in common: what can be said, and what comes.

pub(crate) mod channel;
mod seqs;
pub(crate) mod websocket;

use core::task::{Context, Poll};

use bytes::Bytes;
use chainmesh_wire::amop::Subscription;
use chainmesh_wire::amop::channel::Seq;
use chainmesh_wire::mesh::EncodeError;

use crate::error::Lost;
use crate::subscription::Kind;

pub(crate) use seqs::Seqs;

/// What came.
pub(crate) enum Incoming {
    /// Somebody says something on a topic.
    Message { kind: Kind, seq: AnswerTo, topic: Bytes, payload: Bytes },
    /// What became of something that we said, by our number of it.
    Answer { number: u64, result: Result<Bytes, Refusal> },
    /// A sign of life; the number, if it is the answer to one of ours.
    Alive(Option<u64>),
    /// What we have no use for.
    Unused,
    /// What cannot be understood, and does no harm.
    Unreadable,
}

/// What a node said instead of an answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) text: Bytes,
}

/// Which message is answered.
#[derive(Debug, Clone)]
pub(crate) enum AnswerTo {
    Channel(Seq),
    WebSocket(Bytes),
}

/// One of the two protocols on its connection. What is said waits in memory until it is flushed.
pub(crate) trait Protocol: Send {
    /// What came next.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Lost>>;

    /// Writes what waits. Ready when nothing waits any more.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>>;

    /// Says goodbye, when nothing waits any more.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Bytes that wait.
    fn waiting(&self) -> usize;

    /// Says something on a topic.
    fn publish(
        &mut self,
        number: u64,
        kind: Kind,
        topic: Bytes,
        payload: Bytes,
    ) -> Result<(), EncodeError>;

    /// Whether the node answers a multicast, too.
    fn answers_multicast(&self) -> bool;

    /// A call of JSON-RPC.
    fn call(&mut self, number: u64, body: Bytes) -> Result<(), EncodeError>;

    /// Answers a message. What was asked over the other protocol cannot be answered.
    fn answer(&mut self, to: AnswerTo, topic: &Bytes, payload: Bytes) -> Result<(), EncodeError>;

    /// Follows these topics and no others.
    fn subscribe(&mut self, topics: &Subscription) -> Result<(), EncodeError>;

    /// A sign of life that is answered in its turn, after all that was said before it.
    fn beat(&mut self, number: u64);
}
