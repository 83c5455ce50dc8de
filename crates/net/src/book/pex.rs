//! The address book and peer exchange: what peers are told, and what they tell.

use super::unix_time;
use crate::pex::PexOrder;
use crate::service::Service;

impl Service {
    /// Peer exchange asks for nodes when the book has too few to name.
    pub(super) fn say_what_is_needed(&self) {
        if let Some(pex) = &self.pex {
            pex.need(self.manager.room_for_dynamic());
        }
    }

    pub(crate) fn pex_order(&mut self, order: PexOrder) {
        let (now, unix) = (self.clock.now(), unix_time());
        match order {
            PexOrder::Sample { asker, limits, answer } => {
                let _ = answer.send(self.bookkeeper.book.sample(unix, asker, &limits));
            }
            PexOrder::Learned { from, nodes } => {
                self.bookkeeper.learned(&mut self.manager, now, unix, from, &nodes);
                self.say_what_is_needed();
            }
        }
    }
}
