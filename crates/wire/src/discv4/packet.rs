//! What a datagram says.

use alloy_primitives::B256;
use alloy_rlp::{BufMut, Decodable, Encodable, Header};
use chainmesh_identity::{NodeRecord, PeerId};

use super::endpoint::decode_id;
use super::{Contact, Endpoint, MAX_NEIGHBORS};
use crate::DecodeError;

/// Asks whether somebody is there; answered by [`Pong`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Version of the protocol; nobody refuses another one.
    pub version: u64,
    /// Where the sender says it is. Only its TCP port is of use: the rest is known from the datagram.
    pub from: Endpoint,
    /// Where the sender sent it.
    pub to: Endpoint,
    /// Unix time in seconds after which nobody should answer.
    pub expiration: u64,
    /// Sequence number of the sender's record, if it has one (EIP-868).
    pub enr_seq: Option<u64>,
}

/// Answers [`Ping`], and so proves who and where its sender is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// Where the Ping came from, as its receiver saw it.
    pub to: Endpoint,
    /// Hash of the Ping's datagram.
    pub ping_hash: B256,
    /// Unix time in seconds after which it is void.
    pub expiration: u64,
    /// Sequence number of the sender's record, if it has one (EIP-868).
    pub enr_seq: Option<u64>,
}

/// Asks for the nodes that are closest to a target; answered by [`Neighbors`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindNode {
    /// A public key; its keccak256 is what nodes are close to. It need not be anybody's.
    pub target: PeerId,
    /// Unix time in seconds after which nobody should answer.
    pub expiration: u64,
}

/// Answers [`FindNode`], in more than one packet if one is not enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbors {
    nodes: Vec<Contact>,
    /// Unix time in seconds after which it is void.
    pub expiration: u64,
}

impl Neighbors {
    /// The packets that carry these nodes: at least one, even for none.
    pub fn packets(nodes: &[Contact], expiration: u64) -> impl Iterator<Item = Self> + '_ {
        let empty = nodes.is_empty().then(|| Self { nodes: Vec::new(), expiration });
        let full = nodes.chunks(MAX_NEIGHBORS);
        empty.into_iter().chain(full.map(move |nodes| Self { nodes: nodes.to_vec(), expiration }))
    }

    /// The nodes. One that was read may hold more than [`MAX_NEIGHBORS`]: as many as its datagram.
    #[must_use]
    pub fn nodes(&self) -> &[Contact] {
        &self.nodes
    }
}

/// Asks for the record of the receiver; answered by [`EnrResponse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrRequest {
    /// Unix time in seconds after which nobody should answer.
    pub expiration: u64,
}

/// Answers [`EnrRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct EnrResponse {
    /// Hash of the request's datagram.
    pub request_hash: B256,
    /// The record. Its own signature is right; that it is the sender's is for the reader to check.
    pub record: Box<NodeRecord>,
}

/// Any packet.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// Type 1.
    Ping(Ping),
    /// Type 2.
    Pong(Pong),
    /// Type 3.
    FindNode(FindNode),
    /// Type 4.
    Neighbors(Neighbors),
    /// Type 5.
    EnrRequest(EnrRequest),
    /// Type 6.
    EnrResponse(EnrResponse),
}

