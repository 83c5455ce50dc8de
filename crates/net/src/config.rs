//! [`P2pConfig`]: what a node is made from.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use alloy_primitives::B256;
use chainmesh_identity::tls::{TlsMaterial, Versions};
use chainmesh_identity::{Enode, Host, NodeKey, PeerId};
use chainmesh_proto::module::Module;
use chainmesh_proto::peers::book::AddressBook;
use chainmesh_proto::peers::{
    ACCEPT_BURST, ACCEPT_RATE, DEFAULT_MAX_PEERS, MAX_PENDING_INBOUND, NodeKind, default_min_peers,
};
use chainmesh_proto::role::NodeRole;
use chainmesh_proto::session::SessionKind;

use crate::amop::AmopOptions;
use crate::discovery::DiscoveryOptions;
use crate::eth::EthChain;
use crate::mesh::MeshOptions;
use crate::nat::NatChoice;

/// What a node of a consortium shows to its peers, and whom it believes.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Certificate and key, CAs and lists. May be replaced while the node runs; tell it with
    /// [`P2pHandle::certificates_changed`](crate::P2pHandle::certificates_changed).
    pub material: Arc<TlsMaterial>,
    /// Versions of TLS that are spoken.
    pub versions: Versions,
}

/// Everything that a node's network needs to know at its start.
///
/// [`P2pConfig::new`] asks for what has no default; the rest are fields to be changed.
#[derive(Debug)]
pub struct P2pConfig {
    /// The node's key. Whoever holds it is this node.
    pub secret_key: NodeKey,
    /// Chain ID; also the network ID of the `eth` Status, unless [`EthChain`] says otherwise.
    pub chain_id: u64,
    /// Hash of the genesis block: peers with another one are refused.
    pub genesis_hash: B256,
    /// TCP port to listen on; 0 lets the system choose one.
    pub listen_port: u16,
    /// Nodes that are dialled at the start and whenever they are not connected.
    pub boot_nodes: Vec<Enode>,
    /// Peers at most; trusted ones are not counted.
    pub max_peers: usize,

    /// With fewer peers than this for a while, the log says so, and why
    /// ([`P2pHandle::peer_alarm`](crate::P2pHandle::peer_alarm)); 0: never. `None` (the default): one in
    /// fifty of `max_peers`, at least one, and never if the node knows nobody and looks for nobody.
    pub min_peers: Option<usize>,
    /// Whether full slots rotate (default true): every few minutes a peer that this node found by
    /// itself is let go for another one, and a newcomer may get the place of the worst of those that
    /// came. Never in a consortium.
    pub rotation: bool,
    /// Inbound connections that have not proved who they are, at most (default 256).
    pub max_pending_inbound: usize,
    /// Inbound connections that are taken per second in the long run (default 50), and at once
    /// after a quiet time (default 100).
    pub accept_rate: (u32, u32),
    /// Address to listen on. All of them by default.
    pub listen_address: IpAddr,
    /// Whether to listen at all.
    pub listen: bool,
    /// Nodes that an operator configured, and how much each is wanted.
    pub configured_nodes: Vec<(Enode, NodeKind)>,
    /// Name and version that peers see.
    pub client_name: String,
    /// Addresses of nodes whose IDs are not known, as in FISCO's node lists. Only TLS can dial
    /// them.
    pub addresses: Vec<(Host, u16)>,
    /// The kind of session.
    pub session: SessionKind,
    /// Certificates. With [`SessionKind::Tls`] the node is known by its certificate's key;
    /// `secret_key` is then used for nothing else.
    pub tls: Option<TlsConfig>,
    /// The chain that the `eth` module speaks about; without one, `eth` is not spoken.
    pub chain: Option<EthChain>,
    /// What this node is on its chain, as [`role/1`](chainmesh_proto::role) and its record (ENR) say it:
    /// full by default, and with service for light nodes. Without [`chain`](Self::chain), and in a
    /// consortium, it is not said: there the mesh tells the roles.
    pub role: NodeRole,
    /// The consortium mesh; without it, messages go to direct peers only, through modules.
    pub mesh: Option<MeshOptions>,
    /// The broker of AMOP, for SDKs of applications; only with a mesh.
    pub amop: Option<AmopOptions>,
    /// Discovery over UDP; without it and without [`pex`](Self::pex), only configured nodes are dialled. It needs the secp256k1 key of
    /// [`secret_key`](Self::secret_key), so a node whose sessions are TLS has none.
    pub discovery: Option<DiscoveryOptions>,
    /// Whether peers are asked for nodes, and told of some. The nodes of the address book are dialled then,
    /// in a consortium and without discovery, too.
    pub pex: bool,
    /// How the node gets to be reached from outside its network.
    pub nat: NatChoice,
    /// Whether peers are asked to dial back, so that the node knows whether others can reach it, and are
    /// dialled back when they ask (`reach/1`). Not in a consortium, whose members know each other.
    pub reach: bool,
    /// The address book, as it was when the node ended last; `None`: an empty one. What changes is to be
    /// taken with [`P2pHandle::take_book_changes`](crate::P2pHandle::take_book_changes).
    pub book: Option<AddressBook>,
    /// Application modules.
    pub modules: Vec<Module>,
    /// Events that an observer may be behind before it misses some.
    pub event_capacity: usize,
}

impl P2pConfig {
    /// A node with the given key on the given chain, with defaults for all else: port 30303, 50
    /// peers, no boot nodes, no modules.
    #[must_use]
    pub fn new(secret_key: NodeKey, chain_id: u64, genesis_hash: B256) -> Self {
        Self {
            secret_key,
            chain_id,
            genesis_hash,
            listen_port: chainmesh_identity::enode::DEFAULT_PORT,
            boot_nodes: Vec::new(),
            max_peers: DEFAULT_MAX_PEERS,
            min_peers: None,
            rotation: true,
            max_pending_inbound: MAX_PENDING_INBOUND,
            accept_rate: (ACCEPT_RATE, ACCEPT_BURST),
            listen_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listen: true,
            configured_nodes: Vec::new(),
            addresses: Vec::new(),
            client_name: concat!("chainmesh/v", env!("CARGO_PKG_VERSION")).to_owned(),
            session: SessionKind::Rlpx,
            tls: None,
            chain: None,
            role: NodeRole::default(),
            mesh: None,
            amop: None,
            discovery: None,
            pex: false,
            nat: NatChoice::None,
            reach: false,
            book: None,
            modules: Vec::new(),
            event_capacity: 1024,
        }
    }

    /// The minimum of peers.
    pub(crate) fn wanted_peers(&self) -> usize {
        let alone = self.boot_nodes.is_empty()
            && self.configured_nodes.is_empty()
            && self.addresses.is_empty()
            && self.discovery.is_none();
        self.min_peers.unwrap_or(if alone { 0 } else { default_min_peers(self.max_peers) })
    }

    /// By what peers know the node.
    #[must_use]
    pub fn local_id(&self) -> PeerId {
        match (&self.tls, self.session) {
            (Some(tls), SessionKind::Tls) => tls.material.credentials().identity().name(),
            _ => self.secret_key.peer_id(),
        }
    }
}
