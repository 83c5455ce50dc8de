//! What happened, in words.

use std::collections::VecDeque;
use std::time::Duration;

/// Events that are kept for the table.
const KEPT: usize = 32;

/// Something worth a line.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) text: String,
}

/// The last events.
#[derive(Debug, Default)]
pub(super) struct Events {
    last: VecDeque<Event>,
    /// How many there were.
    count: u64,
}

impl Events {
    pub(super) fn push(&mut self, at: Duration, text: String) {
        tracing::info!("{text}");
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Event { at, text });
        self.count += 1;
    }

    /// The last of them, oldest first, and how many there were in all.
    pub(super) fn snapshot(&self) -> (Vec<Event>, u64) {
        (self.last.iter().cloned().collect(), self.count)
    }
}
