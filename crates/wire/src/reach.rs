//! `reach/1`: a node asks a peer to dial it, to learn whether others can.
//!
//! | code | message | payload (RLP) |
//! |---|---|---|
//! | 0 | [`DialMe`] | `[request-id, tcp-port]` |
//! | 1 | [`Dialled`] | `[request-id, outcome, ip, tcp-port]` |
//!
//! There is no address in the question: the peer dials the one that the question came from. Further
//! elements of a list are passed over, as in EIP-8.

use core::net::IpAddr;

use alloy_rlp::{Decodable, Encodable, Header};
use bytes::{Bytes, BytesMut};

use crate::DecodeError;

/// Name of the capability.
pub const NAME: &str = "reach";
/// Its version.
pub const VERSION: u32 = 1;
/// How many message codes it has.
pub const MESSAGE_COUNT: u32 = 2;
/// Longest payload that is read, bytes. Ours have at most 33.
pub const MAX_PAYLOAD: usize = 256;

/// Message codes, relative to the offset of the capability.
pub mod code {
    /// [`DialMe`](super::DialMe).
    pub const DIAL_ME: u32 = 0;
    /// [`Dialled`](super::Dialled).
    pub const DIALLED: u32 = 1;
}

/// "Dial me at this port of the address that you see me at."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialMe {
    /// Comes back in the answer.
    pub request_id: u64,
    /// TCP port that the sender listens on.
    pub port: u16,
}

/// What came of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// 0: the connection stood, and the other end had the key of the sender.
    Reached,
    /// 1: nobody listens on the port.
    Refused,
    /// 2: no answer in time, as with a firewall that drops.
    TimedOut,
    /// 3: something answered that does not have the key of the sender.
    AnotherNode,
    /// 4: there is no way to the address.
    Unreachable,
    /// 5: it was not tried: too soon, too many at once, or a port or an address that is not dialled.
    NotTried,
    /// A number that this version does not list; it counts as not tried.
    Unknown(u8),
}

impl Outcome {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Reached => 0,
            Self::Refused => 1,
            Self::TimedOut => 2,
            Self::AnotherNode => 3,
            Self::Unreachable => 4,
            Self::NotTried => 5,
            Self::Unknown(number) => number,
        }
    }

    /// The outcome with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Reached,
            1 => Self::Refused,
            2 => Self::TimedOut,
            3 => Self::AnotherNode,
            4 => Self::Unreachable,
            5 => Self::NotTried,
            number => Self::Unknown(number),
        }
    }

    /// Whether the peer dialled, so that its answer says something.
    #[must_use]
    pub const fn is_tried(self) -> bool {
        !matches!(self, Self::NotTried | Self::Unknown(_))
    }
}

/// "I dialled you there, and this came of it."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialled {
    /// Of the question.
    pub request_id: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// The address that the asker is seen at.
    pub ip: IpAddr,
    /// The port that was dialled: that of the question.
    pub port: u16,
}

/// A message of the capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The question.
    DialMe(DialMe),
    /// The answer.
    Dialled(Dialled),
}

impl Message {
    /// The code, relative to the offset of the capability.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::DialMe(_) => code::DIAL_ME,
            Self::Dialled(_) => code::DIALLED,
        }
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut fields = BytesMut::with_capacity(40);
        match self {
            Self::DialMe(DialMe { request_id, port }) => {
                request_id.encode(&mut fields);
                port.encode(&mut fields);
            }
            Self::Dialled(Dialled { request_id, outcome, ip, port }) => {
                request_id.encode(&mut fields);
                outcome.number().encode(&mut fields);
                match ip {
                    IpAddr::V4(ip) => ip.octets().as_slice().encode(&mut fields),
                    IpAddr::V6(ip) => ip.octets().as_slice().encode(&mut fields),
                }
                port.encode(&mut fields);
            }
        }
        let mut out = BytesMut::with_capacity(fields.len() + 3);
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out.freeze()
    }

    /// Reads the payload of a message.
    ///
    /// # Errors
    /// When it is longer than [`MAX_PAYLOAD`], malformed, or of no code that there is.
    pub fn decode(code: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        if payload.len() > MAX_PAYLOAD {
            let (what, size) = ("message of reach", payload.len());
            return Err(DecodeError::TooLarge { what, size, limit: MAX_PAYLOAD });
        }
        let mut rest = payload;
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        if !rest.is_empty() {
            return Err(DecodeError::TrailingBytes(rest.len()));
        }
        let fields = &mut fields;
        let request_id = u64::decode(fields)?;
        match code {
            code::DIAL_ME => Ok(Self::DialMe(DialMe { request_id, port: u16::decode(fields)? })),
            code::DIALLED => Ok(Self::Dialled(Dialled {
                request_id,
                outcome: Outcome::from_number(u8::decode(fields)?),
                ip: decode_ip(Header::decode_bytes(fields, false)?)?,
                port: u16::decode(fields)?,
            })),
            _ => Err(DecodeError::Invalid("reach/1 has no message of this code")),
        }
    }
}

fn decode_ip(bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(octets.into());
    }
    let octets = <[u8; 16]>::try_from(bytes);
    let octets = octets.map_err(|_| DecodeError::Invalid("an IP address has 4 or 16 bytes"))?;
    Ok(octets.into())
}

#[cfg(test)]
mod tests;
