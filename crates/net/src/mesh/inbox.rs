//! A bounded queue of messages for one receiver.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Message;

/// Messages that wait for one receiver, at most.
pub const INBOX_MESSAGES: usize = 1024;
/// Bytes of payload in them, at most; one message above that is taken if nothing else waits.
pub const INBOX_BYTES: usize = 8 << 20;

/// What waits for one receiver. When it is full, the oldest message is dropped, and counted: a
/// receiver that sleeps holds nobody up.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    bytes: usize,
    missed: u64,
    ended: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, message: Message) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let size = message.payload.len();
        while state.waiting.len() >= INBOX_MESSAGES || state.bytes + size > INBOX_BYTES {
            let Some(oldest) = state.waiting.pop_front() else { break };
            state.bytes -= oldest.payload.len();
            state.missed += 1;
        }
        state.bytes += size;
        state.waiting.push_back(message);
        drop(state);
        self.moved.notify_one();
    }

    /// The next message; `None` when the node has ended and nothing waits.
    pub(super) async fn next(&self) -> Option<Message> {
        loop {
            let moved = self.moved.notified();
            if let Some(taken) = self.take() {
                return taken;
            }
            moved.await;
        }
    }

    /// The next message if there is one, `Some(None)` at the end.
    fn take(&self) -> Option<Option<Message>> {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(message) => {
                state.bytes -= message.payload.len();
                Some(Some(message))
            }
            None => state.ended.then_some(None),
        }
    }

    /// The next message, if there is one now.
    pub(super) fn try_next(&self) -> Option<Message> {
        self.take().flatten()
    }

    pub(super) fn missed(&self) -> u64 {
        self.lock().missed
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.moved.notify_one();
    }
}

#[cfg(test)]
mod tests;
