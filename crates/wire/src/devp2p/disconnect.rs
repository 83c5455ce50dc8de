//! Disconnect reasons of the base protocol.

use core::fmt;

use alloy_rlp::{Decodable, Encodable, Header};
use bytes::{Bytes, BytesMut};

use crate::DecodeError;

/// Why a session ends, with its number on the wire (devp2p `rlpx.md`, "Disconnect (0x01)").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DisconnectReason {
    /// 0x00: somebody asked for it.
    Requested,
    /// 0x01: the TCP connection failed.
    TcpError,
    /// 0x02: malformed message, bad MAC, message out of turn.
    BreachOfProtocol,
    /// 0x03: no capability in common.
    UselessPeer,
    /// 0x04: no slot free.
    TooManyPeers,
    /// 0x05: this peer has a session already.
    AlreadyConnected,
    /// 0x06: version of the base protocol not understood.
    IncompatibleVersion,
    /// 0x07: the Hello has no node ID.
    NullIdentity,
    /// 0x08: the node shuts down.
    ClientQuitting,
    /// 0x09: another node answered than the one that was dialled.
    UnexpectedIdentity,
    /// 0x0a: the peer is this node itself.
    SelfConnection,
    /// 0x0b: the peer was silent too long.
    PingTimeout,
    /// 0x10: a capability's own reason, such as another chain or genesis block.
    SubprotocolError,
    /// A number that the specification does not list.
    Unknown(u8),
}

impl DisconnectReason {
    /// Every reason that the specification lists.
    pub const ALL: [Self; 13] = [
        Self::Requested,
        Self::TcpError,
        Self::BreachOfProtocol,
        Self::UselessPeer,
        Self::TooManyPeers,
        Self::AlreadyConnected,
        Self::IncompatibleVersion,
        Self::NullIdentity,
        Self::ClientQuitting,
        Self::UnexpectedIdentity,
        Self::SelfConnection,
        Self::PingTimeout,
        Self::SubprotocolError,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Requested => 0x00,
            Self::TcpError => 0x01,
            Self::BreachOfProtocol => 0x02,
            Self::UselessPeer => 0x03,
            Self::TooManyPeers => 0x04,
            Self::AlreadyConnected => 0x05,
            Self::IncompatibleVersion => 0x06,
            Self::NullIdentity => 0x07,
            Self::ClientQuitting => 0x08,
            Self::UnexpectedIdentity => 0x09,
            Self::SelfConnection => 0x0a,
            Self::PingTimeout => 0x0b,
            Self::SubprotocolError => 0x10,
            Self::Unknown(code) => code,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|reason| reason.code() == code).unwrap_or(Self::Unknown(code))
    }

    /// A short name for metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::TcpError => "tcp_error",
            Self::BreachOfProtocol => "breach_of_protocol",
            Self::UselessPeer => "useless_peer",
            Self::TooManyPeers => "too_many_peers",
            Self::AlreadyConnected => "already_connected",
            Self::IncompatibleVersion => "incompatible_version",
            Self::NullIdentity => "null_identity",
            Self::ClientQuitting => "client_quitting",
            Self::UnexpectedIdentity => "unexpected_identity",
            Self::SelfConnection => "self_connection",
            Self::PingTimeout => "ping_timeout",
            Self::SubprotocolError => "subprotocol_error",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The payload of a Disconnect message: the list `[reason]`.
    #[must_use]
    pub fn encode_payload(self) -> Bytes {
        let mut out = BytesMut::with_capacity(3);
        let code = self.code();
        Header { list: true, payload_length: code.length() }.encode(&mut out);
        code.encode(&mut out);
        out.freeze()
    }

    /// Reads the payload of a Disconnect message: a list `[reason]`, an empty list, or the bare
    /// byte that geth sent before v1.15.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn decode_payload(mut payload: &[u8]) -> Result<Self, DecodeError> {
        let buf = &mut payload;
        if buf.first().is_some_and(|first| *first >= 0xc0) {
            let header = Header::decode(buf)?;
            if header.payload_length == 0 {
                return Ok(Self::Requested);
            }
        }
        if buf.is_empty() {
            return Ok(Self::Requested);
        }
        // A zero is correctly the empty string 0x80; some clients send the byte 0x00.
        if buf == &[0x00] {
            return Ok(Self::Requested);
        }
        Ok(Self::from_code(u8::decode(buf)?))
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "disconnect requested",
            Self::TcpError => "TCP error",
            Self::BreachOfProtocol => "breach of protocol",
            Self::UselessPeer => "useless peer (no common capability)",
            Self::TooManyPeers => "too many peers",
            Self::AlreadyConnected => "already connected",
            Self::IncompatibleVersion => "incompatible p2p protocol version",
            Self::NullIdentity => "null node identity",
            Self::ClientQuitting => "client quitting",
            Self::UnexpectedIdentity => "unexpected identity",
            Self::SelfConnection => "connected to self",
            Self::PingTimeout => "ping timeout",
            Self::SubprotocolError => "subprotocol error",
            Self::Unknown(code) => return write!(f, "unknown reason 0x{code:02x}"),
        })
    }
}
