//! Which messages were delivered: a window of ids for each source.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::keccak256;

/// The ids of the last messages of each source, bounded for each and in all. When there are too
/// many in all, the source that has been silent longest is forgotten.
#[derive(Debug)]
pub(super) struct Recent {
    per_source: usize,
    in_all: usize,
    held: usize,
    clock: u64,
    sources: BTreeMap<[u8; 16], Window>,
    by_use: BTreeMap<u64, [u8; 16]>,
}

#[derive(Debug, Default)]
struct Window {
    order: VecDeque<[u8; 16]>,
    ids: BTreeSet<[u8; 16]>,
    used: u64,
}

impl Recent {
    pub(super) fn new(per_source: usize, in_all: usize) -> Self {
        let (sources, by_use) = (BTreeMap::new(), BTreeMap::new());
        Self { per_source, in_all, held: 0, clock: 0, sources, by_use }
    }

    /// Notes a message; `false` if it is noted already.
    pub(super) fn note(&mut self, source: &[u8], id: &[u8]) -> bool {
        let (source, id) = (digest(source), digest(id));
        self.clock += 1;
        let window = self.sources.entry(source).or_default();
        self.by_use.remove(&window.used);
        window.used = self.clock;
        self.by_use.insert(self.clock, source);
        if !window.ids.insert(id) {
            return false;
        }
        window.order.push_back(id);
        self.held += 1;
        if window.order.len() > self.per_source
            && let Some(oldest) = window.order.pop_front()
        {
            window.ids.remove(&oldest);
            self.held -= 1;
        }
        while self.held > self.in_all
            && let Some((_, source)) = self.by_use.pop_first()
        {
            let window = self.sources.remove(&source);
            self.held -= window.map_or(0, |window| window.order.len());
        }
        true
    }

    /// Ids that are held.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.held
    }
}

/// 16 bytes that stand for an id of any length: peers may write long ones.
fn digest(id: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(keccak256(id)) {
        *to = from;
    }
    short
}
