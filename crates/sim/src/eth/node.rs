//! One node's machine, its peers, and the ear through which it hears them.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_eip2124::{ForkFilter, Head};
use alloy_primitives::B256;
use chainmesh_identity::PeerId;
use chainmesh_proto::eth::chain::ChainReader;
use chainmesh_proto::eth::handler::{EthConnection, EthEvent, EthModule, EthSink, ServeJob};
use chainmesh_proto::eth::status::ChainIdentity;
use chainmesh_proto::eth::sync::limits::SyncLimits;
use chainmesh_proto::eth::sync::{BlockSyncManager, RequestToken, SyncConfig};
use chainmesh_proto::module::{Module, PeerHandler};
use chainmesh_wire::devp2p::{Capability, DisconnectReason};

use super::ChainNode;
use crate::chain::MemoryChain;
use crate::network::NodeIndex;

/// Network of every world's chain.
const NETWORK_ID: u64 = 1337;

/// A life of a node.
pub(crate) type Hearer = (NodeIndex, u64);

/// What peers said, and to whom, in order.
pub(crate) type Heard = Arc<Mutex<VecDeque<(Hearer, Word)>>>;

/// What one peer said.
pub(crate) enum Word {
    Event(EthConnection, Box<EthEvent>),
    Serve(ServeJob),
    Closed(EthConnection),
}

/// Called in the middle of the connections' work: notes down what the world does afterwards.
struct Ear {
    hearer: Hearer,
    heard: Heard,
}

impl Ear {
    fn note(&self, word: Word) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push_back((self.hearer, word));
    }
}

impl EthSink for Ear {
    fn event(&self, peer: &EthConnection, event: EthEvent) {
        self.note(Word::Event(peer.clone(), Box::new(event)));
    }

    fn serve(&self, job: ServeJob) {
        self.note(Word::Serve(job));
    }

    fn closed(&self, peer: &EthConnection, _: &DisconnectReason) {
        self.note(Word::Closed(peer.clone()));
    }
}

/// The modules of a node in this life.
pub(crate) fn modules(node: &ChainNode, hearer: Hearer, heard: &Heard) -> Vec<Module> {
    let genesis_hash = node.chain.genesis_hash();
    let forks = ForkFilter::new(Head::default(), genesis_hash, 0, []);
    let identity = ChainIdentity { network_id: NETWORK_ID, genesis_hash, forks, earliest: 0 };
    let sink = Arc::new(Ear { hearer, heard: Arc::clone(heard) });
    let chain: Arc<MemoryChain> = Arc::clone(&node.chain);
    let handler: Arc<dyn PeerHandler> = Arc::new(EthModule::new(identity, chain, sink));
    let module = |version: &chainmesh_wire::eth::EthVersion| {
        let capability = Capability::new("eth", version.number()).ok()?;
        Some(Module {
            capability,
            message_count: version.message_count(),
            required: true,
            handler: Arc::clone(&handler),
        })
    };
    node.versions.iter().filter_map(module).collect()
}

/// A peer that is ready.
pub(crate) struct Peer {
    pub(crate) connection: EthConnection,
    /// Blocks that it announced, sent, or was told of.
    pub(crate) known: BTreeSet<B256>,
    /// Requests under way.
    pub(crate) asked: BTreeMap<u64, RequestToken>,
}

/// What synchronises in one life of a node.
pub(crate) struct EthNode {
    pub(crate) machine: BlockSyncManager,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
}

impl fmt::Debug for EthNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EthNode").field("machine", &self.machine.snapshot()).finish_non_exhaustive()
    }
}

impl EthNode {
    pub(crate) fn new(chain: &MemoryChain, seed: [u8; 32]) -> Self {
        let (genesis_hash, head) = (chain.genesis_hash(), chain.head());
        let config = SyncConfig { genesis_hash, head, limits: SyncLimits::default() };
        Self { machine: BlockSyncManager::new(config, seed), peers: BTreeMap::new() }
    }
}
