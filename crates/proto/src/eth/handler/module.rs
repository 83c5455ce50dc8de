//! `eth` as a module: one handler per peer between the connection and whoever synchronises.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_eip2124::Head;
use alloy_primitives::B256;
use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};
use chainmesh_wire::eth::{EthVersion, GetBlockHeaders, HashRequest, Message, Origin, code};

use super::super::chain::{ChainReader, StorageError};
use super::super::pool::TransactionPool;
use super::super::serve;
use super::super::status::ChainIdentity;
use super::{EthEvent, EthFault, EthPeer, Request, TooManyRequests};
use crate::module::{ModuleError, PeerContext, PeerHandler, TopicHandler};
use crate::session::{Class, ReadHold, SendError};

/// Receives what the peers say. Called inside the connections' tasks: must not wait.
pub trait EthSink: Send + Sync {
    /// The peer's message. The first event of a peer is [`EthEvent::Ready`]; requests of the peer
    /// come through [`serve`](Self::serve) instead.
    fn event(&self, peer: &EthConnection, event: EthEvent);

    /// The peer asks for something: to be answered where disk reads may wait.
    fn serve(&self, job: ServeJob);

    /// The session is over; nothing comes from this peer any more. Also called for peers that
    /// never were ready.
    fn closed(&self, peer: &EthConnection, reason: &DisconnectReason);
}

/// Makes a handler for each peer.
pub struct EthModule {
    identity: ChainIdentity,
    chain: Arc<dyn ChainReader>,
    sink: Arc<dyn EthSink>,
}

impl EthModule {
    /// The module for one chain.
    #[must_use]
    pub const fn new(
        identity: ChainIdentity,
        chain: Arc<dyn ChainReader>,
        sink: Arc<dyn EthSink>,
    ) -> Self {
        Self { identity, chain, sink }
    }
}

impl PeerHandler for EthModule {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        peer.begin_handshake();
        // A module is registered for versions that exist; the newest stands in for any other, and
        // then the Status is refused.
        let version =
            EthVersion::from_number(peer.capability().version).unwrap_or(EthVersion::Eth69);
        let head = self.chain.head();
        let mut identity = self.identity.clone();
        // The fork id is that of the head as it is now, not as it was when the node started.
        let (number, timestamp) = (head.number, head.timestamp);
        identity.forks.set_head(Head { number, timestamp, ..Head::default() });
        let protocol = EthPeer::new(version, identity, head);
        let (code, payload) = protocol.start();
        // If it cannot be sent the connection is closing, and the handler is told so.
        let _ = peer.send_as(Class::Control, code, payload);
        Box::new(EthHandler {
            peer_id: peer.id(),
            capability: *peer.capability(),
            connection: EthConnection {
                protocol: Arc::new(Mutex::new(protocol)),
                version,
                context: peer,
            },
            sink: Arc::clone(&self.sink),
        })
    }
}

/// The protocol with one peer, inside its connection's task.
pub struct EthHandler {
    peer_id: PeerId,
    capability: Capability,
    connection: EthConnection,
    sink: Arc<dyn EthSink>,
}

impl EthHandler {
    /// Who the peer is.
    #[must_use]
    pub const fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// The version that both sides speak.
    #[must_use]
    pub const fn capability(&self) -> &Capability {
        &self.capability
    }
}

impl TopicHandler for EthHandler {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let message = Message::decode(self.connection.version, code, &payload);
        let event = message
            .map_err(EthFault::from)
            .and_then(|message| self.connection.protocol().accept(message))
            .map_err(|fault| ModuleError::with_reason(fault.reason(), fault))?;
        let Some(event) = event else { return Ok(()) };
        let served = match event {
            EthEvent::Reply { code, payload } => {
                // A peer that does not read its answers goes without them.
                let _ = self.connection.context.send(code, payload);
                return Ok(());
            }
            EthEvent::GetBlockHeaders(query) => Served::Headers(query),
            EthEvent::GetBlockBodies(request) => Served::Bodies(request),
            EthEvent::GetReceipts(request) => Served::Receipts(request),
            EthEvent::GetPooledTransactions(request) => Served::PooledTransactions(request),
            event => {
                if matches!(event, EthEvent::Ready(_)) {
                    self.connection.context.handshake_done();
                }
                self.sink.event(&self.connection, event);
                return Ok(());
            }
        };
        let hold = self.connection.context.hold_reading();
        self.sink.serve(ServeJob { connection: self.connection.clone(), served, _hold: hold });
        Ok(())
    }

    fn closed(&mut self, reason: &DisconnectReason) {
        self.sink.closed(&self.connection, reason);
    }
}

