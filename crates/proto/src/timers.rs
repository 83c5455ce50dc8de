//! A set of named deadlines: set, move, cancel, and take those that are due.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// Deadlines by name: one per name, found by time without a walk over all of them.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_name: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { by_time: BTreeSet::new(), by_name: BTreeMap::new() }
    }

    /// Sets or moves the deadline of `name`.
    pub(crate) fn set(&mut self, name: K, at: Instant) {
        self.cancel(&name);
        self.by_time.insert((at, name.clone()));
        self.by_name.insert(name, at);
    }

    /// Forgets the deadline of `name`; says whether there was one.
    pub(crate) fn cancel(&mut self, name: &K) -> bool {
        match self.by_name.remove(name) {
            Some(at) => self.by_time.remove(&(at, name.clone())),
            None => false,
        }
    }

    /// When `name` is due.
    pub(crate) fn deadline(&self, name: &K) -> Option<Instant> {
        self.by_name.get(name).copied()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one name whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, name) = self.by_time.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }
}
