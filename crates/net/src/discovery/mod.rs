//! Discovery on a UDP socket: who else is there.

mod eth_entry;
mod role_entry;
mod service;
mod v5;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use alloy_primitives::Bytes as Raw;
use chainmesh_identity::{Enode, Host, NodeKey, PeerId};
use chainmesh_proto::discovery::{
    Discovery, DiscoveryConfig, MAX_INBOUND_PER_BUCKET, NodeFilter, Protocol, Report, WallClock,
    is_lan,
};
use chainmesh_wire::discv4::Endpoint;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::entropy;
use crate::handle::NodeEnded;
use service::Command;
pub(crate) use service::Service;
use v5::{V5, V5Options};

pub use v5::{Discv5Entry, Discv5Report};

pub use chainmesh_identity::NodeRecord;
pub use chainmesh_proto::discovery::{Answer, Question, may_relay};
pub use chainmesh_wire::discv4::Contact;
pub use eth_entry::fork_id;
pub(crate) use eth_entry::{eth_entry, of_our_chain};
pub(crate) use role_entry::{fits_role, role_entry};

/// Questions of the owner that wait, at most.
const COMMANDS: usize = 64;
/// Time for looking up the names of boot nodes before the node begins without them.
const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// Further entries of a record: each a key and the RLP of its value.
pub(crate) type RecordEntries = Vec<(String, Raw)>;

/// What discovery is made from. All fields have defaults.
#[derive(Clone)]
pub struct DiscoveryOptions {
    /// UDP port; `None`: the one that sessions are listened for on.
    pub port: Option<u16>,
    /// Where to begin; if there are none, at [`P2pConfig::boot_nodes`](crate::P2pConfig::boot_nodes).
    /// Names are looked up at the start.
    pub boot_nodes: Vec<Enode>,
    /// Records of boot nodes, with which discv5 can begin by itself. Without them it begins when discv4
    /// has got the record of a boot node or found somebody.
    pub boot_records: Vec<NodeRecord>,
    /// Whether discv5 is spoken beside discv4, on the same port.
    pub discv5: bool,
    /// Address under which others reach this node, when it is known; otherwise what other nodes see
    /// is believed.
    pub external_ip: Option<IpAddr>,
    /// Says by its record whether a node is of our network. `None`: with a chain, who has its fork ID in
    /// the entry `eth`; without one, everybody.
    pub filter: Option<NodeFilter>,
    /// Further entries of the own record: each a key and the RLP of its value.
    pub record_entries: Vec<(String, Raw)>,
    /// Nodes in a bucket that came by themselves. A boot node, which finds nobody else, has room for as
    /// many as a bucket holds.
    pub max_inbound_per_bucket: usize,
    /// Whether others are looked for, and asked for their records. A tool that only asks whom it is told
    /// to has no need of it.
    pub look_around: bool,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            port: None,
            boot_nodes: Vec::new(),
            boot_records: Vec::new(),
            discv5: true,
            external_ip: None,
            filter: None,
            record_entries: Vec::new(),
            max_inbound_per_bucket: MAX_INBOUND_PER_BUCKET,
            look_around: true,
        }
    }
}

impl fmt::Debug for DiscoveryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryOptions")
            .field("port", &self.port)
            .field("boot_nodes", &self.boot_nodes)
            .field("external_ip", &self.external_ip)
            .finish_non_exhaustive()
    }
}

/// A node that was found: it answered, and it listens for sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Who and where.
    pub enode: Enode,
    /// Its record, if it has one.
    pub record: Option<Box<NodeRecord>>,
    /// By which protocol.
    pub protocol: Protocol,
}

/// What came of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The nodes closest to the target that answered, closest first.
    pub nodes: Vec<Enode>,
    /// Over how many others the farthest of them was found.
    pub hops: u32,
    /// Nodes that were asked.
    pub asked: u32,
}

/// Where a node is, by its own word and by that of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Where its record says that it is.
    pub advertised: Option<SocketAddr>,
    /// Where enough others see it (UDP).
    pub observed: Option<SocketAddr>,
}

/// Discovery, as its owner sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DiscoveryHandle {
    commands: mpsc::Sender<Command>,
    listening: SocketAddr,
    id: PeerId,
    addresses: watch::Receiver<Addresses>,
}

impl DiscoveryHandle {
    /// Address and UDP port that it listens on.
    #[must_use]
    pub const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The node's ID.
    #[must_use]
    pub const fn local_id(&self) -> PeerId {
        self.id
    }

