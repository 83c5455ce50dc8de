//! A peer that asks for blocks without end: it says of itself what the other side says of itself,
//! and then asks, as fast as it is read.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use chainmesh_identity::Enode;
use chainmesh_net::{
    Bytes, Capability, Module, ModuleError, NodeKey, P2pConfig, P2pHandle, PeerContext,
    PeerHandler, TopicHandler,
};
use chainmesh_wire::eth::{EthVersion, GetBlockHeaders, MAX_ITEMS, Origin, code};
use tokio::runtime::Runtime;

/// The peer; it ends when this is dropped.
pub(crate) struct Flood {
    handle: P2pHandle,
    peers: Receiver<PeerContext>,
    runtime: Runtime,
}

struct Mirror(SyncSender<PeerContext>);

struct MirrorPeer {
    peer: PeerContext,
    to: SyncSender<PeerContext>,
}

impl PeerHandler for Mirror {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        Box::new(MirrorPeer { peer, to: self.0.clone() })
    }
}

impl TopicHandler for MirrorPeer {
    fn handle(&mut self, message: u32, payload: Bytes) -> Result<(), ModuleError> {
        if message == code::STATUS {
            self.peer.send(code::STATUS, payload).map_err(ModuleError::breach)?;
            // Whoever does not listen any more has no test any more.
            self.to.try_send(self.peer.clone()).ok();
        }
        Ok(())
    }
}

impl Flood {
    /// Dials this node.
    pub(crate) fn dial(node: Enode) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let (to, peers) = sync_channel(16);
        let mut config = P2pConfig::new(NodeKey::from_entropy([0xf1; 32]), 1, Default::default());
        config.listen = false;
        config.boot_nodes = vec![node];
        config.modules = vec![Module {
            capability: Capability::new("eth", EthVersion::Eth68.number()).unwrap(),
            message_count: EthVersion::Eth68.message_count(),
            required: true,
            handler: Arc::new(Mirror(to)),
        }];
        let handle = runtime.block_on(chainmesh_net::start(config)).unwrap();
        Self { handle, peers, runtime }
    }

    pub(crate) fn id(&self) -> chainmesh_identity::PeerId {
        self.handle.local_id
    }

    /// The session, once the handshakes are done.
    pub(crate) fn peer(&self) -> PeerContext {
        self.peers.recv_timeout(chainmesh_testkit::wait::PATIENCE).expect("a session")
    }

    /// Asks so many times for as many headers as there may be in an answer.
    pub(crate) fn ask(&self, peer: &PeerContext, times: u64) {
        for request_id in 0..times {
            let origin = Origin::Number(1);
            let limit = MAX_ITEMS as u64;
            let request = GetBlockHeaders { request_id, origin, limit, skip: 0, reverse: false };
            peer.send(code::GET_BLOCK_HEADERS, request.encode()).unwrap();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.runtime.block_on(self.handle.shutdown());
    }
}
