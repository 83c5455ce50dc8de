//! Targets: whom to dial, and when.

use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use chainmesh_identity::{Host, PeerId};
use chainmesh_wire::devp2p::DisconnectReason;

use super::connection::{Connection, Stage};
use super::target::{Outcome, Schedule, Target, backoff};
use super::{
    ClosedBy, ConnectionId, DialError, DialTarget, Direction, NodeKind, Output, PeerEvent,
    PeerManager, Slot, TargetError, TargetKey, Timer,
};
use crate::time::Instant;

/// Own addresses that are remembered.
const MAX_OWN_ADDRESSES: usize = 64;
/// Added to the place in the queue of a target that is dialled when no other is there.
const BEHIND: u64 = 1 << 63;

impl PeerManager {
    /// [`Input::AddNode`](super::Input::AddNode).
    pub(super) fn add_node(&mut self, now: Instant, target: DialTarget, kind: NodeKind) {
        if let Err(error) = self.check_target(now, &target, kind) {
            return self.emit(PeerEvent::TargetRefused { target, error });
        }
        let key = target.key();
        let known = self.targets.get_mut(&key);
        let mut dial = kind.is_configured();
        if let Some(known) = known {
            dial |= known.schedule == Schedule::OwnAddress;
            if known.kind == NodeKind::Dynamic && kind != NodeKind::Dynamic {
                self.dynamic_targets = self.dynamic_targets.saturating_sub(1);
            }
            // Discovery is a hint: it does not move what a person has configured.
            if kind >= known.kind || kind.is_configured() {
                known.target = target;
            }
            known.kind = known.kind.max(kind);
        } else {
            dial = true;
            if kind == NodeKind::Dynamic {
                self.dynamic_targets = self.dynamic_targets.saturating_add(1);
            }
            self.targets.insert(key.clone(), Target::new(target, kind));
        }
        if kind == NodeKind::Trusted {
            self.promote(&key);
        }
        if dial {
            if let Some(target) = self.targets.get_mut(&key) {
                target.failures = 0;
            }
            self.schedule_now(now, &key);
        }
    }

    fn check_target(
        &self,
        now: Instant,
        target: &DialTarget,
        kind: NodeKind,
    ) -> Result<(), TargetError> {
        if target.id == Some(self.config.local_id) {
            return Err(TargetError::OwnId);
        }
        if target.port == 0 {
            return Err(TargetError::NoPort);
        }
        if target.id.is_some_and(|id| self.is_banned(now, &id)) {
            return Err(TargetError::Banned);
        }
        let full = self.dynamic_targets >= self.config.max_dynamic_targets;
        if kind == NodeKind::Dynamic && full && !self.targets.contains_key(&target.key()) {
            return Err(TargetError::TooMany);
        }
        Ok(())
    }

    /// A peer that becomes trusted while it is connected gives its slot back.
    fn promote(&mut self, key: &TargetKey) {
        let id = self.targets.get(key).and_then(Target::id);
        let conn = id.and_then(|id| self.by_id.get(&id));
        let Some(connection) = conn.and_then(|conn| self.connections.get_mut(conn)) else { return };
        if let Some(slot) = connection.slot.replace(Slot::Trusted) {
            self.slots.release(slot);
            self.slots.take(Slot::Trusted);
        }
    }

    /// [`Input::RemoveNode`](super::Input::RemoveNode).
    pub(super) fn remove_node(&mut self, now: Instant, key: &TargetKey) {
        let target = self.forget_target(key);
        let dial = match target.as_ref().map(|target| target.schedule) {
            Some(Schedule::Dialing(conn)) => Some(conn),
            _ => None,
        };
        let id = match key {
            TargetKey::Id(id) => Some(*id),
            TargetKey::Address(..) => target.and_then(|target| target.found),
        };
        let session = id.and_then(|id| self.by_id.get(&id).copied());
        for conn in dial.into_iter().chain(session) {
            self.close(now, conn, DisconnectReason::Requested);
        }
    }

    /// Nothing is to be had from this node: if nobody named it, it is no target any more. A session
    /// with it goes on.
    pub fn forget_dynamic(&mut self, id: &PeerId) {
        let key = TargetKey::Id(*id);
        if self.targets.get(&key).is_some_and(|target| target.kind == NodeKind::Dynamic) {
            self.forget_target(&key);
            self.emit(PeerEvent::TargetDropped { target: key });
        }
    }

    fn forget_target(&mut self, key: &TargetKey) -> Option<Target> {
        self.unschedule(key);
        let target = self.targets.remove(key)?;
        if target.kind == NodeKind::Dynamic {
            self.dynamic_targets = self.dynamic_targets.saturating_sub(1);
        }
        Some(target)
    }

