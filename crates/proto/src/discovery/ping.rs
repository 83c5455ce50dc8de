//! Pings of ours, and what their answers prove.

use core::net::SocketAddr;
use core::time::Duration;

use alloy_primitives::B256;
use chainmesh_wire::discv4::{Contact, Endpoint, Packet, Ping, Pong, VERSION};
use rand_core::Rng;

use super::address::is_special;
use super::bonds::{PeerKey, Verdict};
use super::config::{MAX_UNPROVEN_PINGS_PER_ADDRESS, REQUEST_TIMEOUT};
use super::io::{DiscoveryEvent, DropReason, Output, PingId};
use super::requests::{About, Kind, Pending, RequestKey};
use super::table::Origin;
use super::{Discovery, Timer};
use crate::time::Instant;

/// How old a proof may be for a node that comes by itself to get into the table without another.
const FRESH_PROOF: Duration = Duration::from_secs(5 * 60);

impl Discovery {
    /// Pings a node, unless that is under way; `false` if it cannot be pinged.
    pub(super) fn ping(
        &mut self,
        now: Instant,
        contact: Contact,
        origin: Origin,
        retries: u8,
    ) -> bool {
        let Endpoint { ip, udp_port, .. } = contact.endpoint;
        let is_boot = || self.boot_nodes.iter().any(|boot| boot.id == contact.id);
        let origin = if is_boot() { Origin::Boot } else { origin };
        let key = RequestKey { kind: Kind::Ping, peer: PeerKey { ip, id: contact.id } };
        if let Some(pending) = self.requests.get_mut(&key) {
            if let About::Ping { origin: known, .. } = &mut pending.about {
                *known = origin.max(*known);
            }
            return true;
        }
        let crowded = || {
            let pings = self.requests.pings_to(ip);
            !ip.is_loopback() && pings >= MAX_UNPROVEN_PINGS_PER_ADDRESS
        };
        let unwanted = contact.id == self.local_id || is_special(ip) || udp_port == 0;
        if unwanted || self.requests.is_full() || (origin == Origin::Inbound && crowded()) {
            return false;
        }
        let Some(hash) = self.send_ping(now, &contact) else { return false };
        let about = About::Ping { origin, pinged_us: None, observers: Vec::new() };
        let pending = Pending { contact, sent: (hash, now), earlier: None, retries, about };
        self.requests.insert(key, pending);
        self.timers.set(Timer::Request(key), now + REQUEST_TIMEOUT);
        true
    }

    fn send_ping(&mut self, now: Instant, contact: &Contact) -> Option<B256> {
        let ping = Ping {
            version: VERSION,
            from: self.own.endpoint(),
            to: contact.endpoint,
            expiration: self.expiration(now),
            enr_seq: Some(self.own.sequence()),
        };
        self.send(contact.endpoint.udp_address(), &Packet::Ping(ping))
    }

    /// [`Input::Ping`](super::Input::Ping).
    pub(super) fn ping_for(&mut self, now: Instant, ping: PingId, contact: Contact) {
        let peer = PeerKey { ip: contact.endpoint.ip, id: contact.id };
        let key = RequestKey { kind: Kind::Ping, peer };
        let under_way = self.ping(now, contact, Origin::Found, 1);
        let pending = self.requests.get_mut(&key).filter(|_| under_way);
        if !pending.is_some_and(|pending| pending.observe(ping)) {
            self.outputs.push_back(Output::Event(DiscoveryEvent::PingDone { ping, rtt: None }));
        }
    }

    /// A node pinged us: if it has not proved where it is, it shall.
    pub(super) fn prove_back(&mut self, now: Instant, contact: Contact, claimed: Option<u64>) {
        let peer = PeerKey { ip: contact.endpoint.ip, id: contact.id };
        if self.bonds.proved(now, &peer) {
            let placed = self.table.get(&peer.id).is_some();
            let Some(bond) = self.bonds.get_mut(&peer) else { return };
            bond.pinged_us = Some(now);
            let stale = now.saturating_since(bond.proved) > FRESH_PROOF;
            if !placed && stale && bond.verdict != Verdict::Foreign {
                self.ping(now, contact, Origin::Inbound, 0);
            } else if !placed {
                self.place(now, &peer, contact, Origin::Inbound);
            }
            self.record_claimed(now, &peer, claimed);
            return;
        }
        let key = RequestKey { kind: Kind::Ping, peer };
        self.ping(now, contact, Origin::Inbound, 0);
        if let Some(pending) = self.requests.get_mut(&key)
            && let About::Ping { pinged_us, .. } = &mut pending.about
        {
            *pinged_us = Some(now);
        }
    }

