//! What people and other nodes write down: enode URLs, node records, and the base protocol's words.

use alloy_rlp::{Decodable, Encodable};
use chainmesh_identity::record::{record_enode, record_peer_id};
use chainmesh_identity::{Enode, NodeRecord};
use chainmesh_wire::devp2p::{DisconnectReason, Hello, MAX_BASE_MESSAGE};
use chainmesh_wire::role::{MAX_MESSAGE, NodeRole, RoleMessage};

/// Hello of the base protocol.
pub fn hello(data: &[u8]) {
    let Ok(hello) = Hello::decode_payload(data) else { return };
    assert!(data.len() <= MAX_BASE_MESSAGE && hello.client_name.len() <= 256);
    // Invalid UTF-8 in a name may grow; else the whole can be said again.
    let again = hello.encode_payload();
    if again.len() <= MAX_BASE_MESSAGE {
        assert_eq!(Hello::decode_payload(&again), Ok(hello));
    }
}

/// Disconnect of the base protocol.
pub fn disconnect(data: &[u8]) {
    let Ok(reason) = DisconnectReason::decode_payload(data) else { return };
    assert_eq!(DisconnectReason::decode_payload(&reason.encode_payload()), Ok(reason));
    assert!(reason.to_string().is_ascii());
}

/// An enode URL.
pub fn enode(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(enode) = text.parse::<Enode>() else { return };
    let again = enode.to_string();
    assert_eq!(again.parse::<Enode>(), Ok(enode), "{again}");
}

/// What a node says that it is: the message of `role/1`, and the entry of a node record.
pub fn role(data: &[u8]) {
    if let Ok(message) = RoleMessage::decode(data) {
        assert!(data.len() <= MAX_MESSAGE);
        assert_eq!(RoleMessage::decode(&message.encode()), Ok(message));
    }
    if let Ok(role) = NodeRole::decode_entry(data) {
        assert_eq!(NodeRole::decode_entry(&role.encode_entry()), Ok(role));
        // Everybody has something for a full node, but for a light one.
        assert_eq!(role.fits(NodeRole::UNSAID), role != NodeRole::Light);
    }
}

/// A node record, as text and as RLP.
pub fn record(data: &[u8]) {
    let text = core::str::from_utf8(data).ok().and_then(|text| text.parse::<NodeRecord>().ok());
    let rlp = NodeRecord::decode(&mut &*data).ok();
    for record in text.into_iter().chain(rlp) {
        let _ = record_peer_id(&record);
        let _ = record_enode(&record);
        let mut out = Vec::new();
        record.encode(&mut out);
        assert!(out.len() <= 300, "EIP-778");
        assert_eq!(NodeRecord::decode(&mut out.as_slice()).as_ref(), Ok(&record));
    }
}
