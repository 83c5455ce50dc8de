//! What a connection shares with the rest of the node: the queue of what is to be sent, the
//! orders of the control plane, and counters.
//!
//! One lock for all of it, held for a few instructions. The connection's own task says when it is
//! awake ("attends"); while it is, nobody wakes it, so a handler that answers from inside the task
//! pays for a push and nothing else.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chainmesh_wire::devp2p::DisconnectReason;

/// Bytes that wait to be sent to one peer, all classes together. (`design`: 16 MiB; go-libp2p and
/// reth bound theirs in the same region.)
pub const MAX_QUEUED: usize = 16 * 1024 * 1024;

/// What a queued message costs beside its payload, so that empty messages are bounded too.
const ENTRY: usize = 64;

/// Requests of one peer that may be worked on elsewhere before no more is read from it.
pub const MAX_HOLDS: usize = 4;

/// The class of an outgoing message: which goes first, and what happens when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// First of all. When the queue is full the peer is not reading: it is cut.
    Control,
    /// Requests and responses, blocks. When the queue is full the sender is told to wait.
    Blocks,
    /// Gossip. When the queue is full the oldest gossip is dropped.
    Gossip,
}

const CLASSES: usize = 3;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The queue is full: wait with `PeerContext::ready` and send again.
    #[error("the queue to this peer is full ({MAX_QUEUED} bytes)")]
    Full,
    /// No session carries so large a message.
    #[error("a message of {0} bytes is larger than a session carries")]
    TooLarge(usize),
    /// The module has no such code.
    #[error("the module has no message code {code}, its codes end at {count}")]
    Code {
        /// The code.
        code: u32,
        /// How many codes the module has.
        count: u32,
    },
}

/// A message that waits to be sent; the code is the session's.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) code: u64,
    /// What stands before a payload that several receivers share.
    pub(super) head: Option<Box<[u8]>>,
    pub(super) payload: Bytes,
}

impl Outgoing {
    fn cost(&self) -> usize {
        self.len() + ENTRY
    }

    /// Bytes of head and payload.
    pub(super) fn len(&self) -> usize {
        self.payload.len() + self.head.as_ref().map_or(0, |head| head.len())
    }
}

#[derive(Default)]
struct State {
    queues: [VecDeque<Outgoing>; CLASSES],
    queued: usize,
    /// The part of `queued` that is gossip, and can be dropped.
    gossip: usize,
    dropped: u64,
    /// The connection's task is running and will look here before it sleeps.
    attended: bool,
    /// The connection's task sleeps until the network takes more: messages need not wake it.
    blocked: bool,
    waker: Option<Waker>,
    /// Senders that wait for room.
    waiting: Vec<Waker>,
    /// Cost of the largest message that was refused since somebody last found room: whoever waits
    /// waits for so much, or would be refused again at once.
    refused: usize,
    admitted: bool,
    close: Option<CloseOrder>,
    closed: bool,
    handshakes: usize,
    probe: bool,
}

/// Why the connection is to be closed from outside its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseOrder {
    /// The node or a module wants it.
    Asked(DisconnectReason),
    /// The queue ran over with control messages.
    SlowReader,
}

/// Traffic of a connection, readable from anywhere.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes from the network.
    pub bytes_in: AtomicU64,
    /// Bytes to the network.
    pub bytes_out: AtomicU64,
    /// Messages from the peer.
    pub messages_in: AtomicU64,
    /// Messages to the peer.
    pub messages_out: AtomicU64,
    /// Last measured round trip, microseconds; 0 until there is one.
    pub round_trip: AtomicU64,
}

/// The shared part of a connection.
#[derive(Default)]
pub struct Link {
    state: Mutex<State>,
    /// Bytes in the queue, for those who only look.
    queued: AtomicUsize,
    /// Requests that are being answered elsewhere.
    holds: AtomicUsize,
    /// Whether `State::probe` is worth a look.
    probed: AtomicBool,
    traffic: Traffic,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic; if it did, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Traffic so far.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// Whether others are held up: senders wait for room, or so much is being answered that
    /// nothing more is read.
    pub(super) fn is_full(&self) -> bool {
        self.is_paused() || self.queued() > MAX_QUEUED / 2 || !self.lock().waiting.is_empty()
    }