    /// Takes a target out of the queue and stops its timer. A dial under way goes on.
    fn unschedule(&mut self, key: &TargetKey) {
        self.timers.cancel(&Timer::Redial(key.clone()));
        let Some(target) = self.targets.get_mut(key) else { return };
        if let Schedule::Ready(place) = target.schedule {
            // The kind may have changed since the target was queued.
            let kinds = [NodeKind::Dynamic, NodeKind::Boot, NodeKind::Static, NodeKind::Trusted];
            for kind in kinds {
                self.ready.remove(&(Reverse(kind), place, key.clone()));
            }
            target.schedule = Schedule::Waiting;
        }
    }

    /// Queues a target for a dial, unless there is no need to dial it.
    pub(super) fn schedule_now(&mut self, now: Instant, key: &TargetKey) {
        self.unschedule(key);
        let Some(target) = self.targets.get(key) else { return };
        let next = if let Schedule::Dialing(_) = target.schedule {
            return;
        } else if self.own_addresses.contains(&(target.target.host.clone(), target.target.port)) {
            Schedule::OwnAddress
        } else if self.shutting_down || target.id().is_some_and(|id| self.by_id.contains_key(&id)) {
            Schedule::Settled
        } else {
            let place = self.next_place;
            self.next_place = place.saturating_add(1);
            let place = if self.is_shunned(now, target) { place | BEHIND } else { place };
            self.ready.insert((Reverse(target.kind), place, key.clone()));
            Schedule::Ready(place)
        };
        if let Some(target) = self.targets.get_mut(key) {
            target.schedule = next;
        }
    }

    /// Queues a target after its backoff.
    fn schedule_later(&mut self, now: Instant, key: &TargetKey) -> Option<Duration> {
        self.unschedule(key);
        let failures = self.targets.get(key)?.failures;
        let wait = backoff(&self.config, failures, &mut self.rng);
        self.timers.set(Timer::Redial(key.clone()), now + wait);
        self.targets.get_mut(key)?.schedule = Schedule::Waiting;
        Some(wait)
    }

    /// Starts dials while there are targets, dials and slots.
    pub(super) fn fill_dials(&mut self, now: Instant) {
        while self.dialing < self.config.max_concurrent_dials && !self.shutting_down {
            let Some((Reverse(kind), _, key)) = self.ready.first().cloned() else { return };
            // Dials under way are likely to need a slot, so they count. The queue is ordered by
            // kind: if there is no slot for this one, there is none for those behind it.
            let free = match kind {
                NodeKind::Trusted => usize::MAX,
                NodeKind::Static | NodeKind::Boot => self.slots.free_outbound(),
                NodeKind::Dynamic => self.slots.free_dynamic(),
            };
            if free <= self.dialing {
                return;
            }
            let conn = self.next_connection();
            self.begin_dial(now, conn, &key);
        }
    }

    /// Dials a target, whatever slots there are.
    pub(super) fn begin_dial(&mut self, now: Instant, conn: ConnectionId, key: &TargetKey) {
        self.unschedule(key);
        let Some(target) = self.targets.get_mut(key) else { return };
        target.schedule = Schedule::Dialing(conn);
        target.dials = target.dials.saturating_add(1);
        let dial = target.target.clone();
        let mut connection = Connection::new(Direction::Outbound, Stage::Dialing, now);
        connection.target = Some(key.clone());
        connection.expected = dial.id;
        self.connections.insert(conn, connection);
        self.dialing = self.dialing.saturating_add(1);
        self.counters.dials = self.counters.dials.saturating_add(1);
        self.timers.set(Timer::Connection(conn), now + self.config.dial_timeout);
        self.outputs.push_back(Output::Dial { conn, target: dial });
    }

