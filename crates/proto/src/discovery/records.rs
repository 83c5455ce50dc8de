//! The records of others: who is of our network, and who is announced.

use core::time::Duration;

use alloy_primitives::B256;
use chainmesh_identity::record::record_peer_id;
use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_wire::discv4::{Contact, EnrRequest, EnrResponse, Packet};

use super::bonds::{PeerKey, Verdict};
use super::config::REQUEST_TIMEOUT;
use super::io::{Answer, DiscoveryEvent, DropReason, Output, Protocol};
use super::requests::{About, Kind, Pending, RequestKey};
use super::table::Origin;
use super::{Discovery, QUIET_AFTER_BOND, Timer};
use crate::time::Instant;

/// How long after its proof a node is asked that we went to: it wants to ping us first.
const AFTER_BOND: Duration = Duration::from_millis(700);

impl Discovery {
    /// A node has proved itself: its record comes next, and then it is announced.
    pub(super) fn record_after_bond(
        &mut self,
        now: Instant,
        peer: &PeerKey,
        contact: Contact,
        origin: Origin,
        claimed: Option<u64>,
    ) {
        let fetch_records = self.config.fetch_records;
        let Some(bond) = self.bonds.get_mut(peer) else { return };
        bond.contact = Some(contact);
        bond.claimed = claimed.max(bond.claimed);
        if bond.verdict != Verdict::Open && bond.claimed <= bond.fetched {
            return;
        }
        if claimed.is_none() || !fetch_records {
            if bond.verdict == Verdict::Open {
                self.judge(now, peer, None);
            }
            return;
        }
        let wait = if origin == Origin::Inbound { QUIET_AFTER_BOND } else { AFTER_BOND };
        // One that is heard often is asked all the same.
        let timer = Timer::Record(*peer);
        if self.timers.deadline(&timer).is_none() {
            self.timers.set(timer, now + wait);
        }
    }

    /// A node that is known speaks of its record.
    pub(super) fn record_claimed(&mut self, now: Instant, peer: &PeerKey, claimed: Option<u64>) {
        let Some(bond) = self.bonds.get_mut(peer) else { return };
        bond.claimed = claimed.max(bond.claimed);
        let news = self.config.fetch_records && bond.claimed > bond.fetched;
        let timer = Timer::Record(*peer);
        if news && self.timers.deadline(&timer).is_none() {
            self.timers.set(timer, now + QUIET_AFTER_BOND);
        }
    }

    /// It is time to ask for a record.
    pub(super) fn fetch_record(&mut self, now: Instant, peer: &PeerKey) {
        let Some(contact) = self.bonds.get_mut(peer).and_then(|bond| bond.contact) else { return };
        let key = RequestKey { kind: Kind::Record, peer: *peer };
        if self.requests.contains(&key) || self.requests.is_full() {
            return;
        }
        if let Some(hash) = self.send_record_request(now, &contact) {
            let (sent, about) = ((hash, now), About::Record { query: None });
            self.requests.insert(key, Pending { contact, sent, earlier: None, retries: 1, about });
            self.timers.set(Timer::Request(key), now + REQUEST_TIMEOUT);
        }
    }

    fn send_record_request(&mut self, now: Instant, contact: &Contact) -> Option<B256> {
        let request = EnrRequest { expiration: self.expiration(now) };
        self.send(contact.endpoint.udp_address(), &Packet::EnrRequest(request))
    }

    /// [`Packet::EnrResponse`].
    pub(super) fn record_came(
        &mut self,
        now: Instant,
        peer: &PeerKey,
        response: EnrResponse,
    ) -> Result<(), DropReason> {
        let EnrResponse { request_hash, record } = response;
        let key = RequestKey { kind: Kind::Record, peer: *peer };
        if record_peer_id(&record) != peer.id {
            return Err(DropReason::Unsolicited);
        }
        let answered = self.requests.answered(&key, request_hash);
        let (pending, _) = answered.ok_or(DropReason::Unsolicited)?;
        self.timers.cancel(&Timer::Request(key));
        if let About::Record { query: Some(query) } = pending.about {
            self.query_ended(now, query, Some(Answer::Record(record.clone())));
        }
        let Some(bond) = self.bonds.get_mut(peer) else { return Ok(()) };
        if bond.fetched.is_some_and(|fetched| fetched >= record.seq()) {
            return Ok(());
        }
        bond.fetched = Some(record.seq());
        if self.boot_nodes.iter().any(|boot| boot.id == peer.id) {
            let record = record.clone();
            self.outputs.push_back(Output::Event(DiscoveryEvent::BootRecord { record }));
        }
        self.judge(now, peer, Some(record));
        Ok(())
    }

