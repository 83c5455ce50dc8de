//! Application modules: register once, get a handler per peer, over whatever kind of session.
//!
//! Over RLPx a module is a devp2p capability; its codes begin at 0 and are moved behind those of
//! the other capabilities that the two nodes share. `eth` is such a module itself.

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};

use crate::session::{Class, Link, ReadHold, SendError};

/// One per module: makes a handler for each peer that speaks the module.
pub trait PeerHandler: Send + Sync {
    /// A peer was connected, and both sides have the module. Messages may be sent at once.
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler>;
}

/// One per module and peer: is given what that peer sends. It runs inside the connection's task:
/// work that takes long, or that waits, belongs elsewhere (see [`PeerContext::hold_reading`]).
pub trait TopicHandler: Send {
    /// A message of the module. An error ends the session with its reason.
    ///
    /// # Errors
    /// When the peer breaks the module's rules.
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError>;

    /// The session is over; nothing comes after this.
    fn closed(&mut self, reason: &DisconnectReason) {
        let _ = reason;
    }
}

/// Why a module ends a session.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ModuleError {
    /// What the peer is told.
    pub reason: DisconnectReason,
    /// What the log says.
    pub source: Box<dyn core::error::Error + Send + Sync>,
}

impl ModuleError {
    /// The peer breaks the module's rules.
    pub fn breach(source: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self { reason: DisconnectReason::SubprotocolError, source: source.into() }
    }

    /// Ends the session with a reason of the module's choice.
    pub fn with_reason(
        reason: DisconnectReason,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        Self { reason, source: source.into() }
    }
}

/// A module as it is registered with a node.
#[derive(Clone)]
pub struct Module {
    /// Its name and version; a peer must have both. Several versions of a module are several
    /// modules: the highest that both sides have is used.
    pub capability: Capability,
    /// How many message codes it has. Both sides must agree on this.
    pub message_count: u32,
    /// Whether a peer without it (or a sibling version of the same name) is of no use.
    pub required: bool,
    /// Makes its handlers.
    pub handler: Arc<dyn PeerHandler>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({}, {} codes)", self.capability, self.message_count)
    }
}

/// What sort of node is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PeerKind {
    /// A node of this network: it says Hello and speaks modules.
    #[default]
    Own,
    /// A gateway of FISCO BCOS 3.x: it speaks P2P packets V0 to V3, and of all modules `mesh` alone.
    Fisco3,
    /// A node of FISCO BCOS 2.x: as above, with packets of the RC2 form.
    Fisco2,
}

/// A module's view of one peer. Cheap to clone, usable from any thread, and outlives the session
/// without harm.
#[derive(Clone)]
pub struct PeerContext {
    pub(crate) id: PeerId,
    pub(crate) address: SocketAddr,
    pub(crate) dialled: bool,
    pub(crate) capability: Capability,
    pub(crate) offset: u64,
    pub(crate) count: u32,
    pub(crate) kind: PeerKind,
    pub(crate) identity: Option<Arc<CertificateIdentity>>,
    pub(crate) link: Arc<Link>,
}

impl PeerContext {
    /// Who the peer is.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// Who the peer is, in the forms that certificates and FISCO BCOS have for it.
    #[must_use]
    pub fn identity(&self) -> CertificateIdentity {
        self.identity.as_deref().cloned().unwrap_or_else(|| self.id.into())
    }

    /// What sort of node the peer is.
    #[must_use]
    pub const fn peer_kind(&self) -> PeerKind {
        self.kind
    }

    /// The other end of the connection.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether this node dialled (the other side did if not).
    #[must_use]
    pub const fn is_dialled(&self) -> bool {
        self.dialled
    }

    /// The module and the version that both sides speak.
    #[must_use]
    pub const fn capability(&self) -> &Capability {
        &self.capability
    }

    /// Queues a message of the class [`Class::Blocks`]. The payload is shared, not copied.
    ///
    /// # Errors
    /// [`SendError::Full`] when the peer does not keep up: wait with [`PeerContext::ready`].
    pub fn send(&self, code: u32, payload: Bytes) -> Result<(), SendError> {
        self.send_as(Class::Blocks, code, payload)
    }

    /// Queues a message of the given class.
    ///
    /// # Errors
    /// As the class says when the queue is full, and when the connection is closed.
    pub fn send_as(&self, class: Class, code: u32, payload: Bytes) -> Result<(), SendError> {
        self.send_parts(class, code, None, payload)
    }

    /// Queues a message whose payload begins with `head`: what differs from receiver to receiver
    /// stands before what they share. Where the session can, neither is copied before it is sealed.
    ///
    /// # Errors
    /// As [`PeerContext::send_as`].
    pub fn send_parts(
        &self,
        class: Class,
        code: u32,
        head: Option<Box<[u8]>>,
        payload: Bytes,
    ) -> Result<(), SendError> {
        if code >= self.count {
            return Err(SendError::Code { code, count: self.count });
        }
        let size = payload.len() + head.as_ref().map_or(0, |head| head.len());
        if size > crate::session::MAX_PAYLOAD {
            return Err(SendError::TooLarge(size));
        }
        self.link.queue(class, self.offset + u64::from(code), head, payload)
    }

    /// Waits until there is room in the queue to this peer (at most half of it is taken).
    ///
    /// # Errors
    /// [`SendError::Closed`] when the session ends.
    pub async fn ready(&self) -> Result<(), SendError> {
        core::future::poll_fn(|context| self.link.poll_ready(context)).await
    }

    /// Ends the session.
    pub fn disconnect(&self, reason: DisconnectReason) {
        self.link.close(reason);
    }

    /// Says that a request is being answered elsewhere. While several such holds are alive,
    /// nothing more is read from the peer: it cannot ask faster than it is answered.
    #[must_use]
    pub fn hold_reading(&self) -> ReadHold {
        self.link.hold()
    }

    /// The module has a handshake of its own: the peer counts as connected only after
    /// [`PeerContext::handshake_done`]. To be called in [`PeerHandler::new_peer`].
    pub fn begin_handshake(&self) {
        self.link.begin_handshake();
    }

    /// The module's handshake succeeded. If it fails, the handler returns an error instead.
    pub fn handshake_done(&self) {
        self.link.end_handshake();
    }

    /// Whether both are of the same session.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
    }

    /// Bytes that wait to be sent to this peer, all modules together.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.link.queued()
    }
}

impl fmt::Debug for PeerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerContext({:?} at {}, {})", self.id, self.address, self.capability)
    }
}
