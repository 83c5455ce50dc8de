//! The address book and peer exchange: what peers are told, and what they tell.

use chainmesh_identity::PeerId;
use chainmesh_proto::peers::book::AddressOrigin;
use chainmesh_proto::peers::{Input, NodeKind, TargetKey};

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
        let (now, unix, book) = (self.clock.now(), unix_time(), &mut self.bookkeeper.book);
        match order {
            PexOrder::Sample { asker, limits, answer } => {
                let _ = answer.send(book.sample(unix, asker, &limits));
            }
            PexOrder::Learned { from, nodes } => {
                for node in nodes {
                    book.add(unix, &node.enode(), AddressOrigin::Exchange, Some(from));
                }
                self.bookkeeper.feed(&mut self.manager, now, unix);
                self.say_what_is_needed();
            }
        }
    }

    /// What a peer told is dialled once; when is the next time is for the book to say.
    pub(super) fn drop_failed_hearsay(&mut self, id: PeerId) {
        let hearsay = self.bookkeeper.book.is_hearsay(&id);
        if hearsay && self.manager.target_kind(&id) == Some(NodeKind::Dynamic) {
            let key = TargetKey::Id(id);
            self.manager.handle(self.clock.now(), Input::RemoveNode { key });
        }
    }
}
