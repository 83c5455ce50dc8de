//! Who is told what happens in the pool, in order, and with no lock held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::event::MempoolEvent;

/// Events that wait for slow subscribers; older ones are thrown away and counted. More than one
/// new head can make of a full pool, several times over.
const MAX_WAITING_EVENTS: usize = 65_536;

type Callback = Arc<dyn Fn(&[MempoolEvent]) + Send + Sync>;

#[derive(Default)]
struct Registry {
    next: u64,
    callbacks: BTreeMap<u64, Callback>,
    waiting: VecDeque<MempoolEvent>,
    missed: u64,
    /// Some thread is telling; it takes what comes meanwhile, too.
    telling: bool,
}

/// The callbacks, and what they have not been told yet.
#[derive(Default)]
pub(super) struct Subscribers(Arc<Mutex<Registry>>);

/// A subscription to what happens in the pool; it ends when this is dropped.
#[must_use = "the subscription ends when this is dropped"]
pub struct MempoolSubscription {
    id: u64,
    registry: Weak<Mutex<Registry>>,
}

impl core::fmt::Debug for MempoolSubscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MempoolSubscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for MempoolSubscription {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            let removed = lock(&registry).callbacks.remove(&self.id);
            // What the callback holds may end with it, and may want to ask us something.
            drop(removed);
        }
    }
}

fn lock(registry: &Mutex<Registry>) -> MutexGuard<'_, Registry> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscribers {
    pub(super) fn subscribe(&self, callback: Callback) -> MempoolSubscription {
        let mut registry = lock(&self.0);
        let id = registry.next;
        registry.next += 1;
        registry.callbacks.insert(id, callback);
        MempoolSubscription { id, registry: Arc::downgrade(&self.0) }
    }

    /// Puts events behind those that wait. Called while the pool is locked, so that their order
    /// is the order in which things happened.
    pub(super) fn push(&self, events: Vec<MempoolEvent>) {
        let mut registry = lock(&self.0);
        if registry.callbacks.is_empty() {
            return;
        }
        registry.waiting.extend(events);
        while registry.waiting.len() > MAX_WAITING_EVENTS {
            registry.waiting.pop_front();
            registry.missed += 1;
        }
    }

    /// Tells what waits. Called with the pool unlocked; a callback may use the pool.
    pub(super) fn tell(&self) {
        let mut registry = lock(&self.0);
        if registry.telling {
            return;
        }
        registry.telling = true;
        drop(registry);
        let _done = Telling(&self.0);
        loop {
            let (events, callbacks) = {
                let mut registry = lock(&self.0);
                let mut events = Vec::from(core::mem::take(&mut registry.waiting));
                if registry.missed > 0 {
                    events.insert(0, MempoolEvent::Missed { events: registry.missed });
                    registry.missed = 0;
                }
                if events.is_empty() {
                    // Under the same lock: what is pushed from now on is told by its own thread.
                    registry.telling = false;
                    return;
                }
                (events, registry.callbacks.values().cloned().collect::<Vec<_>>())
            };
            for callback in callbacks {
                callback(&events);
            }
        }
    }
}

/// Lets another thread tell when a callback has panicked.
struct Telling<'a>(&'a Mutex<Registry>);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.0).telling = false;
        }
    }
}
