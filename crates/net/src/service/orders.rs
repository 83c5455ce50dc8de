//! What the owner of a node, and the tasks beside it, ask of the control plane.

use chainmesh_identity::PeerId;
use chainmesh_proto::peers::{
    DialTarget, Input, Merit, NodeKind, Offence, PeerInfo, Report as PeerReport, TargetKey,
};
use chainmesh_proto::session::tls::PeerCertificate;
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use tokio::sync::oneshot;
use tracing::warn;

use super::Service;
use crate::book::BookOrder;
use crate::discovery::Found;
use crate::handle::PeerStatus;
use crate::pex::PexOrder;

/// What the owner of the node asks of the control plane.
pub(crate) enum Order {
    /// Be connected to this node.
    Add(DialTarget, NodeKind),
    /// Forget this node, and end the session with it.
    Remove(PeerId),
    /// Want no connection to this node any more.
    Forget(TargetKey),
    /// End the session with this peer.
    Disconnect(PeerId, DisconnectReason),
    /// Judge the certificates of all peers again, and end the sessions of those that are refused.
    JudgeAgain(oneshot::Sender<usize>),
    /// Discovery found a node.
    Found(Box<Found>),
    /// The head of the chain has passed a fork.
    ForkPassed,
    /// Something about the address book.
    Book(BookOrder),
    /// A peer did something wrong: what, and in words.
    Offence(PeerId, Offence, String),
    /// A peer did something well.
    Merit(PeerId, Merit),
    /// Something that peer exchange needs of the address book.
    Pex(PexOrder),
    /// Tell what there is to know of connections.
    Peers(oneshot::Sender<Vec<PeerStatus>>),
    /// Tell what the peer manager knows and has counted.
    PeerReport(oneshot::Sender<PeerReport>),
    /// Close everything, say goodbye, end.
    Shutdown(oneshot::Sender<()>),
}

impl Service {
    pub(super) fn order(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Add(target, kind) => self.manager.handle(now, Input::AddNode { target, kind }),
            Order::Remove(id) => {
                self.manager.handle(now, Input::RemoveNode { key: TargetKey::Id(id) });
                let reason = DisconnectReason::Requested;
                self.manager.handle(now, Input::Disconnect { id, reason });
            }
            Order::Forget(key) => self.manager.handle(now, Input::RemoveNode { key }),
            Order::Disconnect(id, reason) => {
                self.manager.handle(now, Input::Disconnect { id, reason });
            }
            Order::JudgeAgain(answer) => {
                let _ = answer.send(self.judge_again());
            }
            Order::Peers(answer) => {
                let _ = answer.send(self.peers(now));
            }
            Order::PeerReport(answer) => {
                let _ = answer.send(self.manager.snapshot());
            }
            Order::Found(found) => {
                self.found(&found.enode, found.protocol);
                self.heard_record(&found);
            }
            Order::ForkPassed => self.bookkeeper.book.fork_passed(),
            Order::Book(order) => self.book_order(order),
            Order::Offence(id, offence, words) => self.accused(id, offence, words),
            Order::Merit(id, merit) => self.manager.handle(now, Input::Merit { id, merit }),
            Order::Pex(order) => self.pex_order(order),
            Order::Shutdown(_) => {}
        }
    }

    /// Ends the sessions of peers whose certificates would be refused now.
    fn judge_again(&mut self) -> usize {
        let Some(tls) = &self.local.tls else { return 0 };
        let (trust, Some(time)) = (tls.material.trust(), tls.time.current_time()) else { return 0 };
        let refused = self.connections.values().filter_map(|entry| {
            let PeerCertificate { chain, side, .. } = entry.certificate.as_deref()?;
            let (own, others) = chain.split_first()?;
            Some((entry, trust.verify(own, others, *side, time).err()?))
        });
        let mut count = 0;
        for (entry, error) in refused {
            warn!(peer = entry.name(), "session ended, since our lists have changed: {error}");
            entry.link.close(DisconnectReason::Requested);
            count += 1;
        }
        count
    }

    pub(crate) fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        let status = |info: PeerInfo| {
            let entry = info.connection.and_then(|conn| self.connections.get(&conn));
            let status = PeerStatus::new(info, entry.map(|entry| &*entry.link), now);
            PeerStatus { local_address: entry.and_then(|entry| entry.local_address), ..status }
        };
        self.manager.snapshot().peers.into_iter().map(status).collect()
    }
}
