//! Offences and merits: what they do to a score, and what a score does to a session.

use chainmesh_identity::PeerId;

use super::reputation::{BAN_SCORE, CONDUCT_BAN, Merit, Offence, SHUNNED_SCORE};
use super::target::Target;
use super::{NodeKind, PeerEvent, PeerManager, TargetKey};
use crate::time::Instant;

impl PeerManager {
    /// The score of a peer, whole points: below zero for offences, above for good conduct, zero for one
    /// of whom nothing is known.
    #[must_use]
    pub fn score(&self, now: Instant, id: &PeerId) -> i32 {
        self.reputation.score(now, id)
    }

    /// Whether the operator keeps this node out, or it is banned for its conduct.
    #[must_use]
    pub fn is_banned(&self, now: Instant, id: &PeerId) -> bool {
        self.banned.has(id) || self.reputation.is_banned(now, id)
    }

    /// Whether the operator asked for this peer.
    pub(super) fn is_configured(&self, id: &PeerId) -> bool {
        let targets = self.targets_of(id);
        let mut kinds = targets.iter().filter_map(|key| self.targets.get(key)).map(|one| one.kind);
        kinds.any(NodeKind::is_configured)
    }

    /// Whether others are dialled before this target.
    pub(super) fn is_shunned(&self, now: Instant, target: &Target) -> bool {
        let score = target.id().map_or(0, |id| self.reputation.score(now, &id));
        target.kind == NodeKind::Dynamic && score < SHUNNED_SCORE
    }

    /// [`Input::Offence`](super::Input::Offence).
    pub(super) fn offence(&mut self, now: Instant, id: PeerId, offence: Offence) {
        if id == self.config.local_id || self.shutting_down {
            return;
        }
        let count = self.counters.offences.entry(offence).or_default();
        *count = count.saturating_add(1);
        let score = self.reputation.change(now, id, -offence.weight());
        let connection = self.by_id.get(&id).and_then(|conn| self.connections.get(conn));
        let direction = connection.map(|connection| connection.direction);
        self.emit(PeerEvent::Misbehaved { id, offence, score, direction });
        self.judge(now, id, Some(offence));
    }

    /// [`Input::Merit`](super::Input::Merit).
    pub(super) fn merit(&mut self, now: Instant, id: PeerId, merit: Merit) {
        if id != self.config.local_id {
            self.reputation.change(now, id, merit.weight());
        }
    }

    /// Bans a peer whose score is too low. One that the operator asked for stays: he may have one
    /// validator more than he can do without, and a rule of ours must not cut his network in two. What
    /// the peer did ends its session each time all the same.
    pub(super) fn judge(&mut self, now: Instant, id: PeerId, offence: Option<Offence>) {
        let score = self.reputation.score(now, &id);
        if score > BAN_SCORE || self.is_banned(now, &id) {
            return;
        }
        if self.is_configured(&id) {
            // Said once for each offence, not for each connection.
            if offence.is_some() {
                self.emit(PeerEvent::Tolerated { id, score });
            }
            return;
        }
        self.reputation.ban(&id, now + CONDUCT_BAN);
        self.counters.conduct_bans = self.counters.conduct_bans.saturating_add(1);
        self.emit(PeerEvent::Banned { id, score, offence, lasts: CONDUCT_BAN });
        let reason = offence.map_or(super::banned::BANNED, Offence::wire_reason);
        self.close_all(now, reason, |conn| conn.id == Some(id) || conn.expected == Some(id));
        self.remove_node(now, &TargetKey::Id(id));
    }
}
