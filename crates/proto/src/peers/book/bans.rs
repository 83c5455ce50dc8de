//! What the operator decides: whom to be connected to, whom to trust, whom to keep out.

use core::net::IpAddr;

use chainmesh_identity::{Enode, Host, PeerId};

use super::record::cut;
use super::{AddressBook, AddressOrigin, Ban, MAX_PINNED, PeerRecord, UnixTime};

/// Why the book does not do what the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The book has as many of his wishes as it can.
    #[error("the address book holds {MAX_PINNED} nodes or addresses of this kind already")]
    Full,
    /// It is this node.
    #[error("this is the node's own ID")]
    Own,
    /// Loopback is never banned: other nodes of this machine are there.
    #[error("loopback addresses cannot be banned")]
    Loopback,
}

impl AddressBook {
    /// The operator wants a connection to a node, or trusts it; what he said before stays.
    ///
    /// # Errors
    /// See [`BookError`].
    pub fn want(&mut self, now: UnixTime, enode: &Enode, trusted: bool) -> Result<(), BookError> {
        self.pin(now, enode, |record| {
            record.enode = enode.clone();
            record.is_trusted |= trusted;
            record.is_static |= !trusted;
        })
    }

    /// The operator does not want a node any more: it leaves the book. A ban stays.
    pub fn forget(&mut self, id: &PeerId) {
        self.anchors.retain(|anchor| anchor != id);
        self.anchors_due.retain(|anchor| anchor != id);
        self.outbound.remove(id);
        self.meetings.forget(id);
        self.head_changed = true;
        if let Some(mut record) = self.take_out(id)
            && record.ban.is_some()
        {
            (record.is_static, record.is_trusted) = (false, false);
            self.put_in(record, None);
        }
    }

    /// The operator does not trust a node any more. Says whether he has added it, too.
    pub fn distrust(&mut self, id: &PeerId) -> bool {
        self.unpin(id, |record| record.is_trusted = false);
        self.get(id).is_some_and(|record| record.is_static)
    }

    /// Keeps a node out.
    ///
    /// # Errors
    /// See [`BookError`].
    pub fn ban(
        &mut self,
        now: UnixTime,
        id: &PeerId,
        until: Option<UnixTime>,
        reason: &str,
    ) -> Result<(), BookError> {
        let ban = Ban { since: now, until, reason: cut(reason) };
        let unknown = || Enode {
            id: *id,
            host: Host::Ip(core::net::Ipv4Addr::UNSPECIFIED.into()),
            tcp_port: 0,
            udp_port: 0,
        };
        let enode = self.get(id).map_or_else(unknown, |record| record.enode.clone());
        self.pin(now, &enode, |record| record.ban = Some(ban))
    }

    /// Lets a node in again; says whether it was banned.
    pub fn unban(&mut self, id: &PeerId) -> bool {
        let was = self.get(id).is_some_and(|record| record.ban.is_some());
        self.unpin(id, |record| record.ban = None);
        was
    }

    /// Whether a node is banned.
    #[must_use]
    pub fn is_banned(&self, now: UnixTime, id: &PeerId) -> bool {
        let ban = self.get(id).and_then(|record| record.ban.as_ref());
        ban.is_some_and(|ban| !ban.is_over(now))
    }

    /// Keeps everybody at an address out.
    ///
    /// # Errors
    /// See [`BookError`].
    pub fn ban_ip(
        &mut self,
        now: UnixTime,
        ip: IpAddr,
        until: Option<UnixTime>,
        reason: &str,
    ) -> Result<(), BookError> {
        let ip = ip.to_canonical();
        if ip.is_loopback() {
            return Err(BookError::Loopback);
        }
        if self.banned_ips.len() >= MAX_PINNED && !self.banned_ips.contains_key(&ip) {
            return Err(BookError::Full);
        }
        self.banned_ips.insert(ip, Ban { since: now, until, reason: cut(reason) });
        self.head_changed = true;
        Ok(())
    }

    /// Lets those at an address in again; says whether it was banned.
    pub fn unban_ip(&mut self, ip: IpAddr) -> bool {
        self.head_changed = true;
        self.banned_ips.remove(&ip.to_canonical()).is_some()
    }

    /// The addresses that are banned.
    pub fn banned_ips(&self) -> impl Iterator<Item = (IpAddr, &Ban)> {
        self.banned_ips.iter().map(|(ip, ban)| (*ip, ban))
    }

    /// Takes away the bans that are over: of nodes, of addresses.
    pub fn lift_bans(&mut self, now: UnixTime) -> (Vec<PeerId>, Vec<IpAddr>) {
        let over = |ban: &Option<Ban>| ban.as_ref().is_some_and(|ban| ban.is_over(now));
        let ids = self.entries.iter().filter(|(_, entry)| over(&entry.record.ban));
        let ids: Vec<PeerId> = ids.map(|(id, _)| *id).collect();
        for id in &ids {
            self.unban(id);
        }
        let ips = self.banned_ips.iter().filter(|(_, ban)| ban.is_over(now));
        let ips: Vec<IpAddr> = ips.map(|(ip, _)| *ip).collect();
        for ip in &ips {
            self.unban_ip(*ip);
        }
        (ids, ips)
    }

    fn pin(
        &mut self,
        now: UnixTime,
        enode: &Enode,
        change: impl FnOnce(&mut PeerRecord),
    ) -> Result<(), BookError> {
        if enode.id == self.local_id {
            return Err(BookError::Own);
        }
        let pinned = self.records().filter(|record| record.is_pinned()).count();
        let known = self.get(&enode.id);
        if pinned >= MAX_PINNED && !known.is_some_and(PeerRecord::is_pinned) {
            return Err(BookError::Full);
        }
        let known = known.cloned();
        let fresh = || PeerRecord::new(enode.clone(), AddressOrigin::Configured, None, now);
        let before = known.clone();
        let mut record = known.unwrap_or_else(fresh);
        change(&mut record);
        match before {
            // Where it stands does not change.
            Some(before) if before.enode == record.enode => {
                if let Some(entry) = self.entries.get_mut(&enode.id) {
                    entry.record = record;
                    self.mark(enode.id);
                }
            }
            _ => {
                self.take_out(&enode.id);
                self.insert_new(now, record);
            }
        }
        Ok(())
    }

    fn unpin(&mut self, id: &PeerId, change: impl FnOnce(&mut PeerRecord)) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        change(&mut entry.record);
        // Of one without a port nothing was known but the ban.
        let homeless = entry.place.is_none() || entry.record.enode.tcp_port == 0;
        let unwanted = homeless && !entry.record.is_pinned();
        self.mark(*id);
        if unwanted {
            self.take_out(id);
        }
    }
}
