//! How much may be sent and received: token buckets per peer, group and module.

use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::certificate::ShortId;
use chainmesh_wire::mesh::ModuleId;

use crate::time::Instant;

/// Modules that FISCO exempts by default: PBFT, Raft and the two transaction syncs
/// (`modules_without_bw_limit`: raft,pbft,cons_txs_sync,txs_sync).
pub const EXEMPT_MODULES: [ModuleId; 4] =
    [ModuleId::PBFT, ModuleId::RAFT, ModuleId::TXS_SYNC, ModuleId::CONS_TXS_SYNC];

/// How much a second. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Bytes of whole packets a second.
    pub bytes: Option<u64>,
    /// Messages a second.
    pub messages: Option<u64>,
}

/// Limits of application messages, in and out together. Sessions, routes, statuses and topic lists
/// are never limited. By default there is none, as in FISCO (`flow_control.enable` is false).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Each neighbour's messages, also those that are passed on.
    pub peer: Rate,
    /// The messages of each group that `groups` does not name.
    pub group: Rate,
    /// The messages of a group.
    pub groups: BTreeMap<Bytes, Rate>,
    /// The messages of a module, all groups together.
    pub modules: BTreeMap<ModuleId, Rate>,
    /// Modules whose messages no limit holds up.
    pub exempt: Vec<ModuleId>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peer: Rate::default(),
            group: Rate::default(),
            groups: BTreeMap::new(),
            modules: BTreeMap::new(),
            exempt: EXEMPT_MODULES.to_vec(),
        }
    }
}

/// Two buckets that fill up at a rate and hold at most what one second brings. A message is
/// admitted while something is left, and may leave a debt: so the largest message passes a small
/// limit too, and the mean is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    rate: Rate,
    /// In millionths of a byte and of a message.
    bytes: i128,
    messages: i128,
    filled: Instant,
}

/// Millionths of one, and microseconds of a second.
const MICRO: i128 = 1_000_000;

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        let full = |rate: Option<u64>| i128::from(rate.unwrap_or(0)) * MICRO;
        Self { rate, bytes: full(rate.bytes), messages: full(rate.messages), filled: now }
    }

    /// Whether there is something left.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_since(self.filled).as_micros();
        let elapsed = i128::try_from(elapsed).unwrap_or(i128::MAX).min(3600 * MICRO);
        self.filled = now;
        let fill = |level: &mut i128, rate: Option<u64>| match rate {
            Some(rate) => {
                let rate = i128::from(rate);
                *level = (*level + rate * elapsed).min(rate * MICRO);
                *level > 0
            }
            None => true,
        };
        let bytes = fill(&mut self.bytes, self.rate.bytes);
        fill(&mut self.messages, self.rate.messages) && bytes
    }

    /// Takes what a message of `size` bytes needs.
    pub(crate) fn take(&mut self, size: usize) {
        self.bytes -= i128::try_from(size).unwrap_or(i128::MAX / MICRO) * MICRO;
        self.messages -= MICRO;
    }
}

/// Groups without a limit of their own that have a bucket each; all others share one.
const MAX_GROUP_BUCKETS: usize = 1024;

/// Applies the limits in one direction.
#[derive(Debug)]
pub(super) struct Limiter {
    limits: Limits,
    peers: BTreeMap<ShortId, Bucket>,
    groups: BTreeMap<Bytes, Bucket>,
    modules: BTreeMap<ModuleId, Bucket>,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        let (peers, groups, modules) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { limits, peers, groups, modules }
    }

    /// A neighbour has left.
    pub(super) fn forget_peer(&mut self, peer: &ShortId) {
        self.peers.remove(peer);
    }

    /// Whether a message of `size` bytes is within all limits; if so it is counted. A neighbour,
    /// group or module that is not given is not looked at; AMOP has no group.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        peer: Option<&ShortId>,
        group: Option<&[u8]>,
        module: Option<ModuleId>,
        size: usize,
    ) -> bool {
        if module.is_some_and(|module| self.limits.exempt.contains(&module)) {
            return true;
        }
        let limits = &self.limits;
        let mut buckets = Vec::new();
        if let Some(peer) = peer.filter(|_| limits.peer != Rate::default()) {
            let new = || Bucket::new(limits.peer, now);
            buckets.push(self.peers.entry(*peer).or_insert_with(new));
        }
        if let Some(group) = group {
            let own = limits.groups.get(group);
            let rate = own.copied().unwrap_or(limits.group);
            let known = own.is_some() || self.groups.contains_key(group);
            // The peers choose the names of groups.
            let shared = !known && self.groups.len() >= MAX_GROUP_BUCKETS;
            let name = if shared { &[] } else { group };
            if rate != Rate::default() {
                let new = || Bucket::new(rate, now);
                let name = Bytes::copy_from_slice(name);
                buckets.push(self.groups.entry(name).or_insert_with(new));
            }
        }
        if let Some((module, rate)) = module.and_then(|it| limits.modules.get_key_value(&it)) {
            buckets.push(self.modules.entry(*module).or_insert_with(|| Bucket::new(*rate, now)));
        }
        let admitted = buckets.iter_mut().all(|bucket| bucket.admits(now));
        if admitted {
            buckets.into_iter().for_each(|bucket| bucket.take(size));
        }
        admitted
    }
}
