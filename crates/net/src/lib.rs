//! The library that a chain embeds: peers, secure sessions, and your own messages over them.
//!
//! [`start`] takes a [`P2pConfig`] and gives a [`P2pHandle`]. An application registers a
//! [`Module`]; for each peer that has it too, its [`PeerHandler`] makes a [`TopicHandler`], which is
//! handed that peer's messages and answers through its [`PeerContext`].
//!
//! ```
//! use std::sync::Arc;
//! use chainmesh_net::{
//!     Bytes, Capability, Module, ModuleError, NodeKey, P2pConfig, P2pEvent, PeerContext, PeerHandler,
//!     TopicHandler,
//! };
//!
//! /// The module `greet/1`: a node says hello to every peer, and is thanked for it.
//! struct Greet;
//! struct GreetPeer(PeerContext);
//!
//! impl PeerHandler for Greet {
//!     fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
//!         let _ = peer.send(0, Bytes::from_static(b"hello"));
//!         Box::new(GreetPeer(peer))
//!     }
//! }
//!
//! impl TopicHandler for GreetPeer {
//!     fn handle(&mut self, code: u32, _payload: Bytes) -> Result<(), ModuleError> {
//!         match code {
//!             0 => self.0.send(1, Bytes::from_static(b"thanks")).map_err(ModuleError::breach),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = |number: u8| {
//!     let key = NodeKey::from_entropy([number; 32]); // a real node: chainmesh_net::entropy()
//!     let mut config = P2pConfig::new(key, 1515, Default::default());
//!     config.listen_address = [127, 0, 0, 1].into();
//!     config.listen_port = 0;
//!     config.modules.push(Module {
//!         capability: Capability::new("greet", 1).expect("a valid name"),
//!         message_count: 2,
//!         required: true,
//!         handler: Arc::new(Greet),
//!     });
//!     config
//! };
//! let first = chainmesh_net::start(node(1)).await?;
//! let mut second = node(2);
//! second.boot_nodes.push(first.enode().expect("it listens"));
//! let second = chainmesh_net::start(second).await?;
//!
//! let mut events = second.subscribe();
//! while second.peer_count() == 0 {
//!     if let P2pEvent::PeerConnected { peer_id, addr } = events.recv().await? {
//!         println!("{peer_id} is at {addr}");
//!     }
//! }
//! second.shutdown().await;
//! first.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! One task per connection moves its bytes from end to end; one task makes all decisions about
//! connections. Neither decides anything by itself: that is `chainmesh_proto`, which knows neither
//! sockets nor clocks.

pub mod amop;
mod book;
mod clock;
mod conduct;
pub mod config;
mod connection;
mod dial;
pub mod discovery;
pub mod eth;
mod event;
mod fit;
mod handle;
pub mod mesh;
pub mod nat;
pub mod pex;
pub mod probe;
pub mod reach;
mod service;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_proto::eth::status::ChainIdentity;
use chainmesh_proto::peers::book::{AddressBook, Bookkeeper};
use chainmesh_proto::peers::{DialTarget, Input, PeerManagerConfig};
use chainmesh_proto::pex::PexConfig;
use chainmesh_proto::role::RoleModule;
use chainmesh_proto::session::connection::LocalNode;
use chainmesh_proto::session::tls::TlsLocal;
use chainmesh_proto::time::Instant;
use core::net::SocketAddr;
use discovery::{DiscoveryHandle, RecordEntries};
use eth::EthService;
use mesh::MeshService;
use pex::PexService;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

