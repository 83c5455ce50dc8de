//! How much is taken from whom, and who was answered when.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use chainmesh_identity::PeerId;

use super::config::{
    ANSWER_BURST, ANSWER_EVERY, MAX_ANSWERED, MAX_SOURCES, MAX_TAKEN_PER_DAY, MAX_TAKEN_PER_HOUR,
};
use crate::discovery::{Prefix, is_lan};
use crate::time::Instant;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Tellers that are likely to be one: those of a /24 (IPv6: /48); of a local network, each address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Network(Prefix),
    Local(IpAddr),
}

impl Source {
    const fn of(ip: IpAddr) -> Self {
        if is_lan(ip) { Self::Local(ip) } else { Self::Network(Prefix::of(ip)) }
    }
}

/// A count that begins anew after a time.
#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    count: usize,
}

impl Window {
    /// How many more there may be, now.
    fn room(&mut self, now: Instant, span: Duration, limit: usize) -> usize {
        if now.saturating_since(self.began) >= span {
            *self = Self { began: now, count: 0 };
        }
        limit.saturating_sub(self.count)
    }
}

/// What was taken from each source.
#[derive(Debug, Default)]
pub(super) struct Quota {
    sources: BTreeMap<Source, (Window, Window)>,
}

impl Quota {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// How many of `wanted` may be taken from a teller at `from`. They count as taken.
    pub(super) fn take(&mut self, now: Instant, from: IpAddr, wanted: usize) -> usize {
        let source = Source::of(from);
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            let oldest = self.sources.iter().min_by_key(|(_, (_, day))| day.began);
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.sources.remove(&oldest);
            }
        }
        let window = Window { began: now, count: 0 };
        let (hour, day) = self.sources.entry(source).or_insert((window, window));
        let room =
            hour.room(now, HOUR, MAX_TAKEN_PER_HOUR).min(day.room(now, DAY, MAX_TAKEN_PER_DAY));
        let taken = wanted.min(room);
        hour.count = hour.count.saturating_add(taken);
        day.count = day.count.saturating_add(taken);
        taken
    }
}

/// Who was answered when: by ID, so that a new session is no new beginning.
#[derive(Debug, Default)]
pub(super) struct Answered {
    peers: BTreeMap<PeerId, (u32, Instant)>,
}

impl Answered {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether a peer may be answered now; it counts as answered.
    pub(super) fn admit(&mut self, now: Instant, peer: PeerId) -> bool {
        if self.peers.len() >= MAX_ANSWERED && !self.peers.contains_key(&peer) {
            let oldest = self.peers.iter().min_by_key(|(_, (_, at))| *at).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
        let (left, since) = self.peers.entry(peer).or_insert((ANSWER_BURST, now));
        while *left < ANSWER_BURST && now.saturating_since(*since) >= ANSWER_EVERY {
            *left = left.saturating_add(1);
            *since = *since + ANSWER_EVERY;
        }
        if *left == ANSWER_BURST {
            *since = now;
        }
        let admitted = *left > 0;
        *left = left.saturating_sub(1);
        admitted
    }
}
