//! Looking after the table: lookups from time to time, and whether those in it are still there.

use core::time::Duration;
use std::collections::VecDeque;

use chainmesh_identity::PeerId;
use rand_core::Rng;

use super::config::{
    BUCKET_SIZE, FIRST_REFRESH_INTERVAL, LONELY_REFRESH_INTERVAL, RANDOM_LOOKUPS, REFRESH_INTERVAL,
    REVALIDATION_INTERVAL,
};
use super::lookup::Wanted;
use super::table::Origin;
use super::{Discovery, QUIET_AFTER_BOND, Timer};
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Refresh {
    /// Targets of the lookups that are still to be made.
    left: VecDeque<PeerId>,
    /// How long the next one is waited for.
    wait: Duration,
    /// Whether one is over.
    initialised: bool,
}

impl Refresh {
    pub(super) const fn new() -> Self {
        Self { left: VecDeque::new(), wait: FIRST_REFRESH_INTERVAL, initialised: false }
    }

    pub(super) const fn is_initialised(&self) -> bool {
        self.initialised
    }
}

impl Discovery {
    /// Begins a refresh: who is near us, and who is anywhere.
    pub(super) fn start_refresh(&mut self, now: Instant) {
        self.refresh.left.clear();
        self.refresh.left.push_back(self.local_id);
        for _ in 0..RANDOM_LOOKUPS {
            let mut target = [0; 64];
            self.rng.fill_bytes(&mut target);
            self.refresh.left.push_back(PeerId::from(target));
        }
        if self.table.len() < BUCKET_SIZE {
            for contact in self.boot_nodes.clone() {
                self.ping(now, contact, Origin::Boot, 1);
            }
        }
        self.continue_refresh(now);
    }

    /// The next lookup of the refresh, or its end.
    pub(super) fn continue_refresh(&mut self, now: Instant) {
        if let Some(target) = self.refresh.left.pop_front() {
            let lookup = self.next_lookup();
            self.start_lookup(now, lookup, target, Wanted::ByRefresh);
            return;
        }
        if !self.refresh.initialised {
            self.refresh.initialised = true;
            self.place_early(now);
        }
        self.counters.refreshes = self.counters.refreshes.saturating_add(1);
        let lonely = self.table.len() < BUCKET_SIZE;
        let longest = if lonely { LONELY_REFRESH_INTERVAL } else { REFRESH_INTERVAL };
        let wait = self.refresh.wait.min(longest);
        self.refresh.wait = wait.saturating_mul(2).min(longest);
        // A quarter up or down: nodes that began together do not go on together.
        let at = self.within(now + wait * 3 / 4, wait / 2);
        self.timers.set(Timer::Refresh, at);
    }

    /// Looks whether a node of the table is still there.
    pub(super) fn revalidate(&mut self, now: Instant) {
        let quiet = |added| now.saturating_since(added) < QUIET_AFTER_BOND;
        let entry = self.table.least_recently_checked(&mut self.rng, |entry| !quiet(entry.added));
        if let Some((contact, origin)) = entry.map(|entry| (entry.contact, entry.origin)) {
            self.ping(now, contact, origin, 1);
        }
        let at = self.within(now, REVALIDATION_INTERVAL);
        self.timers.set(Timer::Revalidate, at);
    }
}
