//! The peer manager: any reports of a driver in any order.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use chainmesh_identity::{Host, PeerId};
use chainmesh_proto::module::PeerKind;
use chainmesh_proto::peers::{
    ClosedBy, ConnectionId, DialError, DialTarget, Input, NodeKind, Output, PeerEvent, PeerManager,
    PeerManagerConfig,
};
use chainmesh_proto::time::Instant;
use chainmesh_wire::devp2p::DisconnectReason;

use crate::cursor::Cursor;

/// Nodes that occur: few, so that connections of one peer meet. Number 0 is this node.
const NODES: u8 = 8;
/// Timers that are run when the operations are over.
const LAST_ROUNDS: usize = 40;

/// What a driver and an observer know.
struct Bed {
    now: Instant,
    manager: PeerManager,
    /// Connections that the driver has open, and who is there.
    open: BTreeMap<ConnectionId, u8>,
    /// Those whose dial has no end yet.
    dialing: BTreeSet<ConnectionId>,
    /// Peers that an observer takes for connected.
    seen: BTreeSet<PeerId>,
    trusted: BTreeSet<u8>,
}

fn id(node: u8) -> PeerId {
    PeerId::from([node + 1; 64])
}

fn address(node: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, node)), 30303)
}

fn target(node: u8, named: bool) -> DialTarget {
    let address = address(node);
    let host = Host::Ip(address.ip());
    DialTarget { id: named.then(|| id(node)), host, port: address.port() }
}

/// Operations on a peer manager, and what has to hold after each of them.
pub fn peers_ops(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let config = PeerManagerConfig::new(id(0), usize::from(cursor.below(7)));
    let mut bed = Bed {
        now: Instant::from_micros(1),
        manager: PeerManager::new(config, [cursor.byte(); 32]),
        open: BTreeMap::new(),
        dialing: BTreeSet::new(),
        seen: BTreeSet::new(),
        trusted: BTreeSet::new(),
    };
    while !cursor.is_empty() {
        bed.operate(&mut cursor);
        bed.check();
    }
    for _ in 0..LAST_ROUNDS {
        bed.round();
        bed.check();
    }
    bed.handle(Input::Shutdown);
    bed.check();
    assert!(bed.open.is_empty() && bed.seen.is_empty(), "nothing is left after a shutdown");
    assert_eq!(bed.manager.poll_timeout(), None);
}

impl Bed {
    fn operate(&mut self, cursor: &mut Cursor<'_>) {
        let input = match cursor.below(16) {
            0 | 1 => {
                let node = cursor.below(NODES);
                let kind = [NodeKind::Dynamic, NodeKind::Boot, NodeKind::Static, NodeKind::Trusted]
                    [usize::from(cursor.below(4))];
                if kind == NodeKind::Trusted {
                    self.trusted.insert(node);
                }
                Input::AddNode { target: target(node, cursor.flag()), kind }
            }
            2 => Input::RemoveNode { key: target(cursor.below(NODES), cursor.flag()).key() },
            3 => {
                let reason = DisconnectReason::from_code(cursor.byte());
                Input::Disconnect { id: id(cursor.below(NODES)), reason }
            }
            4 | 5 => {
                let conn = self.manager.next_connection();
                let node = cursor.below(NODES);
                self.open.insert(conn, node);
                Input::InboundConnection { conn, address: address(node) }
            }
            6 => return (0..=cursor.below(12)).for_each(|_| self.round()),
            7 => return self.pass(Duration::from_millis(cursor.short().into())),
            operation => match self.pick(cursor) {
                Some((conn, node)) => self.report(cursor, operation, conn, node),
                None => return,
            },
        };
        self.handle(input);
    }

    /// An open connection, or now and then one that never was.
    fn pick(&self, cursor: &mut Cursor<'_>) -> Option<(ConnectionId, u8)> {
        let choice = usize::from(cursor.byte());
        if choice == 255 {
            return Some((ConnectionId(u64::from(cursor.byte()) + (1 << 40)), 1));
        }
        let at = choice.checked_rem(self.open.len())?;
        self.open.iter().nth(at).map(|(conn, node)| (*conn, *node))
    }

