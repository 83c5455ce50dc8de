//! The protocol with one peer: Status first, then requests and answers that fit together.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::eth::{
    BlockBody, BlockHeader, BlockId, BlockRange, EthDecodeError, EthVersion, GetBlockHeaders,
    HashRequest, Message, NewBlock, Origin, Status, StatusHead, TransactionAnnouncements, code,
    encode_hash_request, encode_response,
};

use super::chain::ChainHead;
use super::status::{ChainIdentity, Incompatible};

mod module;

pub use module::{EthConnection, EthHandler, EthModule, EthSink, RequestError, ServeJob, Served};

/// Most requests to one peer that wait for an answer. Synchronisation has two at a time; the rest
/// are those that it gave up on, which a peer may still answer.
pub const MAX_OUTSTANDING: usize = 16;

/// What a peer says about the head of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerHead {
    /// eth/66 to eth/68: the number has to be asked for.
    TotalDifficulty {
        /// Hash of the best block.
        hash: B256,
        /// Sum of the difficulties up to it, as the peer claims.
        total_difficulty: U256,
    },
    /// eth/69.
    Range(BlockRange),
}

impl From<StatusHead> for PeerHead {
    fn from(head: StatusHead) -> Self {
        match head {
            StatusHead::TotalDifficulty { total_difficulty, best_hash } => {
                Self::TotalDifficulty { hash: best_hash, total_difficulty }
            }
            StatusHead::Range(range) => Self::Range(range),
        }
    }
}

/// What a message of the peer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EthEvent {
    /// The peer is on the same chain; requests may be sent.
    Ready(PeerHead),
    /// The peer has these blocks.
    NewBlockHashes(Vec<BlockId>),
    /// The peer sends a block.
    NewBlock(Box<NewBlock>),
    /// The peer asks for headers.
    GetBlockHeaders(GetBlockHeaders),
    /// The peer asks for bodies.
    GetBlockBodies(HashRequest),
    /// The answer to a request of ours.
    Headers {
        /// The request.
        request_id: u64,
        /// At most as many as were asked for.
        headers: Vec<BlockHeader>,
    },
    /// The answer to a request of ours.
    Bodies {
        /// The request.
        request_id: u64,
        /// At most as many as were asked for.
        bodies: Vec<BlockBody>,
    },
    /// The peer asks for receipts.
    GetReceipts(HashRequest),
    /// The peer asks for transactions of the pool.
    GetPooledTransactions(HashRequest),
    /// The answer to a request of ours, each in its EIP-2718 form.
    PooledTransactions {
        /// The request.
        request_id: u64,
        /// At most as many as were asked for.
        transactions: Vec<Bytes>,
    },
    /// Transactions in their EIP-2718 form.
    Transactions(Vec<Bytes>),
    /// Transactions that the peer has.
    NewPooledTransactionHashes(TransactionAnnouncements),
    /// The blocks that the peer can serve have changed.
    BlockRangeUpdate(BlockRange),
    /// To be sent at once: an answer that needs nothing from the chain.
    Reply {
        /// Code of the answer.
        code: u32,
        /// Its payload.
        payload: Bytes,
    },
}

/// Why a session with a peer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EthFault {
    /// The peer sent something that is no message.
    #[error(transparent)]
    Decode(#[from] EthDecodeError),
    /// The two nodes are not on the same chain. Nobody is to blame.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// Another message came before the Status.
    #[error("{0} before Status")]
    BeforeStatus(&'static str),
    /// A second Status.
    #[error("a second Status")]
    SecondStatus,
    /// An answer that nobody waits for: never asked, or answered already.
    #[error("{message} for request {request_id}, which was not made or is answered already")]
    UnknownRequest {
        /// Name of the message.
        message: &'static str,
        /// The id in it.
        request_id: u64,
    },
    /// An answer of another kind than the request.
    #[error("{message} for request {request_id}, which asked for something else")]
    WrongKind {
        /// Name of the message.
        message: &'static str,
        /// The id in it.
        request_id: u64,
    },
    /// More items than were asked for.
    #[error("{message} for request {request_id} has {got} items, {asked} were asked for")]
    TooManyItems {
        /// Name of the message.
        message: &'static str,
        /// The id in it.
        request_id: u64,
        /// How many came.
        got: usize,
        /// How many were asked for.
        asked: usize,
    },
}

impl EthFault {
    /// What the peer is told.
    #[must_use]
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            Self::Incompatible(_) => DisconnectReason::SubprotocolError,
            _ => DisconnectReason::BreachOfProtocol,
        }
    }

    /// Whether the peer broke a rule.
    #[must_use]
    pub const fn blames_peer(&self) -> bool {
        !matches!(self, Self::Incompatible(_))
    }
}

