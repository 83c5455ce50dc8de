//! Slots: how many authenticated peers there may be, and who may take the last ones.

use super::config::DIAL_RATIO;

/// What a peer's place is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// It came to us, and nobody here asked for it.
    Inbound,
    /// We dialled it, or it is one that we would dial (configured, or being dialled right now).
    Outbound,
    /// It is trusted: beside `max_peers`.
    Trusted,
}

/// Slots used and free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotUse {
    /// Peers at most, trusted ones not counted.
    pub max_peers: usize,
    /// Slots that inbound peers never get.
    pub outbound_reserve: usize,
    /// Inbound slots in use.
    pub inbound: usize,
    /// Outbound slots in use.
    pub outbound: usize,
    /// Trusted peers.
    pub trusted: usize,
}

impl SlotUse {
    /// Nobody there yet. A third of the slots, at least one, is reserved for outbound; a node with
    /// a single slot gives it to whoever comes first.
    pub(super) const fn new(max_peers: usize) -> Self {
        let reserve = if max_peers > 1 { Self::max_dynamic(max_peers) } else { 0 };
        Self { max_peers, outbound_reserve: reserve, inbound: 0, outbound: 0, trusted: 0 }
    }

    const fn max_dynamic(max_peers: usize) -> usize {
        let share = max_peers / DIAL_RATIO;
        if share == 0 { 1 } else { share }
    }

    /// Peers that `max_peers` limits.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.inbound.saturating_add(self.outbound)
    }

    /// Free slots for peers that this node dials or has configured.
    #[must_use]
    pub const fn free_outbound(&self) -> usize {
        self.max_peers.saturating_sub(self.used())
    }

    /// Free slots for peers that come by themselves.
    #[must_use]
    pub const fn free_inbound(&self) -> usize {
        let share = self.max_peers.saturating_sub(self.outbound_reserve);
        let share = share.saturating_sub(self.inbound);
        let free = self.free_outbound();
        if share < free { share } else { free }
    }

    /// Outbound slots that targets found by discovery may still fill: they get their share of the
    /// slots and not more, or an attacker's address list would replace its connections.
    #[must_use]
    pub const fn free_dynamic(&self) -> usize {
        let share = Self::max_dynamic(self.max_peers).saturating_sub(self.outbound);
        let free = self.free_outbound();
        if share < free { share } else { free }
    }

    /// Whether there are more outbound peers than the share of those that discovery finds: one is here
    /// on trial, or some are configured.
    pub(super) const fn is_over_dynamic_share(&self) -> bool {
        self.outbound > Self::max_dynamic(self.max_peers)
    }

    /// Takes a slot; false when none is free.
    pub(super) const fn take(&mut self, slot: Slot) -> bool {
        let (free, count) = match slot {
            Slot::Inbound => (self.free_inbound(), &mut self.inbound),
            Slot::Outbound => (self.free_outbound(), &mut self.outbound),
            Slot::Trusted => (usize::MAX, &mut self.trusted),
        };
        if free == 0 {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    /// Gives a slot back.
    pub(super) const fn release(&mut self, slot: Slot) {
        let count = match slot {
            Slot::Inbound => &mut self.inbound,
            Slot::Outbound => &mut self.outbound,
            Slot::Trusted => &mut self.trusted,
        };
        *count = count.saturating_sub(1);
    }
}
