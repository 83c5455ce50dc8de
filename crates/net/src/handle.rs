//! [`P2pHandle`]: what the owner of a node holds in the hand.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_proto::eth::handler::PeerHead;
use chainmesh_proto::eth::sync::SyncReport;
use chainmesh_proto::eth::transactions::GossipReport;
use chainmesh_proto::peers::{DialTarget, NodeKind, PeerInfo, Report as PeerReport, TargetKey};
use chainmesh_proto::session::Link;
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::amop::AmopHandle;
use crate::discovery::DiscoveryHandle;
use crate::eth::EthService;
use crate::event::{P2pEvent, SessionCommand};
use crate::mesh::MeshHandle;
use crate::service::Order;

/// The node, as its owner sees it. Cheap to clone; the node ends when [`P2pHandle::shutdown`] is
/// called or the last handle is dropped.
#[derive(Clone)]
pub struct P2pHandle {
    /// The node's own ID.
    pub local_id: PeerId,
    /// What the node is to send. Bounded: a sender waits while the node is behind.
    pub cmd_tx: mpsc::Sender<SessionCommand>,
    /// Events for observers; [`P2pHandle::subscribe`] makes a receiver.
    pub event_tx: broadcast::Sender<P2pEvent>,
    /// Peers that are connected now.
    pub peer_count: Arc<AtomicUsize>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) listening: Option<SocketAddr>,
    pub(crate) eth: Option<Arc<EthService>>,
    pub(crate) mesh: Option<MeshHandle>,
    pub(crate) amop: Option<AmopHandle>,
    pub(crate) discovery: Option<DiscoveryHandle>,
}

/// The node has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has been shut down")]
pub struct NodeEnded;

/// A connection or a wanted peer, with its traffic.
#[derive(Debug, Clone)]
pub struct PeerStatus {
    /// What the peer manager knows.
    pub info: PeerInfo,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Last measured round trip.
    pub round_trip: Option<Duration>,
    /// Bytes that wait to be sent.
    pub queued: usize,
    /// For how long it has been connected.
    pub connected_for: Option<Duration>,
    /// Time until the next dial, while it waits for one.
    pub next_dial_in: Option<Duration>,
}

impl PeerStatus {
    pub(crate) fn new(info: PeerInfo, link: Option<&Link>, now: Instant) -> Self {
        let traffic = link.map(Link::traffic);
        let round_trip = traffic.map_or(0, |traffic| traffic.round_trip.load(Relaxed));
        Self {
            bytes_in: traffic.map_or(0, |traffic| traffic.bytes_in.load(Relaxed)),
            bytes_out: traffic.map_or(0, |traffic| traffic.bytes_out.load(Relaxed)),
            messages_in: traffic.map_or(0, |traffic| traffic.messages_in.load(Relaxed)),
            messages_out: traffic.map_or(0, |traffic| traffic.messages_out.load(Relaxed)),
            round_trip: (round_trip > 0).then(|| Duration::from_micros(round_trip)),
            queued: link.map_or(0, Link::queued),
            connected_for: info.connected_since.map(|since| now.saturating_since(since)),
            next_dial_in: info.next_dial.map(|at| at.saturating_since(now)),
            info,
        }
    }
}

impl core::fmt::Debug for P2pHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("P2pHandle")
            .field("local_id", &self.local_id)
            .field("listening", &self.listening)
            .field("peer_count", &self.peer_count())
            .finish_non_exhaustive()
    }
}

