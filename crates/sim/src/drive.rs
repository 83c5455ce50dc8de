//! The driver's work: outputs of a node's manager become connections, bytes become events, events
//! become inputs of the manager.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::PoisonError;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::{Host, PeerId};
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::peers::{ConnectionId, DialError, DialTarget, Input, Output, PeerEvent};
use chainmesh_proto::session::connection::{Connection, ConnectionEvent};

use crate::network::{End, NodeIndex, Segment, StreamId};
use crate::node::{Conn, bell, closed, listener};
use crate::world::{Event, World};

/// First port of those that a connecting side uses.
const EPHEMERAL: u16 = 49152;

impl World {
    /// A timer of a node is due.
    pub(crate) fn wake(&mut self, node: NodeIndex, life: u64) {
        let now = self.now;
        if self.nodes.get(node.0).is_none_or(|node| node.life != life) {
            return;
        }
        let Some(running) = self.running(node) else { return };
        running.wake = None;
        let of_manager = running.manager.poll_timeout().is_some_and(|due| due <= now);
        let due = running.poll_timeout().is_some_and(|due| due <= now);
        let touched = if due { running.handle_timeout(now) } else { Vec::new() };
        if of_manager {
            self.changed.insert(node);
        }
        self.pump(node, touched);
    }

    /// Runs until nothing is left to do at this point of time.
    pub(crate) fn settle(&mut self) {
        self.tell_time();
        while self.listen() || self.listen_to_meshes() || self.answer_bells() {}
    }

