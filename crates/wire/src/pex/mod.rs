//! Peer exchange, `pex/1`: a node asks a peer for other nodes over the session that they have.
//!
//! The format is our own, RLP as in the rest of devp2p; further elements at the end of a list are
//! passed over, so that later versions may add some. `docs/src/wire-pex.md` has it byte by byte.

#[cfg(test)]
mod tests;

use alloy_rlp::{Decodable, Encodable, Header};
use bytes::Bytes;

use crate::DecodeError;
use crate::discv4::Contact;

/// Name of the capability.
pub const PEX: &str = "pex";
/// Its version.
pub const PEX_VERSION: u32 = 1;
/// Code of [`GetNodes`].
pub const GET_NODES: u32 = 0;
/// Code of [`Nodes`].
pub const NODES: u32 = 1;
/// Number of codes.
pub const MESSAGE_COUNT: u32 = 2;

/// Nodes in an answer, at most. CometBFT allows 250 and Bitcoin 1,000, for networks of 10^4 nodes and
/// more; 32 are as many as two full answers of discv4, and more than half the default number of peers.
pub const MAX_NODES: usize = 32;
/// Longest message in bytes: 256 for each node (CometBFT's `maxAddressSize`), of which this version
/// uses 91 at most.
pub const MAX_MESSAGE: usize = MAX_NODES * 256;

/// Asks for nodes; answered by [`Nodes`], or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetNodes {
    /// Chosen by the asker; the answer has the same.
    pub request: u64,
    /// How many nodes are wanted. More than [`MAX_NODES`] are never told.
    pub limit: u64,
}

/// Answers [`GetNodes`]. Nothing in it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// That of the question.
    pub request: u64,
    /// Who is said to be where: at most [`MAX_NODES`].
    pub nodes: Vec<Contact>,
}

/// Any message of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Code 0.
    GetNodes(GetNodes),
    /// Code 1.
    Nodes(Nodes),
}

impl Message {
    /// Its code.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::GetNodes(_) => GET_NODES,
            Self::Nodes(_) => NODES,
        }
    }

    /// Its payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        let (first, second): (u64, &dyn Encodable) = match self {
            Self::GetNodes(get) => (get.request, &get.limit),
            Self::Nodes(nodes) => (nodes.request, &nodes.nodes),
        };
        Header { list: true, payload_length: first.length() + second.length() }.encode(&mut out);
        first.encode(&mut out);
        second.encode(&mut out);
        out.into()
    }

    /// Reads the payload of the message with the given code.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE`], malformed, tells of more than [`MAX_NODES`], or when there is
    /// no such code.
    pub fn decode(code: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() > MAX_MESSAGE {
            let (size, limit) = (payload.len(), MAX_MESSAGE);
            return Err(DecodeError::TooLarge { what: "message of peer exchange", size, limit });
        }
        let mut rest = payload;
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        if !rest.is_empty() {
            return Err(DecodeError::TrailingBytes(rest.len()));
        }
        let request = u64::decode(&mut fields)?;
        match code {
            GET_NODES => Ok(Self::GetNodes(GetNodes { request, limit: u64::decode(&mut fields)? })),
            NODES => Ok(Self::Nodes(Nodes { request, nodes: decode_nodes(&mut fields)? })),
            _ => Err(DecodeError::Invalid("peer exchange has no message of this code")),
        }
    }
}

fn decode_nodes(fields: &mut &[u8]) -> Result<Vec<Contact>, DecodeError> {
    let mut list = Header::decode_bytes(fields, true)?;
    let mut nodes = Vec::new();
    while !list.is_empty() {
        if nodes.len() >= MAX_NODES {
            let (count, limit) = (nodes.len().saturating_add(1), MAX_NODES);
            return Err(DecodeError::TooMany { what: "nodes told by a peer", count, limit });
        }
        nodes.push(Contact::decode_list(&mut list)?);
    }
    Ok(nodes)
}
