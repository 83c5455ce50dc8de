//! The coupling of address book and peer manager: what happens goes into the book, whom to dial comes
//! out of it. A driver calls it from where it runs the manager.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeSet;

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::discv4::Contact;

use super::{AddressBook, AddressOrigin, AttemptStage, Incident, UnixTime};
use crate::peers::{
    ClosedBy, Direction, Input, NodeKind, Offence, PeerEvent, PeerManager, TargetKey,
};
use crate::text::EscapedTo;
use crate::time::Instant;

/// How often the book is asked for somebody to dial, when there are free slots.
pub const LOOK_INTO_BOOK: Duration = Duration::from_secs(5);
/// For so long after the start, seconds, half of the slots for nodes of the book are for
/// [acquaintances](AddressBook::is_acquaintance), if there are as many. Attackers always have a free slot, honest nodes
/// rarely: without this, strangers have every slot before the second acquaintance has found one for us. (Bitcoin
/// chooses nodes that were a peer and others equally often; what counts is who gets a slot.)
pub const ACQUAINTANCES_FIRST: UnixTime = 120;
/// Nodes of the book that discovery is told of at the start.
const CONTACTS: usize = 32;
/// Bans for conduct that are remembered, of the wishes of the operator that the book has room for.
const MAX_CONDUCT_BANS: usize = 256;
/// How the reason of such a ban begins.
const FOR_CONDUCT: &str = "for its conduct";
/// Characters of a text in a story.
const SHOWN: usize = 150;

/// What a driver knows of a connection, and the manager does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionFacts<'a> {
    /// Where the peer says that it listens; 0: it does not say.
    pub listen_port: u16,
    /// What it says that it is, escaped.
    pub client: &'a str,
}

/// The book, and what the control plane needs beside it.
#[derive(Debug)]
pub struct Bookkeeper {
    /// The book. The operator's wishes go to it, and to the manager, by themselves.
    pub book: AddressBook,
    /// Whether nodes of the book are dialled.
    dials: bool,
    /// When it began.
    began: UnixTime,
    /// Who is configured, boot nodes among them.
    configured: Vec<(Enode, NodeKind)>,
    /// Targets of the manager that were no acquaintances when they were named to it.
    strangers: BTreeSet<PeerId>,
    /// Why a connection ends, in words, while its end is worked on; it need not be escaped.
    pub cause: Option<String>,
}

impl Bookkeeper {
    /// Keeps this book. Unless `dials`, nodes are dialled only when somebody named them.
    #[must_use]
    pub const fn new(book: AddressBook, dials: bool) -> Self {
        Self {
            book,
            dials,
            began: 0,
            configured: Vec::new(),
            strangers: BTreeSet::new(),
            cause: None,
        }
    }

    /// Whether nodes of the book are dialled.
    #[must_use]
    pub const fn dials(&self) -> bool {
        self.dials
    }

    /// Tells the manager what the operator decided in earlier runs, and the book who is configured.
    pub fn begin(
        &mut self,
        manager: &mut PeerManager,
        now: Instant,
        unix: UnixTime,
        boot: &[Enode],
        configured: &[(Enode, NodeKind)],
    ) {
        self.began = unix;
        self.configured = boot.iter().map(|enode| (enode.clone(), NodeKind::Boot)).collect();
        self.configured.extend_from_slice(configured);
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
        self.feed(manager, now, unix);
    }

    /// Whether the book has a record of a node.
    #[must_use]
    pub fn knows(&self, id: &PeerId) -> bool {
        self.book.get(id).is_some()
    }

    /// Nodes with which discovery may begin, beside the boot nodes.
    pub fn contacts(&mut self, unix: UnixTime) -> Vec<Enode> {
        self.book.contacts(unix, CONTACTS)
    }

