//! The event queue: by time, and in the order of arrival where times are equal.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

use chainmesh_proto::time::Instant;

struct Entry<E> {
    at: Instant,
    place: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest entry first: the earliest has to be the greatest.
        other.at.cmp(&self.at).then(other.place.cmp(&self.place))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

/// Events to come.
pub(crate) struct Schedule<E> {
    heap: BinaryHeap<Entry<E>>,
    next_place: u64,
}

impl<E> Schedule<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), next_place: 0 }
    }

    pub(crate) fn add(&mut self, at: Instant, event: E) {
        self.heap.push(Entry { at, place: self.next_place, event });
        self.next_place += 1;
    }

    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}
