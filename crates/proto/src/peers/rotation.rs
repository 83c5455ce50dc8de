//! Rotation: full slots are not for ever, or whoever has filled them once keeps the node to himself.
//!
//! **Outbound**: when the slots for nodes that were found have all been taken for a while, one more of
//! them is dialled on trial. Once it is a session, the worst of the others goes: a candidate that is
//! dead, or of another chain, costs nobody a peer. Only when `max_peers` leaves no room for one more
//! does the other go as soon as the candidate has proved who it is.
//!
//! **Inbound**: a newcomer that finds all inbound slots taken may get the place of the worst of those
//! that are there, at most one in a while. Whoever fills the slots of many nodes at no cost (Wang et al.,
//! WWW'26: four of five public nodes had no free slot) does not keep others out.
//!
//! Peers that the operator asked for are never let go, and the longest-lived and the best are protected.
//! Whoever goes is told `too many peers`: of all reasons the one that means "not now" and not "not you".
//! reth waits its shortest backoff after it, and takes `useless peer` for fatal, as if the node were of
//! another chain; to go-ethereum's dialler one is as good as the other.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BTreeSet;

use chainmesh_wire::devp2p::DisconnectReason;
use rand_core::Rng;

use super::connection::Stage;
use super::{
    ConnectionId, Direction, INBOUND_EVICTION_INTERVAL, INBOUND_GRACE, NodeKind, PROTECTED_PEERS,
    PeerEvent, PeerManager, ROTATION_INTERVAL, ROTATION_RETRY, Slot, TargetKey, Timer,
};
use crate::time::Instant;

/// Fewer dynamic outbound peers than this are not rotated: with one protected for its age and one for
/// its score, nobody is left.
const MIN_TO_ROTATE: usize = 3;

impl PeerManager {
    /// Starts the time after which a peer is let go when all dynamic slots have been taken, and stops
    /// it when one is free.
    pub(super) fn watch_rotation(&mut self, now: Instant) {
        let full = self.slots.free_dynamic() == 0 && self.slots.outbound > 0;
        if !full || !self.config.rotation || self.shutting_down {
            self.timers.cancel(&Timer::Rotation);
        } else if self.timers.deadline(&Timer::Rotation).is_none() {
            self.rotate_in(now, ROTATION_INTERVAL);
        }
    }

