//! [`SdkLink`]: one SDK, as the task of its connection sees it, and the queue of what it is to be
//! told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chainmesh_proto::amop::{AmopCast, AmopFailure, Input, Message, SdkFault, SdkSession};
use chainmesh_proto::mesh::MeshModule;
use chainmesh_proto::time::Instant;
use chainmesh_wire::amop::AmopError;
use chainmesh_wire::amop::channel::VerifyTopic;
use tokio::sync::Notify;

use super::service::Sdks;

/// Bytes that wait for one SDK above which no more messages are taken for it; one message may be
/// above it. Chosen: what a slow subscriber may cost.
pub const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of answers above which a publisher that does not read is cut: they cannot be left out.
const HARD_LIMIT: usize = 16 * QUEUE_BYTES;
/// What an entry counts beside what it says.
const ENTRY: usize = 256;

/// What an SDK is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SdkCommand {
    /// A message for it as a subscriber.
    Push(AmopCast, Message),
    /// How a message of its own ended.
    Done(AmopCast, Message, Result<Bytes, AmopFailure>),
    /// Whether a subscriber may have a private topic: the seq and the question.
    Verify(Bytes, VerifyTopic),
    /// Its list of topics was refused whole, and the old one holds.
    ListRefused(AmopError),
    /// Its session ends. Nothing follows.
    Close(SdkFault),
    /// The node ends. Nothing follows.
    Ended,
}

impl SdkCommand {
    fn cost(&self) -> usize {
        let said = match self {
            Self::Push(_, message) => message.topic.len() + message.data.len(),
            // What is given back is the whole message, and it is held in any case.
            Self::Done(_, message, result) => {
                let answer = result.as_ref().map_or(0, Bytes::len);
                message.topic.len() + message.data.len() + answer
            }
            Self::Verify(..) | Self::ListRefused(_) | Self::Close(_) | Self::Ended => 0,
        };
        ENTRY + said
    }
}

/// One SDK. When it is dropped, the broker knows that the SDK is gone.
#[derive(Debug)]
pub struct SdkLink {
    pub(super) session: SdkSession,
    pub(super) queue: Arc<Queue>,
    pub(super) mesh: MeshModule,
    pub(super) sdks: Arc<Sdks>,
}

impl SdkLink {
    /// Its name towards the broker.
    #[must_use]
    pub const fn session(&self) -> SdkSession {
        self.session
    }

    /// What time it is for the machines of `chainmesh_proto`.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.sdks.now()
    }

    /// The same point of time for tokio's timers.
    #[must_use]
    pub fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.sdks.at(instant)
    }

    /// The SDK says something.
    pub fn handle(&self, input: Input) {
        self.mesh.amop(input);
    }

    /// The SDK has said all this, in this order: the same as one by one, with less waiting for
    /// others.
    pub fn handle_all(&self, inputs: Vec<Input>) {
        if !inputs.is_empty() {
            self.mesh.amop_all(inputs);
        }
    }

    /// Bytes of answers that wait in the queue: who has many is not to be listened to.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.queue.lock().answers
    }

    /// What the SDK is to be told next. When this is dropped before it is ready, nothing is lost.
    pub async fn next(&self) -> SdkCommand {
        loop {
            let moved = self.queue.moved.notified();
            match self.try_next() {
                Some(command) => return command,
                None => moved.await,
            }
        }
    }

    /// The same, if it waits already.
    #[must_use]
    pub fn try_next(&self) -> Option<SdkCommand> {
        let (command, room) = self.queue.pop();
        if room {
            self.handle(Input::Room { session: self.session });
        }
        command
    }
}

impl SdkLink {
    /// The last command, when there is one: for a task that cannot take what is before it, since its
    /// SDK does not read. When this is dropped before it is ready, nothing is lost.
    pub async fn last(&self) -> SdkCommand {
        loop {
            let over = self.queue.over.notified();
            if let Some(last) = self.queue.lock().last.clone() {
                return last;
            }
            over.await;
        }
    }
}

impl Drop for SdkLink {
    fn drop(&mut self) {
        self.sdks.forget(self.session);
        self.handle(Input::Closed { session: self.session });
    }
}

/// What waits for one SDK.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    moved: Notify,
    over: Notify,
}

#[derive(Debug, Default)]
struct State {
    commands: VecDeque<SdkCommand>,
    bytes: usize,
    /// Of these, what is no message for a subscriber.
    answers: usize,
    /// The broker was told that there is no room.
    refused: bool,
    /// The last command, for ever.
    last: Option<SdkCommand>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message for a subscriber, if there is room.
    pub(super) fn push(&self, command: SdkCommand) -> bool {
        let mut state = self.lock();
        if state.bytes >= QUEUE_BYTES {
            state.refused = true;
            return false;
        }
        state.put(command);
        self.moved.notify_one();
        true
    }

    /// Takes what cannot be left out. Who lets too much of it wait is cut.
    pub(super) fn must(&self, command: SdkCommand) {
        let mut state = self.lock();
        match command {
            last @ (SdkCommand::Close(_) | SdkCommand::Ended) => state.end(last),
            _ if state.bytes >= HARD_LIMIT => state.end(SdkCommand::Close(SdkFault::TooSlow)),
            command => state.put(command),
        }
        if state.last.is_some() {
            self.over.notify_one();
        }
        self.moved.notify_one();
    }

    /// The next one, and whether there is room again since a refusal.
    fn pop(&self) -> (Option<SdkCommand>, bool) {
        let mut state = self.lock();
        if let Some(last) = &state.last {
            return (Some(last.clone()), false);
        }
        let command = state.commands.pop_front();
        let cost = command.as_ref().map_or(0, SdkCommand::cost);
        state.bytes -= cost;
        if !matches!(command, Some(SdkCommand::Push(..))) {
            state.answers -= cost;
        }
        let room = state.refused && state.bytes < QUEUE_BYTES / 2;
        if room {
            state.refused = false;
        }
        (command, room)
    }
}

impl State {
    fn put(&mut self, command: SdkCommand) {
        if self.last.is_none() {
            self.bytes += command.cost();
            if !matches!(command, SdkCommand::Push(..)) {
                self.answers += command.cost();
            }
            self.commands.push_back(command);
        }
    }

    fn end(&mut self, last: SdkCommand) {
        if self.last.is_none() {
            self.last = Some(last);
            self.commands = VecDeque::new();
            (self.bytes, self.answers) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests;
