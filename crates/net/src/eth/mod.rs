//! The `eth` module on sockets: what peers say goes to synchronisation, to gossip and to observers,
//! what they ask is answered from the chain and the pool, where disk reads may wait.

pub(crate) mod commands;
pub(crate) mod gossip;
mod propagation;
mod serving;
pub(crate) mod sync;

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use alloy_eip2124::ForkFilter;
use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::chain::{ChainReader, ChainWriter};
use chainmesh_proto::eth::handler::{
    EthConnection, EthEvent, EthModule, EthSink, PeerHead, RequestError, ServeJob,
};
use chainmesh_proto::eth::known::{KnownHashes, MAX_KNOWN_BLOCKS};
use chainmesh_proto::eth::pool::TransactionPool;
use chainmesh_proto::eth::status::ChainIdentity;
use chainmesh_proto::eth::sync::{RequestToken, SyncInput};
use chainmesh_proto::eth::transactions::FetchToken;
use chainmesh_proto::module::Module;
use chainmesh_proto::peers::Merit;
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};
use chainmesh_wire::eth::{BlockBody, BlockHeader, BlockId, EthVersion, Origin};
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::conduct::Witness;
use crate::event::P2pEvent;
use gossip::GossipDriver;
use propagation::Propagation;
use serving::{Serving, Sources};
use sync::SyncDriver;

/// The chain that the `eth` module speaks about.
pub struct EthChain {
    /// Where answers are read from, and our Status.
    pub chain: Arc<dyn ChainReader>,
    /// The forks of the chain (EIP-2124), for its fork id.
    pub forks: ForkFilter,
    /// Network ID of the Status; the chain ID if `None`.
    pub network_id: Option<u64>,
    /// Versions that are offered. Peers that speak eth/69 are told of no blocks but by the number of
    /// the last one, and do not say how heavy their chain is, so it is for chains without
    /// `block_gossip`, and for nodes from which others fetch the chain.
    pub versions: Vec<EthVersion>,
    /// Whether a peer that does not speak `eth` is of no use.
    pub required: bool,
    /// Whether requests of peers are answered from `chain`. If not, the owner of the node answers
    /// each [`P2pEvent::GetBlockHeadersRequest`] and [`P2pEvent::GetBlockBodiesRequest`].
    pub serve: bool,
    /// Where new blocks go; without it nothing is synchronised.
    pub sync: Option<Arc<dyn ChainWriter>>,
    /// Where transactions go and come from; without it what peers send is only shown to observers.
    pub pool: Option<Arc<dyn TransactionPool>>,
    /// Whether new blocks are passed on (NewBlock, NewBlockHashes) to peers that speak a version
    /// below eth/69. Not on a chain of proof of stake, whose nodes end the session of a peer that
    /// does so.
    pub block_gossip: bool,
}

impl EthChain {
    /// A chain that is served, in the versions of `eth` that have block gossip, and not synchronised.
    #[must_use]
    pub fn new(chain: Arc<dyn ChainReader>, forks: ForkFilter) -> Self {
        Self {
            chain,
            forks,
            network_id: None,
            versions: vec![EthVersion::Eth66, EthVersion::Eth67, EthVersion::Eth68],
            required: true,
            serve: true,
            sync: None,
            pool: None,
            block_gossip: true,
        }
    }
}

impl core::fmt::Debug for EthChain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EthChain")
            .field("versions", &self.versions)
            .field("serve", &self.serve)
            .field("sync", &self.sync.is_some())
            .field("pool", &self.pool.is_some())
            .field("block_gossip", &self.block_gossip)
            .finish_non_exhaustive()
    }
}

/// Least time from one praise of a peer for its answers to the next: twenty in a half-life of scores.
const PRAISE_INTERVAL: Duration = Duration::from_secs(30);

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// Synchronisation, with its token.
    Sync(RequestToken),
    /// Gossip of transactions, with its token.
    Gossip(FetchToken),
    /// A [`crate::SessionCommand`].
    Owner,
}

struct Peer {
    connection: EthConnection,
    head: PeerHead,
    /// Blocks that it has.
    known: KnownHashes,
    /// Requests under way.
    asked: HashMap<u64, Asker>,
    /// When it was praised last for an answer, or when it came: one that lies in its first answer is
    /// not praised for that.
    praised: Instant,
}

/// Everything about `eth` of one node.
pub(crate) struct EthService {
    peers: Mutex<HashMap<PeerId, Peer>>,
    events: broadcast::Sender<P2pEvent>,
    chain: Arc<dyn ChainReader>,
    serving: Serving,
    sync: Option<Arc<SyncDriver>>,
    gossip: Option<Arc<GossipDriver>>,
    propagation: Propagation,
    clock: Clock,
    /// Where it is told what peers do wrong and well.
    pub(super) witness: Witness,
    /// This service, for work that outlives a call.
    weak: Weak<Self>,
}

