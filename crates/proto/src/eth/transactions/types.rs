//! What goes into the machine and what comes out of it.

use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::eth::{TransactionAnnouncement, TransactionAnnouncements};

use super::super::pool::{PoolTransaction, Verdict};

/// Names a request of the machine; the driver gives it back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchToken(pub u64);

/// Names what came in one message; the driver gets it back with what is left to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// A transaction as a peer sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedTransaction {
    /// keccak256 of `raw`.
    pub hash: B256,
    /// Its EIP-2718 form.
    pub raw: Bytes,
}

impl ReceivedTransaction {
    /// The type byte; 0 for a legacy transaction, which is an RLP list.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.raw.first().copied().filter(|first| *first < 0xc0).unwrap_or(0)
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum GossipInput {
    /// A peer is ready. `offered` is what the pool has and may be announced to it.
    PeerConnected {
        /// Who.
        peer: PeerId,
        /// Content of the pool.
        offered: Vec<TransactionAnnouncement>,
    },
    /// A peer is gone.
    PeerDisconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer has transactions (NewPooledTransactionHashes). `wanted` says for each, in order,
    /// whether the pool does not have it.
    Announced {
        /// Who.
        peer: PeerId,
        /// As the peer claims.
        transactions: TransactionAnnouncements,
        /// Whether the pool lacks it.
        wanted: Vec<bool>,
    },
    /// A peer sent transactions without being asked (Transactions).
    Received {
        /// Who.
        peer: PeerId,
        /// Names them.
        batch: BatchId,
        /// What the pool does not have of them.
        transactions: Vec<ReceivedTransaction>,
        /// Hashes of those that the pool has.
        known: Vec<B256>,
    },
    /// The answer to [`GossipOutput::Request`].
    Fetched {
        /// Who.
        peer: PeerId,
        /// The request.
        token: FetchToken,
        /// Names what came.
        batch: BatchId,
        /// What was found.
        transactions: Vec<ReceivedTransaction>,
    },
    /// A request could not be sent.
    RequestFailed {
        /// To whom.
        peer: PeerId,
        /// The request.
        token: FetchToken,
    },
    /// What became of the transactions of a [`GossipOutput::Check`].
    Checked {
        /// Who sent them.
        peer: PeerId,
        /// The hash and the verdict of each.
        verdicts: Vec<(B256, Verdict)>,
    },
    /// Transactions are in the pool from now on.
    Pending(Vec<PoolTransaction>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipOutput {
    /// Ask for transactions (GetPooledTransactions).
    Request {
        /// Whom.
        peer: PeerId,
        /// Names the request.
        token: FetchToken,
        /// Which.
        hashes: Vec<B256>,
    },
    /// Give these to the pool and say what became of them. Comes once for each batch, also when
    /// nothing of it is left.
    Check {
        /// Who sent them.
        peer: PeerId,
        /// Names the batch.
        batch: BatchId,
        /// Those that nobody has seen.
        transactions: Vec<ReceivedTransaction>,
    },
    /// Send these whole (Transactions), the same to each of the peers.
    Send {
        /// Whom.
        peers: Vec<PeerId>,
        /// In their EIP-2718 form.
        transactions: Vec<Bytes>,
    },
    /// Announce these (NewPooledTransactionHashes), the same to each of the peers.
    Announce {
        /// Whom.
        peers: Vec<PeerId>,
        /// Which.
        transactions: Vec<TransactionAnnouncement>,
    },
    /// Disconnect this peer; the machine has forgotten it already.
    Fault {
        /// Whom.
        peer: PeerId,
        /// Why.
        fault: GossipFault,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GossipFault {
    /// A transaction that was not asked for, in the answer to a request.
    #[error("transaction {hash} was not asked for")]
    Unrequested {
        /// The transaction.
        hash: B256,
    },
    /// A transaction of another type than it was announced with.
    #[error("transaction {hash} was announced with type {announced} and has type {found}")]
    WrongKind {
        /// The transaction.
        hash: B256,
        /// As the peer claimed.
        announced: u8,
        /// As it is.
        found: u8,
    },
    /// A transaction of another size than it was announced with.
    #[error("transaction {hash} was announced with {announced} bytes and has {found}")]
    WrongSize {
        /// The transaction.
        hash: B256,
        /// As the peer claimed, bytes.
        announced: u32,
        /// As it is, bytes.
        found: usize,
    },
    /// Something that is no transaction.
    #[error("{hash} is no valid transaction")]
    Malformed {
        /// Its hash.
        hash: B256,
    },
    /// No answers to requests for what it announced.
    #[error("{count} requests in a row for announced transactions were not answered")]
    Silent {
        /// How many.
        count: u32,
    },
}

/// Where the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GossipReport {
    /// Peers.
    pub peers: usize,
    /// Announced transactions that are waited for, or asked for.
    pub wanted: usize,
    /// Requests under way.
    pub requests: usize,
    /// Transactions that are being checked by the pool.
    pub checking: usize,
    /// Transactions that were refused and are not asked for again for a while.
    pub refused: usize,
    /// Since the machine was made: transactions that were sent whole, each receiver counted.
    pub sent: u64,
    /// Since the machine was made: announcements, each receiver counted.
    pub announced: u64,
    /// Since the machine was made: transactions that were asked for and came.
    pub fetched: u64,
}
