//! The own record, and what is said of this node in packets.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use alloy_primitives::Bytes;
use chainmesh_identity::record::build_record;
use chainmesh_identity::{NodeKey, NodeRecord};
use chainmesh_wire::discv4::Endpoint;

#[derive(Debug)]
pub(super) struct OwnRecord {
    ip: Option<IpAddr>,
    udp_port: u16,
    tcp_port: u16,
    entries: Vec<(String, Bytes)>,
    sequence: u64,
    record: Option<Box<NodeRecord>>,
}

impl OwnRecord {
    pub(super) fn new(
        key: &NodeKey,
        ip: Option<IpAddr>,
        (udp_port, tcp_port): (u16, u16),
        entries: Vec<(String, Bytes)>,
        sequence: u64,
    ) -> Self {
        let mut own = Self { ip, udp_port, tcp_port, entries, sequence, record: None };
        own.sign(key);
        own
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) const fn record(&self) -> Option<&NodeRecord> {
        match &self.record {
            Some(record) => Some(record),
            None => None,
        }
    }

    /// Where this node says that it is.
    pub(super) fn endpoint(&self) -> Endpoint {
        let ip = self.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Endpoint::new(ip, self.udp_port, self.tcp_port)
    }

    /// Others see this node there; says whether that is news.
    pub(super) fn moved_to(&mut self, key: &NodeKey, seen: SocketAddr) -> bool {
        if self.ip == Some(seen.ip()) && self.udp_port == seen.port() {
            return false;
        }
        (self.ip, self.udp_port) = (Some(seen.ip()), seen.port());
        self.renew(key);
        true
    }

    /// The address is known from now on.
    pub(super) fn set_address(
        &mut self,
        key: &NodeKey,
        ip: IpAddr,
        (udp_port, tcp_port): (u16, u16),
    ) {
        if (self.ip, self.udp_port, self.tcp_port) != (Some(ip), udp_port, tcp_port) {
            (self.ip, self.udp_port, self.tcp_port) = (Some(ip), udp_port, tcp_port);
            self.renew(key);
        }
    }

    pub(super) fn set_entries(&mut self, key: &NodeKey, entries: Vec<(String, Bytes)>) {
        if self.entries != entries {
            self.entries = entries;
            self.renew(key);
        }
    }

    fn renew(&mut self, key: &NodeKey) {
        self.sequence = self.sequence.saturating_add(1);
        self.sign(key);
    }

    /// Entries that make the record too large are left out, rather than the whole record.
    fn sign(&mut self, key: &NodeKey) {
        let entries: Vec<_> = self.entries.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let build = |entries: &[(&str, Bytes)]| {
            build_record(key, self.sequence, self.ip, self.tcp_port, self.udp_port, entries)
        };
        self.record = build(&entries).or_else(|_| build(&[])).ok().map(Box::new);
    }
}