/// The peer leaves too many requests unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_OUTSTANDING} requests to this peer wait for an answer already")]
pub struct TooManyRequests;

/// A message to be sent for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Comes back in the answer.
    pub request_id: u64,
    /// Code of the message.
    pub code: u32,
    /// Its payload.
    pub payload: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Headers,
    Bodies,
    PooledTransactions,
}

/// Where a peer's session stands: `AwaitingStatus` until its Status fits, then `Open` to the end.
/// A fault ends the session in either state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingStatus,
    Open,
}

/// The protocol with one peer, without IO.
#[derive(Debug)]
pub struct EthPeer {
    version: EthVersion,
    identity: ChainIdentity,
    head: ChainHead,
    state: State,
    /// The last request id; each request has its own.
    request_id: u64,
    /// What was asked for, and how many items.
    outstanding: BTreeMap<u64, (Kind, usize)>,
}

impl EthPeer {
    /// A session that begins, with our chain as it is now.
    #[must_use]
    pub const fn new(version: EthVersion, identity: ChainIdentity, head: ChainHead) -> Self {
        Self {
            version,
            identity,
            head,
            state: State::AwaitingStatus,
            request_id: 0,
            outstanding: BTreeMap::new(),
        }
    }

    /// The negotiated version.
    #[must_use]
    pub const fn version(&self) -> EthVersion {
        self.version
    }

    /// Our Status: the first message, sent without waiting for the peer's.
    #[must_use]
    pub fn start(&self) -> (u32, Bytes) {
        (code::STATUS, self.identity.status(self.version, &self.head).encode())
    }

    /// Decodes a message and says what it means.
    ///
    /// # Errors
    /// When the session must end.
    pub fn receive(&mut self, code: u32, payload: &Bytes) -> Result<Option<EthEvent>, EthFault> {
        let message = Message::decode(self.version, code, payload)?;
        self.accept(message)
    }

    /// Says what a decoded message means. Cheap: decoding is not.
    ///
    /// # Errors
    /// When the session must end.
    pub fn accept(&mut self, message: Message) -> Result<Option<EthEvent>, EthFault> {
        match (self.state, message) {
            (State::AwaitingStatus, Message::Status(status)) => self.status(&status).map(Some),
            (State::AwaitingStatus, other) => Err(EthFault::BeforeStatus(other.name())),
            (State::Open, message) => self.open(message),
        }
    }

    fn status(&mut self, status: &Status) -> Result<EthEvent, EthFault> {
        self.identity.check(self.version, &self.head, status)?;
        self.state = State::Open;
        Ok(EthEvent::Ready(status.head.into()))
    }