impl P2pHandle {
    /// A receiver of everything that happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<P2pEvent> {
        self.event_tx.subscribe()
    }

    /// Address and port that the node listens on; `None` if it does not.
    #[must_use]
    pub const fn listening(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// The enode URL under which the node can be reached at the address it listens on. A node that
    /// listens on all addresses is named by its loopback address.
    #[must_use]
    pub fn enode(&self) -> Option<Enode> {
        let address = self.listening?;
        let ip = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            ip if ip.is_ipv4() => core::net::Ipv4Addr::LOCALHOST.into(),
            _ => core::net::Ipv6Addr::LOCALHOST.into(),
        };
        Some(Enode::new(self.local_id, ip, address.port()))
    }

    /// Peers that are connected now.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.peer_count.load(Relaxed)
    }

    /// All connections and all peers that are wanted.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, NodeEnded> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Peers(answer)).await?;
        answered.await.map_err(|_| NodeEnded)
    }

    /// What the peer manager knows and has counted.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn peer_report(&self) -> Result<PeerReport, NodeEnded> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::PeerReport(answer)).await?;
        answered.await.map_err(|_| NodeEnded)
    }

    /// The broker of AMOP; `None` if the node was started without
    /// [`P2pConfig::amop`](crate::P2pConfig::amop) or without a mesh.
    #[must_use]
    pub fn amop(&self) -> Option<AmopHandle> {
        self.amop.clone()
    }

    /// Discovery; `None` if the node was started without
    /// [`P2pConfig::discovery`](crate::P2pConfig::discovery).
    #[must_use]
    pub fn discovery(&self) -> Option<DiscoveryHandle> {
        self.discovery.clone()
    }

    /// The consortium mesh; `None` if the node was started without
    /// [`P2pConfig::mesh`](crate::P2pConfig::mesh).
    #[must_use]
    pub fn mesh(&self) -> Option<MeshHandle> {
        self.mesh.clone()
    }

    /// Where gossip of transactions stands; `None` if this node has no pool.
    #[must_use]
    pub fn gossip_report(&self) -> Option<GossipReport> {
        Some(self.eth.as_ref()?.gossip_driver()?.report())
    }

    /// Where synchronisation stands; `None` if this node does not synchronise.
    #[must_use]
    pub fn sync_report(&self) -> Option<SyncReport> {
        Some(self.eth.as_ref()?.sync_driver()?.report())
    }

    /// What each peer that speaks `eth` said last about the head of its chain.
    #[must_use]
    pub fn eth_heads(&self) -> HashMap<PeerId, PeerHead> {
        self.eth.as_ref().map(|eth| eth.heads()).unwrap_or_default()
    }

    /// Makes the node want a connection to this one, from now on.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn add_peer(&self, enode: &Enode, kind: NodeKind) -> Result<(), NodeEnded> {
        self.order(Order::Add(DialTarget::from(enode), kind)).await
    }

    /// Forgets a peer and ends the session with it.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn remove_peer(&self, id: PeerId) -> Result<(), NodeEnded> {
        self.order(Order::Remove(id)).await
    }

    /// Ends the session with a peer. One that is configured is dialled again later.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn disconnect(&self, id: PeerId, reason: DisconnectReason) -> Result<(), NodeEnded> {
        self.order(Order::Disconnect(id, reason)).await
    }

    /// To be called after the CAs, revocation lists or lists of IDs in
    /// [`TlsConfig`](crate::TlsConfig) were replaced: sessions with peers that would be refused now
    /// are ended. Returns how many. A new certificate of this node itself needs no call: handshakes
    /// show the one that is there.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn certificates_changed(&self) -> Result<usize, NodeEnded> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::JudgeAgain(answer)).await?;
        answered.await.map_err(|_| NodeEnded)
    }

    /// Makes the node want a connection to whoever is at this address. Only TLS can dial it.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn add_address(
        &self,
        host: Host,
        port: u16,
        kind: NodeKind,
    ) -> Result<(), NodeEnded> {
        self.order(Order::Add(DialTarget { id: None, host, port }, kind)).await
    }

    /// Wants no connection to this node any more. A session with it goes on.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn forget_peer(&self, id: PeerId) -> Result<(), NodeEnded> {
        self.order(Order::Forget(TargetKey::Id(id))).await
    }

    /// The same for whoever is at this address.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn forget_address(&self, host: Host, port: u16) -> Result<(), NodeEnded> {
        self.order(Order::Forget(TargetKey::Address(host, port))).await
    }

    /// Says goodbye to all peers and ends the node; returns when that is done.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.order(Order::Shutdown(done)).await.is_ok() {
            let _ = ended.await;
        }
    }

    pub(crate) async fn order(&self, order: Order) -> Result<(), NodeEnded> {
        self.orders.send(order).await.map_err(|_| NodeEnded)
    }
}
