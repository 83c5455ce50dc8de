//! Datagrams: signing and checking.

use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use chainmesh_identity::{NodeKey, PeerId, recover};

use super::{HEADER, MAX_DATAGRAM, Packet};
use crate::DecodeError;

/// How the sender of a datagram is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seal {
    /// By its signature.
    #[default]
    Signed,
    /// Not at all: where the signature belongs is the sender's ID. For simulations of many nodes,
    /// as the clear session is; nobody else understands it.
    Clear,
}

/// A datagram that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its hash, by which an answer names it.
    pub hash: B256,
    /// The whole datagram.
    pub bytes: Bytes,
}

/// A packet does not fit into a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the datagram would have {0} bytes, at most {MAX_DATAGRAM} are allowed")]
pub struct TooLarge(pub usize);

/// What was in a datagram.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Who signed it.
    pub sender: PeerId,
    /// Its hash, by which an answer names it.
    pub hash: B256,
    /// What it says.
    pub packet: Packet,
}

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Shorter than [`HEADER`].
    #[error("a datagram of {0} bytes is too short for discv4")]
    TooShort(usize),
    /// Longer than [`MAX_DATAGRAM`].
    #[error("a datagram of {0} bytes is longer than the {MAX_DATAGRAM} of discv4")]
    TooLong(usize),
    /// The hash is not that of the rest: something else than discv4, or changed on the way.
    #[error("the hash of the datagram is wrong")]
    Hash,
    /// No packet has this type.
    #[error("unknown packet type {0}")]
    Type(u8),
    /// The data is not what its type says.
    #[error("malformed packet: {0}")]
    Malformed(DecodeError),
    /// Nobody could have made the signature.
    #[error("the signature of the datagram is wrong")]
    Signature,
}

/// Writes and signs a packet.
///
/// # Errors
/// When it does not fit, which no packet does that is made by this module's constructors.
pub fn seal(packet: &Packet, key: &NodeKey, seal: Seal) -> Result<Sealed, TooLarge> {
    let mut bytes = vec![0; HEADER - 1];
    bytes.push(packet.kind());
    packet.encode_data(&mut bytes);
    if bytes.len() > MAX_DATAGRAM {
        return Err(TooLarge(bytes.len()));
    }
    let (hash_field, rest) = bytes.split_at_mut(32);
    let (signature_field, said) = rest.split_at_mut(65);
    match seal {
        Seal::Signed => signature_field.copy_from_slice(&key.sign_recoverable(keccak256(said))),
        Seal::Clear => {
            for (to, from) in signature_field.iter_mut().zip(key.peer_id().as_bytes()) {
                *to = *from;
            }
        }
    }
    let hash = keccak256(rest);
    hash_field.copy_from_slice(hash.as_slice());
    Ok(Sealed { hash, bytes: bytes.into() })
}

/// Checks and reads a datagram. What costs least is checked first; the signature comes last.
///
/// # Errors
/// See [`DatagramError`].
pub fn open(datagram: &[u8], seal: Seal) -> Result<Opened, DatagramError> {
    let size = datagram.len();
    if size > MAX_DATAGRAM {
        return Err(DatagramError::TooLong(size));
    }
    let short = DatagramError::TooShort(size);
    let (hash, rest) = datagram.split_first_chunk::<32>().ok_or(short)?;
    let (signature, said) = rest.split_first_chunk::<65>().ok_or(short)?;
    let (kind, data) = said.split_first().ok_or(short)?;
    let hash = B256::from(*hash);
    if keccak256(rest) != hash {
        return Err(DatagramError::Hash);
    }
    let packet = Packet::decode_data(*kind, data).ok_or(DatagramError::Type(*kind))?;
    let packet = packet.map_err(DatagramError::Malformed)?;
    let sender = match seal {
        Seal::Signed => {
            recover(signature, keccak256(said)).map(|key| PeerId::from_public_key(&key))
        }
        Seal::Clear => signature.first_chunk().map(|id: &[u8; 64]| PeerId::from(*id)),
    };
    Ok(Opened { sender: sender.ok_or(DatagramError::Signature)?, hash, packet })
}
