//! The control plane: one task that runs the [`PeerManager`] and does what it says.
//!
//! It sees what happens on connections, never what is in their messages. What it is asked for is in
//! `orders.rs`.

mod orders;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use chainmesh_identity::PeerId;
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::peers::book::{Bookkeeper, LOOK_INTO_BOOK};
use chainmesh_proto::peers::{
    ClosedBy, ConnectionId, DialError, DialTarget, Direction, Input, Output, PeerEvent, PeerManager,
};
use chainmesh_proto::pex::PexModule;
use chainmesh_proto::session::Link;
use chainmesh_proto::session::connection::{
    Blame, CloseCause, Connection, ConnectionEvent, LocalNode,
};
use chainmesh_proto::session::tls::PeerCertificate;
use chainmesh_proto::text::{Escaped, EscapedTo};
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use core::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::book::unix_time;
use crate::clock::Clock;
use crate::conduct::Floor;
use crate::discovery::DiscoveryHandle;
use crate::event::P2pEvent;
use crate::{connection, dial, entropy};
pub(crate) use orders::Order;

/// What connection tasks, dials and the listener tell the control plane.
#[derive(Debug)]
pub(crate) enum Report {
    /// A connection went on.
    Event(ConnectionEvent),
    /// A dial ended.
    Dialled(Result<(TcpStream, SocketAddr), DialError>),
}

/// Characters of a peer's client name that the book keeps.
const CLIENT_SHOWN: usize = 64;

/// Room for reports of all connections together. A connection has about five in its life; when
/// the control plane is behind, they wait.
pub(crate) const REPORTS: usize = 1024;

pub(crate) struct Entry {
    link: Arc<Link>,
    /// A dialled socket that waits for the manager's word before its first byte.
    waiting: Option<(TcpStream, SocketAddr)>,
    /// For the log: where the other end is, and who, once it was proved.
    address: Option<SocketAddr>,
    local_address: Option<SocketAddr>,
    /// Whether it was a session.
    pub(crate) established: bool,
    pub(crate) id: Option<PeerId>,
    /// What the peer showed, to be judged again when our lists change.
    certificate: Option<Box<PeerCertificate>>,
    /// Where it says that it listens; 0: it does not say.
    pub(crate) listen_port: u16,
    /// What it says that it is, escaped.
    pub(crate) client: String,
}

impl Entry {
    fn new(address: Option<SocketAddr>) -> Self {
        Self {
            link: Arc::default(),
            waiting: None,
            address,
            local_address: None,
            established: false,
            id: None,
            certificate: None,
            listen_port: 0,
            client: String::new(),
        }
    }

    /// Who and where, for a person.
    pub(crate) fn name(&self) -> String {
        let id = self.id.map_or_else(|| "?".to_owned(), |id| id.short());
        self.address.map_or_else(|| id.clone(), |address| format!("{id}@{address}"))
    }
}

pub(crate) struct Service {
    pub(crate) manager: PeerManager,
    pub(crate) local: Arc<LocalNode>,
    pub(crate) clock: Clock,
    pub(crate) events: broadcast::Sender<P2pEvent>,
    pub(crate) peer_count: Arc<AtomicUsize>,
    pub(crate) reports: mpsc::Receiver<(ConnectionId, Report)>,
    pub(crate) report_to: mpsc::Sender<(ConnectionId, Report)>,
    pub(crate) accepted: mpsc::Receiver<(TcpStream, SocketAddr)>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) bookkeeper: Bookkeeper,
    pub(crate) floor: Floor,
    pub(crate) pex: Option<PexModule>,
    /// Told of nodes that do not fit.
    pub(crate) discovery: Option<DiscoveryHandle>,
    pub(crate) connections: HashMap<ConnectionId, Entry>,
    /// Inbound sockets that the manager has not decided about; it does so at once.
    inbound: HashMap<ConnectionId, (TcpStream, SocketAddr)>,
    tasks: JoinSet<()>,
    dials: JoinSet<()>,
}