    /// With a quarter up or down: nodes that started together do not rotate together.
    fn rotate_in(&mut self, now: Instant, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX / 4);
        let jitter = self.rng.next_u64() % (micros / 2).max(1);
        let wait = (micros - micros / 4).saturating_add(jitter);
        self.timers.set(Timer::Rotation, now + Duration::from_micros(wait));
    }

    /// It is time: dials a candidate if there is one, and somebody to go for it.
    pub(super) fn rotate(&mut self, now: Instant) {
        let dials = self.dialing < self.config.max_concurrent_dials;
        let candidate = self.rotation_candidate(now).filter(|_| dials && self.trial.is_none());
        let wait = match candidate.filter(|_| self.worst_outbound(now, None).is_some()) {
            Some(key) => {
                let conn = self.next_connection();
                self.trial = Some(conn);
                self.begin_dial(now, conn, &key);
                ROTATION_INTERVAL
            }
            None => ROTATION_RETRY,
        };
        self.rotate_in(now, wait);
    }

    /// The dynamic target that has waited longest, of those that are not shunned.
    fn rotation_candidate(&self, now: Instant) -> Option<TargetKey> {
        let dynamic = self.ready.iter().filter(|(Reverse(kind), ..)| *kind == NodeKind::Dynamic);
        let mut keys = dynamic.map(|(_, _, key)| key);
        let fit = |key: &&TargetKey| {
            self.targets.get(key).is_some_and(|target| !self.is_shunned(now, target))
        };
        keys.find(fit).cloned()
    }

    /// The trial came to nothing: the next one is not far.
    pub(super) fn trial_ended(&mut self, now: Instant, conn: ConnectionId) {
        if self.trial == Some(conn) {
            self.trial = None;
            self.rotate_in(now, ROTATION_RETRY);
        }
    }

    /// The candidate is a session: another one goes, if there is one more than there may be.
    pub(super) fn trial_succeeded(&mut self, now: Instant, conn: ConnectionId) {
        if self.trial != Some(conn) {
            return;
        }
        self.trial = None;
        if self.slots.is_over_dynamic_share()
            && let Some(worst) = self.worst_outbound(now, Some(conn))
        {
            self.let_go(now, worst);
        }
    }

    /// A slot for a newcomer that found none, by letting another peer go.
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        id: &chainmesh_identity::PeerId,
        slot: Slot,
    ) -> Option<Slot> {
        if !self.config.rotation {
            return None;
        }
        let worst = match slot {
            Slot::Outbound if self.trial == Some(conn) => self.worst_outbound(now, Some(conn))?,
            Slot::Inbound => {
                let poor = self.reputation.score(now, id) < 0;
                if poor || now < self.next_inbound_eviction {
                    return None;
                }
                let worst = self.worst_inbound(now)?;
                self.next_inbound_eviction = now + INBOUND_EVICTION_INTERVAL;
                worst
            }
            _ => return None,
        };
        self.let_go(now, worst);
        self.slots.take(slot).then_some(slot)
    }

    fn let_go(&mut self, now: Instant, conn: ConnectionId) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let (Some(id), direction) = (connection.id, connection.direction) else { return };
        let score = self.reputation.score(now, &id);
        self.counters.rotated = self.counters.rotated.saturating_add(1);
        self.emit(PeerEvent::Rotated { id, score, direction });
        // It stays in the address book; as a target it would come back with the next free dial.
        self.forget_dynamic(&id);
        self.close(now, conn, DisconnectReason::TooManyPeers);
    }

    /// The dynamic outbound peer that goes next: of those that are not protected the one with the
    /// lowest score, of several the newest.
    fn worst_outbound(&self, now: Instant, except: Option<ConnectionId>) -> Option<ConnectionId> {
        let peers = self.rotatable(now, Slot::Outbound, Direction::Outbound, except);
        if peers.len() < MIN_TO_ROTATE {
            return None;
        }
        let protected = PROTECTED_PEERS.min(peers.len() / 3);
        worst(peers, protected, protected)
    }

    /// The same for inbound peers: the older half is protected, and the best quarter. One that has
    /// just come stays for a while: it may be of use to it to have learnt the chain from us.
    fn worst_inbound(&self, now: Instant) -> Option<ConnectionId> {
        let peers = self.rotatable(now, Slot::Inbound, Direction::Inbound, None);
        // The longest-lived one always stays, if it is the only one, too.
        let (old, best) = (peers.len().div_ceil(2), peers.len() / 4);
        let settled = |peer: &Rotatable| now.saturating_since(peer.since) >= INBOUND_GRACE;
        let mut peers = protect(peers, old, best);
        peers.retain(settled);
        pick(peers)
    }

    fn rotatable(
        &self,
        now: Instant,
        slot: Slot,
        direction: Direction,
        except: Option<ConnectionId>,
    ) -> Vec<Rotatable> {
        let peers = self.connections.iter().filter_map(|(conn, connection)| {
            let Stage::Established { since } = connection.stage else { return None };
            let id = connection.id?;
            let wanted = connection.slot == Some(slot)
                && connection.direction == direction
                && except != Some(*conn)
                && !self.is_configured(&id);
            let score = self.reputation.score(now, &id);
            wanted.then_some(Rotatable { conn: *conn, since, score })
        });
        peers.collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Rotatable {
    conn: ConnectionId,
    since: Instant,
    score: i32,
}

fn worst(peers: Vec<Rotatable>, old: usize, best: usize) -> Option<ConnectionId> {
    pick(protect(peers, old, best))
}

/// Takes out the `old` that have been there longest, and the `best`.
fn protect(mut peers: Vec<Rotatable>, old: usize, best: usize) -> Vec<Rotatable> {
    let mut protected = BTreeSet::new();
    peers.sort_by_key(|peer| (peer.since, peer.conn));
    protected.extend(peers.iter().take(old).map(|peer| peer.conn));
    peers.sort_by_key(|peer| (Reverse(peer.score), peer.since, peer.conn));
    protected.extend(peers.iter().take(best).map(|peer| peer.conn));
    peers.retain(|peer| !protected.contains(&peer.conn));
    peers
}

fn pick(peers: Vec<Rotatable>) -> Option<ConnectionId> {
    let worst = peers.into_iter().min_by_key(|peer| (peer.score, Reverse((peer.since, peer.conn))));
    worst.map(|peer| peer.conn)
}