    /// Names nodes to the manager as long as it has room.
    pub fn feed(&mut self, manager: &mut PeerManager, now: Instant, unix: UnixTime) {
        let room = if self.dials { manager.room_for_dynamic() } else { 0 };
        if room == 0 {
            return;
        }
        let strangers = self.room_for_strangers(manager, unix);
        let elsewhere = manager.found_at_addresses();
        let wanted = |id: &PeerId| {
            !manager.has_target(id) && !manager.is_connected(id) && !elsewhere.contains(id)
        };
        let chosen = self.book.candidates_with(unix, room, strangers, wanted);
        for enode in chosen {
            if !self.book.is_acquaintance(&enode.id) {
                self.strangers.insert(enode.id);
            }
            let (target, kind) = ((&enode).into(), NodeKind::Dynamic);
            manager.handle(now, Input::AddNode { target, kind });
        }
    }

    /// How many more strangers may be named: see [`ACQUAINTANCES_FIRST`].
    fn room_for_strangers(&mut self, manager: &PeerManager, unix: UnixTime) -> usize {
        // Also those who have a session: some of them dialled us while we dialled them.
        self.strangers.retain(|id| manager.has_target(id));
        let half = manager.max_dynamic_peers() / 2;
        let late = unix.saturating_sub(self.began) >= ACQUAINTANCES_FIRST;
        if late || self.book.acquaintances() < half {
            return usize::MAX;
        }
        half.saturating_sub(self.strangers.len())
    }

    /// Discovery found a node; `origin` says by which protocol.
    pub fn found(
        &mut self,
        manager: &mut PeerManager,
        now: Instant,
        unix: UnixTime,
        enode: &Enode,
        origin: AddressOrigin,
    ) {
        if enode.tcp_port == 0 {
            return;
        }
        // It has answered from there, so it is its own witness.
        self.book.add(unix, enode, origin, enode.host.ip());
        if manager.has_target(&enode.id) {
            let (target, kind) = (enode.into(), NodeKind::Dynamic);
            manager.handle(now, Input::AddNode { target, kind });
        }
        self.feed(manager, now, unix);
    }

    /// A peer at `from` told of nodes.
    pub fn learned(
        &mut self,
        manager: &mut PeerManager,
        now: Instant,
        unix: UnixTime,
        from: IpAddr,
        nodes: &[Contact],
    ) {
        for node in nodes {
            self.book.add(unix, &node.enode(), AddressOrigin::Exchange, Some(from));
        }
        self.feed(manager, now, unix);
    }

    /// Names nodes to dial, and lifts the bans that are over. To be called every
    /// [`LOOK_INTO_BOOK`].
    pub fn look_into_book(&mut self, manager: &mut PeerManager, now: Instant, unix: UnixTime) {
        let (ids, ips) = self.book.lift_bans(unix);
        for id in ids {
            self.let_in_again(manager, now, id);
        }
        for ip in ips {
            manager.handle(now, Input::UnbanAddress { ip });
        }
        self.feed(manager, now, unix);
    }

    /// The ban of a node is over. If it is configured, or the operator had added it, that counts again.
    pub fn let_in_again(&self, manager: &mut PeerManager, now: Instant, id: PeerId) {
        manager.handle(now, Input::Unban { id });
        let configured = self.configured.iter();
        for (enode, kind) in configured.filter(|(enode, _)| enode.id == id && enode.tcp_port != 0) {
            manager.handle(now, Input::AddNode { target: enode.into(), kind: *kind });
        }
        let record = self.book.get(&id);
        if let Some(record) = record.filter(|record| record.is_static || record.is_trusted) {
            let kind = if record.is_trusted { NodeKind::Trusted } else { NodeKind::Static };
            let target = (&record.enode).into();
            manager.handle(now, Input::AddNode { target, kind });
        }
    }

    /// A target is being dialled.
    pub fn dialled(&mut self, unix: UnixTime, id: Option<PeerId>) {
        if let Some(id) = id {
            self.book.dialled(unix, &id);
        }
    }

