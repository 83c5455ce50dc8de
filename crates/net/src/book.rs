//! The control plane's address book: what happens goes in, whom to dial comes out.

mod handle;

use core::cmp::Reverse;
use core::net::IpAddr;
use core::time::Duration;
use std::time::SystemTime;

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_proto::peers::book::{
    AddressBook, AddressOrigin, AttemptStage, Ban, BookError, Changes, Incident, PeerRecord,
    UnixTime,
};
use chainmesh_proto::peers::{
    ClosedBy, Direction, Input, NodeKind, Offence, PeerEvent, PeerManager, TargetKey,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use tokio::sync::oneshot;

use crate::handle::{NodeEnded, PeerStatus};
use crate::service::Service;
use crate::text::EscapedTo;

/// How often the book is asked for somebody to dial, when there are free slots.
pub(crate) const LOOK_INTO_BOOK: Duration = Duration::from_secs(5);
/// Nodes of the book that discovery is told of at the start.
const CONTACTS: usize = 32;
/// Stories that one question gets.
const MAX_STORIES: usize = 16;
/// Bans for conduct that are remembered, of the wishes of the operator that the book has room for.
const MAX_CONDUCT_BANS: usize = 256;
/// How the reason of such a ban begins.
const FOR_CONDUCT: &str = "for its conduct";
/// Characters of a text in a story.
const SHOWN: usize = 150;

/// Which peer is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerQuery {
    /// The one with this ID.
    Id(PeerId),
    /// Those whose ID in hex begins so.
    Prefix(String),
    /// Those at this address or host name, with this TCP port if there is one.
    Host(Host, Option<u16>),
}

/// Everything that is known of one peer.
#[derive(Debug, Clone)]
pub struct PeerStory {
    /// Who, when that is known.
    pub id: Option<PeerId>,
    /// What the address book knows.
    pub record: Option<PeerRecord>,
    /// Its connection, or the plan to dial it.
    pub status: Option<PeerStatus>,
    /// Time until the address book names it for a dial; `None` when it does not.
    pub due_in: Option<Duration>,
    /// Its score; 0 for one that has none.
    pub score: i32,
    /// Its address is banned.
    pub address_ban: Option<Ban>,
    /// The node's clock, Unix time in seconds: times of the record are to be compared with it.
    pub now: UnixTime,
}

/// Why a wish of the operator is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerWishError {
    /// The node has ended.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
    /// The book does not take it.
    #[error(transparent)]
    Book(#[from] BookError),
    /// It has no TCP port.
    #[error("the enode has no TCP port to connect to")]
    NoPort,
    /// It is banned.
    #[error("the node is banned; lift the ban first")]
    Banned,
}

/// What is asked of the book.
pub(crate) enum BookOrder {
    Want {
        enode: Box<Enode>,
        trusted: bool,
        answer: oneshot::Sender<Result<(), PeerWishError>>,
    },
    Forget(PeerId),
    Distrust(PeerId),
    Ban {
        id: PeerId,
        span: Option<Duration>,
        reason: String,
        answer: oneshot::Sender<Result<(), BookError>>,
    },
    Unban(PeerId, oneshot::Sender<bool>),
    BanAddress {
        ip: IpAddr,
        span: Option<Duration>,
        reason: String,
        answer: oneshot::Sender<Result<(), BookError>>,
    },
    UnbanAddress(IpAddr, oneshot::Sender<bool>),
    Changes(oneshot::Sender<Changes>),
    Stories(PeerQuery, oneshot::Sender<Vec<PeerStory>>),
}

/// The book, and what the control plane needs beside it.
pub(crate) struct Bookkeeper {
    book: AddressBook,
    /// Whether nodes of the book are dialled.
    dials: bool,
    /// Why a connection ends, in words, while its end is worked on.
    pub(crate) cause: Option<String>,
}

