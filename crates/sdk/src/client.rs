//! [`Client`]: what an application has in its hands.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_wire::amop::MAX_TOPIC;
use chainmesh_wire::amop::channel::MAX_CHANNEL_TOPIC;
use chainmesh_wire::mesh::EncodeError;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::ClientConfig;
use crate::counters::Counters;
use crate::dial;
use crate::driver::Driver;
use crate::error::{CallError, ConnectError, ConnectionError, PublishError, SubscribeError};
use crate::shared::{Control, Order, REPLIES, Shared, What};
use crate::subscription::{Kind, Subscription};
use crate::url::{Face, NodeUrl};

/// What each message that is under way counts at least, bytes.
const LEAST_SHARE: usize = 16 * 1024;
/// What a message that is under way counts beside what it says, bytes.
const ENTRY: usize = 1_024;
/// Subscriptions that wait to be told to the node.
const CONTROLS: usize = 64;
/// Characters of the node's words that are kept.
const SHOWN: usize = 200;

/// A connection to a node that is made again when it is lost. Cheap to clone; it ends when the last
/// clone and the last [`Subscription`] are dropped, or with [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    hands: Arc<Hands>,
}

/// Whether there is a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum State {
    /// There is one.
    Connected {
        /// Where it leads.
        url: NodeUrl,
    },
    /// It is being made again.
    Reconnecting {
        /// Which attempt comes next, from 1. Each tries all URLs.
        attempt: u32,
        /// Why there is none.
        last: ConnectionError,
        /// How long the pause before the attempt is.
        pause: Duration,
    },
    /// The client was closed.
    Closed,
}

/// What a subscriber has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What it says, any bytes: escape them before you show them.
    pub payload: Bytes,
    /// Time from the call of [`Client::publish`] to the answer.
    pub after: Duration,
}

/// What clients and subscriptions hold.
#[derive(Debug)]
pub(crate) struct Hands {
    orders: mpsc::Sender<Order>,
    controls: mpsc::Sender<Control>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: watch::Receiver<State>,
    /// Bytes that may be under way.
    shares: Arc<Semaphore>,
    all_shares: usize,
    timeout: Duration,
    queue_messages: usize,
    longest_topic: usize,
}

