//! What goes into the machine and what comes out of it.

use core::time::Duration;

use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, BlockRange, NewBlock, Origin};

use super::super::chain::{ChainHead, SyncBlock};
use super::super::handler::PeerHead;

/// Names a request of the machine; the driver gives it back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// What happened.
#[derive(Debug, Clone)]
pub enum SyncInput {
    /// A peer is ready.
    PeerConnected {
        /// Who.
        peer: PeerId,
        /// What its Status says.
        head: PeerHead,
    },
    /// A peer is gone.
    PeerDisconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer says that it has these blocks (NewBlockHashes).
    Announced {
        /// Who.
        peer: PeerId,
        /// As the peer claims.
        blocks: Vec<BlockId>,
    },
    /// A peer sent a block (NewBlock).
    NewBlock {
        /// Who.
        peer: PeerId,
        /// The block.
        block: Box<NewBlock>,
    },
    /// A peer says which blocks it can serve now (BlockRangeUpdate).
    RangeUpdate {
        /// Who.
        peer: PeerId,
        /// As the peer claims.
        range: BlockRange,
    },
    /// The answer to [`SyncOutput::RequestHeaders`].
    Headers {
        /// Who.
        peer: PeerId,
        /// The request.
        token: RequestToken,
        /// What was found.
        headers: Vec<BlockHeader>,
    },
    /// The answer to [`SyncOutput::RequestBodies`].
    Bodies {
        /// Who.
        peer: PeerId,
        /// The request.
        token: RequestToken,
        /// What was found.
        bodies: Vec<BlockBody>,
    },
    /// A request could not be sent.
    RequestFailed {
        /// To whom.
        peer: PeerId,
        /// The request.
        token: RequestToken,
    },
    /// The answer to [`SyncOutput::Lookup`].
    LookedUp {
        /// The request.
        token: RequestToken,
        /// Whether the block is canonical; `None` when the store failed.
        canonical: Option<bool>,
    },
    /// The chain has a new head that did not come from here: this node made a block.
    LocalHead(ChainHead),
    /// All blocks of the last [`SyncOutput::Import`] are in the chain.
    Imported {
        /// The head after it.
        head: ChainHead,
    },
    /// The last [`SyncOutput::Import`] ended early. The blocks before the named one are in the
    /// chain.
    ImportFailed {
        /// The head after it.
        head: ChainHead,
        /// Why.
        failure: ImportFailure,
    },
}

/// Why an import ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFailure {
    /// The block breaks a rule: whoever sent its header is to blame.
    Invalid {
        /// The block.
        hash: B256,
    },
    /// The parent of the block is not in the chain.
    UnknownParent {
        /// The block.
        hash: B256,
    },
    /// The store failed: nobody is to blame, and it is tried again later.
    Storage,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncOutput {
    /// Ask for headers with rising numbers, without gaps.
    RequestHeaders {
        /// Whom.
        peer: PeerId,
        /// Names the request.
        token: RequestToken,
        /// The first header.
        origin: Origin,
        /// How many.
        count: u64,
    },
    /// Ask for bodies.
    RequestBodies {
        /// Whom.
        peer: PeerId,
        /// Names the request.
        token: RequestToken,
        /// Of which blocks.
        hashes: Vec<B256>,
    },
    /// Say whether this block is in the canonical chain.
    Lookup {
        /// Names the request.
        token: RequestToken,
        /// The block.
        block: BlockId,
    },
    /// Import these blocks: ascending, each the child of the one before. No other import is given
    /// out until this one is answered.
    Import(Vec<SyncBlock>),
    /// Disconnect this peer; the machine has forgotten it already.
    Fault {
        /// Whom.
        peer: PeerId,
        /// Why.
        fault: SyncFault,
    },
    /// The head has changed by import, and nothing more is to be had: tell the peers.
    Announce(ChainHead),
    /// For observers.
    Event(SyncEvent),
}