    /// Drives connections for which something was queued from outside. Says whether there were any.
    fn answer_bells(&mut self) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let rung = core::mem::take(&mut *woken);
        drop(woken);
        let any = !rung.is_empty();
        for (node, life, conn) in rung {
            if self.nodes.get(node.0).is_some_and(|node| node.life == life) {
                self.pump(node, vec![conn]);
            }
        }
        any
    }

    /// Runs a node until nothing is left to do at this point of time.
    pub(crate) fn pump(&mut self, node: NodeIndex, touched: Vec<ConnectionId>) {
        let mut todo = VecDeque::from(touched);
        self.synchronise(node);
        loop {
            self.obey_all(node, &mut todo);
            let Some(conn) = todo.pop_front() else { break };
            self.drive(node, conn, &mut todo);
        }
        let Some(running) = self.running(node) else { return };
        if let Some(due) = running.poll_timeout()
            && running.wake.is_none_or(|wake| due < wake)
        {
            running.wake = Some(due);
            let life = self.nodes.get(node.0).map_or(0, |node| node.life);
            self.schedule.add(due.max(self.now), Event::Wake(node, life));
        }
    }

    fn obey_all(&mut self, node: NodeIndex, todo: &mut VecDeque<ConnectionId>) {
        while let Some(output) = self.running(node).and_then(|running| running.manager.poll()) {
            self.decided((node, &output));
            self.changed.insert(node);
            self.obey(node, output, todo);
        }
    }

    /// Does what a manager says.
    fn obey(&mut self, node: NodeIndex, output: Output, todo: &mut VecDeque<ConnectionId>) {
        match output {
            Output::Dial { conn, target } => self.dial(node, conn, &target),
            Output::Handshake { conn, expected } => {
                let (now, seed) = (self.now, self.entropy());
                let Some(running) = self.running(node) else { return };
                let Some(held) = running.conns.get_mut(&conn) else { return };
                let local = running.local.clone();
                held.machine = Some(Connection::dial(local, held.address, expected, seed, now));
                todo.push_back(conn);
            }
            Output::Accept { conn } => {
                let (now, seed) = (self.now, self.entropy());
                let Some(running) = self.running(node) else { return };
                let Some(held) = running.conns.get_mut(&conn) else { return };
                let local = running.local.clone();
                held.machine = Some(Connection::accept(local, held.address, seed, now));
                todo.push_back(conn);
            }
            Output::RefuseInbound { conn, .. } => self.drop_socket(node, conn, Segment::Reset),
            Output::Probe { conn } => {
                let machine = self.conn(node, conn).and_then(|held| held.machine.as_ref());
                if let Some(machine) = machine {
                    machine.link().probe();
                    todo.push_back(conn);
                }
            }
            Output::Close { conn, reason } => {
                let Some(held) = self.conn(node, conn) else { return };
                held.closing = true;
                match &held.machine {
                    Some(machine) => {
                        machine.link().close(reason);
                        todo.push_back(conn);
                    }
                    None => self.drop_socket(node, conn, Segment::Reset),
                }
            }
            Output::Event(PeerEvent::PeerConnected { id, .. }) => self.observe(node, id, true),
            Output::Event(PeerEvent::PeerDisconnected { id, .. }) => self.observe(node, id, false),
            Output::Event(PeerEvent::PeerMoved { id, .. }) => self.renewed(node, &id),
            Output::Event(_) => {}
        }
    }

    fn conn(&mut self, node: NodeIndex, conn: ConnectionId) -> Option<&mut Conn> {
        self.running(node)?.conns.get_mut(&conn)
    }

    fn tell_quietly(&mut self, node: NodeIndex, input: Input) {
        let now = self.now;
        if !matches!(input, Input::Alive { .. }) {
            self.changed.insert(node);
        }
        if let Some(running) = self.running(node) {
            running.manager.handle(now, input);
        }
    }

    fn dial(&mut self, node: NodeIndex, conn: ConnectionId, target: &DialTarget) {
        let to = match &target.host {
            Host::Ip(ip) => self.nodes().find(|node| {
                let listener = listener(*node);
                listener.ip() == *ip && listener.port() == target.port
            }),
            Host::Name(_) => None,
        };
        let Some(to) = to else {
            let result = Err(DialError::Unreachable);
            return self.tell_quietly(node, Input::Dialed { conn, result });
        };
        let life = self.nodes.get(node.0).map_or(0, |node| node.life);
        let ours = End { node, life, conn: Some(conn), open: true };
        let theirs = End { node: to, life: 0, conn: None, open: false };
        let stream = self.network.open([ours, theirs]);
        self.hold(node, conn, stream, 0, listener(to));
        self.send(stream, 0, Segment::Connect);
    }

    fn hold(
        &mut self,
        node: NodeIndex,
        conn: ConnectionId,
        stream: StreamId,
        side: usize,
        address: SocketAddr,
    ) {
        let life = self.nodes.get(node.0).map_or(0, |node| node.life);
        let waker = bell(&self.woken, node, life, conn);
        self.changed.insert(node);
        let Some(running) = self.running(node) else { return };
        running.conns.insert(conn, Conn::new(stream, side, address, waker));
    }

    /// Lets a connection read, decide and write until it sleeps.
    fn drive(&mut self, node: NodeIndex, conn: ConnectionId, todo: &mut VecDeque<ConnectionId>) {
        loop {
            let now = self.now;
            let Some(held) = self.conn(node, conn) else { return };
            let (stream, side) = (held.stream, held.side);
            let Some(machine) = &mut held.machine else { return };
            held.due = None;
            machine.attend(now);
            machine.receive(now, &mut held.input);
            let mut out = BytesMut::new();
            loop {
                let mut part = BytesMut::new();
                let more = machine.transmit(&mut part);
                machine.transmitted(part.len());
                out.unsplit(part);
                if !more {
                    break;
                }
            }
            let events: Vec<_> = core::iter::from_fn(|| machine.poll()).collect();
            let finished = machine.is_finished();
            held.due = machine.poll_timeout();
            let asleep = machine.sleep(&held.waker);
            if !out.is_empty() {
                self.send(stream, side, Segment::Data(out.freeze()));
            }
            let quiet = events.is_empty() && asleep;
            for event in events {
                self.report(node, conn, event, todo);
            }
            if finished {
                return self.drop_socket(node, conn, Segment::End);
            }
            if quiet {
                return;
            }
        }
    }

    /// Tells the manager what happened on a connection.
    fn report(
        &mut self,
        node: NodeIndex,
        conn: ConnectionId,
        event: ConnectionEvent,
        todo: &mut VecDeque<ConnectionId>,
    ) {
        let Some(held) = self.conn(node, conn) else { return };
        let input = match event {
            ConnectionEvent::Authenticated { id, .. } => {
                self.decided((node, conn, id));
                return self.authenticated(node, conn, id, todo);
            }
            ConnectionEvent::Alive => Input::Alive { conn },
            ConnectionEvent::Greeted { hello, shared } => Input::HelloReceived {
                conn,
                client: hello.client_name,
                listen_port: hello.listen_port,
                capabilities: shared.iter().map(ToString::to_string).collect(),
            },
            ConnectionEvent::Established => {
                self.decided((node, conn));
                Input::Established { conn }
            }
            ConnectionEvent::Closed(cause) => {
                held.closing = true;
                self.decided((node, conn, cause.wire_reason(), cause.blame()));
                closed(conn, &cause)
            }
        };
        self.tell_quietly(node, input);
    }

    /// What the manager does not close at once, it wants.
    fn authenticated(
        &mut self,
        node: NodeIndex,
        conn: ConnectionId,
        id: PeerId,
        todo: &mut VecDeque<ConnectionId>,
    ) {
        self.tell_quietly(node, Input::Authenticated { conn, id, kind: PeerKind::Own });
        self.obey_all(node, todo);
        let Some(held) = self.conn(node, conn) else { return };
        if !held.closing {
            held.peer = Some(id);
            if let Some(machine) = &held.machine {
                machine.link().admit();
            }
        }
    }

    /// Closes the socket of a connection with a last segment, and forgets it.
    fn drop_socket(&mut self, node: NodeIndex, conn: ConnectionId, last: Segment) {
        self.changed.insert(node);
        let Some(running) = self.running(node) else { return };
        let Some(held) = running.conns.remove(&conn) else { return };
        self.send(held.stream, held.side, last);
        if let Some(end) = self.network.end_mut(held.stream, held.side) {
            end.open = false;
        }
        self.network.tidy(held.stream);
    }

    /// A segment arrives at a side of a stream.
    pub(crate) fn deliver(&mut self, stream: StreamId, side: usize, segment: Segment) {
        if matches!(segment, Segment::Connect) {
            return self.connect_arrives(stream);
        }
        let end = self.network.stream(stream).and_then(|stream| stream.ends.get(side).cloned());
        let Some(end) = end else { return };
        let alive = self
            .nodes
            .get(end.node.0)
            .is_some_and(|node| node.life == end.life && node.running.is_some() && end.open);
        let (true, Some(conn)) = (alive, end.conn) else {
            // Nobody has this socket any more: the host says so.
            if matches!(segment, Segment::Data(_) | Segment::Accepted) {
                self.send(stream, side, Segment::Reset);
            }
            return;
        };
        match segment {
            Segment::Connect => {}
            Segment::Accepted => {
                let address = self.conn(end.node, conn).map(|held| held.address);
                let result = address.ok_or(DialError::System);
                self.tell_quietly(end.node, Input::Dialed { conn, result });
            }
            Segment::Data(bytes) => self.data_arrives(end.node, conn, &bytes),
            Segment::End => self.network_closed(end.node, conn, None),
            Segment::Reset => {
                self.network_closed(end.node, conn, Some(std::io::ErrorKind::ConnectionReset));
            }
        }
        self.pump(end.node, vec![conn]);
    }

    fn data_arrives(&mut self, node: NodeIndex, conn: ConnectionId, bytes: &Bytes) {
        let now = self.now;
        let Some(held) = self.conn(node, conn) else { return };
        held.input.extend_from_slice(bytes);
        if let Some(machine) = &mut held.machine {
            machine.received(now, bytes.len());
        }
    }

    /// The other side is gone, or its host does not know this connection.
    fn network_closed(
        &mut self,
        node: NodeIndex,
        conn: ConnectionId,
        error: Option<std::io::ErrorKind>,
    ) {
        let Some(held) = self.conn(node, conn) else { return };
        match &mut held.machine {
            Some(machine) => machine.network_closed(error),
            None => {
                self.drop_socket(node, conn, Segment::Reset);
                let result = Err(DialError::Refused);
                self.tell_quietly(node, Input::Dialed { conn, result });
            }
        }
    }

    fn connect_arrives(&mut self, stream: StreamId) {
        let Some(ends) = self.network.stream(stream).map(|stream| stream.ends.clone()) else {
            return;
        };
        let (from, to) = (ends[0].node, ends[1].node);
        let life = self.nodes.get(to.0).map_or(0, |node| node.life);
        let Some(running) = self.running(to) else {
            return self.send(stream, 1, Segment::Reset);
        };
        let conn = running.manager.next_connection();
        if let Some(end) = self.network.end_mut(stream, 1) {
            *end = End { node: to, life, conn: Some(conn), open: true };
        }
        self.send(stream, 1, Segment::Accepted);
        let port = EPHEMERAL + u16::try_from(stream.number() % 16384).unwrap_or(0);
        let address = SocketAddr::new(listener(from).ip(), port);
        self.hold(to, conn, stream, 1, address);
        self.tell_quietly(to, Input::InboundConnection { conn, address });
        self.pump(to, Vec::new());
    }

    /// The host of `side` has given up sending: its socket breaks.
    pub(crate) fn gave_up(&mut self, stream: StreamId, side: usize) {
        let end = self.network.stream(stream).and_then(|stream| stream.ends.get(side).cloned());
        let Some(End { node, life, conn: Some(conn), open: true }) = end else { return };
        if self.nodes.get(node.0).is_some_and(|node| node.life == life) {
            self.network_closed(node, conn, Some(std::io::ErrorKind::TimedOut));
            self.pump(node, vec![conn]);
        }
    }
}
