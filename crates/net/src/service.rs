//! The control plane: one task that runs the [`PeerManager`] and does what it says.
//!
//! It sees what happens on connections, never what is in their messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use chainmesh_identity::{Enode, PeerId};
use chainmesh_proto::discovery::Protocol;
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::peers::book::{Bookkeeper, LOOK_INTO_BOOK};
use chainmesh_proto::peers::{
    ClosedBy, ConnectionId, DialError, DialTarget, Input, NodeKind, Output, PeerEvent, PeerInfo,
    PeerManager, Report as PeerReport, TargetKey,
};
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
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::book::{BookOrder, unix_time};
use crate::clock::Clock;
use crate::event::P2pEvent;
use crate::handle::PeerStatus;
use crate::{connection, dial, entropy};

/// What connection tasks, dials and the listener tell the control plane.
#[derive(Debug)]
pub(crate) enum Report {
    /// A connection went on.
    Event(ConnectionEvent),
    /// A dial ended.
    Dialled(Result<(TcpStream, SocketAddr), DialError>),
}

/// What the owner of the node asks of the control plane.
pub(crate) enum Order {
    /// Be connected to this node.
    Add(DialTarget, NodeKind),
    /// Forget this node, and end the session with it.
    Remove(PeerId),
    /// Want no connection to this node any more.
    Forget(TargetKey),
    /// End the session with this peer.
    Disconnect(PeerId, DisconnectReason),
    /// Judge the certificates of all peers again, and end the sessions of those that are refused.
    JudgeAgain(oneshot::Sender<usize>),
    /// Discovery found a node.
    Found(Box<Enode>, Protocol),
    /// Something about the address book.
    Book(BookOrder),
    /// Tell what there is to know of connections.
    Peers(oneshot::Sender<Vec<PeerStatus>>),
    /// Tell what the peer manager knows and has counted.
    PeerReport(oneshot::Sender<PeerReport>),
    /// Close everything, say goodbye, end.
    Shutdown(oneshot::Sender<()>),
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
    id: Option<PeerId>,
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
            id: None,
            certificate: None,
            listen_port: 0,
            client: String::new(),
        }
    }

    /// Who and where, for a person.
    fn name(&self) -> String {
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
                _ = look.tick() => self.look_into_book(),
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

    fn order(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Add(target, kind) => self.manager.handle(now, Input::AddNode { target, kind }),
            Order::Remove(id) => {
                self.manager.handle(now, Input::RemoveNode { key: TargetKey::Id(id) });
                let reason = DisconnectReason::Requested;
                self.manager.handle(now, Input::Disconnect { id, reason });
            }
            Order::Forget(key) => self.manager.handle(now, Input::RemoveNode { key }),
            Order::Disconnect(id, reason) => {
                self.manager.handle(now, Input::Disconnect { id, reason });
            }
            Order::JudgeAgain(answer) => {
                let _ = answer.send(self.judge_again());
            }
            Order::Peers(answer) => {
                let _ = answer.send(self.peers(now));
            }
            Order::PeerReport(answer) => {
                let _ = answer.send(self.manager.snapshot());
            }
            Order::Found(enode, protocol) => self.found(&enode, protocol),
            Order::Book(order) => self.book_order(order),
            Order::Shutdown(_) => {}
        }
    }

    /// Ends the sessions of peers whose certificates would be refused now.
    fn judge_again(&mut self) -> usize {
        let Some(tls) = &self.local.tls else { return 0 };
        let (trust, Some(time)) = (tls.material.trust(), tls.time.current_time()) else { return 0 };
        let refused = self.connections.values().filter_map(|entry| {
            let PeerCertificate { chain, side, .. } = entry.certificate.as_deref()?;
            let (own, others) = chain.split_first()?;
            Some((entry, trust.verify(own, others, *side, time).err()?))
        });
        let mut count = 0;
        for (entry, error) in refused {
            warn!(peer = entry.name(), "session ended, since our lists have changed: {error}");
            entry.link.close(DisconnectReason::Requested);
            count += 1;
        }
        count
    }

    pub(crate) fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        let status = |info: PeerInfo| {
            let entry = info.connection.and_then(|conn| self.connections.get(&conn));
            PeerStatus::new(info, entry.map(|entry| &*entry.link), now)
        };
        self.manager.snapshot().peers.into_iter().map(status).collect()
    }

    fn report(&mut self, conn: ConnectionId, report: Report) {
        let now = self.clock.now();
        match report {
            Report::Dialled(Ok((stream, address))) => {
                if let Some(entry) = self.connections.get_mut(&conn) {
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
            ConnectionEvent::Established => self.manager.handle(now, Input::Established { conn }),
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
            (CloseCause::Local(_), _) => debug!(peer, "connection closed: {cause}"),
            (_, Blame::Peer) => info!(peer, "connection closed: {cause}"),
            _ => debug!(peer, "connection closed: {cause}"),
        }
        let by = match cause {
            CloseCause::Remote(_) => ClosedBy::Peer,
            CloseCause::Network(_) => ClosedBy::Network,
            _ => ClosedBy::Us,
        };
        let reason = cause.wire_reason();
        // What follows at once follows from this: the book gets the cause in words.
        self.carry_out();
        self.bookkeeper.cause = Some(cause.to_string());
        self.manager.handle(now, Input::Closed { conn, reason, by });
        self.carry_out();
        self.bookkeeper.cause = None;
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
        let entry = Entry::new(Some(address));
        let link = Arc::clone(&entry.link);
        self.connections.insert(conn, entry);
        let (clock, report_to) = (self.clock, self.report_to.clone());
        let local = Arc::clone(&self.local);
        self.tasks.spawn(async move {
            let connection = Connection::accept(local, address, entropy(), clock.now());
            connection::run(conn, connection.over(link), stream, clock, report_to).await;
        });
    }

    fn announce(&mut self, event: PeerEvent) {
        // Before the event: who hears of a peer finds it counted.
        self.peer_count.store(self.manager.peer_count(), Relaxed);
        self.write_down(&event);
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