/// What observers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncEvent {
    /// Blocks are missing and are being fetched.
    Started {
        /// Number of the last block that is there.
        from: u64,
        /// Number of the last block that a peer claims to have.
        target: u64,
    },
    /// A peer is on another branch; it goes on from the last block in common.
    Reorganising {
        /// The last block in common.
        ancestor: BlockId,
        /// Blocks of the local chain above it.
        depth: u64,
    },
    /// No peer has more.
    Synced {
        /// The head.
        head: ChainHead,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncFault {
    /// More headers or bodies than were asked for.
    #[error("{got} items came, {asked} were asked for")]
    TooMany {
        /// Items in the answer.
        got: usize,
        /// Items in the question.
        asked: usize,
    },
    /// The first header is not the one that was asked for.
    #[error("the headers begin with block {got}, {asked} was asked for")]
    WrongStart {
        /// Number or hash of the request.
        asked: Origin,
        /// Number of the first header.
        got: u64,
    },
    /// A header that is not the child of the one before.
    #[error("header {number} is not the child of the header before it")]
    NotContinuous {
        /// Its number.
        number: u64,
    },
    /// A branch that does not begin where the peer said that it does.
    #[error("header {number} is not the child of the block that the peer said to have below it")]
    NotLinked {
        /// Its number.
        number: u64,
    },
    /// A body that belongs to none of the blocks that were asked for, or not to its own header.
    #[error("a body belongs to no block that was asked for")]
    WrongBody,
    /// A header whose body the peer does not have.
    #[error("the peer sent the header of block {number} and does not have its body")]
    MissingBody {
        /// Number of the block.
        number: u64,
    },
    /// Nothing, again and again, where the peer claims to have blocks.
    #[error("{count} empty answers in a row for blocks that the peer claims to have")]
    EmptyAnswers {
        /// How many.
        count: u32,
    },
    /// No answer at all.
    #[error("no answer for {} seconds", .waited.as_secs())]
    Stalled {
        /// Since the request.
        waited: Duration,
    },
    /// A block that the chain refused, or had refused before.
    #[error("block {hash} is invalid")]
    InvalidBlock {
        /// The block.
        hash: B256,
    },
    /// A branch that leaves the local chain too far below its head.
    #[error("the peer's branch leaves the local chain more than {limit} blocks below the head")]
    TooDeep {
        /// The limit.
        limit: u64,
    },
}

/// What the machine is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncState {
    /// Nothing is missing: it lives on announcements.
    Following,
    /// Fetching a range of blocks.
    Fetching,
    /// Looking for the last block in common with a peer.
    SearchingAncestor,
}

/// Where the machine stands, for RPC, metrics and the progress bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReport {
    /// What it is about.
    pub state: SyncState,
    /// The local head.
    pub head: ChainHead,
    /// Number of the last block that a usable peer claims to have; the head's own if none has
    /// more.
    pub target: u64,
    /// Headers that wait for their bodies or for import.
    pub pending_headers: usize,
    /// Bodies that wait for import.
    pub pending_bodies: usize,
    /// Bytes of both, in RLP.
    pub pending_bytes: usize,
    /// Blocks in the import that is under way.
    pub importing: usize,
    /// Announced blocks on their way.
    pub announced: usize,
    /// Blocks imported since the machine was made.
    pub imported: u64,
    /// The peers, in order.
    pub peers: Vec<SyncPeerReport>,
}

/// A peer, as the machine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncPeerReport {
    /// Who.
    pub peer: PeerId,
    /// Number of its head, when it is known.
    pub number: Option<u64>,
    /// Headers asked for and not answered.
    pub headers_in_flight: u64,
    /// Bodies asked for and not answered.
    pub bodies_in_flight: usize,
    /// Estimate of a round trip.
    pub round_trip: Duration,
    /// Estimate of the bodies that it delivers in a second.
    pub bodies_per_second: u64,
    /// Empty answers in a row.
    pub strikes: u32,
}
