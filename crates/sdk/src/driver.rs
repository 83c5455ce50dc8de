//! The task of a client: dials, speaks as long as the connection lives, and dials again.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info};

use crate::backoff::Backoff;
use crate::client::State;
use crate::config::ClientConfig;
use crate::counters::count;
use crate::dial::{self, Dialled};
use crate::error::{ConnectionError, Lost, PublishError, SubscribeError};
use crate::face::Seqs;
use crate::session::{Ended, Place};
use crate::shared::{Control, Order, ReplyOrder, Shared};
use crate::subscription::Queued;
use crate::topics::Topics;

/// How often it is looked for what has waited too long.
pub(crate) const PRECISION: Duration = Duration::from_millis(250);
/// A connection that lived for this time was a good one: the next attempt is a first one.
const LASTING: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// The receiving ends of what the hands of the application hold.
type Ends = (mpsc::Receiver<Order>, mpsc::Receiver<ReplyOrder>, mpsc::Receiver<Control>);

/// The task of a client.
pub(crate) struct Driver {
    pub(crate) config: ClientConfig,
    seqs: Seqs,
    pub(crate) shared: Arc<Shared>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) replies: mpsc::Receiver<ReplyOrder>,
    pub(crate) controls: mpsc::Receiver<Control>,
    state: watch::Sender<State>,
    pub(crate) topics: Topics,
    /// Of the last thing that we said.
    number: u64,
    /// Of the last message that came.
    pub(crate) sequence: u64,
    /// Of the connection.
    pub(crate) connection: u64,
    /// Taken from the application, not sent yet.
    pub(crate) held: VecDeque<Order>,
    /// Sent, not answered yet.
    pub(crate) pending: HashMap<u64, Pending>,
    /// Subscriptions that the node has not confirmed.
    pub(crate) unconfirmed: Vec<Unconfirmed>,
    /// Messages whose subscription has no room; they outlive the connection.
    pub(crate) parked: VecDeque<(Place, Queued)>,
}

/// What was sent and is not answered yet.
pub(crate) struct Pending {
    pub(crate) deadline: Instant,
    pub(crate) done: oneshot::Sender<Result<Bytes, PublishError>>,
    pub(crate) _share: OwnedSemaphorePermit,
}

/// A subscription that the node has not confirmed.
pub(crate) struct Unconfirmed {
    /// Of the sign of life whose answer confirms it; `None`: it was not sent yet.
    pub(crate) number: Option<u64>,
    pub(crate) deadline: Instant,
    pub(crate) done: oneshot::Sender<Result<(), SubscribeError>>,
}