    /// The driver reports about a connection, whether it makes sense or not.
    fn report(
        &mut self,
        cursor: &mut Cursor<'_>,
        operation: u8,
        conn: ConnectionId,
        node: u8,
    ) -> Input {
        match operation {
            8 => {
                self.dialing.remove(&conn);
                Input::Dialed { conn, result: Ok(address(node)) }
            }
            9 => {
                if self.dialing.remove(&conn) {
                    self.open.remove(&conn);
                }
                let errors = [DialError::Refused, DialError::TimedOut, DialError::NameNotFound];
                let error = errors[usize::from(cursor.below(3))];
                Input::Dialed { conn, result: Err(error) }
            }
            10 | 11 => Input::Authenticated { conn, id: id(node), kind: PeerKind::Own },
            12 => Input::Authenticated { conn, id: id(cursor.below(NODES)), kind: PeerKind::Own },
            13 => Input::Established { conn },
            14 => {
                self.open.remove(&conn);
                self.dialing.remove(&conn);
                let reason = DisconnectReason::from_code(cursor.byte());
                let by = [ClosedBy::Us, ClosedBy::Peer, ClosedBy::Network];
                Input::Closed { conn, reason, by: by[usize::from(cursor.below(3))] }
            }
            _ if cursor.flag() => Input::Alive { conn },
            _ => {
                let length = usize::from(cursor.byte());
                let client = String::from_utf8_lossy(cursor.take(length)).into_owned();
                let listen_port = u16::from(cursor.byte());
                let capabilities = vec![client.clone(); 20];
                Input::HelloReceived { conn, capabilities, client, listen_port }
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.manager.handle(self.now, input);
        self.drain();
    }

    /// The next timer.
    fn round(&mut self) {
        let Some(due) = self.manager.poll_timeout() else { return };
        self.now = self.now.max(due);
        self.manager.handle_timeout(self.now);
        let next = self.manager.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "the timers do not spin");
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.manager.poll_timeout().is_some_and(|due| due <= end) {
            self.round();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.manager.poll() {
            match output {
                Output::Dial { conn, target } => {
                    let Host::Ip(IpAddr::V4(ip)) = target.host else { panic!("an address") };
                    assert!(self.open.insert(conn, ip.octets()[3]).is_none());
                    self.dialing.insert(conn);
                }
                Output::Close { conn, .. } | Output::RefuseInbound { conn, .. } => {
                    assert!(self.open.remove(&conn).is_some(), "{conn} was not open");
                    self.dialing.remove(&conn);
                }
                Output::Accept { conn }
                | Output::Handshake { conn, .. }
                | Output::Probe { conn } => assert!(self.open.contains_key(&conn)),
                Output::Event(PeerEvent::PeerConnected { id, .. }) => {
                    assert!(self.seen.insert(id), "connected twice");
                }
                Output::Event(PeerEvent::PeerDisconnected { id, .. }) => {
                    assert!(self.seen.remove(&id), "gone, and was not connected");
                }
                Output::Event(_) => {}
            }
        }
    }

    fn check(&self) {
        let sessions: Vec<_> = self.manager.connected_peers().collect();
        let pending = self.manager.pending_connections().map(|(conn, _)| conn);
        let known: BTreeSet<_> = sessions.iter().map(|(_, conn)| *conn).chain(pending).collect();
        assert!(known.iter().eq(self.open.keys()), "driver and manager know the same connections");
        assert!(sessions.iter().all(|(peer, _)| self.seen.contains(peer)));
        assert!(!self.seen.contains(&self.manager.local_id()), "no session with itself");
        let report = self.manager.snapshot();
        assert_eq!(report.connected, self.seen.len());
        assert!(report.slots.used() <= self.manager.max_peers());
        assert!(report.slots.trusted <= self.trusted.len());
        assert!(report.dialing <= chainmesh_proto::peers::MAX_CONCURRENT_DIALS);
        for peer in &report.peers {
            assert!(peer.client.chars().count() <= 64, "{:?}", peer.client);
            assert!(!peer.client.chars().any(char::is_control), "{:?}", peer.client);
        }
    }
}
