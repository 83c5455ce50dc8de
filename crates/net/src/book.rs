//! The control plane's address book: what happens goes in, whom to dial comes out.

mod handle;
mod pex;

use core::cmp::Reverse;
use core::net::IpAddr;
use core::time::Duration;
use std::time::SystemTime;

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_proto::discovery::Protocol;
use chainmesh_proto::peers::book::{
    AddressBook, Ban, BookError, Changes, ConnectionFacts, PeerRecord, UnixTime,
};
use chainmesh_proto::peers::{Input, NodeKind, PeerEvent, TargetKey};
use chainmesh_wire::devp2p::DisconnectReason;
use tokio::sync::oneshot;

use crate::handle::{NodeEnded, PeerStatus};
use crate::service::Service;

/// Stories that one question gets.
const MAX_STORIES: usize = 16;

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

/// Somebody whom the operator keeps out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banned {
    /// A node, and where it was last known to listen.
    Node(PeerId, Option<Enode>, Ban),
    /// Everybody at an address.
    Address(IpAddr, Ban),
}

impl Banned {
    /// Nodes by ID, then addresses.
    fn all(book: &AddressBook) -> Vec<Self> {
        let nodes = book.records().filter_map(|record| {
            let enode = Some(record.enode.clone()).filter(|enode| enode.tcp_port != 0);
            Some(Self::Node(record.enode.id, enode, record.ban.clone()?))
        });
        let addresses = book.banned_ips().map(|(ip, ban)| Self::Address(ip, ban.clone()));
        nodes.chain(addresses).collect()
    }
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
    Bans(oneshot::Sender<Vec<Banned>>),
    Changes(oneshot::Sender<Changes>),
    Stories(PeerQuery, oneshot::Sender<Vec<PeerStory>>),
}

pub(crate) fn unix_time() -> UnixTime {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn until(now: UnixTime, span: Option<Duration>) -> Option<UnixTime> {
    span.map(|span| now.saturating_add(span.as_secs().max(1)))
}

impl Service {
    /// Discovery found a node.
    pub(crate) fn found(&mut self, enode: &Enode, protocol: Protocol) {
        let (now, unix) = (self.clock.now(), unix_time());
        self.bookkeeper.found(&mut self.manager, now, unix, enode, protocol.into());
    }

    /// Names nodes to dial, and lifts the bans that are over.
    pub(crate) fn look_into_book(&mut self) {
        self.bookkeeper.look_into_book(&mut self.manager, self.clock.now(), unix_time());
        self.say_what_is_needed();
    }

    /// What happened with a peer goes into its record.
    pub(crate) fn write_down(&mut self, event: &PeerEvent) {
        let entry = match event {
            PeerEvent::PeerConnected { conn, .. } => self.connections.get(conn),
            _ => None,
        };
        let facts = entry.map_or_else(ConnectionFacts::default, |entry| ConnectionFacts {
            listen_port: entry.listen_port,
            client: &entry.client,
        });
        self.bookkeeper.write_down(unix_time(), event, facts);
        if let (PeerEvent::PeerConnected { id, .. }, Some(pex)) = (event, &self.pex) {
            pex.ready(*id);
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
            BookOrder::Bans(answer) => {
                let _ = answer.send(Banned::all(book));
            }
            BookOrder::Changes(answer) => {
                let _ = answer.send(book.take_changes());
            }
            BookOrder::Stories(query, answer) => {
                let _ = answer.send(self.stories(&query));
            }
        }
    }

    /// The ban of a node is over.
    fn let_in_again(&mut self, id: PeerId) {
        self.bookkeeper.let_in_again(&mut self.manager, self.clock.now(), id);
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
                let due = book.due_at(&id).filter(|_| self.bookkeeper.dials());
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
