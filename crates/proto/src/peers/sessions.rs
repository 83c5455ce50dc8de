//! Connections from their first byte to their end: admission, identity, tie-break, slots.

use core::net::SocketAddr;

use core::time::Duration;

use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::DisconnectReason;

use super::connection::{Connection, Stage};
use super::target::{Outcome, Schedule, Target};
use super::{
    ClosedBy, ConnectionId, Direction, NodeKind, Output, PROBE_INTERVAL, PeerEvent, PeerManager,
    RefuseReason, Slot, Timer,
};
use crate::module::PeerKind;
use crate::time::Instant;

impl PeerManager {
    /// [`Input::InboundConnection`](super::Input::InboundConnection).
    pub(super) fn inbound(&mut self, now: Instant, conn: ConnectionId, address: SocketAddr) {
        let admitted = if self.shutting_down {
            Err(RefuseReason::ShuttingDown)
        } else if self.banned.has_address(address.ip()) {
            Err(RefuseReason::Banned)
        } else {
            self.admission.admit(now, address.ip())
        };
        if let Err(reason) = admitted {
            let count = self.counters.refused.entry(reason).or_default();
            *count = count.saturating_add(1);
            return self.outputs.push_back(Output::RefuseInbound { conn, reason });
        }
        self.counters.accepted = self.counters.accepted.saturating_add(1);
        let mut connection = Connection::new(Direction::Inbound, Stage::Handshaking, now);
        connection.address = Some(address);
        self.connections.insert(conn, connection);
        self.timers.set(Timer::Connection(conn), now + self.config.handshake_timeout);
        self.outputs.push_back(Output::Accept { conn });
    }

