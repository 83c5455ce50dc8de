//! What two nodes are for each other, said before anything else: the base module `role/1`.
//!
//! Both sides send their one message at once behind their Hello, and before the first message of every
//! other module, so a difference of chain or role costs one round trip and no work. A peer without the
//! module (go-ethereum) is taken for [`NodeRole::UNSAID`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::DecodeError;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};
use chainmesh_wire::role::{CODE, CODES, NAME, RoleMessage, VERSION};

use crate::eth::chain::ChainReader;
use crate::eth::status::{ChainIdentity, Incompatible};
use crate::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
use crate::session::Class;

pub use chainmesh_wire::role::NodeRole;

/// Why a session ends in this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    /// The peer sent something that is no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The two nodes are not on the same chain. Nobody is to blame.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// The two nodes have nothing for each other. Nobody is to blame.
    #[error("role: {theirs} (ours: {ours})")]
    Useless {
        /// This node's.
        ours: NodeRole,
        /// The peer's.
        theirs: NodeRole,
    },
    /// A second message.
    #[error("a second role")]
    Second,
}

impl RoleFault {
    /// What the peer is told.
    #[must_use]
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            // As `eth` says it.
            Self::Incompatible(_) => DisconnectReason::SubprotocolError,
            Self::Useless { .. } => DisconnectReason::UselessPeer,
            Self::Decode(_) | Self::Second => DisconnectReason::BreachOfProtocol,
        }
    }
}

/// The module, and what the peers have said in it.
pub struct RoleModule {
    identity: ChainIdentity,
    chain: Arc<dyn ChainReader>,
    role: NodeRole,
    peers: Mutex<BTreeMap<PeerId, Vec<Said>>>,
}

/// What a peer has said, and in which session.
struct Said {
    role: NodeRole,
    context: PeerContext,
}

impl RoleModule {
    /// The module for one chain and a role in it.
    #[must_use]
    pub fn new(identity: ChainIdentity, chain: Arc<dyn ChainReader>, role: NodeRole) -> Arc<Self> {
        Arc::new(Self { identity, chain, role, peers: Mutex::default() })
    }

    /// To be registered with a node. A light node cannot do without peers that say that they serve it.
    #[must_use]
    pub fn module(self: &Arc<Self>) -> Option<Module> {
        let capability = Capability::new(NAME, VERSION).ok()?;
        let required = self.role == NodeRole::Light;
        let handler: Arc<dyn PeerHandler> = Arc::new(Handler(Arc::clone(self)));
        Some(Module { capability, message_count: CODES, required, handler })
    }

    /// What the peers with a session have said. Those that are not here do not have the module.
    #[must_use]
    pub fn peers(&self) -> BTreeMap<PeerId, NodeRole> {
        let said = self.said();
        said.iter().filter_map(|(id, said)| Some((*id, said.last()?.role))).collect()
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<PeerId, Vec<Said>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> RoleMessage {
        let identity = &self.identity;
        RoleMessage {
            network_id: identity.network_id,
            genesis: identity.genesis_hash,
            fork_id: identity.forks_at(&self.chain.head()).current(),
            role: self.role,
        }
    }

    fn check(&self, theirs: &RoleMessage) -> Result<(), RoleFault> {
        let head = self.chain.head();
        let RoleMessage { network_id, genesis, fork_id, role } = *theirs;
        self.identity.check_network(network_id)?;
        self.identity.check_chain(&head, genesis, fork_id)?;
        if self.role.fits(role) {
            return Ok(());
        }
        Err(RoleFault::Useless { ours: self.role, theirs: role })
    }
}

struct Handler(Arc<RoleModule>);

impl PeerHandler for Handler {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        peer.begin_handshake();
        // If it cannot be sent the connection is closing.
        let _ = peer.send_as(Class::Control, CODE, self.0.own().encode());
        Box::new(RolePeer { module: Arc::clone(&self.0), peer, heard: false })
    }
}

struct RolePeer {
    module: Arc<RoleModule>,
    peer: PeerContext,
    heard: bool,
}

impl RolePeer {
    fn hear(&mut self, payload: &[u8]) -> Result<NodeRole, RoleFault> {
        if core::mem::replace(&mut self.heard, true) {
            return Err(RoleFault::Second);
        }
        let message = RoleMessage::decode(payload)?;
        self.module.check(&message)?;
        Ok(message.role)
    }
}

impl TopicHandler for RolePeer {
    fn handle(&mut self, _code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let role =
            self.hear(&payload).map_err(|fault| ModuleError::with_reason(fault.reason(), fault))?;
        let said = Said { role, context: self.peer.clone() };
        self.module.said().entry(self.peer.id()).or_default().push(said);
        self.peer.handshake_done();
        Ok(())
    }

    fn closed(&mut self, _reason: &DisconnectReason) {
        // Of two sessions with one peer, one goes on.
        let mut peers = self.module.said();
        if let Some(said) = peers.get_mut(&self.peer.id()) {
            said.retain(|said| !said.context.is_same(&self.peer));
            if said.is_empty() {
                peers.remove(&self.peer.id());
            }
        }
    }
}

#[cfg(test)]
mod tests;