    fn open(&mut self, message: Message) -> Result<Option<EthEvent>, EthFault> {
        let name = message.name();
        Ok(Some(match message {
            Message::Status(_) => return Err(EthFault::SecondStatus),
            Message::NewBlockHashes(blocks) => EthEvent::NewBlockHashes(blocks),
            Message::NewBlock(block) => EthEvent::NewBlock(block),
            Message::Transactions(transactions) => EthEvent::Transactions(transactions),
            Message::NewPooledTransactionHashes(found) => {
                EthEvent::NewPooledTransactionHashes(found)
            }
            Message::BlockRangeUpdate(range) => EthEvent::BlockRangeUpdate(range),
            Message::GetBlockHeaders(query) => EthEvent::GetBlockHeaders(query),
            Message::GetBlockBodies(request) => EthEvent::GetBlockBodies(request),
            Message::GetPooledTransactions(request) => EthEvent::GetPooledTransactions(request),
            Message::GetReceipts(request) => EthEvent::GetReceipts(request),
            // State entries by hash have left the protocol with eth/67: an empty answer.
            Message::GetNodeData(request) => empty_reply(code::NODE_DATA, &request),
            Message::BlockHeaders(answer) => {
                self.settle(name, answer.request_id, Kind::Headers, answer.items.len())?;
                EthEvent::Headers { request_id: answer.request_id, headers: answer.items }
            }
            Message::BlockBodies(answer) => {
                self.settle(name, answer.request_id, Kind::Bodies, answer.items.len())?;
                EthEvent::Bodies { request_id: answer.request_id, bodies: answer.items }
            }
            Message::PooledTransactions(answer) => {
                let got = answer.items.len();
                self.settle(name, answer.request_id, Kind::PooledTransactions, got)?;
                EthEvent::PooledTransactions {
                    request_id: answer.request_id,
                    transactions: answer.items,
                }
            }
            // Never asked for.
            Message::Receipts(answer) | Message::NodeData(answer) => {
                let request_id = answer.request_id;
                return Err(EthFault::UnknownRequest { message: name, request_id });
            }
        }))
    }

    /// Takes a request off the list, if the answer fits it.
    fn settle(
        &mut self,
        message: &'static str,
        request_id: u64,
        kind: Kind,
        got: usize,
    ) -> Result<(), EthFault> {
        let Some((asked_kind, asked)) = self.outstanding.remove(&request_id) else {
            return Err(EthFault::UnknownRequest { message, request_id });
        };
        if asked_kind != kind {
            return Err(EthFault::WrongKind { message, request_id });
        }
        if got > asked {
            return Err(EthFault::TooManyItems { message, request_id, got, asked });
        }
        Ok(())
    }

    /// Asks for `count` headers with rising numbers, without gaps.
    ///
    /// # Errors
    /// When too many requests wait for an answer.
    pub fn request_headers(
        &mut self,
        origin: Origin,
        count: u64,
    ) -> Result<Request, TooManyRequests> {
        let asked = usize::try_from(count).unwrap_or(usize::MAX);
        let request_id = self.begin(Kind::Headers, asked)?;
        let query = GetBlockHeaders { request_id, origin, limit: count, skip: 0, reverse: false };
        Ok(Request { request_id, code: code::GET_BLOCK_HEADERS, payload: query.encode() })
    }

    /// Asks for the bodies of these blocks.
    ///
    /// # Errors
    /// When too many requests wait for an answer.
    pub fn request_bodies(&mut self, hashes: &[B256]) -> Result<Request, TooManyRequests> {
        let request_id = self.begin(Kind::Bodies, hashes.len())?;
        let payload = encode_hash_request(request_id, hashes);
        Ok(Request { request_id, code: code::GET_BLOCK_BODIES, payload })
    }

    /// Asks for these transactions of the peer's pool.
    ///
    /// # Errors
    /// When too many requests wait for an answer.
    pub fn request_transactions(&mut self, hashes: &[B256]) -> Result<Request, TooManyRequests> {
        let request_id = self.begin(Kind::PooledTransactions, hashes.len())?;
        let payload = encode_hash_request(request_id, hashes);
        Ok(Request { request_id, code: code::GET_POOLED_TRANSACTIONS, payload })
    }

    fn begin(&mut self, kind: Kind, asked: usize) -> Result<u64, TooManyRequests> {
        if self.outstanding.len() >= MAX_OUTSTANDING {
            return Err(TooManyRequests);
        }
        self.request_id = self.request_id.wrapping_add(1);
        self.outstanding.insert(self.request_id, (kind, asked));
        Ok(self.request_id)
    }

    /// Takes a request back that could not be sent.
    pub fn withdraw(&mut self, request_id: u64) {
        self.outstanding.remove(&request_id);
    }

    /// How many requests wait for an answer.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }
}

fn empty_reply(code: u32, request: &HashRequest) -> EthEvent {
    let nothing: [&[u8]; 0] = [];
    EthEvent::Reply { code, payload: encode_response(request.request_id, &nothing) }
}

#[cfg(test)]
mod tests;