    /// [`Packet::Pong`].
    pub(super) fn ponged(
        &mut self,
        now: Instant,
        from: SocketAddr,
        peer: PeerKey,
        pong: &Pong,
    ) -> Result<(), DropReason> {
        let key = RequestKey { kind: Kind::Ping, peer };
        let answered = self.requests.answered(&key, pong.ping_hash);
        let (pending, sent) = answered.ok_or(DropReason::Unsolicited)?;
        self.timers.cancel(&Timer::Request(key));
        let contact = pending.contact;
        let About::Ping { origin, pinged_us, observers } = pending.about else { return Ok(()) };
        self.note_own_address(now, from, &peer, pong);
        for forgotten in self.bonds.prove(now, peer, pinged_us) {
            self.timers.cancel(&Timer::Record(forgotten));
        }
        self.place(now, &peer, contact, origin);
        let rtt = Some(now.saturating_since(sent));
        for ping in observers {
            self.outputs.push_back(Output::Event(DiscoveryEvent::PingDone { ping, rtt }));
        }
        self.queries_bonded(now, &peer);
        self.record_after_bond(now, &peer, contact, origin, pong.enr_seq);
        Ok(())
    }

    /// The first look around is over: those who came meanwhile, and proved themselves, get the places
    /// that those who come by themselves may have.
    pub(super) fn place_early(&mut self, now: Instant) {
        let mut early = self.bonds.fresh(now, FRESH_PROOF);
        // In no order that somebody can choose: the first of them get the places.
        for last in (1..early.len()).rev() {
            let range = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            let other = usize::try_from(self.rng.next_u64() % range).unwrap_or(last);
            early.swap(last, other);
        }
        for (peer, contact) in early {
            if self.table.get(&peer.id).is_none() {
                self.place(now, &peer, contact, Origin::Inbound);
            }
        }
    }

    /// A node has just shown that it is there: the table gets it, if it is not of another network.
    pub(super) fn place(&mut self, now: Instant, peer: &PeerKey, contact: Contact, origin: Origin) {
        let foreign = self.bonds.get_mut(peer).is_some_and(|b| b.verdict == Verdict::Foreign);
        // Until the own first look around is over, nobody gets in by coming first.
        let early = origin == Origin::Inbound && !self.refresh.is_initialised();
        if !foreign && !early {
            let added = self.table.add(now, contact, origin);
            self.counters.added(added);
        }
        let Some(bond) = self.bonds.get_mut(peer) else { return };
        bond.found |= origin != Origin::Inbound;
        if bond.verdict == Verdict::Ours && !bond.announced {
            self.announce(now, peer);
        }
    }

    fn note_own_address(&mut self, now: Instant, from: SocketAddr, peer: &PeerKey, pong: &Pong) {
        self.statements.note(now, from, peer.id, pong.to.udp_address());
        if self.config.ip.is_some() {
            // What an operator says is not corrected, but what others see is shown.
            return;
        }
        let Some(endpoint) = self.statements.majority() else { return };
        if self.own.moved_to(&self.config.key, endpoint) {
            let sequence = self.own.sequence();
            let event = DiscoveryEvent::EndpointChanged { endpoint, sequence };
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// A Ping was not answered in time: once more, if that is worth it.
    pub(super) fn ping_timed_out(&mut self, now: Instant, key: &RequestKey) {
        let Some(pending) = self.requests.get_mut(key) else { return };
        if let Some(retries) = pending.retries.checked_sub(1) {
            pending.retries = retries;
            pending.earlier = Some(pending.sent);
            let contact = pending.contact;
            if let Some(hash) = self.send_ping(now, &contact)
                && let Some(pending) = self.requests.get_mut(key)
            {
                pending.sent = (hash, now);
                self.timers.set(Timer::Request(*key), now + REQUEST_TIMEOUT);
                return;
            }
        }
        let Some(pending) = self.requests.remove(key) else { return };
        let same = self.table.get(&key.peer.id).map(|entry| entry.contact.endpoint.ip);
        if same == Some(key.peer.ip) {
            self.counters.lost(self.table.failed(now, &key.peer.id));
        }
        if let About::Ping { observers, .. } = pending.about {
            for ping in observers {
                let event = DiscoveryEvent::PingDone { ping, rtt: None };
                self.outputs.push_back(Output::Event(event));
            }
        }
        self.queries_failed(now, &key.peer);
    }
}
