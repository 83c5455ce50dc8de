//! The alarm for too few peers.

use super::{FLOOR_CALM, FLOOR_GRACE, PeerEvent, PeerManager, Timer};
use crate::time::Instant;

impl PeerManager {
    /// Starts the time after which it is said that there are too few peers, or enough again, and stops
    /// it when that is over before.
    pub(super) fn watch_floor(&mut self, now: Instant) {
        let below = self.announced.len() < self.config.min_peers;
        let running = self.timers.deadline(&Timer::Floor).is_some();
        if below == self.too_few || self.shutting_down {
            self.timers.cancel(&Timer::Floor);
        } else if !running {
            let wait = if below { FLOOR_GRACE } else { FLOOR_CALM };
            self.timers.set(Timer::Floor, now + wait);
        }
    }

    /// It has been so for long enough.
    pub(super) fn floor_crossed(&mut self) {
        self.too_few = !self.too_few;
        let (connected, minimum) = (self.announced.len(), self.config.min_peers);
        self.emit(match self.too_few {
            true => PeerEvent::TooFewPeers { connected, minimum },
            false => PeerEvent::EnoughPeers { connected, minimum },
        });
    }
}
