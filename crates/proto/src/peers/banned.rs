//! Nodes and addresses that the operator keeps out.

use core::net::IpAddr;
use std::collections::BTreeSet;

use chainmesh_identity::PeerId;
use chainmesh_wire::devp2p::DisconnectReason;

use super::target::Schedule;
use super::{ConnectionId, NodeKind, PeerManager, Slot, TargetKey};
use crate::time::Instant;

/// What a banned peer is told: the base protocol has no word for it, and of its reasons this is the one
/// that says that a person wanted it.
pub(super) const BANNED: DisconnectReason = DisconnectReason::Requested;

/// Who is banned.
#[derive(Debug, Default)]
pub(super) struct Banned {
    ids: BTreeSet<PeerId>,
    addresses: BTreeSet<IpAddr>,
}

impl Banned {
    pub(super) fn has(&self, id: &PeerId) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip.to_canonical())
    }

    pub(super) fn lift(&mut self, id: &PeerId) {
        self.ids.remove(id);
    }

    pub(super) fn lift_address(&mut self, ip: IpAddr) {
        self.addresses.remove(&ip.to_canonical());
    }
}

impl PeerManager {
    /// [`Input::Ban`](super::Input::Ban).
    pub(super) fn ban(&mut self, now: Instant, id: PeerId) {
        self.banned.ids.insert(id);
        let with = |conn: &super::Connection| conn.id == Some(id) || conn.expected == Some(id);
        self.close_all(now, BANNED, with);
        // A target without an ID stays: somebody else may be there the next time.
        self.remove_node(now, &TargetKey::Id(id));
    }

    /// [`Input::BanAddress`](super::Input::BanAddress).
    pub(super) fn ban_address(&mut self, now: Instant, ip: IpAddr) {
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return;
        }
        self.banned.addresses.insert(ip);
        let there =
            |conn: &super::Connection| conn.address.is_some_and(|at| at.ip().to_canonical() == ip);
        self.close_all(now, BANNED, there);
    }

    pub(super) fn close_all(
        &mut self,
        now: Instant,
        reason: DisconnectReason,
        which: impl Fn(&super::Connection) -> bool,
    ) {
        let found = self.connections.iter().filter(|(_, connection)| which(connection));
        let found: Vec<ConnectionId> = found.map(|(conn, _)| *conn).collect();
        for conn in found {
            self.close(now, conn, reason);
        }
    }

    /// [`Input::Untrust`](super::Input::Untrust).
    pub(super) fn untrust(&mut self, now: Instant, id: PeerId, kind: NodeKind) {
        let key = TargetKey::Id(id);
        let Some(target) = self.targets.get_mut(&key) else { return };
        if target.kind != NodeKind::Trusted || kind == NodeKind::Trusted {
            return;
        }
        target.kind = kind;
        if kind == NodeKind::Dynamic {
            self.dynamic_targets = self.dynamic_targets.saturating_add(1);
        }
        if matches!(target.schedule, Schedule::Ready(_)) {
            self.schedule_now(now, &key);
        }
        // What was tolerated is not any more.
        self.judge(now, id, None);
        let Some(conn) = self.by_id.get(&id).copied() else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.slot != Some(Slot::Trusted) {
            return;
        }
        if self.slots.take(Slot::Outbound) {
            connection.slot = Some(Slot::Outbound);
            self.slots.release(Slot::Trusted);
        } else {
            self.close(now, conn, DisconnectReason::TooManyPeers);
        }
    }
}