impl EthService {
    pub(crate) fn start(
        chain: &EthChain,
        clock: Clock,
        events: broadcast::Sender<P2pEvent>,
        witness: Witness,
    ) -> Arc<Self> {
        let sources = Sources { chain: Arc::clone(&chain.chain), pool: chain.pool.clone() };
        let serving = Serving::new(sources, chain.serve, Handle::current());
        let sync = chain.sync.as_ref().map(|writer| SyncDriver::new(Arc::clone(writer), clock));
        let gossip = chain.pool.as_ref().map(|pool| GossipDriver::new(Arc::clone(pool), clock));
        Arc::new_cyclic(|weak| Self {
            peers: Mutex::default(),
            events,
            chain: Arc::clone(&chain.chain),
            serving,
            sync,
            gossip,
            propagation: Propagation::new(chain.block_gossip),
            clock,
            witness,
            weak: Weak::clone(weak),
        })
    }

    /// The machine that spreads and fetches transactions, if there is a pool.
    pub(crate) const fn gossip_driver(&self) -> Option<&Arc<GossipDriver>> {
        self.gossip.as_ref()
    }

    /// The machine that synchronises, if there is one.
    pub(crate) const fn sync_driver(&self) -> Option<&Arc<SyncDriver>> {
        self.sync.as_ref()
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells observers, if there are any: making the event may cost a copy.
    fn tell(&self, event: impl FnOnce() -> P2pEvent) {
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(event());
        }
    }

    fn sync(&self, input: SyncInput) {
        if let Some(sync) = &self.sync {
            sync.input(input);
        }
    }

    /// The modules to register, one for each version.
    pub(crate) fn modules(
        self: &Arc<Self>,
        chain: &EthChain,
        identity: &ChainIdentity,
    ) -> Vec<Module> {
        let sink: Arc<dyn EthSink> = Arc::<Self>::clone(self);
        let handler = EthModule::new(identity.clone(), Arc::clone(&chain.chain), sink);
        let handler: Arc<dyn chainmesh_proto::module::PeerHandler> = Arc::new(handler);
        let module = |version: &EthVersion| {
            let capability = Capability::new("eth", version.number()).ok()?;
            Some(Module {
                capability,
                message_count: version.message_count(),
                required: chain.required,
                handler: Arc::clone(&handler),
            })
        };
        chain.versions.iter().filter_map(module).collect()
    }

    /// What each peer that speaks `eth` says about the head of its chain.
    pub(crate) fn heads(&self) -> HashMap<PeerId, PeerHead> {
        self.peers().iter().map(|(id, peer)| (*id, peer.head)).collect()
    }

    /// Asks a peer for headers; the answer goes to `asker`.
    fn ask_headers(
        &self,
        id: PeerId,
        origin: Origin,
        count: u64,
        asker: Asker,
    ) -> Result<(), AskError> {
        self.ask(id, asker, |connection| connection.request_headers(origin, count))
    }

    /// Asks a peer for bodies; the answer goes to `asker`.
    fn ask_bodies(&self, id: PeerId, hashes: &[B256], asker: Asker) -> Result<(), AskError> {
        self.ask(id, asker, |connection| connection.request_bodies(hashes))
    }

    fn ask(
        &self,
        id: PeerId,
        asker: Asker,
        request: impl FnOnce(&EthConnection) -> Result<u64, RequestError>,
    ) -> Result<(), AskError> {
        // The lock is held until the request is noted: its answer cannot come sooner.
        let mut peers = self.peers();
        let peer = peers.get_mut(&id).ok_or(AskError::NotConnected)?;
        let request_id = request(&peer.connection)?;
        peer.asked.insert(request_id, asker);
        Ok(())
    }

    /// Ends the session with a peer that broke a rule of synchronisation.
    fn disconnect(&self, id: PeerId, reason: DisconnectReason) {
        if let Some(peer) = self.peers().get(&id) {
            peer.connection.context().disconnect(reason);
        }
    }

    fn take_asker(&self, id: PeerId, request_id: u64) -> Option<Asker> {
        self.peers().get_mut(&id)?.asked.remove(&request_id)
    }

    /// A peer has answered: that is worth something, once in a while.
    fn answered(&self, id: PeerId) {
        let now = self.clock.now();
        let mut peers = self.peers();
        let Some(peer) = peers.get_mut(&id) else { return };
        if now.saturating_since(peer.praised) >= PRAISE_INTERVAL {
            peer.praised = now;
            drop(peers);
            self.witness.praise(id, Merit::Answer);
        }
    }

    fn ready(&self, connection: &EthConnection, head: PeerHead) {
        let peer = Peer {
            connection: connection.clone(),
            head,
            known: KnownHashes::new(MAX_KNOWN_BLOCKS),
            asked: HashMap::new(),
            praised: self.clock.now(),
        };
        self.peers().insert(connection.id(), peer);
        self.sync(SyncInput::PeerConnected { peer: connection.id(), head });
        if let Some(gossip) = &self.gossip {
            gossip.peer_connected(connection.id());
        }
    }