/// A peer that speaks `eth`, for those who ask it for something. Cheap to clone, usable from any
/// thread, and outlives the session without harm.
#[derive(Clone)]
pub struct EthConnection {
    protocol: Arc<Mutex<EthPeer>>,
    version: EthVersion,
    context: PeerContext,
}

impl core::fmt::Debug for EthConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("EthConnection").field(&self.context).finish()
    }
}

/// Why a request was not sent. Nobody broke a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The peer leaves too many requests unanswered.
    #[error(transparent)]
    TooManyRequests(#[from] TooManyRequests),
    /// The connection is closed or does not keep up.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl EthConnection {
    /// Who the peer is.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.context.id()
    }

    /// The negotiated version.
    #[must_use]
    pub const fn version(&self) -> EthVersion {
        self.version
    }

    /// The connection below.
    #[must_use]
    pub const fn context(&self) -> &PeerContext {
        &self.context
    }

    /// Whether both are the same session with the peer.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.protocol, &other.protocol)
    }

    /// Asks for `count` headers with rising numbers, without gaps; returns the request id.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn request_headers(&self, origin: Origin, count: u64) -> Result<u64, RequestError> {
        let request = self.protocol().request_headers(origin, count)?;
        self.send_request(request)
    }

    /// Asks for the bodies of these blocks; returns the request id.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn request_bodies(&self, hashes: &[B256]) -> Result<u64, RequestError> {
        let request = self.protocol().request_bodies(hashes)?;
        self.send_request(request)
    }

    /// Asks for these transactions of the peer's pool; returns the request id.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn request_transactions(&self, hashes: &[B256]) -> Result<u64, RequestError> {
        let request = self.protocol().request_transactions(hashes)?;
        self.send_request(request)
    }

    fn send_request(&self, request: Request) -> Result<u64, RequestError> {
        if let Err(error) = self.context.send(request.code, request.payload) {
            self.protocol().withdraw(request.request_id);
            return Err(error.into());
        }
        Ok(request.request_id)
    }

    fn protocol(&self) -> MutexGuard<'_, EthPeer> {
        // The protocol state is whole between two calls, also when a holder panicked.
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a peer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// Headers.
    Headers(GetBlockHeaders),
    /// Bodies.
    Bodies(HashRequest),
    /// Receipts.
    Receipts(HashRequest),
    /// Transactions of the pool.
    PooledTransactions(HashRequest),
}

/// A request of a peer, to be answered where disk reads may wait. While several are alive nothing
/// more is read from the peer.
pub struct ServeJob {
    connection: EthConnection,
    served: Served,
    _hold: ReadHold,
}

impl core::fmt::Debug for ServeJob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServeJob")
            .field("connection", &self.connection)
            .field("served", &self.served)
            .finish_non_exhaustive()
    }
}

impl ServeJob {
    /// Who asks. The answer is sent through its context when
    /// [`PeerContext::ready`] says so.
    #[must_use]
    pub const fn connection(&self) -> &EthConnection {
        &self.connection
    }

    /// What is asked for.
    #[must_use]
    pub const fn served(&self) -> &Served {
        &self.served
    }

    /// Reads the answer from the chain, or the pool if there is one: code and payload. Blocks on
    /// the store.
    ///
    /// # Errors
    /// When the store fails.
    pub fn answer(
        &self,
        chain: &dyn ChainReader,
        pool: Option<&dyn TransactionPool>,
    ) -> Result<(u32, Bytes), StorageError> {
        let version = self.connection.version;
        Ok(match &self.served {
            Served::Headers(query) => (code::BLOCK_HEADERS, serve::headers(chain, query)?),
            Served::Bodies(request) => (code::BLOCK_BODIES, serve::bodies(chain, request)?),
            Served::Receipts(request) => {
                (code::RECEIPTS, serve::receipts(chain, version, request)?)
            }
            Served::PooledTransactions(request) => {
                (code::POOLED_TRANSACTIONS, serve::pooled_transactions(pool, request))
            }
        })
    }
}
