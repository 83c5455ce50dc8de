//! Who wants to know of new heads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chainmesh_proto::eth::chain::ChainHead;

/// The head of the chain has changed, and the change is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewHead {
    /// The head from now on.
    pub head: ChainHead,
    /// The head before.
    pub previous: ChainHead,
    /// The last block that both have in common: `previous` itself when the chain only grew.
    pub common_ancestor: u64,
}

impl NewHead {
    /// How many blocks are no longer canonical.
    #[must_use]
    pub const fn reorganised(&self) -> u64 {
        self.previous.number.saturating_sub(self.common_ancestor)
    }
}

type Callback = Arc<dyn Fn(&NewHead) + Send + Sync>;

#[derive(Default)]
struct Registry {
    next: u64,
    callbacks: BTreeMap<u64, Callback>,
}

/// The callbacks of those who have subscribed.
#[derive(Default)]
pub(crate) struct Heads(Arc<Mutex<Registry>>);

impl Heads {
    pub(crate) fn subscribe(&self, callback: Callback) -> Subscription {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = registry.next;
        registry.next += 1;
        registry.callbacks.insert(id, callback);
        Subscription { id, registry: Arc::downgrade(&self.0) }
    }

    pub(crate) fn publish(&self, new: &NewHead) {
        let callbacks: Vec<Callback> = {
            let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            registry.callbacks.values().cloned().collect()
        };
        for callback in callbacks {
            callback(new);
        }
    }
}

/// A subscription to new heads; it ends when this is dropped.
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription {
    id: u64,
    registry: Weak<Mutex<Registry>>,
}

impl core::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.lock().unwrap_or_else(PoisonError::into_inner).callbacks.remove(&self.id);
        }
    }
}
