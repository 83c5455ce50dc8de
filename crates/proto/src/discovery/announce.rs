//! How many nodes of one owner are announced: whoever listens dials them.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::address::{Prefix, is_lan};
use super::config::{ANNOUNCE_WINDOW, MAX_ANNOUNCED_PER_PREFIX, MAX_COUNTED_ADDRESSES};
use crate::time::Instant;

/// Announcements of each prefix since its window began.
#[derive(Debug, Default)]
pub(super) struct Announced {
    by_prefix: BTreeMap<Prefix, (Instant, usize)>,
    by_begin: BTreeSet<(Instant, Prefix)>,
}

impl Announced {
    /// Whether a node at this address may be announced; if so, it counts.
    pub(super) fn allow(&mut self, now: Instant, ip: IpAddr) -> bool {
        if is_lan(ip) {
            return true;
        }
        let over = |begin: Instant| now.saturating_since(begin) >= ANNOUNCE_WINDOW;
        while let Some((begin, prefix)) = self.by_begin.first().copied()
            && (over(begin) || self.by_begin.len() > MAX_COUNTED_ADDRESSES)
        {
            self.by_begin.remove(&(begin, prefix));
            self.by_prefix.remove(&prefix);
        }
        let prefix = Prefix::of(ip);
        let (begin, count) = self.by_prefix.entry(prefix).or_insert((now, 0));
        self.by_begin.insert((*begin, prefix));
        *count += 1;
        *count <= MAX_ANNOUNCED_PER_PREFIX
    }
}