impl Packet {
    /// Its type byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Ping(_) => 1,
            Self::Pong(_) => 2,
            Self::FindNode(_) => 3,
            Self::Neighbors(_) => 4,
            Self::EnrRequest(_) => 5,
            Self::EnrResponse(_) => 6,
        }
    }

    /// Unix time in seconds at which it expires; the record's answer has none.
    #[must_use]
    pub const fn expiration(&self) -> Option<u64> {
        match self {
            Self::Ping(ping) => Some(ping.expiration),
            Self::Pong(pong) => Some(pong.expiration),
            Self::FindNode(find) => Some(find.expiration),
            Self::Neighbors(neighbors) => Some(neighbors.expiration),
            Self::EnrRequest(request) => Some(request.expiration),
            Self::EnrResponse(_) => None,
        }
    }

    pub(super) fn encode_data(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ping(ping) => {
                let fields: [&dyn Encodable; 4] =
                    [&ping.version, &ping.from, &ping.to, &ping.expiration];
                encode_list(&fields, ping.enr_seq, out);
            }
            Self::Pong(pong) => {
                encode_list(&[&pong.to, &pong.ping_hash, &pong.expiration], pong.enr_seq, out);
            }
            Self::FindNode(find) => {
                encode_list(&[find.target.as_bytes(), &find.expiration], None, out);
            }
            Self::Neighbors(neighbors) => {
                encode_list(&[&neighbors.nodes, &neighbors.expiration], None, out);
            }
            Self::EnrRequest(request) => encode_list(&[&request.expiration], None, out),
            Self::EnrResponse(response) => {
                encode_list(&[&response.request_hash, &*response.record], None, out);
            }
        }
    }

    /// Reads the data of a packet of the given type. `None` if there is no such type.
    pub(super) fn decode_data(kind: u8, mut data: &[u8]) -> Option<Result<Self, DecodeError>> {
        let decode = match kind {
            1 => decode_ping,
            2 => decode_pong,
            3 => decode_find_node,
            4 => decode_neighbors,
            5 => decode_enr_request,
            6 => decode_enr_response,
            _ => return None,
        };
        let fields = Header::decode_bytes(&mut data, true).map_err(DecodeError::from);
        Some(fields.and_then(|mut fields| decode(&mut fields)))
    }
}

fn encode_list(fields: &[&dyn Encodable], last: Option<u64>, out: &mut Vec<u8>) {
    let lengths = fields.iter().map(|field| field.length());
    let payload_length = lengths.sum::<usize>() + last.map_or(0, |last| last.length());
    Header { list: true, payload_length }.encode(out);
    for field in fields {
        field.encode(out as &mut dyn BufMut);
    }
    if let Some(last) = last {
        last.encode(out);
    }
}

/// A sequence number, if the next element is one: older versions have none, newer may have others.
fn decode_sequence(fields: &[u8]) -> Option<u64> {
    let mut rest = fields;
    u64::decode(&mut rest).ok()
}

fn decode_ping(fields: &mut &[u8]) -> Result<Packet, DecodeError> {
    let version = u64::decode(fields)?;
    let (from, to) = (Endpoint::decode_list(fields)?, Endpoint::decode_list(fields)?);
    let expiration = u64::decode(fields)?;
    let enr_seq = decode_sequence(fields);
    Ok(Packet::Ping(Ping { version, from, to, expiration, enr_seq }))
}

fn decode_pong(fields: &mut &[u8]) -> Result<Packet, DecodeError> {
    let (to, ping_hash) = (Endpoint::decode_list(fields)?, B256::decode(fields)?);
    let expiration = u64::decode(fields)?;
    let enr_seq = decode_sequence(fields);
    Ok(Packet::Pong(Pong { to, ping_hash, expiration, enr_seq }))
}

fn decode_find_node(fields: &mut &[u8]) -> Result<Packet, DecodeError> {
    let target = decode_id(fields)?;
    Ok(Packet::FindNode(FindNode { target, expiration: u64::decode(fields)? }))
}

fn decode_neighbors(fields: &mut &[u8]) -> Result<Packet, DecodeError> {
    let mut list = Header::decode_bytes(fields, true)?;
    let mut nodes = Vec::new();
    while !list.is_empty() {
        nodes.push(Contact::decode_list(&mut list)?);
    }
    Ok(Packet::Neighbors(Neighbors { nodes, expiration: u64::decode(fields)? }))
}

fn decode_enr_request(fields: &mut &[u8]) -> Result<Packet, DecodeError> {
    Ok(Packet::EnrRequest(EnrRequest { expiration: u64::decode(fields)? }))
}

fn decode_enr_response(fields: &mut &[u8]) -> Result<Packet, DecodeError> {
    let request_hash = B256::decode(fields)?;
    let record = Box::new(NodeRecord::decode(fields)?);
    Ok(Packet::EnrResponse(EnrResponse { request_hash, record }))
}
