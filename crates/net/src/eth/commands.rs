//! The six commands of the node's owner.

use std::sync::Arc;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::session::Class;
use chainmesh_wire::eth::{BlockId, EthVersion, Message, Origin, code, encode_response};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::{Asker, EthService};
use crate::event::SessionCommand;

/// Carries out commands until the last handle is gone or the node ends.
pub(crate) async fn run(
    service: Arc<EthService>,
    mut commands: mpsc::Receiver<SessionCommand>,
    mut ended: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => service.carry_out(command),
                None => return,
            },
            _ = ended.changed() => return,
        }
    }
}

impl EthService {
    fn carry_out(self: &Arc<Self>, command: SessionCommand) {
        match command {
            SessionCommand::BroadcastBlock { hash, number } => {
                if let Some(sync) = self.sync_driver() {
                    sync.local_head();
                }
                self.broadcast_own(BlockId { hash, number });
            }
            SessionCommand::GetBlockHeaders { peer_id, start, count } => {
                let asked = self.ask_headers(peer_id, Origin::Number(start), count, Asker::Owner);
                if let Err(error) = asked {
                    debug!(peer = %peer_id.short(), "headers were not asked for: {error}");
                }
            }
            SessionCommand::GetBlockBodies { peer_id, hashes } => {
                if let Err(error) = self.ask_bodies(peer_id, &hashes, Asker::Owner) {
                    debug!(peer = %peer_id.short(), "bodies were not asked for: {error}");
                }
            }
            SessionCommand::SendBlockHeaders { peer_id, request_id, headers } => {
                let items: Vec<_> = headers.iter().map(alloy_rlp::encode).collect();
                let payload = encode_response(request_id, &items);
                self.answer(peer_id, request_id, code::BLOCK_HEADERS, payload);
            }
            SessionCommand::SendBlockBodies { peer_id, request_id, bodies } => {
                let items: Vec<_> = bodies.iter().map(alloy_rlp::encode).collect();
                let payload = encode_response(request_id, &items);
                self.answer(peer_id, request_id, code::BLOCK_BODIES, payload);
            }
            SessionCommand::BroadcastTransactions { transactions } => {
                let transactions = transactions.into_iter().map(Bytes::from).collect();
                self.broadcast(&Message::Transactions(transactions), |_| true);
            }
        }
    }

    /// Sends one message to all peers that are `wanted`; it is encoded once and shared.
    pub(super) fn broadcast(
        &self,
        message: &Message,
        mut wanted: impl FnMut(&mut super::Peer) -> bool,
    ) {
        let payload = match message.encode() {
            Ok(payload) => payload,
            Err(error) => return debug!("{} cannot be sent: {error}", message.name()),
        };
        for peer in self.peers().values_mut() {
            if wanted(peer) {
                // Gossip to a peer that does not keep up is dropped by design.
                let context = peer.connection.context();
                let _ = context.send_as(Class::Gossip, message.code(), payload.clone());
            }
        }
    }

    /// Sends a message to these peers, in the form that each one's version has for it.
    pub(super) fn send_gossip(
        &self,
        ids: &[PeerId],
        code: u32,
        payload: impl Fn(EthVersion) -> Bytes,
    ) {
        let peers = self.peers();
        for peer in ids.iter().filter_map(|id| peers.get(id)) {
            let payload = payload(peer.connection.version());
            // As above.
            let _ = peer.connection.context().send_as(Class::Gossip, code, payload);
        }
    }

    fn answer(&self, id: PeerId, request_id: u64, code: u32, payload: Bytes) {
        match self.serving.answered_by_owner(id, request_id) {
            Some(job) => {
                let _ = job.connection().context().send(code, payload);
            }
            None => debug!(peer = %id.short(), request_id, "nobody waits for this answer"),
        }
    }
}
