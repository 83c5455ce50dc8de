//! Ethereum Node Records (EIP-778), signed by the node key.
//!
//! The record itself is the `enr` crate's. Its signatures are salted with the system's randomness,
//! so two records of the same content differ in their bytes: decisions compare content, not bytes.

use core::net::IpAddr;
use core::str::FromStr;

use alloy_primitives::Bytes as Raw;
use enr::EnrPublicKey;
use secp256k1::SecretKey;

use crate::{Enode, EnodeError, Host, NodeKey, PeerId};

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

/// A boot node, as people write it down: an enode URL, or a record (`enr:…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootNode {
    /// Who and where. The TCP port is 0 when a record names none.
    pub enode: Enode,
    /// Its record, if that is what was written.
    pub record: Option<Box<NodeRecord>>,
}

/// What is wrong with the text of a [`BootNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BootNodeError {
    /// It begins neither with `enode://` nor with `enr:`.
    #[error("a boot node is an enode URL (enode://…) or a node record (enr:…)")]
    Scheme,
    /// An enode URL with a mistake in it.
    #[error(transparent)]
    Enode(#[from] EnodeError),
    /// The record cannot be read.
    #[error("the node record is damaged: it is cut off, changed, or its signature is not its own")]
    Record,
    /// The record does not say where the node is.
    #[error("the node record has no IP address with a UDP port")]
    NoAddress,
}

impl FromStr for BootNode {
    type Err = BootNodeError;

    fn from_str(text: &str) -> Result<Self, BootNodeError> {
        let text = text.trim();
        if text.starts_with("enode://") {
            return Ok(Self { enode: text.parse()?, record: None });
        }
        if !text.starts_with("enr:") {
            return Err(BootNodeError::Scheme);
        }
        let record: NodeRecord = text.parse().map_err(|_| BootNodeError::Record)?;
        let (ip, udp, tcp) = match (record.udp4_socket(), record.udp6_socket()) {
            (Some(at), _) => (IpAddr::V4(*at.ip()), at.port(), record.tcp4()),
            (_, Some(at)) => (IpAddr::V6(*at.ip()), at.port(), record.tcp6()),
            _ => return Err(BootNodeError::NoAddress),
        };
        let id = record_peer_id(&record);
        let (host, tcp_port) = (Host::Ip(ip), tcp.unwrap_or(0));
        let enode = Enode { id, host, tcp_port, udp_port: udp };
        Ok(Self { enode, record: Some(Box::new(record)) })
    }
}

#[cfg(test)]
mod tests;