pub(crate) fn unix_time() -> UnixTime {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn until(now: UnixTime, span: Option<Duration>) -> Option<UnixTime> {
    span.map(|span| now.saturating_add(span.as_secs().max(1)))
}

impl Bookkeeper {
    pub(crate) const fn new(book: AddressBook, dials: bool) -> Self {
        Self { book, dials, cause: None }
    }

    /// Tells the manager what the operator decided in earlier runs, and the book who is configured.
    pub(crate) fn begin(
        &mut self,
        manager: &mut PeerManager,
        now: Instant,
        boot: &[Enode],
        configured: &[(Enode, NodeKind)],
    ) {
        let unix = unix_time();
        let listening = |enode: &&Enode| enode.tcp_port != 0;
        for enode in boot.iter().filter(listening) {
            self.book.add(unix, enode, AddressOrigin::Boot, None);
        }
        for enode in configured.iter().map(|(enode, _)| enode).filter(listening) {
            self.book.add(unix, enode, AddressOrigin::Configured, None);
        }
        self.book.lift_bans(unix);
        for record in self.book.records() {
            let id = record.enode.id;
            if record.ban.is_some() {
                manager.handle(now, Input::Ban { id });
            } else if record.is_static || record.is_trusted {
                let kind = if record.is_trusted { NodeKind::Trusted } else { NodeKind::Static };
                manager.handle(now, Input::AddNode { target: (&record.enode).into(), kind });
            }
        }
        for (ip, _) in self.book.banned_ips() {
            manager.handle(now, Input::BanAddress { ip });
        }
        self.feed(manager, now);
    }

    /// Nodes with which discovery may begin, beside the boot nodes.
    pub(crate) fn contacts(&self) -> Vec<Enode> {
        let known = self
            .book
            .records()
            .filter(|record| record.tried && record.ban.is_none() && record.enode.udp_port != 0);
        known.take(CONTACTS).map(|record| record.enode.clone()).collect()
    }

    /// Names nodes to the manager as long as it has room.
    fn feed(&mut self, manager: &mut PeerManager, now: Instant) {
        let room = if self.dials { manager.room_for_dynamic() } else { 0 };
        if room == 0 {
            return;
        }
        let wanted = |id: &PeerId| !manager.has_target(id) && !manager.is_connected(id);
        for enode in self.book.candidates(unix_time(), room, wanted) {
            let (target, kind) = ((&enode).into(), NodeKind::Dynamic);
            manager.handle(now, Input::AddNode { target, kind });
        }
    }

    pub(crate) fn dialled(&mut self, id: Option<PeerId>) {
        if let Some(id) = id {
            self.book.dialled(unix_time(), &id);
        }
    }

    fn remember(
        &mut self,
        id: &PeerId,
        stage: AttemptStage,
        inbound: bool,
        ended: bool,
        text: &str,
    ) {
        let text = EscapedTo(text, SHOWN).to_string();
        self.book.remember(id, Incident { at: unix_time(), stage, inbound, ended, text });
    }

    /// How a connection ended, for people.
    fn ending(&self, reason: DisconnectReason, by: ClosedBy) -> String {
        let why = self.cause.clone().unwrap_or_else(|| reason.to_string());
        match by {
            ClosedBy::Us => format!("we closed: {why}"),
            ClosedBy::Peer => format!("the peer closed: {why}"),
            ClosedBy::Network => format!("the connection broke: {why}"),
        }
    }

    /// An offence, for people.
    fn charge(&self, offence: Offence, score: i32) -> String {
        let cause = self.cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
        format!("{offence}, -{} points, score {score}{cause}", offence.weight())
    }

    /// Bans a node until its score has faded. The operator's bans are never displaced: of these here
    /// there is a limited number, and the one that ends first makes room.
    fn ban_for_conduct(&mut self, now: UnixTime, id: &PeerId, score: i32, lasts: Duration) {
        let for_conduct = self.book.records().filter_map(|record| {
            let ban = record.ban.as_ref().filter(|ban| ban.reason.starts_with(FOR_CONDUCT))?;
            Some((ban.until, record.enode.id))
        });
        let for_conduct: Vec<_> = for_conduct.collect();
        if for_conduct.len() >= MAX_CONDUCT_BANS
            && let Some((_, first)) = for_conduct.into_iter().min()
        {
            self.book.unban(&first);
        }
        let reason = format!("{FOR_CONDUCT}: score {score}");
        if let Err(error) = self.book.ban(now, id, until(now, Some(lasts)), &reason) {
            // The manager refuses it all the same, as long as this run lasts.
            tracing::warn!(peer = %id.short(), "the ban is not remembered: {error}");
        }
    }

    /// A peer that came to us and is not in the book.
    fn meet(&mut self, id: PeerId, ip: IpAddr, port: u16, inbound: bool) {
        let enode = Enode { id, host: Host::Ip(ip), tcp_port: port, udp_port: 0 };
        let (origin, source) = match inbound {
            true => (AddressOrigin::Inbound, Some(ip)),
            false => (AddressOrigin::Configured, None),
        };
        self.book.add(unix_time(), &enode, origin, source);
    }
}

impl Service {
    /// Discovery found a node.
    pub(crate) fn found(&mut self, enode: &Enode) {
        if enode.tcp_port == 0 {
            return;
        }
        let (now, unix) = (self.clock.now(), unix_time());
        // It has answered from there, so it is its own witness.
        self.bookkeeper.book.add(unix, enode, AddressOrigin::Discovery, enode.host.ip());
        if self.manager.has_target(&enode.id) {
            let (target, kind) = (enode.into(), NodeKind::Dynamic);
            self.manager.handle(now, Input::AddNode { target, kind });
        }
        self.bookkeeper.feed(&mut self.manager, now);
    }

    /// Names nodes to dial, and lifts the bans that are over.
    pub(crate) fn look_into_book(&mut self) {
        let now = self.clock.now();
        let (ids, ips) = self.bookkeeper.book.lift_bans(unix_time());
        for id in ids {
            self.let_in_again(id);
        }
        for ip in ips {
            self.manager.handle(now, Input::UnbanAddress { ip });
        }
        self.bookkeeper.feed(&mut self.manager, now);
    }

    /// What happened with a peer goes into its record.
    pub(crate) fn write_down(&mut self, event: &PeerEvent) {
        let now = unix_time();
        let keeper = &mut self.bookkeeper;
        match *event {
            PeerEvent::PeerConnected { id, conn, address, direction } => {
                let inbound = direction == Direction::Inbound;
                let entry = self.connections.get(&conn);
                let port = entry.map_or(0, |entry| entry.listen_port);
                let port = if inbound { port } else { address.port() };
                if keeper.book.get(&id).is_none_or(|record| record.enode.tcp_port == 0) {
                    keeper.meet(id, address.ip(), port, inbound);
                }
                keeper.book.connected(now, &id, !inbound);
                let client = entry.map_or_else(String::new, |entry| entry.client.clone());
                let text = format!("connected at {address}: {client}");
                keeper.remember(&id, AttemptStage::Session, inbound, false, &text);
            }
            PeerEvent::PeerDisconnected { id, direction, lasted, reason, by } => {
                keeper.book.disconnected(now, &id);
                let text = format!("{}, after {} s", keeper.ending(reason, by), lasted.as_secs());
                let inbound = direction == Direction::Inbound;
                keeper.remember(&id, AttemptStage::Session, inbound, true, &text);
            }
            PeerEvent::DialFailed { target: TargetKey::Id(id), error, .. } => {
                keeper.book.failed(now, &id);
                keeper.remember(&id, AttemptStage::Dial, false, true, &error.to_string());
            }
            PeerEvent::HandshakeFailed { id, expected, address, direction, reason, by, .. } => {
                // Both sides had dialled: no failure.
                let Some(peer) = id.or(expected) else { return };
                if reason == DisconnectReason::AlreadyConnected {
                    return;
                }
                let inbound = direction == Direction::Inbound;
                if let (true, Some(address), None) = (inbound, address, keeper.book.get(&peer)) {
                    keeper.meet(peer, address.ip(), 0, true);
                }
                if !inbound {
                    keeper.book.failed(now, &peer);
                }
                let proved = id.is_some() || inbound;
                let stage = if proved { AttemptStage::Greeting } else { AttemptStage::Handshake };
                let text = keeper.ending(reason, by);
                keeper.remember(&peer, stage, inbound, true, &text);
            }
            PeerEvent::Misbehaved { id, offence, score, direction } => {
                let inbound = direction != Some(Direction::Outbound);
                let text = keeper.charge(offence, score);
                keeper.remember(&id, AttemptStage::Session, inbound, false, &text);
            }
            PeerEvent::Banned { id, score, lasts, .. } => {
                keeper.ban_for_conduct(now, &id, score, lasts);
            }
            _ => {}
        }
    }

    pub(crate) fn book_order(&mut self, order: BookOrder) {
        let (now, unix) = (self.clock.now(), unix_time());
        let book = &mut self.bookkeeper.book;
        match order {
            BookOrder::Want { enode, trusted, answer } => {
                let _ = answer.send(self.want(&enode, trusted));
            }
            BookOrder::Forget(id) => {
                book.forget(&id);
                self.manager.handle(now, Input::RemoveNode { key: TargetKey::Id(id) });
                let reason = DisconnectReason::Requested;
                self.manager.handle(now, Input::Disconnect { id, reason });
            }
            BookOrder::Distrust(id) => {
                let kind = match book.distrust(&id) {
                    true => NodeKind::Static,
                    false => NodeKind::Dynamic,
                };
                self.manager.handle(now, Input::Untrust { id, kind });
            }
            BookOrder::Ban { id, span, reason, answer } => {
                let banned = book.ban(unix, &id, until(unix, span), &reason);
                if banned.is_ok() {
                    self.bookkeeper.cause = Some(format!("banned by the operator: {reason}"));
                    self.manager.handle(now, Input::Ban { id });
                    self.carry_out();
                    self.bookkeeper.cause = None;
                }
                let _ = answer.send(banned);
            }
            BookOrder::Unban(id, answer) => {
                let was = book.unban(&id);
                self.let_in_again(id);
                let _ = answer.send(was);
            }
            BookOrder::BanAddress { ip, span, reason, answer } => {
                let banned = book.ban_ip(unix, ip, until(unix, span), &reason);
                if banned.is_ok() {
                    self.manager.handle(now, Input::BanAddress { ip });
                }
                let _ = answer.send(banned);
            }
            BookOrder::UnbanAddress(ip, answer) => {
                let was = book.unban_ip(ip);
                self.manager.handle(now, Input::UnbanAddress { ip });
                let _ = answer.send(was);
            }
            BookOrder::Changes(answer) => {
                let _ = answer.send(book.take_changes());
            }
            BookOrder::Stories(query, answer) => {
                let _ = answer.send(self.stories(&query));
            }
        }
    }

    /// The ban of a node is over. If the operator had added it, that counts again.
    fn let_in_again(&mut self, id: PeerId) {
        let now = self.clock.now();
        self.manager.handle(now, Input::Unban { id });
        let record = self.bookkeeper.book.get(&id);
        if let Some(record) = record.filter(|record| record.is_static || record.is_trusted) {
            let kind = if record.is_trusted { NodeKind::Trusted } else { NodeKind::Static };
            let target = (&record.enode).into();
            self.manager.handle(now, Input::AddNode { target, kind });
        }
    }

    fn want(&mut self, enode: &Enode, trusted: bool) -> Result<(), PeerWishError> {
        let (now, unix) = (self.clock.now(), unix_time());
        if enode.tcp_port == 0 {
            return Err(PeerWishError::NoPort);
        }
        if self.bookkeeper.book.is_banned(unix, &enode.id) {
            return Err(PeerWishError::Banned);
        }
        self.bookkeeper.book.want(unix, enode, trusted)?;
        let kind = if trusted { NodeKind::Trusted } else { NodeKind::Static };
        self.manager.handle(now, Input::AddNode { target: enode.into(), kind });
        Ok(())
    }

    /// What is known of those who are meant, connected ones first.
    fn stories(&self, query: &PeerQuery) -> Vec<PeerStory> {
        let (unix, book) = (unix_time(), &self.bookkeeper.book);
        let now = self.clock.now();
        let score = |id: Option<PeerId>| id.map_or(0, |id| self.manager.score(now, &id));
        let ban_of = |ip: Option<IpAddr>| {
            let ip = ip?.to_canonical();
            book.banned_ips().find(|(banned, _)| *banned == ip).map(|(_, ban)| ban.clone())
        };
        let mut stories: Vec<PeerStory> = Vec::new();
        let mut peers = self.peers(now);
        peers.sort_by_key(|status| Reverse(status.info.state));
        for status in peers {
            let info = &status.info;
            let at = info.address.map(|at| (Host::Ip(at.ip()), at.port()));
            let target = info.target.as_ref().map(|target| (target.host.clone(), target.port));
            let record = info.id.and_then(|id| book.get(&id));
            let known = record.map(|r| (r.enode.host.clone(), r.enode.tcp_port));
            let places = [at, target, known];
            let new = !stories.iter().any(|story| story.id.is_some() && story.id == info.id);
            if new && is_meant(query, info.id, places.iter().flatten()) {
                let address_ban = ban_of(places.iter().flatten().find_map(|(host, _)| host.ip()));
                let (id, record) = (info.id, record.cloned());
                let status = Some(status);
                stories.push(PeerStory {
                    id,
                    record,
                    status,
                    due_in: None,
                    score: score(id),
                    address_ban,
                    now: unix,
                });
            }
        }
        for record in book.records() {
            let id = record.enode.id;
            let place = (record.enode.host.clone(), record.enode.tcp_port);
            let new = !stories.iter().any(|story| story.id == Some(id));
            if new && is_meant(query, Some(id), [&place].into_iter()) && stories.len() < MAX_STORIES
            {
                let due = book.due_at(&id).filter(|_| self.bookkeeper.dials);
                stories.push(PeerStory {
                    id: Some(id),
                    record: Some(record.clone()),
                    status: None,
                    due_in: due.map(|at| Duration::from_secs(at.saturating_sub(unix))),
                    score: score(Some(id)),
                    address_ban: ban_of(place.0.ip()),
                    now: unix,
                });
            }
        }
        stories.truncate(MAX_STORIES);
        stories
    }
}

fn is_meant<'a>(
    query: &PeerQuery,
    id: Option<PeerId>,
    mut places: impl Iterator<Item = &'a (Host, u16)>,
) -> bool {
    match query {
        PeerQuery::Id(wanted) => id == Some(*wanted),
        PeerQuery::Prefix(prefix) => id.is_some_and(|id| id.to_string().starts_with(prefix)),
        PeerQuery::Host(host, port) => {
            places.any(|(at, tcp)| at == host && port.is_none_or(|port| port == *tcp))
        }
    }
}
