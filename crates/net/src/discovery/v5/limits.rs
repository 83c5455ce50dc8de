//! How many nodes of one owner the table of discv5 keeps: the rules of our discv4. The crate's own
//! (`ip_limit`) know neither local networks nor IPv6.

use core::net::IpAddr;
use std::collections::BTreeMap;

use chainmesh_proto::discovery::{MAX_PER_PREFIX, MAX_PER_PREFIX_IN_BUCKET, Prefix, is_lan};
use discv5::{ConnectionDirection, Discv5, Enr, Key};
use enr::NodeId;

/// A node of the table, as far as the limits look.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: NodeId,
    /// Logarithm of its distance: its bucket.
    pub(super) bucket: u64,
    pub(super) ip: IpAddr,
    /// Whether it came to us by itself.
    pub(super) inbound: bool,
}

pub(super) fn address(enr: &Enr) -> Option<IpAddr> {
    enr.ip4().map(IpAddr::V4).or_else(|| enr.ip6().map(IpAddr::V6))
}

/// The places of a table.
pub(super) fn places(discv5: &Discv5) -> Vec<Place> {
    let own = Key::from(discv5.local_enr().node_id());
    let entries = discv5.table_entries().into_iter();
    let places = entries.filter_map(|(id, enr, status)| {
        Some(Place {
            id,
            bucket: Key::from(id).log2_distance(&own)?,
            ip: address(&enr)?,
            inbound: status.direction == ConnectionDirection::Incoming,
        })
    });
    places.collect()
}

/// Those who are too many of one prefix. `newest` goes first, then who came by himself.
pub(super) fn too_many(mut places: Vec<Place>, newest: Option<NodeId>) -> Vec<NodeId> {
    places.retain(|place| !is_lan(place.ip));
    places.sort_by_key(|place| (Some(place.id) == newest, place.inbound));
    let (mut in_table, mut in_bucket) = (BTreeMap::new(), BTreeMap::new());
    let mut leave = Vec::new();
    for place in places {
        let prefix = Prefix::of(place.ip);
        let table = in_table.entry(prefix).or_insert(0usize);
        let bucket = in_bucket.entry((place.bucket, prefix)).or_insert(0usize);
        if *table >= MAX_PER_PREFIX || *bucket >= MAX_PER_PREFIX_IN_BUCKET {
            leave.push(place.id);
        } else {
            (*table, *bucket) = (*table + 1, *bucket + 1);
        }
    }
    leave
}

/// Takes out who is too many.
pub(super) fn keep(discv5: &Discv5, newest: Option<NodeId>) {
    for id in too_many(places(discv5), newest) {
        discv5.remove_node(&id);
    }
}
