//! Node discovery: datagrams.

use alloy_primitives::keccak256;
use chainmesh_identity::NodeKey;
use chainmesh_wire::discv4::{HEADER, MAX_DATAGRAM, Packet, Seal, open, seal};

/// A datagram of discv4: as it is, and as the type and data of one that is rightly hashed.
pub fn discv4_packet(data: &[u8]) {
    if let Ok(opened) = open(data, Seal::Signed) {
        assert!(data.len() <= MAX_DATAGRAM && opened.sender.public_key().is_ok());
    }
    let mut rest = vec![7; HEADER - 33];
    rest.extend_from_slice(data);
    let datagram = [keccak256(&rest).as_slice(), &rest].concat();
    let Ok(opened) = open(&datagram, Seal::Clear) else { return };
    assert!(datagram.len() <= MAX_DATAGRAM);
    assert_eq!(opened.sender.as_bytes(), &[7; 64]);
    if let Packet::Neighbors(neighbors) = &opened.packet {
        assert!(neighbors.nodes().len() <= MAX_DATAGRAM / 70);
    }
    // What has no address is written with one of zeros, so many of those may grow too large.
    if let Ok(again) = seal(&opened.packet, &NodeKey::from_entropy([1; 32]), Seal::Clear) {
        let again = open(&again.bytes, Seal::Clear).expect("what was written is read");
        assert_eq!(again.packet, opened.packet);
    }
}
