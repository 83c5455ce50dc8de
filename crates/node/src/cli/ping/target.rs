//! Who is meant: an enode URL, a node record, or an address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use chainmesh_identity::enode::{EnodeError, parse_address};
use chainmesh_identity::record::record_peer_id;
use chainmesh_identity::{Enode, Host, NodeRecord};

/// A node, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Target {
    /// By its enode URL, or by a record.
    Node(Enode),
    /// Whoever is there.
    Address { host: Host, port: u16 },
}

/// Why a text names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum TargetError {
    #[error(transparent)]
    Enode(#[from] EnodeError),
    #[error("this is no node record: it is damaged, or not signed by its key")]
    Record,
    #[error("the record says no IP address, so nobody knows where the node is")]
    Nowhere,
    #[error("write a node as an enode URL, as a record (enr:…), or as host:port: {0}")]
    Address(#[source] EnodeError),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.starts_with("enr:") {
            return node_of_record(text).map(Self::Node);
        }
        if text.starts_with("enode:") {
            return Ok(Self::Node(text.parse()?));
        }
        let (host, port) = parse_address(text).map_err(TargetError::Address)?;
        Ok(Self::Address { host, port })
    }
}

/// The node of a record in its text form. Without a UDP port the TCP port is taken, and the other way
/// round it has no TCP port.
pub(in crate::cli) fn node_of_record(text: &str) -> Result<Enode, TargetError> {
    let record: NodeRecord = text.parse().map_err(|_| TargetError::Record)?;
    let (ip, tcp, udp): (IpAddr, _, _) = match (record.ip4(), record.ip6()) {
        (Some(ip), _) => (ip.into(), record.tcp4(), record.udp4()),
        (None, Some(ip)) => (
            ip.into(),
            record.tcp6().or_else(|| record.tcp4()),
            record.udp6().or_else(|| record.udp4()),
        ),
        (None, None) => return Err(TargetError::Nowhere),
    };
    let (tcp, udp) = (tcp.unwrap_or(0), udp.or(tcp).unwrap_or(0));
    Ok(Enode { id: record_peer_id(&record), host: Host::Ip(ip), tcp_port: tcp, udp_port: udp })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(enode) => enode.fmt(f),
            Self::Address { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
