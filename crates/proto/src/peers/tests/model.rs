//! Random operations, and what has to hold after each of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::peers::connection::Stage;
use crate::peers::target::Schedule;

/// IDs and addresses that occur: few, so that connections of one peer meet.
const NODES: u8 = 8;

#[derive(Debug, Clone)]
enum Operation {
    Add(u8, NodeKind, bool),
    Remove(u8, bool),
    Disconnect(u8),
    Ban(u8),
    Unban(u8),
    Untrust(u8),
    Offence(u8, Offence),
    Merit(u8),
    Inbound(u8),
    DialOk(Index),
    DialFails(Index, DialError),
    /// The connection, and whether the one who is expected answers or this node.
    Prove(Index, Option<u8>),
    Establish(Index),
    Close(Index, DisconnectReason, ClosedBy),
    Answer(Index),
    Pass(u32),
    /// Time passes in which every node answers, seconds.
    Calm(u16),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let node = 1..=NODES;
    let kind = prop_oneof![
        Just(NodeKind::Dynamic),
        Just(NodeKind::Boot),
        Just(NodeKind::Static),
        Just(NodeKind::Trusted)
    ];
    // This node's own ID among them.
    let anyone = prop_oneof![node.clone(), Just(100)];
    let reason = prop_oneof![
        (0..0x12_u8).prop_map(DisconnectReason::from_code),
        Just(DisconnectReason::AlreadyConnected),
    ];
    let by = prop_oneof![Just(ClosedBy::Us), Just(ClosedBy::Peer), Just(ClosedBy::Network)];
    let error = prop_oneof![Just(DialError::Refused), Just(DialError::NameNotFound)];
    prop_oneof![
        3 => (node.clone(), kind, any::<bool>()).prop_map(|(n, kind, named)| Add(n, kind, named)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, named)| Remove(n, named)),
        1 => node.clone().prop_map(Disconnect),
        1 => node.clone().prop_map(Ban),
        2 => node.clone().prop_map(Unban),
        1 => node.clone().prop_map(Untrust),
        2 => (node.clone(), proptest::sample::select(crate::peers::Offence::ALL.to_vec()))
            .prop_map(|(n, offence)| Offence(n, offence)),
        1 => node.clone().prop_map(Merit),
        1 => (0..900_u16).prop_map(Calm),
        4 => node.prop_map(Inbound),
        4 => any::<Index>().prop_map(DialOk),
        1 => (any::<Index>(), error).prop_map(|(index, error)| DialFails(index, error)),
        8 => (any::<Index>(), proptest::option::weighted(0.3, anyone))
            .prop_map(|(index, answers)| Prove(index, answers)),
        6 => any::<Index>().prop_map(Establish),
        2 => (any::<Index>(), reason, by).prop_map(|(index, reason, by)| Close(index, reason, by)),
        1 => any::<Index>().prop_map(Answer),
        3 => (0..90_000_u32).prop_map(Pass),
    ]
}

/// A bed, and what a driver and an observer know.
struct Model {
    bed: Bed,
    /// Connections that the driver has open, and who would answer.
    open: BTreeMap<ConnectionId, u8>,
    /// Peers that an observer takes for connected.
    seen: BTreeSet<PeerId>,
    dials_of: BTreeMap<TargetKey, u32>,
    probed: Vec<ConnectionId>,
    /// Peers as they were before what is being done: direction, slot, since when, whether found.
    before: Vec<PeerInfo>,
    rotated: u32,
}