    fn announced(&self, id: PeerId, blocks: &[BlockId]) {
        if let Some(peer) = self.peers().get_mut(&id) {
            for block in blocks {
                peer.known.insert(&block.hash);
            }
        }
        for block in blocks {
            let (hash, number) = (block.hash, block.number);
            self.tell(|| P2pEvent::NewBlockHash { peer_id: id, hash, number });
        }
    }

    fn headers(&self, id: PeerId, request_id: u64, headers: Vec<BlockHeader>) {
        match self.take_asker(id, request_id) {
            Some(Asker::Sync(token)) => {
                if !headers.is_empty() {
                    self.answered(id);
                }
                self.sync(SyncInput::Headers { peer: id, token, headers });
            }
            Some(Asker::Owner) => self.tell(|| P2pEvent::BlockHeaders {
                peer_id: id,
                request_id,
                headers: headers.into_iter().map(|header| header.header).collect(),
            }),
            // The answer to another kind of request was refused before.
            Some(Asker::Gossip(_)) | None => {}
        }
    }

    fn bodies(&self, id: PeerId, request_id: u64, bodies: Vec<BlockBody>) {
        match self.take_asker(id, request_id) {
            Some(Asker::Sync(token)) => {
                if !bodies.is_empty() {
                    self.answered(id);
                }
                self.sync(SyncInput::Bodies { peer: id, token, bodies });
            }
            Some(Asker::Owner) => self.tell(|| {
                let decode = |body: &BlockBody| alloy_rlp::decode_exact(&body.rlp).ok();
                // They were decoded once already: none is left out.
                let bodies = bodies.iter().filter_map(decode).collect();
                P2pEvent::BlockBodies { peer_id: id, request_id, bodies }
            }),
            Some(Asker::Gossip(_)) | None => {}
        }
    }
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no such peer, or it does not speak `eth`.
    #[error("no peer with this ID is connected and speaks eth")]
    NotConnected,
    /// The peer cannot be asked now.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl EthSink for EthService {
    fn event(&self, connection: &EthConnection, event: EthEvent) {
        let id = connection.id();
        match event {
            EthEvent::Ready(head) => self.ready(connection, head),
            EthEvent::NewBlockHashes(blocks) => {
                self.announced(id, &blocks);
                self.sync(SyncInput::Announced { peer: id, blocks });
            }
            EthEvent::NewBlock(block) => {
                let (hash, number) = (block.header.hash, block.header.header.number);
                if let Some(peer) = self.peers().get_mut(&id) {
                    peer.known.insert(&hash);
                }
                self.tell(|| P2pEvent::NewBlock { peer_id: id, hash, number });
                if let Some(service) = self.weak.upgrade() {
                    service.pass_on(id, &block);
                }
                self.sync(SyncInput::NewBlock { peer: id, block });
            }
            EthEvent::Headers { request_id, headers } => self.headers(id, request_id, headers),
            EthEvent::Bodies { request_id, bodies } => self.bodies(id, request_id, bodies),
            EthEvent::Transactions(transactions) => {
                self.tell(|| P2pEvent::Transactions {
                    peer_id: id,
                    transactions: transactions.iter().map(|one| one.to_vec()).collect(),
                });
                if let Some(gossip) = &self.gossip {
                    gossip.received(connection, &transactions);
                }
            }
            EthEvent::NewPooledTransactionHashes(transactions) => {
                if let Some(gossip) = &self.gossip {
                    gossip.announced(id, transactions);
                }
            }
            EthEvent::PooledTransactions { request_id, transactions } => {
                if let (Some(Asker::Gossip(token)), Some(gossip)) =
                    (self.take_asker(id, request_id), &self.gossip)
                {
                    if !transactions.is_empty() {
                        self.answered(id);
                    }
                    gossip.fetched(connection, token, &transactions);
                }
            }
            EthEvent::BlockRangeUpdate(range) => {
                if let Some(peer) = self.peers().get_mut(&id) {
                    peer.head = PeerHead::Range(range);
                }
                self.sync(SyncInput::RangeUpdate { peer: id, range });
            }
            // Requests go to `serve`, replies were sent.
            EthEvent::GetBlockHeaders(_)
            | EthEvent::GetBlockBodies(_)
            | EthEvent::GetReceipts(_)
            | EthEvent::GetPooledTransactions(_)
            | EthEvent::Reply { .. } => {}
        }
    }

    fn serve(&self, job: ServeJob) {
        if self.events.receiver_count() > 0
            && let Some(event) = serving::request_event(&job)
        {
            let _ = self.events.send(event);
        }
        self.serving.take(job);
    }

    fn closed(&self, connection: &EthConnection, _reason: &DisconnectReason) {
        let id = connection.id();
        self.serving.forget(id);
        // A session that was replaced by another one of the same peer does not take it along.
        let mut peers = self.peers();
        let same = peers.get(&id).is_some_and(|peer| peer.connection.is_same(connection));
        if same {
            peers.remove(&id);
            drop(peers);
            self.sync(SyncInput::PeerDisconnected { peer: id });
            if let Some(gossip) = &self.gossip {
                gossip.peer_disconnected(id);
            }
        }
    }
}