    /// What happened with a peer goes into its record. `facts` are those of the connection that the
    /// event names.
    pub fn write_down(&mut self, now: UnixTime, event: &PeerEvent, facts: ConnectionFacts<'_>) {
        match *event {
            PeerEvent::PeerConnected { id, address, direction, .. } => {
                let inbound = direction == Direction::Inbound;
                let port = if inbound { facts.listen_port } else { address.port() };
                let unsure = self.book.is_hearsay(&id) && inbound && port != 0;
                if unsure || self.book.get(&id).is_none_or(|record| record.enode.tcp_port == 0) {
                    self.meet(now, id, address.ip(), port, inbound);
                }
                self.book.connected(now, &id, !inbound);
                self.book.met(&id, SocketAddr::new(address.ip(), port), !inbound);
                let text = format!("connected at {address}: {}", facts.client);
                self.remember(now, &id, AttemptStage::Session, inbound, false, &text);
            }
            PeerEvent::PeerDisconnected { id, direction, lasted, reason, by } => {
                self.book.disconnected(now, &id);
                let text = format!("{}, after {} s", self.ending(reason, by), lasted.as_secs());
                let inbound = direction == Direction::Inbound;
                self.remember(now, &id, AttemptStage::Session, inbound, true, &text);
            }
            PeerEvent::DialFailed { target: TargetKey::Id(id), error, .. } => {
                self.book.failed(now, &id);
                self.remember(now, &id, AttemptStage::Dial, false, true, &error.to_string());
            }
            PeerEvent::HandshakeFailed { id, expected, address, direction, reason, by, .. } => {
                // Both sides had dialled: no failure.
                let Some(peer) = id.or(expected) else { return };
                if reason == DisconnectReason::AlreadyConnected {
                    return;
                }
                let inbound = direction == Direction::Inbound;
                if let (true, Some(address), None) = (inbound, address, self.book.get(&peer)) {
                    self.meet(now, peer, address.ip(), 0, true);
                }
                let full = reason == DisconnectReason::TooManyPeers && by == ClosedBy::Peer;
                if !inbound && full && id.is_some() {
                    self.book.refused(now, &peer);
                } else if !inbound {
                    self.book.failed(now, &peer);
                }
                let proved = id.is_some() || inbound;
                let stage = if proved { AttemptStage::Greeting } else { AttemptStage::Handshake };
                let text = self.ending(reason, by);
                self.remember(now, &peer, stage, inbound, true, &text);
            }
            PeerEvent::Misbehaved { id, offence, score, direction } => {
                let inbound = direction != Some(Direction::Outbound);
                let text = self.charge(offence, score);
                self.remember(now, &id, AttemptStage::Session, inbound, false, &text);
            }
            PeerEvent::Banned { id, score, lasts, .. } => {
                self.ban_for_conduct(now, &id, score, lasts);
            }
            _ => {}
        }
    }

    fn remember(
        &mut self,
        now: UnixTime,
        id: &PeerId,
        stage: AttemptStage,
        inbound: bool,
        ended: bool,
        text: &str,
    ) {
        let text = EscapedTo(text, SHOWN).to_string();
        self.book.remember(id, Incident { at: now, stage, inbound, ended, text });
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
    /// there is a limited number, and the one that ends first makes room. When the operator has filled
    /// the book, it is not remembered: the manager refuses the node all the same, as long as it runs.
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
        let until = now.saturating_add(lasts.as_secs().max(1));
        let reason = format!("{FOR_CONDUCT}: score {score}");
        let _ = self.book.ban(now, id, Some(until), &reason);
    }

    /// A peer that came to us and is not in the book.
    fn meet(&mut self, now: UnixTime, id: PeerId, ip: IpAddr, port: u16, inbound: bool) {
        let enode = Enode { id, host: Host::Ip(ip), tcp_port: port, udp_port: 0 };
        let (origin, source) = match inbound {
            true => (AddressOrigin::Inbound, Some(ip)),
            false => (AddressOrigin::Configured, None),
        };
        self.book.add(now, &enode, origin, source);
    }
}