    /// [`Input::Dialed`](super::Input::Dialed).
    pub(super) fn dialed(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        result: Result<SocketAddr, DialError>,
    ) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.stage != Stage::Dialing {
            return;
        }
        let address = match result {
            Ok(address) => address,
            Err(error) => return self.dial_failed(now, conn, error),
        };
        if self.banned.has_address(address.ip()) {
            self.outputs.push_back(Output::Close { conn, reason: DisconnectReason::Requested });
            return self.dial_failed(now, conn, DialError::Banned);
        }
        connection.address = Some(address);
        connection.stage = Stage::Handshaking;
        let expected = connection.expected;
        self.timers.set(Timer::Connection(conn), now + self.config.handshake_timeout);
        self.outputs.push_back(Output::Handshake { conn, expected });
    }

    /// A dial led to no connection.
    pub(super) fn dial_failed(&mut self, now: Instant, conn: ConnectionId, error: DialError) {
        let count = self.counters.dial_failures.entry(error).or_default();
        *count = count.saturating_add(1);
        let Some(connection) = self.remove_connection(conn) else { return };
        self.trial_ended(now, conn);
        let Some(target) = connection.target else { return };
        let retry_in = self.target_ended(now, &target, Outcome::DialFailed(error), false);
        let failures = self.targets.get(&target).map_or(0, |target| target.failures);
        self.emit(PeerEvent::DialFailed { target, error, failures, retry_in });
    }

    /// A dial of, or a session with, the target has ended: says when it is dialled next, if it is.
    pub(super) fn target_ended(
        &mut self,
        now: Instant,
        key: &TargetKey,
        outcome: Outcome,
        stable: bool,
    ) -> Option<Duration> {
        let target = self.targets.get_mut(key)?;
        target.record(now, outcome);
        let (kind, id) = (target.kind, target.id());
        if id.is_some_and(|id| self.by_id.contains_key(&id)) || self.shutting_down {
            target.schedule = Schedule::Settled;
            return None;
        }
        target.failures = if stable { 0 } else { target.failures.saturating_add(1) };
        if kind == NodeKind::Dynamic && target.failures >= self.config.max_dynamic_failures {
            self.forget_target(key);
            self.emit(PeerEvent::TargetDropped { target: key.clone() });
            return None;
        }
        self.schedule_later(now, key)
    }

    /// The peer has an authenticated connection: its targets need no dial. One whose TCP
    /// connection is still being made is given up; one that has sent its first byte goes on, for
    /// the peer may have preferred it already.
    pub(super) fn settle_targets(&mut self, now: Instant, id: &PeerId, conn: ConnectionId) {
        for key in self.targets_of(id) {
            let Some(target) = self.targets.get(&key) else { continue };
            match target.schedule {
                Schedule::Dialing(own) if own != conn => {
                    let stage = self.connections.get(&own).map(|connection| connection.stage);
                    if stage == Some(Stage::Dialing) {
                        self.close(now, own, DisconnectReason::AlreadyConnected);
                    }
                }
                Schedule::OwnAddress => {}
                _ => {
                    self.unschedule(&key);
                    if let Some(target) = self.targets.get_mut(&key) {
                        target.schedule = Schedule::Settled;
                    }
                }
            }
        }
    }

    /// A peer says where it listens. If it came in, and this node wanted a connection to whoever is
    /// there, it has it: without this it would dial, and one of two live sessions would end.
    pub(super) fn found_listening(&mut self, now: Instant, conn: ConnectionId, port: u16) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let (Direction::Inbound, Some(id), Some(address)) =
            (connection.direction, connection.id, connection.address)
        else {
            return;
        };
        let key = TargetKey::Address(Host::Ip(address.ip()), port);
        if let Some(target) = self.targets.get_mut(&key) {
            target.found = Some(id);
            self.settle_targets(now, &id, conn);
        }
    }

    /// The targets behind which this peer is.
    pub(super) fn targets_of(&self, id: &PeerId) -> Vec<TargetKey> {
        let named = TargetKey::Id(*id);
        let named = self.targets.contains_key(&named).then_some(named);
        // Keys without an ID are last in the order, and few.
        let unnamed = self.targets.iter().rev();
        let unnamed = unnamed.take_while(|(key, _)| matches!(key, TargetKey::Address(..)));
        let unnamed = unnamed.filter(|(_, target)| target.found == Some(*id));
        named.into_iter().chain(unnamed.map(|(key, _)| key.clone())).collect()
    }

    /// This node itself answered at a target's address.
    pub(super) fn own_address(&mut self, now: Instant, key: &TargetKey) {
        let Some(target) = self.targets.get_mut(key) else { return };
        target.record(now, Outcome::OwnAddress);
        target.schedule = Schedule::OwnAddress;
        let address: (Host, u16) = (target.target.host.clone(), target.target.port);
        if !self.own_addresses.contains(&address) {
            if self.own_addresses.len() >= MAX_OWN_ADDRESSES {
                self.own_addresses.pop_front();
            }
            self.own_addresses.push_back(address);
        }
        self.emit(PeerEvent::OwnAddress { target: key.clone() });
    }

    /// A deadline of a connection that is not a session yet has passed.
    pub(super) fn pending_timed_out(&mut self, now: Instant, conn: ConnectionId) {
        let Some(connection) = self.connections.get(&conn) else { return };
        if connection.stage == Stage::Dialing {
            self.outputs.push_back(Output::Close { conn, reason: DisconnectReason::TcpError });
            self.dial_failed(now, conn, DialError::TimedOut);
        } else {
            self.close(now, conn, DisconnectReason::PingTimeout);
        }
    }

    /// [`Input::Closed`](super::Input::Closed).
    pub(super) fn closed(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        reason: DisconnectReason,
        by: ClosedBy,
    ) {
        match self.connections.get(&conn).map(|connection| connection.stage) {
            None => {}
            Some(Stage::Dialing) => self.dial_failed(now, conn, DialError::System),
            Some(_) => self.end(now, conn, reason, by),
        }
    }
}
