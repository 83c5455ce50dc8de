//! The entry `role` of a node record: what a node is on its chain, for those who choose whom to dial.

use alloy_primitives::Bytes as Raw;
use chainmesh_identity::NodeRecord;
use chainmesh_proto::role::NodeRole;
use chainmesh_wire::role::ENTRY_KEY;

/// The entry of a node with this role.
pub(crate) fn role_entry(role: NodeRole) -> (String, Raw) {
    (ENTRY_KEY.to_owned(), role.encode_entry().into())
}

/// Whether the node of a record and one with our role have anything for each other. A record without
/// the entry, or with one that cannot be read, says nothing.
pub(crate) fn fits_role(record: &NodeRecord, ours: NodeRole) -> bool {
    let entry = record.get_raw_rlp(ENTRY_KEY);
    let theirs = entry.and_then(|value| NodeRole::decode_entry(value).ok());
    ours.fits(theirs.unwrap_or(NodeRole::UNSAID))
}
