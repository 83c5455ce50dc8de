//! What the task of a client and the hands of the application have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use crate::counters::Counting;
use crate::error::{PublishError, SubscribeError};
use crate::face::AnswerTo;
use crate::subscription::{Kind, Queued};

/// Replies that wait for the task, above which a reply waits.
pub(crate) const REPLIES: usize = 1_024;
/// Acknowledgements that wait when the queue of replies is full, above which they are lost (and the
/// node asks somebody else). As many unanswered messages a node gives to one client.
const ACKNOWLEDGEMENTS: usize = 4_096;

/// What the task and the hands of the application have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Wakes the task.
    pub(crate) waker: AtomicWaker,
    pub(crate) counting: Counting,
    /// Bytes of messages that wait for the application.
    queued: AtomicUsize,
    /// The task has stopped reading, and wants to be woken.
    paused: AtomicBool,
    limit: usize,
    replies: mpsc::Sender<ReplyOrder>,
    /// Number of the connection that there is; 0: none.
    connection: AtomicU64,
    /// A subscription was dropped.
    dropped: AtomicBool,
    /// Whether there is something in `left`.
    has_left: AtomicBool,
    left: Mutex<Vec<ReplyOrder>>,
}

/// What is to be said on a topic, or called.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) what: What,
    pub(crate) deadline: Instant,
    pub(crate) done: oneshot::Sender<Result<Bytes, PublishError>>,
    /// Its share of what may be under way.
    pub(crate) share: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) enum What {
    Publish { kind: Kind, topic: Bytes, payload: Bytes },
    Call(Bytes),
}

/// A reply to a message that came over the connection with this number.
#[derive(Debug)]
pub(crate) struct ReplyOrder {
    pub(crate) connection: u64,
    pub(crate) to: AnswerTo,
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
}

/// What seldom happens.
#[derive(Debug)]
pub(crate) enum Control {
    Subscribe {
        topic: String,
        queue: mpsc::Sender<Queued>,
        deadline: Instant,
        done: oneshot::Sender<Result<(), SubscribeError>>,
    },
    Close(oneshot::Sender<()>),
}

impl Shared {
    pub(crate) fn new(limit: usize, replies: mpsc::Sender<ReplyOrder>) -> Self {
        Self {
            waker: AtomicWaker::new(),
            counting: Counting::default(),
            queued: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            limit,
            replies,
            connection: AtomicU64::new(0),
            dropped: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            left: Mutex::default(),
        }
    }

    /// This is the connection from now on; 0: there is none.
    pub(crate) fn set_connection(&self, number: u64) {
        self.connection.store(number, SeqCst);
    }

    /// Whether a connection was lost.
    pub(crate) fn is_over(&self, connection: u64) -> bool {
        self.connection.load(SeqCst) != connection
    }

    /// A message of so many bytes waits for the application.
    pub(crate) fn charge(&self, bytes: usize) {
        self.queued.fetch_add(bytes, SeqCst);
    }

    /// It waits no more.
    pub(crate) fn release(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes, SeqCst);
        if before >= self.limit && before - bytes < self.limit && self.paused.swap(false, SeqCst) {
            self.waker.wake();
        }
    }

    /// Whether a message may be read. If not, the task is woken when it may.
    pub(crate) fn has_room(&self) -> bool {
        if self.queued.load(SeqCst) < self.limit {
            return true;
        }
        self.paused.store(true, SeqCst);
        self.queued.load(SeqCst) < self.limit
    }

    /// Gives a reply to the task, and waits for room.
    pub(crate) async fn reply(&self, order: ReplyOrder) -> bool {
        self.replies.send(order).await.is_ok()
    }

    /// Gives an acknowledgement to the task, without waiting.
    pub(crate) fn reply_now(&self, order: ReplyOrder) {
        let Err(mpsc::error::TrySendError::Full(order)) = self.replies.try_send(order) else {
            return;
        };
        let mut left = self.left();
        if left.len() < ACKNOWLEDGEMENTS {
            left.push(order);
            self.has_left.store(true, SeqCst);
            self.waker.wake();
        } else {
            crate::counters::count(&self.counting.replies_lost);
        }
    }

    /// What did not find room in the queue of replies.
    pub(crate) fn take_left(&self) -> Vec<ReplyOrder> {
        if self.has_left.load(SeqCst) && self.has_left.swap(false, SeqCst) {
            core::mem::take(&mut *self.left())
        } else {
            Vec::new()
        }
    }

    /// A subscription was dropped.
    pub(crate) fn drop_subscription(&self) {
        self.dropped.store(true, SeqCst);
        self.waker.wake();
    }

    /// Whether subscriptions were dropped since this was asked last.
    pub(crate) fn take_dropped(&self) -> bool {
        self.dropped.load(SeqCst) && self.dropped.swap(false, SeqCst)
    }

    fn left(&self) -> MutexGuard<'_, Vec<ReplyOrder>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