    /// Whether so much is being answered elsewhere that no more is to be read.
    pub(super) fn is_paused(&self) -> bool {
        self.holds.load(Relaxed) >= MAX_HOLDS
    }

    /// Messages of gossip that were dropped because the peer reads too slowly.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Lets an authenticated connection go on to Hello.
    pub fn admit(&self) {
        self.change(|state| state.admitted = true);
    }

    /// Asks the connection to end; the first reason counts.
    pub fn close(&self, reason: DisconnectReason) {
        self.change(|state| {
            state.close.get_or_insert(CloseOrder::Asked(reason));
        });
    }

    /// Asks the peer for a sign of life now, not at the next heartbeat.
    pub fn probe(&self) {
        self.change(|state| {
            state.probe = true;
            self.probed.store(true, Relaxed);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.take_waker()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Queues a message; the code is the session's.
    pub(crate) fn queue(
        &self,
        class: Class,
        code: u64,
        head: Option<Box<[u8]>>,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let message = Outgoing { code, head, payload };
        let cost = message.cost();
        let (outcome, waker) = {
            let mut state = self.lock();
            if state.closed || state.close.is_some() {
                return Err(SendError::Closed);
            }
            let room = state.make_room(class, cost);
            let waker = match room {
                Ok(()) => {
                    state.push(class, message);
                    if state.blocked { None } else { state.take_waker() }
                }
                Err(SendError::Closed) => state.take_waker(),
                Err(_) => None,
            };
            self.queued.store(state.queued, Relaxed);
            (room, waker)
        };
        // Whom a waker runs may come back here: never under the lock.
        if let Some(waker) = waker {
            waker.wake();
        }
        outcome
    }

    /// Ready when the queue is at most half full and has room for what was refused, or the
    /// connection is closed.
    pub(crate) fn poll_ready(&self, context: &Context<'_>) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if state.closed || state.close.is_some() {
            return Poll::Ready(Err(SendError::Closed));
        }
        if state.has_room() {
            state.refused = 0;
            return Poll::Ready(Ok(()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Moves up to `count` messages of up to about `bytes` from the queue to `into`, the most
    /// urgent class first, never two classes at once. Returns whether there was anything.
    pub(super) fn take(&self, into: &mut VecDeque<Outgoing>, count: usize, bytes: usize) -> bool {
        let mut woken = Vec::new();
        let taken = {
            let mut state = self.lock();
            let mut cost = 0;
            let first = state.queues.iter().position(|queue| !queue.is_empty());
            if let Some(queue) = first.and_then(|first| state.queues.get_mut(first)) {
                for _ in 0..count {
                    if cost >= bytes {
                        break;
                    }
                    let Some(message) = queue.pop_front() else { break };
                    cost += message.cost();
                    into.push_back(message);
                }
                if queue.is_empty() && queue.capacity() > 64 {
                    *queue = VecDeque::new();
                }
            }
            state.queued -= cost;
            if first == Some(Class::Gossip as usize) {
                state.gossip -= cost;
            }
            self.queued.store(state.queued, Relaxed);
            if state.has_room() {
                woken = core::mem::take(&mut state.waiting);
            }
            cost > 0
        };
        woken.into_iter().for_each(Waker::wake);
        taken
    }

    /// The connection's task is awake.
    pub(super) fn attend(&self) -> Orders {
        let mut state = self.lock();
        state.attended = true;
        state.blocked = false;
        Orders {
            admitted: state.admitted,
            close: state.close,
            paused: self.is_paused(),
            handshakes: state.handshakes,
        }
    }

    /// Whether somebody waits for a sign of life; asked once for each [`Link::probe`].
    pub(super) fn take_probe(&self) -> bool {
        if !self.probed.load(Relaxed) {
            return false;
        }
        let mut state = self.lock();
        self.probed.store(false, Relaxed);
        core::mem::take(&mut state.probe)
    }

    /// The connection's task is about to sleep. `false` if something came in between: look again.
    /// `blocked` says that the network takes no more now: what is queued does not keep it awake.
    pub(super) fn sleep(&self, waker: &Waker, seen: Orders, blocked: bool) -> bool {
        let mut state = self.lock();
        let idle = (blocked || state.queues.iter().all(VecDeque::is_empty))
            && state.close == seen.close
            && state.admitted == seen.admitted
            && self.is_paused() == seen.paused
            && state.handshakes == seen.handshakes
            && !state.probe;
        if idle {
            state.attended = false;
            state.blocked = blocked;
            if !state.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
                state.waker = Some(waker.clone());
            }
        }
        idle
    }

    /// The connection is over: nothing is taken any more, what waits is dropped.
    pub(super) fn shut(&self) {
        let (queues, waiting) = {
            let mut state = self.lock();
            state.closed = true;
            state.queued = 0;
            state.gossip = 0;
            self.queued.store(0, Relaxed);
            (core::mem::take(&mut state.queues), core::mem::take(&mut state.waiting))
        };
        drop(queues);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn begin_handshake(&self) {
        self.change(|state| state.handshakes += 1);
    }

    pub(crate) fn end_handshake(&self) {
        self.change(|state| state.handshakes = state.handshakes.saturating_sub(1));
    }

    pub(crate) fn hold(self: &Arc<Self>) -> ReadHold {
        self.holds.fetch_add(1, Relaxed);
        ReadHold(Arc::clone(self))
    }
}

impl State {
    fn take_waker(&mut self) -> Option<Waker> {
        if self.attended { None } else { self.waker.take() }
    }

    /// Whether those who wait for room have found it.
    fn has_room(&self) -> bool {
        self.queued == 0
            || self.queued <= MAX_QUEUED / 2 && self.queued + self.refused <= MAX_QUEUED
    }

    fn push(&mut self, class: Class, message: Outgoing) {
        let cost = message.cost();
        self.queued += cost;
        let [control, blocks, gossip] = &mut self.queues;
        match class {
            Class::Control => control.push_back(message),
            Class::Blocks => blocks.push_back(message),
            Class::Gossip => {
                self.gossip += cost;
                gossip.push_back(message);
            }
        }
    }

    /// Makes room for `cost` bytes of `class`, or says why it cannot. An empty queue takes a
    /// message of any size.
    fn make_room(&mut self, class: Class, cost: usize) -> Result<(), SendError> {
        if self.queued == 0 || self.queued + cost <= MAX_QUEUED {
            return Ok(());
        }
        match class {
            Class::Control => {
                self.close.get_or_insert(CloseOrder::SlowReader);
                Err(SendError::Closed)
            }
            Class::Blocks => {
                self.refused = self.refused.max(cost);
                Err(SendError::Full)
            }
            Class::Gossip => {
                let others = self.queued - self.gossip;
                if others > 0 && others + cost > MAX_QUEUED {
                    // Dropping all of the gossip would not help.
                    return Err(SendError::Full);
                }
                let [_, _, gossip] = &mut self.queues;
                while self.queued > 0 && self.queued + cost > MAX_QUEUED {
                    let Some(oldest) = gossip.pop_front() else { break };
                    self.queued -= oldest.cost();
                    self.gossip -= oldest.cost();
                    self.dropped += 1;
                }
                Ok(())
            }
        }
    }
}

/// What the control plane and the modules want of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) admitted: bool,
    pub(super) close: Option<CloseOrder>,
    pub(super) paused: bool,
    pub(super) handshakes: usize,
}

/// A request that is being answered elsewhere. While [`MAX_HOLDS`] of them are alive nothing more
/// is read from the peer.
pub struct ReadHold(Arc<Link>);

impl Drop for ReadHold {
    fn drop(&mut self) {
        self.0.change(|_| {
            self.0.holds.fetch_sub(1, Relaxed);
        });
    }
}

#[cfg(test)]
mod tests;