impl Client {
    /// Connects to the first node that lets us in. Its task runs in the runtime of tokio in which
    /// this is called.
    ///
    /// # Errors
    /// [`ConnectError`], with a reason for each URL. Later losses are no errors of this function:
    /// see [`state`](Self::state).
    pub async fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        let seqs = dial::fresh_seqs();
        let (dialled, at) = dial::any(&config, seqs, 0).await?;
        let all_shares = config.in_flight_bytes.clamp(LEAST_SHARE, Semaphore::MAX_PERMITS >> 1);
        let (orders, orders_end) = mpsc::channel(all_shares.div_ceil(LEAST_SHARE) + 1);
        let (controls, controls_end) = mpsc::channel(CONTROLS);
        let (replies, replies_end) = mpsc::channel(REPLIES);
        let shared = Arc::new(Shared::new(config.queue_bytes.max(1), replies));
        let url = config.urls.get(at).cloned().ok_or(ConnectError::NoUrl)?;
        let (told, state) = watch::channel(State::Connected { url });
        let channel = config.urls.iter().any(|url| url.face() == Face::Channel);
        let hands = Hands {
            orders,
            controls,
            shared: Arc::clone(&shared),
            state,
            shares: Arc::new(Semaphore::new(all_shares)),
            all_shares,
            timeout: config.timeout,
            queue_messages: config.queue_messages.max(1),
            longest_topic: if channel { MAX_CHANNEL_TOPIC } else { MAX_TOPIC },
        };
        let ends = (orders_end, replies_end, controls_end);
        tokio::spawn(Driver::new(config, seqs, shared, ends, told).run(dialled, at));
        Ok(Self { hands: Arc::new(hands) })
    }

    /// Follows a topic. Ready when the node has taken it: what is published from then on comes. Of
    /// several subscriptions of one topic each gets the messages to all, and one in turn those to
    /// one. A client follows at most 1,024 topics.
    ///
    /// # Errors
    /// See [`SubscribeError`]. A node does not say when it refuses topics, because it allows fewer.
    pub async fn subscribe(
        &self,
        topic: impl Into<String>,
    ) -> Result<Subscription, SubscribeError> {
        let topic = topic.into();
        self.check(topic.len())?;
        let (queue, messages) = mpsc::channel(self.hands.queue_messages);
        let (done, taken) = oneshot::channel();
        let deadline = Instant::now() + self.hands.timeout;
        let control = Control::Subscribe { topic: topic.clone(), queue, deadline, done };
        self.hands.controls.send(control).await.map_err(|_| SubscribeError::Closed)?;
        // If it fails, or this is dropped, so is the subscription, and the topic is left.
        let subscription = Subscription::new(topic, messages, Arc::clone(&self.hands));
        taken.await.unwrap_or(Err(SubscribeError::Closed))?;
        Ok(subscription)
    }

    /// Says something to one subscriber of a topic, drawn at random, and waits for its answer. While
    /// there is no connection it waits for one; while too much is under way
    /// ([`ClientConfig::in_flight_bytes`]) it waits for answers. Many may be under way at once; they
    /// leave in the order in which their futures were polled first.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing is repeated by itself.
    pub async fn publish(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Reply, PublishError> {
        let began = Instant::now();
        let payload = self.say(began, Kind::Unicast, topic, payload.into()).await?;
        Ok(Reply { payload, after: began.elapsed() })
    }

    /// Says something to all subscribers of a topic, this client's own included. Ready when a node
    /// of 2.x has confirmed it, or when it is on its way to a node of 3.x, which does not.
    ///
    /// # Errors
    /// See [`PublishError`]. That nobody follows the topic is none.
    pub async fn multicast(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> Result<(), PublishError> {
        self.say(Instant::now(), Kind::Multicast, topic, payload.into()).await.map(drop)
    }

    async fn say(
        &self,
        began: Instant,
        kind: Kind,
        topic: &str,
        payload: Bytes,
    ) -> Result<Bytes, PublishError> {
        self.check(topic.len())?;
        let size = topic.len() + payload.len();
        let topic = Bytes::copy_from_slice(topic.as_bytes());
        self.order(began, size, What::Publish { kind, topic, payload }).await
    }

    /// Calls a method of the node by JSON-RPC 2.0, such as `getBlockNumber`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let call = call.to_string();
        let size = call.len();
        let answer = self.order(Instant::now(), size, What::Call(call.into())).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| CallError::Unreadable)?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            return Err(CallError::Refused { code, message: shown(message.as_bytes()) });
        }
        answer.get("result").cloned().ok_or(CallError::Unreadable)
    }

    async fn order(&self, began: Instant, size: usize, what: What) -> Result<Bytes, PublishError> {
        let hands = &self.hands;
        let deadline = began + hands.timeout;
        let share = (size + ENTRY).clamp(LEAST_SHARE, hands.all_shares);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let acquire = || Arc::clone(&hands.shares).try_acquire_many_owned(share);
        let share = match acquire() {
            Ok(share) => share,
            Err(_) => {
                let waiting = Arc::clone(&hands.shares).acquire_many_owned(share);
                match tokio::time::timeout_at(deadline, waiting).await {
                    Ok(Ok(share)) => share,
                    Ok(Err(_)) => return Err(PublishError::Closed),
                    Err(_) => return Err(PublishError::Timeout(hands.timeout)),
                }
            }
        };
        let (done, answer) = oneshot::channel();
        // There is room for as many as there are shares.
        let sent = hands.orders.try_send(Order { what, deadline, done, share });
        sent.map_err(|_| PublishError::Closed)?;
        answer.await.unwrap_or(Err(PublishError::Closed))
    }

    fn check(&self, size: usize) -> Result<(), EncodeError> {
        let limit = self.hands.longest_topic;
        if size > limit {
            return Err(EncodeError::TooLarge { what: "topic", size, limit });
        }
        Ok(())
    }

    /// Whether there is a connection, now and as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.hands.state.clone()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.hands.shared.counting.read()
    }

    /// Leaves all topics, writes what waits to be written (for 2 s at most), and hangs up. What is
    /// not answered by then ends with [`PublishError::Closed`], and subscriptions end.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.hands.controls.send(Control::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &*self.hands.state.borrow()).finish_non_exhaustive()
    }
}

/// A node's words: escaped and cut.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut shown = String::new();
    for c in text.trim().chars().take(SHOWN) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}
