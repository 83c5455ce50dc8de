//! Tests of the peer manager: one file per kind of rule, and a model over random operations.

mod admission;
mod banned;
mod conduct;
mod dialing;
mod floor;
mod identity;
mod model;
mod rotation;
mod shown;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use chainmesh_identity::{Host, PeerId};
use chainmesh_wire::devp2p::DisconnectReason;

use super::*;
use crate::module::PeerKind;

/// An ID that compares like its number.
fn id(number: u8) -> PeerId {
    PeerId::from([number; 64])
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 30303)
}

fn target(number: u8) -> DialTarget {
    DialTarget { id: Some(id(number)), host: Host::Ip(ip(number)), port: 30303 }
}

fn unnamed(number: u8) -> DialTarget {
    DialTarget { id: None, ..target(number) }
}

/// A manager with the ID 100 and a clock.
struct Bed {
    manager: PeerManager,
    now: Instant,
}

impl Bed {
    fn new(max_peers: usize) -> Self {
        Self::with(|_| {}, max_peers)
    }

    fn with(change: impl FnOnce(&mut PeerManagerConfig), max_peers: usize) -> Self {
        let mut config = PeerManagerConfig::new(id(100), max_peers);
        change(&mut config);
        Self { manager: PeerManager::new(config, [7; 32]), now: Instant::from_micros(1) }
    }

    fn outputs(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.manager.poll()).collect()
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.manager.handle(self.now, input);
        self.outputs()
    }

    /// Lets time pass, timers included, each at its own time.
    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.manager.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.manager.handle_timeout(self.now);
            outputs.extend(self.outputs());
        }
        self.now = end;
        outputs
    }

    fn add(&mut self, target: DialTarget, kind: NodeKind) -> Vec<Output> {
        self.handle(Input::AddNode { target, kind })
    }

    fn inbound(&mut self, from: SocketAddr) -> (ConnectionId, Vec<Output>) {
        let conn = self.manager.next_connection();
        (conn, self.handle(Input::InboundConnection { conn, address: from }))
    }

    fn authenticated(&mut self, conn: ConnectionId, number: u8) -> Vec<Output> {
        self.handle(Input::Authenticated { conn, id: id(number), kind: PeerKind::Own })
    }

    fn established(&mut self, conn: ConnectionId) -> Vec<Output> {
        self.handle(Input::Established { conn })
    }

    fn lost(&mut self, conn: ConnectionId) -> Vec<Output> {
        let reason = DisconnectReason::TcpError;
        self.handle(Input::Closed { conn, reason, by: ClosedBy::Network })
    }

    /// An inbound peer, all the way.
    fn comes_in(&mut self, number: u8) -> ConnectionId {
        let (conn, _) = self.inbound(address(number));
        self.authenticated(conn, number);
        self.established(conn);
        assert!(self.manager.is_connected(&id(number)), "peer {number} did not get in");
        conn
    }

    /// A static target whose TCP connection stands.
    fn dials(&mut self, number: u8) -> ConnectionId {
        let outputs = self.add(target(number), NodeKind::Static);
        let conn = dialled(&outputs).first().copied().expect("a dial");
        self.handle(Input::Dialed { conn, result: Ok(address(number)) });
        conn
    }
}

fn dialled(outputs: &[Output]) -> Vec<ConnectionId> {
    let dial = |output: &Output| match output {
        Output::Dial { conn, .. } => Some(*conn),
        _ => None,
    };
    outputs.iter().filter_map(dial).collect()
}

fn closed(outputs: &[Output]) -> Vec<(ConnectionId, DisconnectReason)> {
    let close = |output: &Output| match output {
        Output::Close { conn, reason } => Some((*conn, *reason)),
        _ => None,
    };
    outputs.iter().filter_map(close).collect()
}

fn events(outputs: &[Output]) -> Vec<PeerEvent> {
    let event = |output: &Output| match output {
        Output::Event(event) => Some(event.clone()),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

/// Connected and Disconnected, as observers count them.
fn seen(outputs: &[Output]) -> Vec<(u8, bool)> {
    let seen = |event: PeerEvent| match event {
        PeerEvent::PeerConnected { id, .. } => Some((id.as_bytes()[0], true)),
        PeerEvent::PeerDisconnected { id, .. } => Some((id.as_bytes()[0], false)),
        _ => None,
    };
    events(outputs).into_iter().filter_map(seen).collect()
}
