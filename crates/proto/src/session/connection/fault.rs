//! Why a connection ended, whose fault it was, and what the peer is told.

use core::time::Duration;

use chainmesh_wire::DecodeError;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};

use crate::module::ModuleError;
use crate::session::SessionError;
use crate::session::tls::TlsError;

/// Whose fault the end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer broke a rule, or left.
    Peer,
    /// This node wanted it.
    Us,
    /// The network between.
    Network,
}

/// A rule of the base protocol that the peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolFault {
    /// The first message was not Hello.
    #[error("the first message has code 0x{0:02x}, Hello (0x00) was expected")]
    NoHello(u64),
    /// Hello came a second time.
    #[error("a second Hello")]
    SecondHello,
    /// Hello cannot be read.
    #[error("Hello is malformed: {0}")]
    Hello(DecodeError),
    /// Disconnect cannot be read.
    #[error("Disconnect is malformed: {0}")]
    Disconnect(DecodeError),
    /// Base protocol older than version 4.
    #[error("the peer speaks version {0} of the base protocol, this node speaks 4 and 5")]
    Version(u64),
    /// The ID in Hello is not the key that the handshake proved.
    #[error("the node ID in Hello is not the one that the handshake proved")]
    Identity,
    /// Nothing in common.
    #[error("no capability in common")]
    Useless,
    /// A module that this node cannot do without is missing.
    #[error("the peer does not speak {0}, which this node requires")]
    MissingModule(Capability),
    /// A code of nobody.
    #[error("message code 0x{0:02x} belongs to no capability that was agreed on")]
    UnknownCode(u64),
    /// A message of the base protocol is too large.
    #[error("a message of the base protocol has {0} bytes, at most 2048 are allowed")]
    BaseTooLarge(usize),
}

impl ProtocolFault {
    const fn wire_reason(self) -> DisconnectReason {
        match self {
            Self::Version(_) => DisconnectReason::IncompatibleVersion,
            Self::Identity => DisconnectReason::UnexpectedIdentity,
            Self::Useless | Self::MissingModule(_) => DisconnectReason::UselessPeer,
            _ => DisconnectReason::BreachOfProtocol,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum CloseCause {
    /// This node wanted it.
    #[error("closed by this node: {0}")]
    Local(DisconnectReason),
    /// The peer said goodbye.
    #[error("closed by the peer: {0}")]
    Remote(DisconnectReason),
    /// The session broke.
    #[error("{0}")]
    Session(SessionError),
    /// A rule of the base protocol was broken.
    #[error("{0}")]
    Protocol(#[from] ProtocolFault),
    /// A module ended it.
    #[error("{capability}: {error}")]
    Module {
        /// Which module.
        capability: Capability,
        /// Its reason.
        error: ModuleError,
    },
    /// Handshake, Hello and module handshakes took too long.
    #[error("the handshake was not done within 5 s")]
    HandshakeTimeout,
    /// Nothing came for long.
    #[error("nothing came from the peer for {} s", .0.as_secs())]
    IdleTimeout(Duration),
    /// The peer does not read.
    #[error("the peer does not read what it is sent: its queue ran over")]
    SlowReader,
    /// The network closed it; the kind of error if there was one.
    #[error("{}", network_words(*.0))]
    Network(Option<std::io::ErrorKind>),
}

impl From<SessionError> for CloseCause {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Tls(error) if *error == TlsError::Closed => Self::Network(None),
            error => Self::Session(error),
        }
    }
}

fn network_words(error: Option<std::io::ErrorKind>) -> String {
    match error {
        None => "the peer closed the connection".into(),
        Some(kind) => format!("the connection failed: {kind}"),
    }
}

impl CloseCause {
    /// What the peer is told, or told us.
    #[must_use]
    pub const fn wire_reason(&self) -> DisconnectReason {
        match self {
            Self::Local(reason) | Self::Remote(reason) => *reason,
            Self::Session(_) => DisconnectReason::BreachOfProtocol,
            Self::Protocol(fault) => fault.wire_reason(),
            Self::Module { error, .. } => error.reason,
            Self::HandshakeTimeout | Self::IdleTimeout(_) => DisconnectReason::PingTimeout,
            Self::SlowReader => DisconnectReason::UselessPeer,
            Self::Network(_) => DisconnectReason::TcpError,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Local(_) => Blame::Us,
            Self::Network(_) => Blame::Network,
            _ => Blame::Peer,
        }
    }

    /// Whether the session broke before the peer proved who it is: its ID is not to blame.
    #[must_use]
    pub const fn is_handshake(&self) -> bool {
        matches!(self, Self::Session(SessionError::Handshake(_)))
            || matches!(self, Self::Session(SessionError::Tls(error))
                if matches!(**error, TlsError::Handshake(_)))
    }
}
