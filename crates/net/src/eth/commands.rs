//! The six commands of the node's owner.

use std::sync::Arc;

use bytes::Bytes;
use chainmesh_proto::session::Class;
use chainmesh_wire::eth::{BlockId, Message, Origin, code, encode_response};
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
    fn carry_out(&self, command: SessionCommand) {
        match command {
            SessionCommand::BroadcastBlock { hash, number } => {
                if let Some(sync) = self.sync_driver() {
                    sync.local_head();
                }
                self.broadcast_block(BlockId { hash, number });
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

    /// Tells all peers that do not know it of a block.
    pub(crate) fn broadcast_block(&self, block: BlockId) {
        self.broadcast(&Message::NewBlockHashes(vec![block]), |peer| {
            let new = !peer.known.contains(&block.hash);
            peer.known.insert(block.hash);
            new
        });
    }

    /// Sends one message to all peers that are `wanted`; it is encoded once and shared.
    fn broadcast(&self, message: &Message, mut wanted: impl FnMut(&mut super::Peer) -> bool) {
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

    fn answer(&self, id: chainmesh_identity::PeerId, request_id: u64, code: u32, payload: Bytes) {
        match self.serving.answered_by_owner(id, request_id) {
            Some(job) => {
                let _ = job.connection().context().send(code, payload);
            }
            None => debug!(peer = %id.short(), request_id, "nobody waits for this answer"),
        }
    }
}