    /// [`Input::Authenticated`](super::Input::Authenticated): the one place where it is decided
    /// which connections a peer has.
    pub(super) fn authenticated(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        id: PeerId,
        kind: PeerKind,
    ) {
        let Some(connection) = self.connections.get(&conn) else { return };
        if connection.stage != Stage::Handshaking {
            return;
        }
        if id == self.config.local_id {
            return self.close(now, conn, DisconnectReason::SelfConnection);
        }
        // Whoever is at an address that the operator asked for is asked for.
        if let (None, Some(key)) = (connection.expected, connection.target.clone())
            && let Some(target) = self.targets.get_mut(&key)
        {
            target.found = Some(id);
        }
        self.judge(now, id, None);
        if self.is_banned(now, &id) {
            // Who it is goes into the books, though it holds nothing.
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            connection.expected = Some(id);
            return self.close(now, conn, DisconnectReason::Requested);
        }
        let Some(connection) = self.connections.get(&conn) else { return };
        if let Some(expected) = connection.expected
            && expected != id
        {
            let address = connection.address;
            self.emit(PeerEvent::UnexpectedIdentity { expected, found: id, address });
            return self.unexpected_identity(now, conn, id);
        }
        let heir_slot = connection.slot;
        let direction = connection.direction;
        if let Some(target) = connection.target.clone()
            && let Some(target) = self.targets.get_mut(&target)
        {
            target.found = Some(id);
        }
        let older = self.by_id.get(&id).copied();
        let slot = match older {
            // A node of FISCO closes the newcomer, whoever dialled: two rules would leave none.
            Some(older) if kind != PeerKind::Own || !self.newcomer_wins(older, direction, &id) => {
                self.close(now, conn, DisconnectReason::AlreadyConnected);
                return self.probe(now, older, direction);
            }
            // Of two connections of one peer one slot is needed: the survivor takes it over.
            Some(older) => heir_slot.or_else(|| self.connections.get_mut(&older)?.slot.take()),
            None => heir_slot.or_else(|| self.take_slot(now, conn, &id, direction)),
        };
        let Some(slot) = slot else {
            return self.close(now, conn, DisconnectReason::TooManyPeers);
        };
        self.leave_pending(conn);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.id = Some(id);
            connection.slot = Some(slot);
            connection.stage = Stage::Authenticated;
        }
        self.by_id.insert(id, conn);
        if let Some(older) = older {
            self.counters.replaced = self.counters.replaced.saturating_add(1);
            self.close(now, older, DisconnectReason::AlreadyConnected);
        }
        self.settle_targets(now, &id, conn);
    }

    /// The tie-break. See [`PeerManager`].
    fn newcomer_wins(&self, older: ConnectionId, direction: Direction, id: &PeerId) -> bool {
        let Some(older) = self.connections.get(&older) else { return true };
        let dialled_by_lower = match direction {
            Direction::Outbound => self.config.local_id < *id,
            Direction::Inbound => *id < self.config.local_id,
        };
        older.direction != direction && dialled_by_lower
    }

    /// A slot for a peer that has none.
    fn take_slot(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        id: &PeerId,
        direction: Direction,
    ) -> Option<Slot> {
        let targets = self.targets_of(id);
        let targets: Vec<&Target> =
            targets.iter().filter_map(|key| self.targets.get(key)).collect();
        let kind = targets.iter().map(|target| target.kind).max();
        let dialled = targets.iter().any(|t| matches!(t.schedule, Schedule::Dialing(_)));
        let slot = if kind == Some(NodeKind::Trusted) {
            Slot::Trusted
        } else if direction == Direction::Outbound
            || dialled
            || kind.is_some_and(NodeKind::is_configured)
        {
            Slot::Outbound
        } else {
            Slot::Inbound
        };
        match self.slots.take(slot) {
            true => Some(slot),
            false => self.make_room(now, conn, id, slot),
        }
    }

    /// A newcomer was refused in favour of `older`: make sure that `older` is alive.
    fn probe(&mut self, now: Instant, older: ConnectionId, newcomer: Direction) {
        let Some(connection) = self.connections.get_mut(&older) else { return };
        let Stage::Established { since } = connection.stage else { return };
        let last = connection.probed.unwrap_or(since);
        let running = self.timers.deadline(&Timer::Probe(older)).is_some();
        if running || now.saturating_since(last) < PROBE_INTERVAL {
            return;
        }
        connection.probed = Some(now);
        connection.suspected_duplicate =
            newcomer == Direction::Inbound && connection.direction == newcomer;
        self.timers.set(Timer::Probe(older), now + self.config.probe_timeout);
        self.outputs.push_back(Output::Probe { conn: older });
    }

    /// [`Input::Alive`](super::Input::Alive).
    pub(super) fn alive(&mut self, conn: ConnectionId) {
        if !self.timers.cancel(&Timer::Probe(conn)) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if let (true, Some(id)) = (connection.suspected_duplicate, connection.id) {
            connection.suspected_duplicate = false;
            let count = &mut self.counters.duplicate_identity;
            *count = count.saturating_add(1);
            self.emit(PeerEvent::DuplicateIdentity { id });
        }
    }

    /// [`Input::Established`](super::Input::Established).
    pub(super) fn established(&mut self, now: Instant, conn: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let (Stage::Authenticated, Some(id), Some(address)) =
            (connection.stage, connection.id, connection.address)
        else {
            return;
        };
        connection.stage = Stage::Established { since: now };
        let direction = connection.direction;
        self.timers.cancel(&Timer::Connection(conn));
        let event = match self.announced.insert(id, conn) {
            None => PeerEvent::PeerConnected { id, conn, address, direction },
            Some(_) => PeerEvent::PeerMoved { id, conn },
        };
        self.emit(event);
        self.trial_succeeded(now, conn);
    }

    /// Ends a connection by this node's own decision.
    pub(super) fn close(&mut self, now: Instant, conn: ConnectionId, reason: DisconnectReason) {
        if !self.connections.contains_key(&conn) {
            return;
        }
        self.outputs.push_back(Output::Close { conn, reason });
        self.end(now, conn, reason, ClosedBy::Us);
    }

    fn unexpected_identity(&mut self, now: Instant, conn: ConnectionId, found: PeerId) {
        let reason = DisconnectReason::UnexpectedIdentity;
        self.outputs.push_back(Output::Close { conn, reason });
        let outcome = Outcome::UnexpectedIdentity { found };
        self.end_with(now, conn, reason, ClosedBy::Us, Some(outcome));
    }

    /// A connection has ended, by whomever.
    pub(super) fn end(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        reason: DisconnectReason,
        by: ClosedBy,
    ) {
        self.end_with(now, conn, reason, by, None);
    }

    fn end_with(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        reason: DisconnectReason,
        by: ClosedBy,
        outcome: Option<Outcome>,
    ) {
        let Some(connection) = self.remove_connection(conn) else { return };
        self.trial_ended(now, conn);
        let count = self.counters.disconnects.entry((reason, by, connection.direction));
        let count = count.or_default();
        *count = count.saturating_add(1);
        let lasted = match connection.stage {
            Stage::Established { since } => Some(now.saturating_since(since)),
            _ => None,
        };
        self.pass_on(&connection, conn, reason, by, lasted);
        let outcome = outcome.unwrap_or(Outcome::Ended { reason, by, lasted });
        let stable = lasted.is_some_and(|lasted| lasted >= self.config.stable_session);
        let own = connection.target.clone();
        if let Some(key) = &own {
            if reason == DisconnectReason::SelfConnection && by == ClosedBy::Us {
                self.own_address(now, key);
            } else {
                self.target_ended(now, key, outcome, stable);
            }
        }
        for key in connection.id.map(|id| self.targets_of(&id)).unwrap_or_default() {
            let idle = self.targets.get(&key).is_some_and(|t| t.schedule == Schedule::Settled);
            if own.as_ref() != Some(&key) && idle {
                self.target_ended(now, &key, outcome, stable);
            }
        }
    }

    /// Tells observers about the end of a connection, unless another one carries its peer on.
    fn pass_on(
        &mut self,
        ended: &Connection,
        conn: ConnectionId,
        reason: DisconnectReason,
        by: ClosedBy,
        lasted: Option<Duration>,
    ) {
        let peer = [ended.id, ended.expected].into_iter().flatten();
        let peer = peer.into_iter().find(|id| self.announced.get(id) == Some(&conn));
        let heir = peer.and_then(|id| self.heir(&id, reason));
        match (peer, heir) {
            (Some(id), Some(heir)) => {
                self.announced.insert(id, heir);
                if let Some(slot) = ended.slot {
                    self.hand_over(slot, heir);
                }
            }
            (Some(id), None) => {
                self.announced.remove(&id);
                let (direction, lasted) = (ended.direction, lasted.unwrap_or_default());
                self.emit(PeerEvent::PeerDisconnected { id, direction, lasted, reason, by });
            }
            (None, _) if matches!(ended.stage, Stage::Dialing | Stage::Established { .. }) => {}
            (None, _) => self.emit(PeerEvent::HandshakeFailed {
                conn,
                id: ended.id,
                expected: ended.expected,
                address: ended.address,
                direction: ended.direction,
                reason,
                by,
            }),
        }
    }

    /// The connection that carries on a peer whose connection has just ended: the one that
    /// replaced it here, or the one for which the peer replaced it, whose proof is on its way.
    fn heir(&self, id: &PeerId, reason: DisconnectReason) -> Option<ConnectionId> {
        if let Some(conn) = self.by_id.get(id) {
            return Some(*conn);
        }
        if reason != DisconnectReason::AlreadyConnected {
            return None;
        }
        self.targets_of(id).iter().find_map(|key| {
            let Schedule::Dialing(conn) = self.targets.get(key)?.schedule else { return None };
            let connection = self.connections.get(&conn)?;
            (connection.stage == Stage::Handshaking && connection.expected == Some(*id))
                .then_some(conn)
        })
    }

    /// Lets the heir keep the slot that its predecessor has just given back.
    fn hand_over(&mut self, slot: Slot, heir: ConnectionId) {
        if let Some(heir) = self.connections.get_mut(&heir)
            && heir.slot.is_none()
            && self.slots.take(slot)
        {
            heir.slot = Some(slot);
        }
    }

    /// Takes a connection out of every table. Nobody is told.
    pub(super) fn remove_connection(&mut self, conn: ConnectionId) -> Option<Connection> {
        self.leave_pending(conn);
        let connection = self.connections.remove(&conn)?;
        self.timers.cancel(&Timer::Connection(conn));
        self.timers.cancel(&Timer::Probe(conn));
        if let Some(slot) = connection.slot {
            self.slots.release(slot);
        }
        if let Some(id) = connection.id
            && self.by_id.get(&id) == Some(&conn)
        {
            self.by_id.remove(&id);
        }
        Some(connection)
    }

    /// The connection does not count as pending any more.
    fn leave_pending(&mut self, conn: ConnectionId) {
        let Some(connection) = self.connections.get(&conn) else { return };
        if connection.is_authenticated() {
            return;
        }
        if connection.is_dial() {
            self.dialing = self.dialing.saturating_sub(1);
        } else if let Some(address) = connection.address {
            self.admission.release(address.ip());
        }
    }
}