impl Model {
    fn new(max_peers: usize) -> Self {
        let bed = Bed::with(|config| config.accept_burst = 100_000, max_peers);
        Self {
            bed,
            open: BTreeMap::new(),
            seen: BTreeSet::new(),
            dials_of: BTreeMap::new(),
            probed: Vec::new(),
            before: Vec::new(),
            rotated: 0,
        }
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Dial { conn, target } => {
                    let Host::Ip(IpAddr::V4(ip)) = target.host else { panic!("an address") };
                    assert!(self.open.insert(conn, ip.octets()[3]).is_none());
                    *self.dials_of.entry(target.key()).or_default() += 1;
                }
                Output::Close { conn, .. } => {
                    assert!(self.open.remove(&conn).is_some(), "{conn} is closed and was not open");
                }
                Output::RefuseInbound { conn, .. } => assert!(self.open.remove(&conn).is_some()),
                Output::Accept { conn } | Output::Handshake { conn, .. } => {
                    assert!(self.open.contains_key(&conn));
                }
                Output::Probe { conn } => {
                    assert!(self.open.contains_key(&conn));
                    self.probed.push(conn);
                }
                Output::Event(PeerEvent::PeerConnected { id, .. }) => {
                    assert!(self.seen.insert(id), "connected twice: {id:?}");
                }
                Output::Event(PeerEvent::PeerDisconnected { id, .. }) => {
                    assert!(self.seen.remove(&id), "disconnected, and was not connected: {id:?}");
                }
                Output::Event(PeerEvent::Rotated { id, direction, score }) => {
                    self.rotated += 1;
                    self.check_rotation(id, direction, score);
                }
                Output::Event(PeerEvent::Misbehaved { score, .. }) => {
                    assert!((MIN_SCORE..=MAX_SCORE).contains(&score));
                }
                Output::Event(PeerEvent::Banned { id, score, .. }) => {
                    assert!(score <= BAN_SCORE);
                    assert!(!self.seen.contains(&id) || !self.bed.manager.is_connected(&id));
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Whoever asked for a peer keeps it, and of several that may go the oldest stays.
    fn check_rotation(&self, gone: PeerId, direction: Direction, score: i32) {
        let slot = match direction {
            Direction::Inbound => Slot::Inbound,
            Direction::Outbound => Slot::Outbound,
        };
        let may_go = self.before.iter().filter(|peer| {
            peer.state == PeerState::Connected
                && peer.direction == Some(direction)
                && peer.slot == Some(slot)
                && !peer.kind.is_some_and(NodeKind::is_configured)
        });
        let mut may_go: Vec<_> = may_go.collect();
        may_go.sort_by_key(|peer| (peer.connected_since, peer.connection));
        let place = may_go.iter().position(|peer| peer.id == Some(gone)).expect("one of them");
        assert!(place > 0, "the oldest is protected");
        assert!(direction == Direction::Inbound || may_go.len() >= 3);
        assert!((MIN_SCORE..=MAX_SCORE).contains(&score));
    }

    fn handle(&mut self, input: Input) {
        self.before = self.bed.manager.snapshot().peers;
        let outputs = self.bed.handle(input);
        self.take(outputs);
    }

    fn pick(&self, index: Index) -> Option<ConnectionId> {
        (!self.open.is_empty())
            .then(|| *index.get(&self.open.keys().collect::<Vec<_>>()).to_owned())
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Add(n, kind, named) => {
                let target = if named { target(n) } else { unnamed(n) };
                self.handle(Input::AddNode { target, kind });
            }
            Operation::Remove(n, named) => {
                let target = if named { target(n) } else { unnamed(n) };
                self.handle(Input::RemoveNode { key: target.key() });
            }
            Operation::Disconnect(n) => {
                self.handle(Input::Disconnect { id: id(n), reason: DisconnectReason::Requested });
            }
            Operation::Ban(n) => {
                self.handle(Input::Ban { id: id(n) });
                assert!(!self.bed.manager.is_connected(&id(n)));
            }
            Operation::Unban(n) => self.handle(Input::Unban { id: id(n) }),
            Operation::Untrust(n) => {
                self.handle(Input::Untrust { id: id(n), kind: NodeKind::Dynamic });
            }
            Operation::Offence(n, offence) => self.handle(Input::Offence { id: id(n), offence }),
            Operation::Merit(n) => {
                self.handle(Input::Merit { id: id(n), merit: Merit::NewBlock });
            }
            Operation::Calm(seconds) => self.calm(Duration::from_secs(seconds.into())),
            Operation::Inbound(n) => {
                let conn = self.bed.manager.next_connection();
                self.open.insert(conn, n);
                self.handle(Input::InboundConnection { conn, address: address(n) });
            }
            Operation::Pass(millis) => {
                let outputs = self.bed.pass(Duration::from_millis(millis.into()));
                self.take(outputs);
            }
            Operation::DialOk(index)
            | Operation::DialFails(index, _)
            | Operation::Prove(index, _)
            | Operation::Establish(index)
            | Operation::Close(index, ..)
            | Operation::Answer(index) => {
                let Some(conn) = self.pick(index) else { return };
                self.report(conn, operation);
            }
        }
    }

    /// The driver reports about a connection, whether it makes sense or not.
    fn report(&mut self, conn: ConnectionId, operation: Operation) {
        let node = self.open[&conn];
        match operation {
            Operation::DialOk(_) => {
                self.handle(Input::Dialed { conn, result: Ok(address(node)) });
            }
            Operation::DialFails(_, error) => {
                if self.bed.manager.connections[&conn].stage == Stage::Dialing {
                    self.open.remove(&conn);
                }
                self.handle(Input::Dialed { conn, result: Err(error) });
            }
            Operation::Prove(_, answers) => {
                self.handle(Input::Authenticated {
                    conn,
                    id: id(answers.unwrap_or(node)),
                    kind: PeerKind::Own,
                });
            }
            Operation::Establish(_) => self.handle(Input::Established { conn }),
            Operation::Close(_, reason, by) => {
                self.open.remove(&conn);
                self.handle(Input::Closed { conn, reason, by });
            }
            _ => self.handle(Input::Alive { conn }),
        }
    }

    fn check(&self) {
        let manager = &self.bed.manager;
        let connections = &manager.connections;
        assert!(connections.keys().eq(self.open.keys()), "driver and manager know the same");
        assert!(manager.announced.keys().eq(self.seen.iter()), "observers know the same");
        let report = manager.snapshot();
        assert_eq!(report.connected, self.seen.len());
        self.check_scores(&report);
        self.check_slots(&report.slots);
        let dials = connections.values().filter(|c| c.is_dial()).count();
        assert_eq!(dials, manager.dialing);
        assert!(dials <= manager.config.max_concurrent_dials);
        let pending =
            connections.values().filter(|c| !c.is_authenticated() && !c.is_dial()).count();
        assert_eq!(pending, report.pending_inbound);
        for (conn, connection) in connections {
            let deadline = manager.timers.deadline(&Timer::Connection(*conn)).is_some();
            let session = matches!(connection.stage, Stage::Established { .. });
            assert_ne!(deadline, session, "{conn}: every handshake has a deadline");
            if connection.is_authenticated() {
                let id = connection.id.expect("an authenticated connection has an ID");
                assert_eq!(manager.by_id.get(&id), Some(conn), "one connection per peer");
                assert_ne!(id, manager.local_id());
            }
        }
        assert_eq!(manager.by_id.len(), connections.values().filter(|c| c.id.is_some()).count());
        self.check_targets();
    }

    /// Nobody with a score that bans has a connection, unless the operator asked for it.
    fn check_scores(&self, report: &Report) {
        let manager = &self.bed.manager;
        assert!(report.scores <= usize::from(NODES) + 1);
        for peer in report.peers.iter().filter(|peer| peer.state >= PeerState::Authenticated) {
            let id = peer.id.expect("proved");
            assert!((MIN_SCORE..=MAX_SCORE).contains(&peer.score));
            assert!(!manager.is_banned(self.bed.now, &id), "{id:?} is banned and connected");
            assert!(
                peer.score > BAN_SCORE || manager.is_configured(&id),
                "{id:?} has {}",
                peer.score
            );
        }
    }

    fn check_slots(&self, slots: &SlotUse) {
        let manager = &self.bed.manager;
        let count = |slot| manager.connections.values().filter(|c| c.slot == Some(slot)).count();
        assert_eq!(slots.inbound, count(Slot::Inbound));
        assert_eq!(slots.outbound, count(Slot::Outbound));
        assert_eq!(slots.trusted, count(Slot::Trusted));
        assert!(slots.used() <= manager.max_peers());
        assert!(slots.inbound <= manager.max_peers() - slots.outbound_reserve);
        for connection in manager.connections.values() {
            assert!(!connection.is_authenticated() || connection.slot.is_some());
        }
        for conn in manager.announced.values() {
            assert!(manager.connections[conn].slot.is_some(), "whoever is seen holds a slot");
        }
    }

    /// No target is ever left without something that brings it back.
    fn check_targets(&self) {
        let manager = &self.bed.manager;
        let mut queued = 0;
        let mut dynamic = 0;
        for (key, target) in &manager.targets {
            let timer = manager.timers.deadline(&Timer::Redial(key.clone())).is_some();
            let session = target.id().is_some_and(|id| manager.by_id.contains_key(&id));
            assert_eq!(timer, target.schedule == Schedule::Waiting, "{key:?}");
            dynamic += usize::from(target.kind == NodeKind::Dynamic);
            match target.schedule {
                Schedule::Ready(_) => queued += 1,
                Schedule::Dialing(conn) => {
                    assert_eq!(manager.connections[&conn].target.as_ref(), Some(key));
                }
                Schedule::Settled => assert!(session, "{key:?}"),
                Schedule::Waiting | Schedule::OwnAddress => {}
            }
        }
        assert_eq!(queued, manager.ready.len());
        assert_eq!(dynamic, manager.dynamic_targets);
    }

    /// From now on nobody is banned and every node answers: each dial succeeds, each handshake is
    /// completed, each probe is answered.
    fn heal(&mut self, time: Duration) {
        for number in 1..=NODES {
            self.handle(Input::Unban { id: id(number) });
        }
        self.calm(time);
    }

    /// Every node answers.
    fn calm(&mut self, time: Duration) {
        let end = self.bed.now + time;
        loop {
            for conn in core::mem::take(&mut self.probed) {
                self.handle(Input::Alive { conn });
            }
            let pending: Vec<_> = self.bed.manager.pending_connections().collect();
            for (conn, _) in pending {
                let Some(node) = self.open.get(&conn).copied() else { continue };
                self.handle(Input::Dialed { conn, result: Ok(address(node)) });
                self.handle(Input::Authenticated { conn, id: id(node), kind: PeerKind::Own });
                self.handle(Input::Established { conn });
                self.check();
            }
            if !self.probed.is_empty() || self.bed.manager.pending_connections().next().is_some() {
                continue;
            }
            let Some(due) = self.bed.manager.poll_timeout().filter(|due| *due <= end) else {
                break;
            };
            self.before = self.bed.manager.snapshot().peers;
            let outputs = self.bed.pass(due.saturating_since(self.bed.now));
            self.take(outputs);
        }
        self.bed.now = self.bed.now.max(end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_the_rules_hold_and_no_target_is_lost(
        max_peers in prop_oneof![1..6_usize, Just(9), Just(15), Just(50)],
        operations in vec(operation(), 1..120),
    ) {
        let mut model = Model::new(max_peers);
        for operation in operations {
            model.run(operation);
            model.check();
        }
        // The faults end. Within the longest backoff and its jitter everybody who is wanted is
        // there, as far as there are slots.
        model.heal(Duration::from_secs(76));
        let manager = &model.bed.manager;
        let full = manager.slots.free_outbound() == 0;
        for (key, target) in &manager.targets {
            let there = target.id().is_some_and(|id| manager.is_connected(&id));
            let own = target.schedule == Schedule::OwnAddress;
            let unlucky = match target.kind {
                NodeKind::Trusted => false,
                NodeKind::Static | NodeKind::Boot => full,
                NodeKind::Dynamic => manager.slots.free_dynamic() == 0,
            };
            prop_assert!(there || own || unlucky, "{key:?} is lost: {target:?}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_decisions(operations in vec(operation(), 1..60)) {
        let run = || {
            let mut model = Model::new(5);
            operations.iter().cloned().for_each(|operation| model.run(operation));
            (model.bed.manager.snapshot(), model.dials_of)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn the_model_rotates() {
    let mut model = Model::new(9);
    for number in 1..=NODES {
        model.run(Operation::Add(number, NodeKind::Dynamic, true));
    }
    for _ in 0..10 {
        model.run(Operation::Calm(600));
        model.check();
    }
    assert!(model.rotated >= 5, "{}", model.rotated);
}
