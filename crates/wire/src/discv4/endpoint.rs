//! Addresses inside packets.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use alloy_rlp::{BufMut, Decodable, Encodable, Header};
use chainmesh_identity::{Enode, PeerId};

use crate::DecodeError;

/// Where a node says that it, or another one, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Its address. What is no address of 4 or 16 bytes is read as `0.0.0.0`, and an IPv4 address
    /// in IPv6's clothes as what it is.
    pub ip: IpAddr,
    /// UDP port of discovery.
    pub udp_port: u16,
    /// TCP port of sessions, 0 when it does not listen.
    pub tcp_port: u16,
}

impl Endpoint {
    /// An endpoint from its parts.
    #[must_use]
    pub const fn new(ip: IpAddr, udp_port: u16, tcp_port: u16) -> Self {
        Self { ip, udp_port, tcp_port }
    }

    /// Where its discovery is reached.
    #[must_use]
    pub const fn udp_address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.udp_port)
    }

    pub(super) fn fields_length(&self) -> usize {
        let ip = match self.ip {
            IpAddr::V4(_) => 5,
            IpAddr::V6(_) => 17,
        };
        ip + self.udp_port.length() + self.tcp_port.length()
    }

    pub(super) fn encode_fields(&self, out: &mut dyn BufMut) {
        match self.ip {
            IpAddr::V4(ip) => ip.octets().as_slice().encode(out),
            IpAddr::V6(ip) => ip.octets().as_slice().encode(out),
        }
        self.udp_port.encode(out);
        self.tcp_port.encode(out);
    }

    pub(super) fn decode_fields(fields: &mut &[u8]) -> Result<Self, DecodeError> {
        let ip = Header::decode_bytes(fields, false)?;
        let ip = if let Ok(octets) = <[u8; 4]>::try_from(ip) {
            IpAddr::from(octets)
        } else if let Ok(octets) = <[u8; 16]>::try_from(ip) {
            IpAddr::from(octets).to_canonical()
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        Ok(Self { ip, udp_port: u16::decode(fields)?, tcp_port: u16::decode(fields)? })
    }

    pub(super) fn decode_list(fields: &mut &[u8]) -> Result<Self, DecodeError> {
        Self::decode_fields(&mut Header::decode_bytes(fields, true)?)
    }
}

impl Encodable for Endpoint {
    fn encode(&self, out: &mut dyn BufMut) {
        Header { list: true, payload_length: self.fields_length() }.encode(out);
        self.encode_fields(out);
    }

    fn length(&self) -> usize {
        Header { list: true, payload_length: self.fields_length() }.length_with_payload()
    }
}

/// Who somebody is and where. In a packet, nothing of it is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// Where it is said to be.
    pub endpoint: Endpoint,
    /// Who it is. Not known to be a point of the curve.
    pub id: PeerId,
}

impl Contact {
    /// As an enode URL writes it.
    #[must_use]
    pub fn enode(&self) -> Enode {
        let Endpoint { ip, udp_port, tcp_port } = self.endpoint;
        Enode { udp_port, ..Enode::new(self.id, ip, tcp_port) }
    }

    fn fields_length(&self) -> usize {
        self.endpoint.fields_length() + self.id.as_bytes().length()
    }

    pub(crate) fn decode_list(list: &mut &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Header::decode_bytes(list, true)?;
        let endpoint = Endpoint::decode_fields(&mut fields)?;
        Ok(Self { endpoint, id: decode_id(&mut fields)? })
    }
}

impl Encodable for Contact {
    fn encode(&self, out: &mut dyn BufMut) {
        Header { list: true, payload_length: self.fields_length() }.encode(out);
        self.endpoint.encode_fields(out);
        self.id.as_bytes().encode(out);
    }

    fn length(&self) -> usize {
        Header { list: true, payload_length: self.fields_length() }.length_with_payload()
    }
}

pub(super) fn decode_id(fields: &mut &[u8]) -> Result<PeerId, DecodeError> {
    let id = Header::decode_bytes(fields, false)?;
    PeerId::from_slice(id).map_err(|_| DecodeError::Invalid("a node ID in discv4 is 64 bytes"))
}
