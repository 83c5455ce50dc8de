//! What a node is for others: the one message of the module `role/1`, and the entry `role` of node
//! records (ENR). Both are of this project; the page `wire-role.md` of the documentation has them.
//!
//! A record has 300 bytes for all its entries, so the entry says the role alone: the chain is in the
//! entry `eth`.

use alloy_eip2124::ForkId;
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, Header};
use bytes::Bytes;

use crate::DecodeError;

/// Name of the module.
pub const NAME: &str = "role";
/// Version of the module.
pub const VERSION: u32 = 1;
/// Key of the entry in a node record.
pub const ENTRY_KEY: &str = "role";
/// The code of the message.
pub const CODE: u32 = 0;
/// Message codes that the module has.
pub const CODES: u32 = 1;
/// Most bytes of a message, and of the value of an entry: a message of this version has 73 at most, the
/// rest is for later ones.
pub const MAX_MESSAGE: usize = 256;

/// Version of the form of message and entry that is written. What later versions add stands behind what
/// is here, and is passed over.
const FORM: u64 = 1;
/// The node has the blocks of the chain.
const FULL: u64 = 1;
/// It answers light nodes.
const SERVES_LIGHT: u64 = 2;

/// What a node is for others. Words as in the mesh, where consensus nodes and observers are full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeRole {
    /// It has the blocks of the chain.
    Full {
        /// Whether it takes light nodes as peers.
        serves_light: bool,
    },
    /// It follows the chain by its headers, and asks others for the rest: it has nothing to give.
    Light,
}

impl Default for NodeRole {
    /// Full and with service for light nodes: what these ask for (headers, bodies, receipts) a full node
    /// answers to everybody, so only a slot is at stake.
    fn default() -> Self {
        Self::Full { serves_light: true }
    }
}

impl NodeRole {
    /// What a node is taken for that says nothing: go-ethereum's, for one, does not know of roles.
    pub const UNSAID: Self = Self::Full { serves_light: false };

    /// Whether two nodes have anything for each other: both are full, or one is light and the other
    /// serves light nodes.
    #[must_use]
    pub const fn fits(self, other: Self) -> bool {
        match (self, other) {
            (Self::Full { .. }, Self::Full { .. }) => true,
            (Self::Light, Self::Light) => false,
            (Self::Light, Self::Full { serves_light })
            | (Self::Full { serves_light }, Self::Light) => serves_light,
        }
    }

    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Light => "light",
        }
    }

    /// Whether it takes light nodes as peers.
    #[must_use]
    pub const fn serves_light(self) -> bool {
        matches!(self, Self::Full { serves_light: true })
    }

    const fn bits(self) -> u64 {
        match self {
            Self::Full { serves_light: true } => FULL | SERVES_LIGHT,
            Self::Full { serves_light: false } => FULL,
            Self::Light => 0,
        }
    }

    /// Bits that are not known are of later versions.
    const fn of_bits(bits: u64) -> Result<Self, DecodeError> {
        match (bits & FULL != 0, bits & SERVES_LIGHT != 0) {
            (true, serves_light) => Ok(Self::Full { serves_light }),
            (false, false) => Ok(Self::Light),
            (false, true) => Err(DecodeError::Invalid("role: a light node serves light nodes")),
        }
    }

    /// The value of the entry in a node record.
    #[must_use]
    pub fn encode_entry(self) -> Bytes {
        alloy_rlp::encode(vec![FORM, self.bits()]).into()
    }

    /// Reads the value of an entry.
    ///
    /// # Errors
    /// When it is malformed, or no version of the form.
    pub fn decode_entry(mut value: &[u8]) -> Result<Self, DecodeError> {
        limit(value)?;
        let mut fields = Header::decode_bytes(&mut value, true)?;
        nothing_behind(value)?;
        form(&mut fields)?;
        Self::of_bits(u64::decode(&mut fields)?)
    }
}

impl core::fmt::Display for NodeRole {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full { serves_light: true } => "full, serves light nodes",
            Self::Full { serves_light: false } => "full, does not serve light nodes",
            Self::Light => "light",
        })
    }
}

/// The message of the module: which chain a node is on, and what it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleMessage {
    /// Network ID.
    pub network_id: u64,
    /// Hash of the genesis block.
    pub genesis: B256,
    /// The forks up to the head, and the next one (EIP-2124).
    pub fork_id: ForkId,
    /// What the node is.
    pub role: NodeRole,
}

impl RoleMessage {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let bits = self.role.bits();
        let fields: [&dyn Encodable; 5] =
            [&FORM, &self.network_id, &self.genesis, &self.fork_id, &bits];
        let payload_length = fields.iter().map(|field| field.length()).sum();
        let mut out = Vec::with_capacity(payload_length + 3);
        Header { list: true, payload_length }.encode(&mut out);
        for field in fields {
            field.encode(&mut out);
        }
        out.into()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is malformed, too long, or no version of the form.
    pub fn decode(mut payload: &[u8]) -> Result<Self, DecodeError> {
        limit(payload)?;
        let mut fields = Header::decode_bytes(&mut payload, true)?;
        nothing_behind(payload)?;
        form(&mut fields)?;
        Ok(Self {
            network_id: u64::decode(&mut fields)?,
            genesis: B256::decode(&mut fields)?,
            fork_id: ForkId::decode(&mut fields)?,
            role: NodeRole::of_bits(u64::decode(&mut fields)?)?,
        })
    }
}

const fn limit(bytes: &[u8]) -> Result<(), DecodeError> {
    match bytes.len() {
        size if size > MAX_MESSAGE => {
            Err(DecodeError::TooLarge { what: "role", size, limit: MAX_MESSAGE })
        }
        _ => Ok(()),
    }
}

const fn nothing_behind(rest: &[u8]) -> Result<(), DecodeError> {
    match rest.len() {
        0 => Ok(()),
        left => Err(DecodeError::TrailingBytes(left)),
    }
}

fn form(fields: &mut &[u8]) -> Result<(), DecodeError> {
    match u64::decode(fields)? {
        0 => Err(DecodeError::Invalid("role: version 0")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
