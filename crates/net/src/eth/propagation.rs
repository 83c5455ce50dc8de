//! New blocks on their way through this node: whole to a few peers, as a hash to the rest.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::chain::ImportError;
use chainmesh_proto::eth::known::{KnownHashes, MAX_KNOWN_BLOCKS};
use chainmesh_proto::eth::propagation::{Few, is_news};
use chainmesh_proto::peers::Merit;
use chainmesh_proto::session::Class;
use chainmesh_wire::eth::{BlockId, BlockRange, EthVersion, Message, NewBlock, code};
use tracing::debug;

use super::EthService;

/// What is remembered of new blocks.
pub(super) struct Propagation {
    /// Blocks that were looked at, so that each is checked and sent once.
    seen: Mutex<KnownHashes>,
    few: Mutex<Few>,
    /// Whether blocks are passed on at all.
    on: bool,
}

impl Propagation {
    pub(super) fn new(on: bool) -> Self {
        let few = Mutex::new(Few::new(crate::entropy()));
        Self { seen: Mutex::new(KnownHashes::new(MAX_KNOWN_BLOCKS)), few, on }
    }

    fn is_new(&self, hash: &B256) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(hash)
    }
}

impl EthService {
    /// A peer sent a block: when its header and seal are right it goes on to others, before it is
    /// executed.
    pub(super) fn pass_on(self: &Arc<Self>, from: PeerId, block: &NewBlock) {
        let Some(sync) = self.sync_driver() else { return };
        let (hash, number) = (block.header.hash, block.header.header.number);
        let news = is_news(number, self.chain.head().number);
        if !self.propagation.on || !news || !self.propagation.is_new(&hash) {
            return;
        }
        let (service, chain, block) = (Arc::clone(self), Arc::clone(sync.chain()), block.clone());
        tokio::task::spawn_blocking(move || {
            if !block.body.belongs_to(&block.header.header) {
                return;
            }
            match chain.check_header(&block.header.header, &hash) {
                Ok(Some(total_difficulty)) => {
                    service.witness.praise(from, Merit::NewBlock);
                    service.send_whole(hash, &block.header.rlp, &block.body.rlp, total_difficulty);
                }
                Ok(None) => {}
                // It is refused, and its sender judged, when it is imported.
                Err(ImportError::Invalid { reason, .. }) => {
                    debug!(number, %hash, "a block is not passed on: {reason}");
                }
                Err(error) => debug!(number, %hash, "a block is not passed on: {error}"),
            }
        });
    }

    /// Tells the peers of a block that this node made.
    pub(crate) fn broadcast_own(self: &Arc<Self>, block: BlockId) {
        self.propagation.is_new(&block.hash);
        let service = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Some((header, body, total_difficulty)) = service.read_head(&block.hash)
                && service.propagation.on
            {
                service.send_whole(block.hash, &header, &body, total_difficulty);
            }
            service.broadcast_block(block);
        });
    }

    /// Header, body and total difficulty of a block, if it is the head.
    fn read_head(&self, hash: &B256) -> Option<(Bytes, Bytes, U256)> {
        let head = self.chain.head();
        if head.hash != *hash {
            return None;
        }
        let header = self.chain.header_rlp(hash).ok()??;
        let body = self.chain.body_rlp(hash).ok()??;
        Some((header, body, head.total_difficulty))
    }

    /// Sends a block to a few of the peers that do not have it.
    fn send_whole(&self, hash: B256, header: &Bytes, body: &Bytes, total_difficulty: U256) {
        let Ok(payload) = NewBlock::encode(header, body, total_difficulty) else { return };
        let mut peers = self.peers();
        let without = peers.iter().filter(|(_, peer)| {
            is_sent_blocks(peer.connection.version()) && !peer.known.contains(&hash)
        });
        // In a fixed order: who is chosen depends on the draw alone.
        let mut without: Vec<PeerId> = without.map(|(id, _)| *id).collect();
        without.sort_unstable();
        let mut few = self.propagation.few.lock().unwrap_or_else(PoisonError::into_inner);
        for id in few.draw(without) {
            if let Some(peer) = peers.get_mut(&id) {
                peer.known.insert(&hash);
                let context = peer.connection.context();
                // Gossip to a peer that does not keep up is dropped by design.
                let _ = context.send_as(Class::Gossip, code::NEW_BLOCK, payload.clone());
            }
        }
    }

    /// Tells all peers that do not know it of a block: its hash, or since eth/69, where blocks are
    /// not passed on, what can be had from us.
    pub(crate) fn broadcast_block(&self, block: BlockId) {
        if self.propagation.on {
            self.broadcast(&Message::NewBlockHashes(vec![block]), |peer| {
                is_sent_blocks(peer.connection.version()) && peer.known.insert(&block.hash)
            });
        }
        let range = BlockRange { earliest: 0, latest: block.number, latest_hash: block.hash };
        self.broadcast(&Message::BlockRangeUpdate(range), |peer| {
            !is_sent_blocks(peer.connection.version()) && peer.known.insert(&block.hash)
        });
    }
}

/// Whether blocks, and the hashes of new ones, are passed on to a peer. Nodes that speak eth/69 end
/// the session of one who does (go-ethereum since v1.14), also on chains of proof of authority.
fn is_sent_blocks(version: EthVersion) -> bool {
    version < EthVersion::Eth69
}
