//! What happens on connections goes to the managers and the stubs, and what they say is done: the
//! glue that `net/service.rs` is to a real node.

use core::hash::Hash;
use core::net::SocketAddr;
use core::time::Duration;

use chainmesh_identity::PeerId;
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::peers::book::ConnectionFacts;
use chainmesh_proto::peers::{
    ClosedBy, ConnectionId, DialError, DialTarget, Input, Output, PeerEvent,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;
use rand_core::Rng;

use super::link::{End, Link, LinkId, Message, Party};
use super::stub::{StubConduct, StubIndex};
use super::world::{Event, PeersWorld};
use crate::network::NodeIndex;

/// Ports from which connections come.
const EPHEMERAL: u16 = 40_000;

impl PeersWorld {
    /// Does what a node's manager says.
    pub(super) fn carry_out(&mut self, index: NodeIndex) {
        while let Some(output) = self.plane_mut(index).and_then(|plane| plane.manager.poll()) {
            match output {
                Output::Dial { conn, target } => self.dial(index, conn, &target),
                Output::Handshake { conn, .. } => self.say_on(index, conn, Message::Auth),
                Output::Accept { .. } => {}
                Output::RefuseInbound { conn, .. } => self.drop_conn(index, conn, Message::Reset),
                Output::Probe { conn } => self.say_on(index, conn, Message::Probe),
                Output::Close { conn, reason } => {
                    self.drop_conn(index, conn, Message::Goodbye(reason));
                }
                Output::Event(event) => self.note(index, &event),
            }
        }
        self.wake(index);
    }

    fn wake(&mut self, index: NodeIndex) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        let Some(plane) = &mut node.plane else { return };
        let Some(next) = plane.manager.poll_timeout().map(|next| next.max(now)) else { return };
        if plane.wake.is_none_or(|wake| wake > next) {
            plane.wake = Some(next);
            self.schedule.add(next, Event::Wake(index, node.life));
        }
    }

    fn dial(&mut self, index: NodeIndex, conn: ConnectionId, target: &DialTarget) {
        self.dials += 1;
        (self.now.as_micros(), index.0, target).hash(&mut self.hash);
        let unix = self.unix();
        let found = self.resolve(&target.host).map(|ip| SocketAddr::new(ip, target.port));
        let listener = found.and_then(|address| self.listener(address, target.id));
        let delay = self.new_delay();
        let life = self.nodes.get(index.0).map_or(0, |node| node.life);
        let Some(plane) = self.plane_mut(index) else { return };
        plane.keeper.dialled(unix, target.id);
        plane.conns.insert(conn, None);
        match (found, listener) {
            (None, _) => {
                let at = self.now + delay;
                self.schedule.add(at, Event::NoSuchName(index, life, conn));
            }
            // Nobody says no.
            (Some(_), None) => {}
            (Some(address), Some(party)) => {
                let own = End::new(Party::Node(index), Some(conn), true);
                let ends = [own, End::new(party, None, true)];
                let link = self.open_link(Link { ends, address, delay, established: false });
                if let Some(plane) = self.plane_mut(index) {
                    plane.conns.insert(conn, Some(link));
                }
            }
        }
    }

    pub(super) fn dial_failed(&mut self, index: NodeIndex, conn: ConnectionId) {
        let now = self.now;
        let Some(plane) = self.plane_mut(index) else { return };
        if plane.conns.remove(&conn).is_some() {
            let result = Err(DialError::NameNotFound);
            plane.manager.handle(now, Input::Dialed { conn, result });
            self.carry_out(index);
        }
    }

    fn link_of(&self, index: NodeIndex, conn: ConnectionId) -> Option<(LinkId, usize)> {
        let id = (*self.nodes.get(index.0)?.plane.as_ref()?.conns.get(&conn)?)?;
        let ends = &self.links.get(&id)?.ends;
        let own = |end: &End| end.party == Party::Node(index) && end.conn == Some(conn);
        Some((id, ends.iter().position(own)?))
    }

    fn say_on(&mut self, index: NodeIndex, conn: ConnectionId, message: Message) {
        if let Some((link, side)) = self.link_of(index, conn) {
            self.say(link, side, message);
        }
    }

    fn drop_conn(&mut self, index: NodeIndex, conn: ConnectionId, word: Message) {
        let link = self.link_of(index, conn);
        if let Some(plane) = self.plane_mut(index) {
            plane.conns.remove(&conn);
        }
        if let Some((link, side)) = link {
            self.say(link, side, word);
            self.close_end(link, side);
        }
    }

    fn close_end(&mut self, id: LinkId, side: usize) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.ends[side].open = false;
        if let Party::Stub(stub) = link.ends[side].party
            && let Some(state) = self.stubs.get_mut(stub.0)
            && state.engaged == Some(id)
        {
            state.engaged = None;
            if state.stub.wants.is_some() {
                let again = self.now + state.stub.conduct.dials_again;
                self.schedule.add(again, Event::StubDials(stub));
            }
        }
        if self.links.get(&id).is_some_and(|link| link.ends.iter().all(|end| !end.open)) {
            self.links.remove(&id);
        }
    }

    /// Something has come to one end of a link.
    pub(super) fn arrives(&mut self, id: LinkId, side: usize, message: Message) {
        let Some(link) = self.links.get(&id) else { return };
        let Some(end) = link.ends.get(side) else { return };
        let last = matches!(message, Message::Reset | Message::Goodbye(_) | Message::Silence);
        let here = match end.party {
            Party::Node(node) => self.nodes.get(node.0).is_some_and(|node| node.plane.is_some()),
            Party::Stub(stub) => self.stub(stub).conduct.online,
        };
        if !end.open {
            if here && !last {
                self.say(id, side, Message::Reset);
            }
            return;
        }
        match end.party {
            // A host that is off says nothing.
            _ if !here => self.close_end(id, side),
            Party::Node(index) => self.node_hears(index, id, side, message),
            Party::Stub(stub) => self.stub_hears(stub, id, side, message),
        }
    }

    fn node_hears(&mut self, index: NodeIndex, id: LinkId, side: usize, message: Message) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let dialled = link.address;
        let from = link.ends[1 - side].party;
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        let (own, port) = (node.id, node.config.address.port());
        let Some(plane) = &mut node.plane else { return };
        if message == Message::Connect {
            let conn = plane.manager.next_connection();
            plane.conns.insert(conn, Some(id));
            link.ends[side].conn = Some(conn);
            self.say(id, side, Message::Accepted);
            let address = self.comes_from(from, id);
            return self.tell_manager(index, Input::InboundConnection { conn, address });
        }
        let Some(conn) = link.ends[side].conn else { return };
        match message {
            Message::Connect => {}
            Message::Accepted => {
                self.tell_manager(index, Input::Dialed { conn, result: Ok(dialled) });
            }
            Message::Auth => self.say(id, side, Message::Ack(own)),
            Message::Ack(peer) => {
                let kind = PeerKind::Own;
                self.tell_manager(index, Input::Authenticated { conn, id: peer, kind });
                if self.is_open(id, side) {
                    self.say(id, side, Message::Hello(own, port));
                }
            }
            Message::Hello(peer, listen_port) => {
                let kind = PeerKind::Own;
                self.tell_manager(index, Input::Authenticated { conn, id: peer, kind });
                if self.is_open(id, side) {
                    self.hello(index, conn, id, side, listen_port);
                    self.say(id, side, Message::Welcome(port));
                }
            }
            Message::Welcome(listen_port) => {
                self.hello(index, conn, id, side, listen_port);
                self.say(id, side, Message::Status);
                self.tell_manager(index, Input::Established { conn });
            }
            Message::Status => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.established = true;
                }
                self.tell_manager(index, Input::Established { conn });
            }
            Message::Probe => self.say(id, side, Message::Alive),
            Message::Alive => self.tell_manager(index, Input::Alive { conn }),
            Message::Goodbye(reason) => {
                self.closed(now, index, conn, id, side, reason, ClosedBy::Peer);
            }
            Message::Reset => {
                let reason = DisconnectReason::TcpError;
                self.closed(now, index, conn, id, side, reason, ClosedBy::Network);
            }
            Message::Silence => {
                let reason = DisconnectReason::PingTimeout;
                self.closed(now, index, conn, id, side, reason, ClosedBy::Us);
            }
        }
    }

    fn is_open(&self, id: LinkId, side: usize) -> bool {
        self.links.get(&id).is_some_and(|link| link.ends[side].open)
    }

    fn comes_from(&self, party: Party, id: LinkId) -> SocketAddr {
        let ip = match party {
            Party::Node(node) => self.nodes[node.0].config.address.ip(),
            Party::Stub(stub) => self.stub(stub).address.ip(),
        };
        let port = u16::try_from(id.0 % 20_000).unwrap_or(0);
        SocketAddr::new(ip, EPHEMERAL.saturating_add(port))
    }

    fn tell_manager(&mut self, index: NodeIndex, input: Input) {
        let now = self.now;
        if let Some(plane) = self.plane_mut(index) {
            plane.manager.handle(now, input);
            self.carry_out(index);
        }
    }

    fn hello(&mut self, index: NodeIndex, conn: ConnectionId, id: LinkId, side: usize, port: u16) {
        if let Some(link) = self.links.get_mut(&id) {
            link.ends[side].peer_port = port;
        }
        let (client, capabilities) = ("sim".to_owned(), Vec::new());
        let hello = Input::HelloReceived { conn, client, capabilities, listen_port: port };
        self.tell_manager(index, hello);
    }

    #[expect(clippy::too_many_arguments, reason = "one end of one connection")]
    fn closed(
        &mut self,
        now: Instant,
        index: NodeIndex,
        conn: ConnectionId,
        id: LinkId,
        side: usize,
        reason: DisconnectReason,
        by: ClosedBy,
    ) {
        self.close_end(id, side);
        let Some(plane) = self.plane_mut(index) else { return };
        plane.conns.remove(&conn);
        plane.manager.handle(now, Input::Closed { conn, reason, by });
        self.carry_out(index);
    }

    /// What observers hear goes into the book, and into the decisions.
    fn note(&mut self, index: NodeIndex, event: &PeerEvent) {
        (self.now.as_micros(), index.0, event).hash(&mut self.hash);
        let unix = self.unix();
        let port = match event {
            PeerEvent::PeerConnected { conn, .. } => self
                .link_of(index, *conn)
                .and_then(|(link, side)| Some(self.links.get(&link)?.ends[side].peer_port)),
            _ => None,
        };
        let facts = ConnectionFacts { listen_port: port.unwrap_or_default(), client: "sim" };
        let Some(node) = self.nodes.get_mut(index.0) else { return };
        let Some(plane) = &mut node.plane else { return };
        plane.keeper.write_down(unix, event, facts);
        let (id, connected) = match event {
            PeerEvent::PeerConnected { id, .. } => (*id, true),
            PeerEvent::PeerDisconnected { id, .. } => (*id, false),
            _ => return,
        };
        let new = if connected { plane.seen.insert(id) } else { plane.seen.remove(&id) };
        if !new {
            node.repeated = node.repeated.or(Some((id, connected)));
        }
        self.note_sight(index, id, connected);
    }

    /// Does a stub have a slot at this moment?
    fn has_slot(&self, stub: StubIndex) -> bool {
        let period = StubConduct::SLOTS_CHANGE.as_micros().max(1);
        // Not all change in the same moment.
        let now = u128::from(self.now.as_micros()) + (stub.0 as u128) * 7_919_000;
        let mut x = self.seed ^ (stub.0 as u64) << 40 ^ u64::try_from(now / period).unwrap_or(0);
        for _ in 0..2 {
            // The finaliser of splitmix64.
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^= x >> 31;
        }
        x % 1000 < u64::from(self.stub(stub).conduct.spare_per_mille)
    }

    fn stub_hears(&mut self, stub: StubIndex, id: LinkId, side: usize, message: Message) {
        let (own, port) = (self.stub(stub).id, self.stub(stub).address.port());
        match message {
            Message::Connect => self.say(id, side, Message::Accepted),
            Message::Accepted => self.say(id, side, Message::Auth),
            Message::Auth => self.say(id, side, Message::Ack(own)),
            Message::Ack(_) => self.say(id, side, Message::Hello(own, port)),
            Message::Hello(..) if self.has_slot(stub) => {
                self.say(id, side, Message::Welcome(port));
            }
            Message::Hello(..) => {
                self.say(id, side, Message::Goodbye(DisconnectReason::TooManyPeers));
                self.close_end(id, side);
            }
            Message::Welcome(_) => {
                self.say(id, side, Message::Status);
                self.stub_settles(stub, id);
            }
            Message::Status => self.stub_settles(stub, id),
            Message::Probe => self.say(id, side, Message::Alive),
            Message::Alive => {}
            Message::Goodbye(_) | Message::Reset | Message::Silence => self.close_end(id, side),
        }
    }

    /// A stub has a session.
    fn stub_settles(&mut self, stub: StubIndex, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.established = true;
        }
        if let Some(mean) = self.stub(stub).conduct.lasts {
            let longest = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX / 2).max(1) * 2;
            let lasts = Duration::from_micros(self.rng.next_u64() % longest);
            self.schedule.add(self.now + lasts, Event::StubLeaves(id));
        }
    }

    pub(super) fn stub_leaves(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let stub = |end: &End| end.open && matches!(end.party, Party::Stub(_));
        if let Some(side) = link.ends.iter().position(stub) {
            self.say(id, side, Message::Goodbye(DisconnectReason::Requested));
            self.close_end(id, side);
        }
    }

    pub(super) fn stub_dials(&mut self, index: StubIndex) {
        let delay = self.new_delay();
        let Some(state) = self.stubs.get(index.0) else { return };
        let (Some(address), None, true) =
            (state.stub.wants, state.engaged, state.stub.conduct.online)
        else {
            return;
        };
        let listener = self.listener(address, None);
        let here = match listener {
            Some(Party::Node(node)) => self.nodes[node.0].plane.is_some(),
            _ => false,
        };
        let Some(party) = listener.filter(|_| here) else {
            let again = self.now + state.stub.conduct.dials_again;
            return self.schedule.add(again, Event::StubDials(index));
        };
        let ends = [End::new(Party::Stub(index), None, true), End::new(party, None, true)];
        let link = self.open_link(Link { ends, address, delay, established: false });
        self.stubs[index.0].engaged = Some(link);
    }

    /// A node takes somebody for connected from now on, or no longer.
    pub(super) fn note_sight(&mut self, index: NodeIndex, id: PeerId, connected: bool) {
        let Some(Some(other)) = self.holders.get(&id).copied() else { return };
        // Of two with one key nobody can say whom the other side means.
        let own = self.nodes.get(index.0).and_then(|node| self.holders.get(&node.id));
        if own != Some(&Some(index)) {
            return;
        }
        if connected {
            self.sees.insert((index, other));
        } else {
            self.sees.remove(&(index, other));
        }
        let pair = (index.min(other), index.max(other));
        if self.sees.contains(&(index, other)) == self.sees.contains(&(other, index)) {
            self.disagreements.remove(&pair);
        } else {
            self.disagreements.entry(pair).or_insert(self.now);
        }
    }
}
