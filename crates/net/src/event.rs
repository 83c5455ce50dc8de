//! What observers of a node hear, and what its owner can tell it to send.

use core::net::SocketAddr;

use alloy_consensus::Header;
pub use alloy_eips::BlockHashOrNumber as HashOrNumber;
use alloy_primitives::B256;
use chainmesh_identity::PeerId;

/// A block body as the `eth` messages carry it.
pub type BlockBody = alloy_consensus::BlockBody<alloy_consensus::TxEnvelope>;

/// Something that happened on the network. Observers get events through a broadcast channel: one
/// that is too slow misses some and is told how many. What somebody asked for does not depend on
/// this channel.
#[derive(Debug, Clone)]
pub enum P2pEvent {
    /// A peer finished every handshake.
    PeerConnected {
        /// Who.
        peer_id: PeerId,
        /// Where.
        addr: SocketAddr,
    },
    /// A connected peer is gone.
    PeerDisconnected {
        /// Who.
        peer_id: PeerId,
    },
    /// A peer announced a block by its hash.
    NewBlockHash {
        /// Who.
        peer_id: PeerId,
        /// Hash of the block.
        hash: B256,
        /// Number of the block, as the peer says.
        number: u64,
    },
    /// A peer sent a whole new block.
    NewBlock {
        /// Who.
        peer_id: PeerId,
        /// Hash of the block.
        hash: B256,
        /// Number of the block.
        number: u64,
    },
    /// A peer asks for headers.
    GetBlockHeadersRequest {
        /// Who.
        peer_id: PeerId,
        /// To be used in the answer.
        request_id: u64,
        /// The first header.
        start: HashOrNumber,
        /// How many at most.
        limit: u64,
    },
    /// A peer answered a request for headers.
    BlockHeaders {
        /// Who.
        peer_id: PeerId,
        /// Of the request.
        request_id: u64,
        /// What was sent.
        headers: Vec<Header>,
    },
    /// A peer asks for bodies.
    GetBlockBodiesRequest {
        /// Who.
        peer_id: PeerId,
        /// To be used in the answer.
        request_id: u64,
        /// Of which blocks.
        hashes: Vec<B256>,
    },
    /// A peer answered a request for bodies.
    BlockBodies {
        /// Who.
        peer_id: PeerId,
        /// Of the request.
        request_id: u64,
        /// What was sent.
        bodies: Vec<BlockBody>,
    },
    /// A peer sent transactions.
    Transactions {
        /// Who.
        peer_id: PeerId,
        /// Each in its EIP-2718 form.
        transactions: Vec<Vec<u8>>,
    },
}

/// Something that the node is to send.
#[derive(Debug, Clone)]
pub enum SessionCommand {
    /// Tells every peer that does not know it of a new block.
    BroadcastBlock {
        /// Hash of the block.
        hash: B256,
        /// Number of the block.
        number: u64,
    },
    /// Asks a peer for consecutive headers. The answer comes as [`P2pEvent::BlockHeaders`].
    GetBlockHeaders {
        /// Whom.
        peer_id: PeerId,
        /// Number of the first.
        start: u64,
        /// How many.
        count: u64,
    },
    /// Answers a [`P2pEvent::GetBlockHeadersRequest`] of a node that serves its own answers.
    SendBlockHeaders {
        /// Whom.
        peer_id: PeerId,
        /// Of the request.
        request_id: u64,
        /// The answer.
        headers: Vec<Header>,
    },
    /// Asks a peer for bodies. The answer comes as [`P2pEvent::BlockBodies`].
    GetBlockBodies {
        /// Whom.
        peer_id: PeerId,
        /// Of which blocks.
        hashes: Vec<B256>,
    },
    /// Answers a [`P2pEvent::GetBlockBodiesRequest`].
    SendBlockBodies {
        /// Whom.
        peer_id: PeerId,
        /// Of the request.
        request_id: u64,
        /// The answer.
        bodies: Vec<BlockBody>,
    },
    /// Sends transactions, each in its EIP-2718 form, to every peer.
    BroadcastTransactions {
        /// The transactions.
        transactions: Vec<Vec<u8>>,
    },
}