    /// Where this node says that it is, and where others see it; looked at every ten seconds.
    #[must_use]
    pub fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.clone()
    }

    /// Everything there is to know, as of now.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn snapshot(&self) -> Result<Report, NodeEnded> {
        self.ask(Command::Snapshot).await
    }

    /// What there is to know of discv5; `None` when it is not spoken.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn discv5(&self) -> Result<Option<Discv5Report>, NodeEnded> {
        self.ask(Command::Discv5).await
    }

    /// Looks for the nodes closest to a target: a public key, which need not be anybody's.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn lookup(&self, target: PeerId) -> Result<Lookup, NodeEnded> {
        self.ask(|answer| Command::Lookup(target, answer)).await
    }

    /// Asks a node whether it is there: the round trip, or `None` when no answer came.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn ping(&self, enode: &Enode) -> Result<Option<Duration>, NodeEnded> {
        let Some(contact) = resolve(enode).await else { return Ok(None) };
        self.ask(|answer| Command::Ping(contact, answer)).await
    }

    /// As [`ping`](Self::ping), of a node whose address is known.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn ping_contact(&self, contact: Contact) -> Result<Option<Duration>, NodeEnded> {
        self.ask(|answer| Command::Ping(contact, answer)).await
    }

    /// Asks one node something: what it says as it says it, or `None` when no answer came. At most
    /// [`MAX_QUESTIONS`](chainmesh_proto::discovery::MAX_QUESTIONS) may be under way.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn query(
        &self,
        contact: Contact,
        question: Question,
    ) -> Result<Option<Answer>, NodeEnded> {
        self.ask(|answer| Command::Query(contact, question, answer)).await
    }

    /// Replaces the further entries of the own record ([`DiscoveryOptions::record_entries`]): each a key
    /// and the RLP of its value. If they differ from those before, the record has a new sequence number,
    /// and nodes that are asked or ask see that. A node with a chain renews `eth` by itself, and puts back
    /// the rest of what it was started with whenever its head passes a fork.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn set_record_entries(&self, entries: Vec<(String, Raw)>) -> Result<(), NodeEnded> {
        self.commands.send(Command::SetRecordEntries(entries)).await.map_err(|_| NodeEnded)
    }

    /// A session has shown that a node is not of our network. When too much waits, it is not noted.
    pub(crate) fn not_ours(&self, id: PeerId) {
        let _ = self.commands.try_send(Command::NotOurs(id));
    }

    /// Names a node that may be there.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn add_node(&self, enode: &Enode) -> Result<(), NodeEnded> {
        let Some(contact) = resolve(enode).await else { return Ok(()) };
        self.commands.send(Command::AddNode(contact)).await.map_err(|_| NodeEnded)
    }

    /// Says under which address and ports others reach this node, from now on.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn set_address(
        &self,
        ip: IpAddr,
        udp_port: u16,
        tcp_port: u16,
    ) -> Result<(), NodeEnded> {
        let command = Command::SetAddress(ip, udp_port, tcp_port);
        self.commands.send(command).await.map_err(|_| NodeEnded)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NodeEnded> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| NodeEnded)?;
        answered.await.map_err(|_| NodeEnded)
    }
}

/// Time since 1970.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The first address of a node; a name is looked up. `None`: there is none.
pub async fn resolve(enode: &Enode) -> Option<Contact> {
    let ip = match &enode.host {
        Host::Ip(ip) => *ip,
        Host::Name(name) => {
            let lookup = tokio::net::lookup_host((name.as_str(), enode.udp_port));
            let addresses = tokio::time::timeout(NAMES_TIMEOUT, lookup).await.ok()?;
            addresses.ok()?.next()?.ip()
        }
    };
    let endpoint = Endpoint::new(ip.to_canonical(), enode.udp_port, enode.tcp_port);
    Some(Contact { endpoint, id: enode.id })
}

/// Starts discovery alone, inside the current tokio runtime: a boot node, or a tool. It ends when the
/// last handle is dropped. `found` is called with each node that is found; it must not wait.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn start(
    key: NodeKey,
    address: SocketAddr,
    tcp_port: u16,
    options: DiscoveryOptions,
    found: impl FnMut(Found) + Send + 'static,
) -> io::Result<DiscoveryHandle> {
    let (forever, ended) = watch::channel(());
    let (handle, service) = prepare(key, address, tcp_port, options, Clock::start()).await?;
    tokio::spawn(async move {
        service.run(ended, found).await;
        drop(forever);
    });
    Ok(handle)
}

/// Opens the socket and makes the machine.
pub(crate) async fn prepare(
    key: NodeKey,
    address: SocketAddr,
    tcp_port: u16,
    options: DiscoveryOptions,
    clock: Clock,
) -> io::Result<(DiscoveryHandle, Service)> {
    let socket = UdpSocket::bind(address).await?;
    let listening = socket.local_addr()?;
    let id = key.peer_id();
    let wall_clock = WallClock { at: clock.now(), unix: unix_time() };
    let mut config = DiscoveryConfig::new(key, wall_clock, listening.port(), tcp_port);
    config.ip = options.external_ip.or(Some(listening.ip()).filter(|ip| !ip.is_unspecified()));
    config.record_entries = options.record_entries;
    config.record_sequence = u64::try_from(wall_clock.unix.as_millis()).unwrap_or(1);
    config.filter.clone_from(&options.filter);
    config.max_inbound_per_bucket = options.max_inbound_per_bucket;
    (config.look_around, config.fetch_records) = (options.look_around, options.look_around);
    for enode in options.boot_nodes.iter().filter(|enode| enode.id != id) {
        match resolve(enode).await {
            Some(contact) => config.boot_nodes.push(contact),
            None => tracing::warn!(host = %enode.host, "a boot node's name has no address"),
        }
    }
    let (commands, commands_in) = mpsc::channel(COMMANDS);
    let public = config.ip.is_some_and(|ip| !is_lan(ip));
    let key = config.key.duplicate();
    let machine = Discovery::new(config, entropy());
    let socket = Arc::new(socket);
    let v5 = match machine.record().filter(|_| options.discv5) {
        Some(record) => {
            let options = V5Options {
                filter: options.filter,
                boot: options.boot_records,
                max_inbound_per_bucket: options.max_inbound_per_bucket,
                public,
            };
            Some(V5::start(&key, record, &socket, options, clock.now()).await?)
        }
        None => None,
    };
    let (addresses_to, addresses) = watch::channel(Addresses::default());
    let service = Service::new(machine, socket, v5, clock, commands_in, addresses_to);
    Ok((DiscoveryHandle { commands, listening, id, addresses }, service))
}
