//! Ethereum Node Records (EIP-778), signed by the node key.
//!
//! The record itself is the `enr` crate's. Its signatures are salted with the system's randomness,
//! so two records of the same content differ in their bytes: decisions compare content, not bytes.

use core::net::IpAddr;

use alloy_primitives::Bytes as Raw;
use enr::EnrPublicKey;
use secp256k1::SecretKey;

use crate::{Enode, Host, NodeKey, PeerId};

/// A signed node record.
pub type NodeRecord = enr::Enr<SecretKey>;

/// What a record could not be made from.
#[derive(Debug, thiserror::Error)]
#[error("the node record could not be made: {0}")]
pub struct RecordError(#[from] enr::Error);

/// Makes the record of a node: its address and ports, and `extra` entries, each a key and the RLP
/// of its value (the `eth` entry, for example, is `[[fork hash, fork next]]`).
///
/// # Errors
/// When the record would be larger than the 300 bytes of EIP-778.
pub fn build_record(
    key: &NodeKey,
    sequence: u64,
    ip: Option<IpAddr>,
    tcp_port: u16,
    udp_port: u16,
    extra: &[(&str, Raw)],
) -> Result<NodeRecord, RecordError> {
    let mut builder = enr::Builder::default();
    builder.seq(sequence);
    match ip {
        Some(IpAddr::V4(ip)) => {
            builder.ip4(ip).tcp4(tcp_port).udp4(udp_port);
        }
        Some(IpAddr::V6(ip)) => {
            builder.ip6(ip).tcp6(tcp_port).udp6(udp_port);
        }
        None => {}
    }
    for (name, value) in extra {
        builder.add_value_rlp(name, value.clone().0);
    }
    Ok(builder.build(key.secret())?)
}

/// The peer that signed a record.
#[must_use]
pub fn record_peer_id(record: &NodeRecord) -> PeerId {
    PeerId::from(record.public_key().encode_uncompressed())
}

/// Where the record says that the node is, if it names an address and a TCP port. IPv4 goes first.
#[must_use]
pub fn record_enode(record: &NodeRecord) -> Option<Enode> {
    let (ip, tcp, udp) = match (record.ip4(), record.tcp4(), record.ip6(), record.tcp6()) {
        (Some(ip), Some(tcp), ..) => (IpAddr::V4(ip), tcp, record.udp4()),
        (.., Some(ip), Some(tcp)) => (IpAddr::V6(ip), tcp, record.udp6()),
        _ => return None,
    };
    let id = record_peer_id(record);
    Some(Enode { id, host: Host::Ip(ip), tcp_port: tcp, udp_port: udp.unwrap_or(tcp) })
}

#[cfg(test)]
mod tests;
