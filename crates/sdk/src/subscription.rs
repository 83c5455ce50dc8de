//! What comes: [`Subscription`] and [`Message`].

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::client::{Hands, State};
use crate::error::ReplyError;
use crate::face::AnswerTo;
use crate::shared::{ReplyOrder, Shared};

/// What a message in memory counts beside what it says, bytes.
const ENTRY: usize = 256;

/// To whom something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To one subscriber of the topic, drawn at random; it is answered.
    Unicast,
    /// To all subscribers of the topic; it is not answered.
    Multicast,
}

/// A topic that is followed, as text and as bytes.
#[derive(Debug)]
pub(crate) struct TopicName {
    pub(crate) text: String,
    pub(crate) bytes: Bytes,
}

/// A topic that is followed, as long as this lives: the messages on it, as a stream that ends when
/// the client is closed. While the connection is made again it is silent; messages to all that were
/// said meanwhile are missed.
pub struct Subscription {
    topic: String,
    queue: mpsc::Receiver<Queued>,
    /// Keeps the connection alive.
    hands: Arc<Hands>,
}

impl Subscription {
    pub(crate) const fn new(
        topic: String,
        queue: mpsc::Receiver<Queued>,
        hands: Arc<Hands>,
    ) -> Self {
        Self { topic, queue, hands }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The next message; `None` when the client was closed. When this is dropped before it is ready,
    /// nothing is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.queue.recv().await.and_then(Queued::into_message)
    }

    /// The next message, if it is there already.
    pub fn try_next(&mut self) -> Option<Message> {
        self.queue.try_recv().ok().and_then(Queued::into_message)
    }

    /// Whether there is a connection, now and as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.hands.state.clone()
    }
}

impl futures_util::Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        Poll::Ready(ready!(self.queue.poll_recv(cx)).and_then(Queued::into_message))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.close();
        self.hands.shared.drop_subscription();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Something that was said on a topic. AMOP does not tell by whom.
///
/// A unicast waits for an answer: [`reply`](Self::reply), or [`pass_on`](Self::pass_on) so that the
/// node asks another subscriber. One that is dropped is acknowledged with an empty answer. What an
/// application has not taken when it drops its subscription or its client is passed on.
pub struct Message {
    topic: Arc<TopicName>,
    payload: Bytes,
    sequence: u64,
    connection: u64,
    shared: Arc<Shared>,
    /// Of a unicast that was not answered.
    waits: Option<AnswerTo>,
    kind: Kind,
}

impl Message {
    /// `waits`: whom to answer, of a unicast.
    pub(crate) const fn new(
        topic: Arc<TopicName>,
        payload: Bytes,
        (sequence, connection): (u64, u64),
        shared: Arc<Shared>,
        waits: Option<AnswerTo>,
    ) -> Self {
        let kind = if waits.is_some() { Kind::Unicast } else { Kind::Multicast };
        Self { topic, payload, sequence, connection, shared, waits, kind }
    }

    /// The topic on which it was said.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic.text
    }

    /// What was said, any bytes: escape them before you show them.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// To whom it was said.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its number among all that this client has received, from 1.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Answers a unicast; its publisher gets this. Waits while very many replies wait to be written.
    ///
    /// # Errors
    /// See [`ReplyError`]. A connection that is lost later is not noticed.
    pub async fn reply(mut self, payload: impl Into<Bytes>) -> Result<(), ReplyError> {
        let to = self.waits.take().ok_or(ReplyError::Multicast)?;
        let order = self.order(to, payload.into());
        if self.shared.is_over(self.connection) || !self.shared.reply(order).await {
            return Err(ReplyError::ConnectionLost);
        }
        Ok(())
    }

    /// Does not answer: the node asks another subscriber (ours after 5 s), or tells the publisher
    /// that nobody has answered. The protocols have no quicker way.
    pub fn pass_on(mut self) {
        self.waits = None;
    }

    fn order(&self, to: AnswerTo, payload: Bytes) -> ReplyOrder {
        ReplyOrder { connection: self.connection, to, topic: self.topic.bytes.clone(), payload }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(to) = self.waits.take() {
            let order = self.order(to, Bytes::new());
            self.shared.reply_now(order);
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic.text)
            .field("kind", &self.kind)
            .field("sequence", &self.sequence)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// A message that waits for the application, and counts.
#[derive(Debug)]
pub(crate) struct Queued {
    message: Option<Message>,
    bytes: usize,
}

impl Queued {
    pub(crate) fn new(message: Message) -> Self {
        let bytes = ENTRY + message.payload.len();
        message.shared.charge(bytes);
        message.shared.counting.received.fetch_add(1, Relaxed);
        Self { message: Some(message), bytes }
    }

    /// The message, which is there until this takes it.
    fn into_message(mut self) -> Option<Message> {
        let message = self.message.take()?;
        message.shared.release(self.bytes);
        Some(message)
    }
}

impl Drop for Queued {
    /// Nobody has seen it: somebody else is to be asked.
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            message.shared.release(self.bytes);
            message.pass_on();
        }
    }
}