pub use book::{Banned, PeerQuery, PeerStory, PeerWishError};
pub use bytes::Bytes;
pub use chainmesh_identity::{Enode, Host, NodeKey, PeerId};
pub use chainmesh_identity::{certificate, tls};
pub use chainmesh_proto::eth::handler::{EthHandler, PeerHead};
pub use chainmesh_proto::eth::pool::{OnPending, PoolTransaction, TransactionPool, Verdict};
pub use chainmesh_proto::eth::sync::{BlockSyncManager, SyncReport, SyncState};
pub use chainmesh_proto::eth::transactions::GossipReport;
pub use chainmesh_proto::module::{
    Module, ModuleError, PeerContext, PeerHandler, PeerKind, TopicHandler,
};
pub use chainmesh_proto::peers::{NodeKind, Offence, PeerInfo, PeerManager, Report as PeerReport};
pub use chainmesh_proto::role::NodeRole;
pub use chainmesh_proto::session::{Class, SendError, SessionKind};
pub use chainmesh_proto::text::{Escaped, EscapedTo};
pub use chainmesh_wire::devp2p::{Capability, DisconnectReason};
pub use conduct::TooFewPeers;
pub use config::{P2pConfig, TlsConfig};
pub use eth::EthChain;
pub use event::{BlockBody, HashOrNumber, P2pEvent, SessionCommand};
pub use handle::{NodeEnded, P2pHandle, PeerStatus};

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The UDP port of discovery cannot be listened on.
    #[error("cannot listen for discovery on UDP {address}: {source}")]
    Discovery {
        /// Which address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The gateway cannot be asked.
    #[error("nat: {0}")]
    Nat(#[from] nat::NatChoiceError),
    /// TLS without certificates.
    #[error("sessions are to be TLS, but there is no certificate (`P2pConfig::tls`)")]
    NoCertificate,
}

/// Commands that wait for the node, at most.
const COMMANDS: usize = 256;
/// Orders to the control plane that wait, at most.
const ORDERS: usize = 64;
/// Connections that were accepted and wait for the control plane, at most.
const ACCEPTED: usize = 64;

/// The manager, and the nodes that are to be dialled for ever.
fn peer_manager(config: &P2pConfig, now: Instant) -> PeerManager {
    let mut manager_config = PeerManagerConfig::new(config.local_id(), config.max_peers);
    manager_config.max_pending_inbound = config.max_pending_inbound;
    (manager_config.accept_rate, manager_config.accept_burst) = config.accept_rate;
    // In a consortium every node has a certificate: nobody takes all slots at no cost.
    manager_config.rotation = config.rotation && config.session != SessionKind::Tls;
    manager_config.min_peers = config.wanted_peers();
    let mut manager = PeerManager::new(manager_config, entropy());
    // Port 0: a boot node of discovery, which has no sessions.
    let boot = config.boot_nodes.iter().filter(|node| node.tcp_port != 0);
    let boot = boot.map(|node| (node.into(), NodeKind::Boot));
    let configured = config.configured_nodes.iter().map(|(node, kind)| (node.into(), *kind));
    let addresses = config.addresses.iter().map(|(host, port)| {
        let target = DialTarget { id: None, host: host.clone(), port: *port };
        (target, NodeKind::Static)
    });
    for (target, kind) in boot.chain(configured).chain(addresses) {
        manager.handle(now, Input::AddNode { target, kind });
    }
    manager
}

/// Discovery, if there is to be one, and the entries that its record begins with.
async fn open_discovery(
    config: &P2pConfig,
    listening: Option<SocketAddr>,
    clock: clock::Clock,
) -> Result<Option<((DiscoveryHandle, discovery::Service), RecordEntries)>, StartError> {
    let options = config.discovery.clone().filter(|_| config.session == SessionKind::Rlpx);
    let Some(mut options) = options else { return Ok(None) };
    if options.boot_nodes.is_empty() {
        options.boot_nodes.clone_from(&config.boot_nodes);
    }
    options.external_ip = options.external_ip.or(config.nat.external());
    let tcp_port = listening.map_or(0, |address| address.port());
    let options = fit::for_chain(options, config.chain.as_ref(), config.role);
    let entries = options.record_entries.clone();
    let port = options.port.or(listening.map(|address| address.port()));
    let mut address = SocketAddr::new(config.listen_address, port.unwrap_or(config.listen_port));
    // The system chose the TCP port; another program may have the same one for UDP.
    let any = config.listen_port == 0 && options.port.is_none();
    let prepare = |address| {
        let key = config.secret_key.duplicate();
        discovery::prepare(key, address, tcp_port, options.clone(), clock)
    };
    let mut prepared = prepare(address).await;
    if any && prepared.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
        address.set_port(0);
        prepared = prepare(address).await;
    }
    let prepared = prepared.map_err(|source| StartError::Discovery { address, source })?;
    Ok(Some((prepared, entries)))
}