    /// A record did not come: once more, and then the node is taken for one that has none.
    pub(super) fn record_timed_out(&mut self, now: Instant, key: &RequestKey) {
        let Some(pending) = self.requests.get_mut(key) else { return };
        if let Some(retries) = pending.retries.checked_sub(1) {
            pending.retries = retries;
            pending.earlier = Some(pending.sent);
            let contact = pending.contact;
            if let Some(hash) = self.send_record_request(now, &contact)
                && let Some(pending) = self.requests.get_mut(key)
            {
                pending.sent = (hash, now);
                self.timers.set(Timer::Request(*key), now + REQUEST_TIMEOUT);
                return;
            }
        }
        if let Some(Pending { about: About::Record { query: Some(query) }, contact, .. }) =
            self.requests.remove(key)
            && !self.ask_again(now, query, contact)
        {
            self.query_ended(now, query, None);
        }
        if self.bonds.get_mut(&key.peer).is_some_and(|bond| bond.verdict == Verdict::Open) {
            self.judge(now, &key.peer, None);
        }
    }

    /// Keeps a node of another network out, and announces one of ours.
    fn judge(&mut self, now: Instant, peer: &PeerKey, record: Option<Box<NodeRecord>>) {
        let ours = self.config.filter.as_ref().is_none_or(|filter| filter(record.as_deref()));
        let Some(bond) = self.bonds.get_mut(peer) else { return };
        bond.verdict = if ours { Verdict::Ours } else { Verdict::Foreign };
        let Some(mut contact) = bond.contact else { return };
        if !ours {
            self.counters.foreign = self.counters.foreign.saturating_add(1);
            self.table.remove(&peer.id);
            return;
        }
        let said = record.as_deref().and_then(|record| match peer.ip {
            core::net::IpAddr::V4(_) => record.tcp4(),
            core::net::IpAddr::V6(_) => record.tcp6().or_else(|| record.tcp4()),
        });
        if record.is_some() {
            contact.endpoint.tcp_port = said.unwrap_or(0);
        }
        bond.contact = Some(contact);
        if let Some(entry) = self.table.get_mut(&peer.id)
            && entry.contact.endpoint.ip == peer.ip
        {
            entry.contact.endpoint.tcp_port = contact.endpoint.tcp_port;
            entry.record.clone_from(&record);
        }
        bond.record = record;
        self.announce(now, peer);
    }

    /// [`Input::NotOurs`](super::Input::NotOurs).
    pub(super) fn not_ours(&mut self, id: &PeerId) {
        self.bonds.condemn(id);
        if self.table.remove(id) {
            self.counters.foreign = self.counters.foreign.saturating_add(1);
        }
    }

    /// Says that a node is there, unless it only came to us and there is no place for it, or there
    /// are enough of its owner.
    pub(super) fn announce(&mut self, now: Instant, peer: &PeerKey) {
        let placed = self.table.get(&peer.id).is_some();
        let Some(bond) = self.bonds.get_mut(peer) else { return };
        let Some(contact) = bond.contact.filter(|contact| contact.endpoint.tcp_port != 0) else {
            return;
        };
        let first = !bond.announced;
        if (!placed && !bond.found) || (first && !self.announced.allow(now, peer.ip)) {
            return;
        }
        bond.announced = true;
        let record = bond.record.take();
        self.counters.found = self.counters.found.saturating_add(1);
        let protocol = Protocol::Discv4;
        self.outputs.push_back(Output::Event(DiscoveryEvent::Found { contact, record, protocol }));
    }
}