impl Driver {
    pub(crate) fn new(
        config: ClientConfig,
        seqs: Seqs,
        shared: Arc<Shared>,
        (orders, replies, controls): Ends,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            config,
            seqs,
            shared,
            orders,
            replies,
            controls,
            state,
            topics: Topics::default(),
            number: 0,
            sequence: 0,
            connection: 0,
            held: VecDeque::new(),
            pending: HashMap::new(),
            unconfirmed: Vec::new(),
            parked: VecDeque::new(),
        }
    }

    /// A number that nothing else has.
    pub(crate) const fn fresh(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Speaks and dials until nobody wants it any more.
    pub(crate) async fn run(mut self, dialled: Dialled, mut at: usize) {
        let mut backoff = Backoff::new(self.config.reconnect);
        let mut dialled = Some(dialled);
        while let Some(connection) = dialled.take() {
            let began = Instant::now();
            let Some(url) = self.config.urls.get(at).cloned() else { break };
            info!(%url, "connected to a node");
            count(&self.shared.counting.connections);
            self.connection += 1;
            self.shared.set_connection(self.connection);
            self.state.send_replace(State::Connected { url: url.clone() });
            let reason = match self.speak(connection).await {
                Some(reason) => Arc::new(reason),
                None => break,
            };
            info!(%url, "the connection is lost: {reason}");
            if began.elapsed() >= LASTING {
                backoff.reset();
            }
            self.shared.set_connection(0);
            self.lose(&reason);
            let last = ConnectionError::Lost { url, reason };
            let again = self.dial_again(&mut backoff, last, at + 1).await;
            (dialled, at) = again.map_or((None, 0), |(connection, at)| (Some(connection), at));
        }
        self.shared.set_connection(0);
        self.state.send_replace(State::Closed);
    }

    /// How the connection was lost; `None`: nobody wants it any more.
    async fn speak(&mut self, connection: Dialled) -> Option<Lost> {
        let ended = match connection {
            Dialled::Channel(mut face) => {
                let ended = self.session(&mut *face).await;
                goodbye(&mut *face, &ended).await;
                ended
            }
            Dialled::WebSocket(mut face) => {
                let ended = self.session(&mut *face).await;
                goodbye(&mut *face, &ended).await;
                ended
            }
        };
        match ended {
            Ended::Lost(reason) => Some(reason),
            Ended::Dropped => None,
            Ended::Closed(done) => {
                let _ = done.send(());
                None
            }
        }
    }

    /// What waited for an answer has none.
    fn lose(&mut self, reason: &Arc<Lost>) {
        for (_, pending) in self.pending.drain() {
            let _ = pending.done.send(Err(PublishError::ConnectionLost(Arc::clone(reason))));
        }
        for unconfirmed in &mut self.unconfirmed {
            unconfirmed.number = None;
        }
    }

    /// A new connection; `None` when nobody wants one any more.
    async fn dial_again(
        &mut self,
        backoff: &mut Backoff,
        mut last: ConnectionError,
        begin: usize,
    ) -> Option<(Dialled, usize)> {
        let (config, seqs) = (self.config.clone(), self.seqs);
        for attempt in 1.. {
            let pause = backoff.next(dial::random());
            debug!(attempt, ?pause, "connecting again");
            let state = State::Reconnecting { attempt, last: last.clone(), pause };
            self.state.send_replace(state);
            self.meanwhile(tokio::time::sleep(pause), &last).await?;
            match self.meanwhile(dial::any(&config, seqs, begin), &last).await? {
                Ok(dialled) => return Some(dialled),
                Err(error) => last = ConnectionError::Dial(Arc::new(error)),
            }
        }
        None
    }

    /// Serves the application while something else is waited for, as far as it can be without a
    /// connection. `None` when nobody wants one any more.
    async fn meanwhile<F: Future>(
        &mut self,
        future: F,
        last: &ConnectionError,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut ticks = tokio::time::interval(PRECISION);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                output = &mut future => return Some(output),
                order = self.orders.recv() => self.held.push_back(order?),
                _ = self.replies.recv() => count(&self.shared.counting.replies_lost),
                Some(control) = self.controls.recv() => match control {
                    Control::Close(done) => {
                        let _ = done.send(());
                        return None;
                    }
                    Control::Subscribe { topic, queue, deadline, done } => {
                        self.follow(topic, queue, deadline, done);
                    }
                },
                _ = ticks.tick() => {
                    drop(self.shared.take_left());
                    if self.shared.take_dropped() {
                        self.topics.sweep();
                    }
                    self.expire(Some(last));
                }
            }
        }
    }

    /// Notes a subscription; whether its topic is a new one.
    pub(crate) fn follow(
        &mut self,
        topic: String,
        queue: mpsc::Sender<Queued>,
        deadline: Instant,
        done: oneshot::Sender<Result<(), SubscribeError>>,
    ) -> bool {
        let new = self.topics.add(topic.clone(), queue);
        // Too many, or too long ones.
        if let Err(error) = self.topics.list().to_json() {
            self.topics.take_back(&topic);
            let _ = done.send(Err(error.into()));
            return false;
        }
        self.unconfirmed.push(Unconfirmed { number: None, deadline, done });
        new
    }

    /// Ends what has waited too long; `last`: why there is no connection.
    pub(crate) fn expire(&mut self, last: Option<&ConnectionError>) {
        let (now, timeout) = (Instant::now(), self.config.timeout);
        let late: Vec<u64> =
            self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(n, _)| *n).collect();
        for number in late {
            if let Some(pending) = self.pending.remove(&number) {
                let _ = pending.done.send(Err(PublishError::Timeout(timeout)));
            }
        }
        // They are in the order of their deadlines, nearly.
        while self.held.front().is_some_and(|order| order.deadline <= now) {
            if let Some(order) = self.held.pop_front() {
                let error = match last {
                    Some(last) => PublishError::NotConnected(last.clone()),
                    None => PublishError::Timeout(timeout),
                };
                let _ = order.done.send(Err(error));
            }
        }
        for late in self.unconfirmed.extract_if(.., |one| one.deadline <= now) {
            let _ = late.done.send(Err(SubscribeError::Timeout(timeout)));
        }
    }
}

async fn goodbye<P: crate::face::Protocol>(face: &mut P, ended: &Ended) {
    if !matches!(ended, Ended::Lost(_)) {
        let closing = core::future::poll_fn(|cx| face.poll_close(cx));
        let _ = tokio::time::timeout(GOODBYE, closing).await;
    }
}