/// Starts a node inside the current tokio runtime.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn start(mut config: P2pConfig) -> Result<P2pHandle, StartError> {
    let clock = clock::Clock::start();
    let local_id = config.local_id();
    if config.session == SessionKind::Tls && config.tls.is_none() {
        return Err(StartError::NoCertificate);
    }
    config.nat.check()?;
    let (accepted_to, accepted) = mpsc::channel(ACCEPTED);
    let listening = if config.listen {
        let address = SocketAddr::new(config.listen_address, config.listen_port);
        let listen = |source| StartError::Listen { address, source };
        let listener = dial::bind(address).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        tokio::spawn(dial::listen(listener, accepted_to));
        Some(bound)
    } else {
        None
    };
    let (event_tx, _) = broadcast::channel(config.event_capacity.max(1));
    let (orders, orders_in) = mpsc::channel(ORDERS);
    let (cmd_tx, commands) = mpsc::channel(COMMANDS);
    let peer_count = Arc::new(AtomicUsize::new(0));

    let mut manager = peer_manager(&config, clock.now());
    let identity = config.chain.as_ref().map(|chain| ChainIdentity {
        network_id: chain.network_id.unwrap_or(config.chain_id),
        genesis_hash: config.genesis_hash,
        forks: chain.forks.clone(),
        earliest: 0,
    });
    let mut book = config.book.take().unwrap_or_else(|| AddressBook::new(local_id, entropy()));
    book.set_fingerprint(fit::fingerprint(identity.as_ref(), config.role, &config.modules));
    // Where nobody looks for nodes, only those are dialled who were named.
    let finds = config.discovery.is_some() && config.session == SessionKind::Rlpx;
    let dials = finds || config.pex;
    let mut bookkeeper = Bookkeeper::new(book, dials);
    let (boot, configured) = (&config.boot_nodes, &config.configured_nodes);
    bookkeeper.begin(&mut manager, clock.now(), book::unix_time(), boot, configured);
    let (discovery, entries) = open_discovery(&config, listening, clock).await?.unzip();
    let mut modules = config.modules;
    let mut companions = JoinSet::new();
    let ended = watch::Sender::new(());
    let mut roles = None;
    let eth = config.chain.zip(identity).map(|(chain, identity)| {
        if config.session == SessionKind::Rlpx {
            let reader = Arc::clone(&chain.chain);
            let module = RoleModule::new(identity.clone(), reader, config.role);
            modules.extend(module.module());
            roles = Some(module);
        }
        let at_forks = fit::AtForks {
            forks: chain.forks.clone(),
            chain: Arc::clone(&chain.chain),
            discovery: entries.zip(discovery.as_ref().map(|(handle, _)| handle.clone())),
            // Weak: this alone does not keep the node alive.
            orders: orders.downgrade(),
        };
        companions.spawn(at_forks.watch(ended.subscribe()));
        let eth =
            EthService::start(&chain, clock, event_tx.clone(), conduct::Witness::new(&orders));
        modules.extend(eth.modules(&chain, &identity));
        companions.spawn(eth::commands::run(Arc::clone(&eth), commands, ended.subscribe()));
        if let Some(sync) = eth.sync_driver() {
            let weak = Arc::downgrade(&eth);
            companions.spawn(Arc::clone(sync).run(weak, ended.subscribe()));
        }
        if let Some(gossip) = eth.gossip_driver() {
            let weak = Arc::downgrade(&eth);
            companions.spawn(Arc::clone(gossip).run(weak, ended.subscribe()));
        }
        eth
    });
    let mut amop = None;
    let mesh = config.mesh.map(|options| {
        let identity = match (&config.tls, config.session) {
            (Some(tls), SessionKind::Tls) => tls.material.credentials().identity().clone(),
            _ => local_id.into(),
        };
        let mesh = MeshService::new(options, config.amop.as_ref(), identity, clock);
        let handle = mesh.handle();
        amop = mesh.amop();
        modules.extend(mesh.module());
        companions.spawn(mesh.run(ended.subscribe()));
        handle
    });
    let pex = config.pex.then(|| {
        let of_session = match config.session {
            SessionKind::Tls => PexConfig::certified,
            _ => PexConfig::open,
        };
        PexService::new(of_session(local_id), clock)
    });
    modules.extend(pex.as_ref().and_then(PexService::module));
    let reach = (config.reach && config.session == SessionKind::Rlpx).then(|| {
        let port = listening.map_or(0, |address| address.port());
        let addresses = discovery.as_ref().map(|(handle, _)| handle.addresses());
        let reach = reach::Service::new(port, clock, addresses);
        let handle = reach.handle();
        modules.extend(reach.module());
        companions.spawn(reach.run(ended.subscribe()));
        handle
    });
    let local = Arc::new(LocalNode {
        key: config.secret_key,
        client_name: config.client_name,
        listen_port: listening.map_or(0, |address| address.port()),
        modules,
        kind: config.session,
        tls: config.tls.map(|tls| TlsLocal {
            material: tls.material,
            versions: tls.versions,
            time: Arc::new(DefaultTimeProvider),
        }),
    });
    let discovery = discovery.map(|(handle, service)| {
        // Weak: discovery alone does not keep the node alive.
        let weak = orders.downgrade();
        let found = move |found: discovery::Found| {
            if let Some(orders) = weak.upgrade() {
                // When the control plane is behind, there are enough to dial.
                let _ = orders.try_send(service::Order::Found(Box::new(found)));
            }
        };
        companions.spawn(service.run(ended.subscribe(), found));
        let (to, contacts) = (handle.clone(), bookkeeper.contacts(book::unix_time()));
        companions.spawn(async move {
            for enode in contacts {
                let _ = to.add_node(&enode).await;
            }
        });
        handle
    });
    let pex = pex.map(|service| {
        let handle = service.handle();
        companions.spawn(service.run(orders.downgrade(), discovery.clone(), ended.subscribe()));
        handle
    });
    if config.nat.asks_gateway() {
        let ports = nat::NatPorts {
            address: config.listen_address,
            tcp: listening.map(|address| address.port()),
            udp: discovery.as_ref().map(|handle| handle.listening().port()),
        };
        companions.spawn(nat::keep(config.nat, ports, discovery.clone(), ended.subscribe()));
    }
    let inbox = service::Inbox { accepted, orders: orders_in };
    let companions = service::Companions { tasks: companions, ended };
    let mut service = service::Service::new(
        manager,
        local,
        clock,
        event_tx.clone(),
        peer_count.clone(),
        inbox,
        bookkeeper,
    );
    service.pex.clone_from(&pex);
    service.discovery.clone_from(&discovery);
    let alarm = service.floor.heard();
    tokio::spawn(service.run(companions));
    Ok(P2pHandle {
        local_id,
        cmd_tx,
        event_tx,
        peer_count,
        orders,
        listening,
        eth,
        mesh,
        amop,
        discovery,
        alarm,
        pex,
        reach,
        roles,
    })
}

/// 32 bytes from the system's random number generator, with which the protocol machines are
/// seeded.
pub fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Without randomness there is no secrecy: nothing sensible is left to do.
    getrandom::fill(&mut bytes).unwrap_or_else(|error| panic!("no system randomness: {error}"));
    bytes
}
