//! What people see of the discv5 side.

use core::net::SocketAddr;

use chainmesh_identity::PeerId;
use chainmesh_identity::record::record_peer_id;
use discv5::ConnectionDirection;

use super::{V5, from_crate, limits};

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sessions: u64,
    pub(super) frames: u64,
    pub(super) lookups: u64,
}

/// A node of the table of discv5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discv5Entry {
    /// Who it is.
    pub id: PeerId,
    /// Where it is, if its record says so.
    pub address: Option<SocketAddr>,
    /// Logarithm of the distance to this node: 256 is farthest, where half of all nodes are.
    pub distance: u64,
    /// Whether it has answered lately.
    pub connected: bool,
    /// Whether it came to us by itself.
    pub inbound: bool,
    /// Sequence number of its record.
    pub record_sequence: u64,
}

/// What there is to know of discv5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discv5Report {
    /// The table, nearest first.
    pub table: Vec<Discv5Entry>,
    /// Nodes of the table that answered lately.
    pub connected: usize,
    /// Handshakes since the start.
    pub sessions: u64,
    /// Lookups since the start.
    pub lookups: u64,
    /// Datagrams on the port that were no discv5: those of discv4, and rubbish.
    pub other_datagrams: u64,
    /// Addresses that are held off because they send too much.
    pub held_off: usize,
    /// Sequence number of the own record.
    pub record_sequence: u64,
}

impl V5 {
    /// Everything there is to know, as of now.
    pub(crate) fn report(&self) -> Discv5Report {
        let places = limits::places(&self.discv5);
        let distance = |id| places.iter().find(|place| place.id == id).map(|place| place.bucket);
        let entries = self.discv5.table_entries().into_iter();
        let mut table: Vec<_> = entries
            .filter_map(|(id, enr, status)| {
                Some(Discv5Entry {
                    id: record_peer_id(&from_crate(&enr)?),
                    address: self.discv5.ip_mode().get_contactable_addr(&enr),
                    distance: distance(id)?,
                    connected: status.is_connected(),
                    inbound: status.direction == ConnectionDirection::Incoming,
                    record_sequence: enr.seq(),
                })
            })
            .collect();
        table.sort_by_key(|entry| (entry.distance, entry.id));
        Discv5Report {
            connected: table.iter().filter(|entry| entry.connected).count(),
            table,
            sessions: self.counts.sessions,
            lookups: self.counts.lookups,
            other_datagrams: self.counts.frames,
            held_off: self.gate.held_off(),
            record_sequence: self.discv5.local_enr().seq(),
        }
    }
}