/// The receiving ends of the control plane.
pub(crate) struct Inbox {
    pub(crate) accepted: mpsc::Receiver<(TcpStream, SocketAddr)>,
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// Tasks that end with the node, and what tells them so.
pub(crate) struct Companions {
    pub(crate) tasks: JoinSet<()>,
    pub(crate) ended: watch::Sender<()>,
}

impl Service {
    pub(crate) fn new(
        manager: PeerManager,
        local: Arc<LocalNode>,
        clock: Clock,
        events: broadcast::Sender<P2pEvent>,
        peer_count: Arc<AtomicUsize>,
        inbox: Inbox,
        bookkeeper: Bookkeeper,
    ) -> Self {
        let (report_to, reports) = mpsc::channel(REPORTS);
        Self {
            manager,
            local,
            clock,
            events,
            peer_count,
            reports,
            report_to,
            accepted: inbox.accepted,
            orders: inbox.orders,
            bookkeeper,
            floor: Floor::new(),
            pex: None,
            discovery: None,
            connections: HashMap::new(),
            inbound: HashMap::new(),
            tasks: JoinSet::new(),
            dials: JoinSet::new(),
        }
    }

    /// Runs until it is shut down, or until nobody holds a handle any more.
    pub(crate) async fn run(mut self, mut companions: Companions) {
        let mut look = tokio::time::interval(LOOK_INTO_BOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let done = loop {
            self.carry_out();
            let deadline = self.manager.poll_timeout();
            let timer = self.clock.sleep_until(deadline);
            tokio::select! {
                Some((conn, report)) = self.reports.recv() => self.report(conn, report),
                Some((stream, address)) = self.accepted.recv() => {
                    let conn = self.manager.next_connection();
                    self.inbound.insert(conn, (stream, address));
                    self.manager.handle(self.clock.now(), Input::InboundConnection { conn, address });
                }
                order = self.orders.recv() => match order {
                    Some(Order::Shutdown(done)) => break Some(done),
                    Some(order) => self.order(order),
                    None => break None,
                },
                _ = look.tick() => {
                    // It starts the clock of the alarm for too few peers, and keeps scores fresh.
                    self.manager.handle_timeout(self.clock.now());
                    self.look_into_book();
                }
                () = timer => self.manager.handle_timeout(self.clock.now()),
                Some(_) = self.tasks.join_next() => {}
                Some(_) = self.dials.join_next() => {}
            }
        };
        self.shut_down().await;
        drop(companions.ended);
        while companions.tasks.join_next().await.is_some() {}
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Says goodbye on every connection, and waits until each has said it (or its second is over).
    async fn shut_down(mut self) {
        self.accepted.close();
        self.manager.handle(self.clock.now(), Input::Shutdown);
        self.carry_out();
        self.dials.abort_all();
        let all = async {
            // Their last reports are taken off them: a task that cannot report would not say
            // goodbye.
            loop {
                tokio::select! {
                    _ = self.reports.recv() => {}
                    task = self.tasks.join_next() => if task.is_none() { break },
                }
            }
        };
        let patience = core::time::Duration::from_secs(3);
        if tokio::time::timeout(patience, all).await.is_err() {
            self.tasks.abort_all();
        }
    }

    fn report(&mut self, conn: ConnectionId, report: Report) {
        let now = self.clock.now();
        match report {
            Report::Dialled(Ok((stream, address))) => {
                if let Some(entry) = self.connections.get_mut(&conn) {
                    entry.local_address = stream.local_addr().ok();
                    entry.waiting = Some((stream, address));
                    entry.address = Some(address);
                    self.manager.handle(now, Input::Dialed { conn, result: Ok(address) });
                }
            }
            Report::Dialled(Err(error)) => {
                self.connections.remove(&conn);
                self.manager.handle(now, Input::Dialed { conn, result: Err(error) });
            }
            Report::Event(event) => self.connection_event(now, conn, event),
        }
    }

    fn connection_event(&mut self, now: Instant, conn: ConnectionId, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Authenticated { id, certificate, kind } => {
                if let Some(certificate) = &certificate {
                    debug!(%conn, peer = %certificate.identity, ?kind, "certificate accepted");
                }
                self.manager.handle(now, Input::Authenticated { conn, id, kind });
                self.carry_out();
                // Whatever the manager did not close, it wants.
                if let Some(entry) = self.connections.get_mut(&conn) {
                    entry.id = Some(id);
                    entry.certificate = certificate;
                    entry.link.admit();
                    let client = match kind {
                        PeerKind::Own => return,
                        PeerKind::Fisco2 => "FISCO BCOS 2.x",
                        PeerKind::Fisco3 => "FISCO BCOS 3.x",
                    };
                    // They say no Hello: what they are is known from their certificates.
                    let (client, capabilities) = (client.to_owned(), Vec::new());
                    let hello = Input::HelloReceived { conn, client, capabilities, listen_port: 0 };
                    self.manager.handle(now, hello);
                }
            }
            ConnectionEvent::Greeted { hello, shared } => {
                debug!(
                    %conn, client = %Escaped(&hello.client_name),
                    capabilities = ?hello.capabilities, ?shared, "Hello received"
                );
                let capabilities = hello.capabilities.iter().map(ToString::to_string).collect();
                let (client, listen_port) = (hello.client_name, hello.listen_port);
                if let Some(entry) = self.connections.get_mut(&conn) {
                    entry.listen_port = listen_port;
                    entry.client = EscapedTo(&client, CLIENT_SHOWN).to_string();
                }
                let hello = Input::HelloReceived { conn, client, capabilities, listen_port };
                self.manager.handle(now, hello);
            }
            ConnectionEvent::Established => {
                if let Some(entry) = self.connections.get_mut(&conn) {
                    entry.established = true;
                }
                self.manager.handle(now, Input::Established { conn });
            }
            ConnectionEvent::Alive => self.manager.handle(now, Input::Alive { conn }),
            ConnectionEvent::Closed(cause) => self.closed(now, conn, &cause),
        }
    }

    fn closed(&mut self, now: Instant, conn: ConnectionId, cause: &CloseCause) {
        let Some(entry) = self.connections.remove(&conn) else { return };
        let peer = entry.name();
        match (cause, cause.blame()) {
            // What a module says is about chains and rules: people want to read it.
            (CloseCause::Module { .. }, _) => warn!(peer, "session refused: {cause}"),
            // Also who only looked: a ping, a crawl, a peer that dialled back. That a session is over is
            // said elsewhere.
            (CloseCause::Local(_) | CloseCause::Remote(DisconnectReason::Requested), _) => {
                debug!(peer, "connection closed: {cause}");
            }
            (_, Blame::Peer) => info!(peer, "connection closed: {cause}"),
            _ => debug!(peer, "connection closed: {cause}"),
        }
        let by = match cause {
            CloseCause::Remote(_) => ClosedBy::Peer,
            CloseCause::Network(_) => ClosedBy::Network,
            _ => ClosedBy::Us,
        };
        let reason = cause.wire_reason();
        if let (Some(id), Some(offence)) = (entry.id, self.judge_end(conn, cause)) {
            self.accused(id, offence, cause.to_string());
        }
        // What follows at once follows from this: the book gets the cause in words.
        self.carry_out();
        self.bookkeeper.cause = Some(cause.to_string());
        self.manager.handle(now, Input::Closed { conn, reason, by });
        self.carry_out();
        self.bookkeeper.cause = None;
        self.judge(&entry, cause);
    }

    /// Does what the manager says.
    pub(crate) fn carry_out(&mut self) {
        while let Some(output) = self.manager.poll() {
            match output {
                Output::Dial { conn, target } => self.dial(conn, target),
                Output::Handshake { conn, expected } => self.begin_outbound(conn, expected),
                Output::Accept { conn } => self.begin_inbound(conn),
                Output::RefuseInbound { conn, reason } => {
                    self.inbound.remove(&conn);
                    debug!(%conn, "inbound connection not taken: {reason}");
                }
                Output::Probe { conn } => {
                    if let Some(entry) = self.connections.get(&conn) {
                        entry.link.probe();
                    }
                }
                Output::Close { conn, reason } => {
                    if let Some(entry) = self.connections.remove(&conn) {
                        entry.link.close(reason);
                    }
                }
                Output::Event(event) => self.announce(event),
            }
        }
    }

    fn dial(&mut self, conn: ConnectionId, target: DialTarget) {
        debug!(%conn, %target, "dialling");
        self.bookkeeper.dialled(unix_time(), target.id);
        self.connections.insert(conn, Entry::new(None));
        let report_to = self.report_to.clone();
        self.dials.spawn(async move {
            let result = dial::connect(&target).await;
            let _ = report_to.send((conn, Report::Dialled(result))).await;
        });
    }

    fn begin_outbound(&mut self, conn: ConnectionId, expected: Option<PeerId>) {
        let Some(entry) = self.connections.get_mut(&conn) else { return };
        let Some((stream, address)) = entry.waiting.take() else { return };
        let (local, link) = (Arc::clone(&self.local), Arc::clone(&entry.link));
        let (clock, report_to) = (self.clock, self.report_to.clone());
        self.tasks.spawn(async move {
            let connection = Connection::dial(local, address, expected, entropy(), clock.now());
            connection::run(conn, connection.over(link), stream, clock, report_to).await;
        });
    }

    fn begin_inbound(&mut self, conn: ConnectionId) {
        let Some((stream, address)) = self.inbound.remove(&conn) else { return };
        let mut entry = Entry::new(Some(address));
        entry.local_address = stream.local_addr().ok();
        let link = Arc::clone(&entry.link);
        self.connections.insert(conn, entry);
        let (clock, report_to) = (self.clock, self.report_to.clone());
        let local = Arc::clone(&self.local);
        self.tasks.spawn(async move {
            let connection = Connection::accept(local, address, entropy(), clock.now());
            connection::run(conn, connection.over(link), stream, clock, report_to).await;
        });
    }

    /// Somebody came, saw that we are there, and left: a ping, a crawl, a peer that dialled back. Their
    /// identities are made for the purpose, and do not belong into the book.
    fn only_looked(&self, event: &PeerEvent) -> bool {
        let PeerEvent::HandshakeFailed { id, direction, reason, by, .. } = event else {
            return false;
        };
        *direction == Direction::Inbound
            && *by == ClosedBy::Peer
            && *reason == DisconnectReason::Requested
            && id.is_none_or(|id| self.bookkeeper.book.get(&id).is_none())
    }

    fn announce(&mut self, event: PeerEvent) {
        // Before the event: who hears of a peer finds it counted.
        self.peer_count.store(self.manager.peer_count(), Relaxed);
        if !self.only_looked(&event) {
            self.write_down(&event);
        }
        self.tell_of_conduct(&event);
        match event {
            PeerEvent::PeerConnected { id, address, direction, .. } => {
                info!(peer = %id.short(), %address, ?direction, "peer connected");
                // Nobody listening is no error.
                let _ = self.events.send(P2pEvent::PeerConnected { peer_id: id, addr: address });
            }
            PeerEvent::PeerDisconnected { id, reason, by, .. } => {
                info!(peer = %id.short(), ?by, "peer disconnected: {reason}");
                let _ = self.events.send(P2pEvent::PeerDisconnected { peer_id: id });
            }
            PeerEvent::DialFailed { target, error, failures, retry_in } => {
                debug!(?target, failures, ?retry_in, "dial failed: {error}");
            }
            PeerEvent::HandshakeFailed { conn, id, address, direction, reason, by, .. } => {
                let id = id.map(|id| id.short());
                debug!(%conn, ?id, ?address, ?direction, ?by, "no session: {reason}");
            }
            PeerEvent::DuplicateIdentity { id } => {
                warn!(peer = %id.short(), "another node has the key of a connected peer");
            }
            PeerEvent::UnexpectedIdentity { expected, found, address } => {
                let (expected, found) = (expected.short(), found.short());
                warn!(%expected, %found, ?address, "another node answered than the one dialled");
            }
            PeerEvent::TargetRefused { target, error } => warn!(%target, "not added: {error}"),
            event => debug!(?event, "peers"),
        }
    }
}
