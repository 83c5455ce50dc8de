//! What a connection is told about this node, and what it tells.

use chainmesh_identity::{NodeKey, PeerId};
use chainmesh_wire::devp2p::{Capability, Hello, P2P_VERSION};

use super::CloseCause;
use crate::module::{Module, PeerKind};
use crate::session::SessionKind;
use crate::session::tls::{PeerCertificate, TlsLocal};

/// What all connections of a node have in common.
#[derive(Debug)]
pub struct LocalNode {
    /// The node's key.
    pub key: NodeKey,
    /// Name and version of the software, for people.
    pub client_name: String,
    /// TCP port of the listener, 0 if there is none.
    pub listen_port: u16,
    /// What the node speaks.
    pub modules: Vec<Module>,
    /// The kind of session.
    pub kind: SessionKind,
    /// Certificates, if the sessions are of the kind [`SessionKind::Tls`].
    pub tls: Option<TlsLocal>,
}

impl LocalNode {
    /// By what peers know this node: its certificate's key, where sessions begin with certificates,
    /// else its own.
    #[must_use]
    pub fn id(&self) -> PeerId {
        match (&self.tls, self.kind) {
            (Some(tls), SessionKind::Tls) => tls.material.credentials().identity().name(),
            _ => self.key.peer_id(),
        }
    }

    pub(super) fn hello(&self) -> Hello {
        let mut capabilities: Vec<Capability> =
            self.modules.iter().map(|module| module.capability).collect();
        capabilities.sort_unstable();
        Hello {
            protocol_version: P2P_VERSION,
            client_name: self.client_name.clone(),
            capabilities,
            listen_port: self.listen_port,
            id: self.id(),
        }
    }
}

/// What happened on a connection.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// The peer has the key of this ID. The connection waits for [`Link::admit`](crate::session::Link::admit) or
    /// [`Link::close`](crate::session::Link::close). On the accepting side it is proved; on the dialling side, which speaks
    /// first, it is when [`ConnectionEvent::Greeted`] comes.
    Authenticated {
        /// Whose key.
        id: PeerId,
        /// What the peer showed, where a session begins with certificates.
        certificate: Option<Box<PeerCertificate>>,
        /// What sort of node it is. With those of FISCO there is no Hello.
        kind: PeerKind,
    },
    /// The peer's Hello came and was accepted.
    Greeted {
        /// What the peer said.
        hello: Hello,
        /// The modules that both sides have.
        shared: Vec<Capability>,
    },
    /// Every module's own handshake is done: the peer counts.
    Established,
    /// The peer gave the sign of life that [`Link::probe`](crate::session::Link::probe) asked for.
    Alive,
    /// The connection is over. Nothing comes after this; what is in the out-buffer may still be
    /// written.
    Closed(CloseCause),
}
