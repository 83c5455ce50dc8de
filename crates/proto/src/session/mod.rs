//! A secure session with one peer: bytes from the network in, messages out, and back.
//!
//! There are three kinds, and nothing above knows which one it is on: [`rlpx`] for the open chain,
//! [`tls`] for the consortium, and the clear session of the simulator and of tests. [`Handshake`] becomes a [`Session`] by
//! being consumed; [`connection::Connection`] drives them and everything on top of them.

mod clear;
pub mod connection;
mod link;
pub mod rlpx;
mod snappy;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_identity::{NodeKey, PeerId};

pub use clear::ClearSession;
pub use link::{Class, Link, MAX_HOLDS, MAX_QUEUED, ReadHold, SendError, Traffic};
pub use snappy::{MAX_UNPACKED, SnappyError};

use crate::module::PeerKind;
use connection::LocalNode;
use link::Outgoing;
use rlpx::{FrameError, HandshakeError, Initiator, Recipient, RlpxSession, Step};
use tls::{PeerCertificate, TlsError, TlsHandshake, TlsSession};

/// Name of the module that packets of FISCO's belong to.
pub const MESH: &str = "mesh";

/// A message on its way: the code of the whole session (the base protocol's below 0x10) and the
/// payload, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Code in the session's numbering.
    pub code: u64,
    /// What it says.
    pub payload: Bytes,
}

/// Which kind of session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionKind {
    /// RLPx, as Ethereum nodes speak it.
    #[default]
    Rlpx,
    /// TLS with certificates of a common CA, as FISCO BCOS nodes speak it.
    Tls,
    /// No secrecy and no proof of identity: for the simulator and tests only.
    Clear,
}

/// Why a session cannot go on. In every case the peer (or somebody between) is to blame.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The handshake failed.
    #[error("handshake failed: {0}")]
    Handshake(#[from] HandshakeError),
    /// A frame is damaged, forged or too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// TLS failed, or what came through it is no packet.
    #[error("{0}")]
    Tls(Box<TlsError>),
    /// Whom to dial is not known, and this kind of session must know it.
    #[error("RLPx can only be spoken to a node whose ID is known")]
    NobodyExpected,
    /// A message cannot be unpacked.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// A message has no code.
    #[error("a message does not begin with a code")]
    BadCode,
    /// A clear message does not have its hash.
    #[error("the hash of a message is wrong")]
    BadHash,
    /// A clear message is too large.
    #[error("a message of {size} bytes was announced, at most {limit} are allowed here")]
    MessageTooLarge {
        /// Announced size, bytes.
        size: usize,
        /// What is allowed, bytes.
        limit: usize,
    },
}

/// A session that is being set up.
pub enum Handshake {
    /// RLPx, begun by us.
    RlpxInitiator(Box<Initiator>),
    /// RLPx, begun by the peer.
    RlpxRecipient(Recipient),
    /// TLS, in either direction.
    Tls(Box<TlsHandshake>),
    /// Clear, in either direction.
    Clear,
}

/// What a step of a handshake comes to.
pub enum Progress {
    /// More bytes are needed.
    Wait(Handshake),
    /// The session is open; the peer has the key of this ID.
    Done(Session, PeerId),
}

impl Handshake {
    /// Begins a session with `remote`, and appends the first bytes to `out`.
    ///
    /// # Errors
    /// When `remote` is no public key, or the kind of session needs more than it was given.
    pub fn dial(
        local: &LocalNode,
        remote: Option<PeerId>,
        seed: [u8; 32],
        out: &mut BytesMut,
    ) -> Result<Self, SessionError> {
        match local.kind {
            SessionKind::Rlpx => {
                let remote = remote.ok_or(SessionError::NobodyExpected)?;
                let initiator = Initiator::new(&local.key, remote, seed)?;
                out.extend_from_slice(initiator.auth());
                Ok(Self::RlpxInitiator(Box::new(initiator)))
            }
            SessionKind::Tls => {
                let tls = local.tls.as_ref().ok_or(TlsError::NoCertificate)?;
                Ok(Self::Tls(TlsHandshake::dial(tls)?))
            }
            SessionKind::Clear => {
                clear::introduce(&local.id(), out);
                Ok(Self::Clear)
            }
        }
    }

    /// Waits for a session that somebody else begins.
    ///
    /// # Errors
    /// When the kind of session needs more than it was given.
    pub fn accept(
        local: &LocalNode,
        seed: [u8; 32],
        out: &mut BytesMut,
    ) -> Result<Self, SessionError> {
        Ok(match local.kind {
            SessionKind::Rlpx => Self::RlpxRecipient(Recipient::new(seed)),
            SessionKind::Tls => {
                let tls = local.tls.as_ref().ok_or(TlsError::NoCertificate)?;
                Self::Tls(TlsHandshake::accept(tls))
            }
            SessionKind::Clear => {
                clear::introduce(&local.id(), out);
                Self::Clear
            }
        })
    }

    /// Takes what is there of `input`, and appends what is to be sent to `out`.
    ///
    /// # Errors
    /// See [`SessionError`]: the connection is to be closed without a word.
    pub fn advance(
        self,
        key: &NodeKey,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Progress, SessionError> {
        Ok(match self {
            Self::RlpxInitiator(initiator) => match rlpx::initiate(initiator, key, input)? {
                Step::Wait(initiator) => Progress::Wait(Self::RlpxInitiator(initiator)),
                Step::Done(session, peer) => Progress::Done(Session::Rlpx(session), peer),
            },
            Self::RlpxRecipient(recipient) => match rlpx::receive(recipient, key, input, out)? {
                Step::Wait(recipient) => Progress::Wait(Self::RlpxRecipient(recipient)),
                Step::Done(session, peer) => Progress::Done(Session::Rlpx(session), peer),
            },
            Self::Tls(handshake) => match handshake.advance(input, out)? {
                tls::Progress::Wait(handshake) => Progress::Wait(Self::Tls(handshake)),
                tls::Progress::Done(session) => {
                    let peer = session.identity().name();
                    Progress::Done(Session::Tls(session), peer)
                }
            },
            Self::Clear => match clear::introduced(input) {
                None => Progress::Wait(Self::Clear),
                Some(peer) => Progress::Done(Session::Clear(ClearSession), peer),
            },
        })
    }
}

/// An open session.
pub enum Session {
    /// RLPx.
    Rlpx(Box<RlpxSession>),
    /// TLS.
    Tls(Box<TlsSession>),
    /// Clear.
    Clear(ClearSession),
}

/// Largest payload that any kind of session carries, bytes.
pub const MAX_PAYLOAD: usize = rlpx::MAX_PAYLOAD;
const _: () = assert!(clear::MAX_PAYLOAD == MAX_PAYLOAD);

impl Session {
    /// From now on messages are packed, in both directions: both sides have seen that the other
    /// speaks version 5 of the base protocol.
    pub fn enable_packing(&mut self) {
        match self {
            Self::Rlpx(session) => session.enable_packing(),
            Self::Tls(_) | Self::Clear(_) => {}
        }
    }

    /// What sort of node is at the other end.
    #[must_use]
    pub fn peer_kind(&self) -> PeerKind {
        match self {
            Self::Tls(session) => session.kind(),
            Self::Rlpx(_) | Self::Clear(_) => PeerKind::Own,
        }
    }

    /// What the peer showed, where a session begins with certificates.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        match self {
            Self::Tls(session) => Some(session.certificate()),
            Self::Rlpx(_) | Self::Clear(_) => None,
        }
    }

    /// Who the peer is, where a session begins with certificates.
    #[must_use]
    pub fn identity(&self) -> Option<CertificateIdentity> {
        self.certificate().map(|certificate| certificate.identity.clone())
    }

    /// Whether the handshake has proved who is at both ends. RLPx's accepting side knows it only
    /// after the first frame.
    #[must_use]
    pub const fn is_proved(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The code that the codes of the module of this name are moved behind, if the session has a
    /// way of its own for its messages.
    #[must_use]
    pub fn offset_of(&self, module: &str) -> Option<u64> {
        (matches!(self, Self::Tls(_)) && module == MESH).then_some(tls::RAW_PACKET)
    }

    /// Appends a heartbeat that needs no answer, where the session has one.
    pub fn heartbeat(&mut self, out: &mut BytesMut) {
        if let Self::Tls(session) = self {
            session.heartbeat(out);
        }
    }

    /// Appends what says that nothing more will come, where the session has such a thing.
    pub fn close_notify(&mut self, out: &mut BytesMut) {
        if let Self::Tls(session) = self {
            session.close_notify(out);
        }
    }

    /// Appends a message to `out`. The payload is at most [`MAX_PAYLOAD`] long.
    pub fn write(&mut self, code: u64, payload: &[u8], out: &mut BytesMut) {
        self.write_parts(code, None, payload, out);
        self.flush(out);
    }

    /// Appends a message whose payload begins with `head`; [`Session::flush`] must follow, with the
    /// same `out`, before it is sent: small messages share a record.
    pub(crate) fn write_parts(
        &mut self,
        code: u64,
        head: Option<&[u8]>,
        payload: &[u8],
        out: &mut BytesMut,
    ) {
        let joined: Vec<u8>;
        let whole = match (head, &mut *self) {
            (_, Self::Tls(session)) => return session.write(code, head, payload, out),
            (None, _) => payload,
            (Some(head), _) => {
                joined = [head, payload].concat();
                &joined
            }
        };
        match self {
            Self::Rlpx(session) => session.write(code, whole, out),
            Self::Clear(_) => ClearSession::write(code, whole, out),
            Self::Tls(_) => {}
        }
    }

    /// Begins a large message that can be sent in pieces: its payload follows with
    /// [`Session::append`]. `false` if this kind of session seals messages whole.
    pub(in crate::session) fn begin(&mut self, message: &Outgoing, out: &mut BytesMut) -> bool {
        match self {
            Self::Tls(session) => {
                session.begin(message.code, message.head.as_deref(), &message.payload, out);
                true
            }
            Self::Rlpx(_) | Self::Clear(_) => false,
        }
    }

    /// Appends a piece of a message that was begun, from its first payload byte to its last.
    pub(crate) fn append(&mut self, piece: &[u8], out: &mut BytesMut) {
        if let Self::Tls(session) = self {
            session.append_payload(piece, out);
        }
    }

    /// What was written may be sent now.
    pub(crate) fn flush(&mut self, out: &mut BytesMut) {
        if let Self::Tls(session) = self {
            session.flush(out);
        }
    }

    /// Reads the next message from `input`, if it is there whole. Where it can be, the payload is
    /// a part of `input`'s own memory. `limit` is the largest frame that is allowed now.
    ///
    /// # Errors
    /// See [`SessionError`]; the session cannot go on.
    pub fn read(
        &mut self,
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Message>, SessionError> {
        match self {
            Self::Rlpx(session) => session.read(input, limit),
            Self::Tls(session) => session.read(input, limit),
            Self::Clear(_) => ClearSession::read(input, limit),
        }
    }

    /// Whether the peer has shown by the beginning of its first message that it has the keys of
    /// this session. (In a clear session nothing is proved: that it speaks at all must do.)
    ///
    /// # Errors
    /// [`HandshakeError::NotProved`] when the peer has no keys; see [`SessionError`].
    pub fn prove(&mut self, input: &mut BytesMut, limit: usize) -> Result<bool, SessionError> {
        match self {
            Self::Rlpx(session) => session.prove(input, limit),
            Self::Tls(_) => Ok(true),
            Self::Clear(_) => Ok(!input.is_empty()),
        }
    }

    /// How many bytes the next read from the network should have room for, where `step` is what
    /// is usual and `buffered` what is in the buffer.
    #[must_use]
    pub fn wanted(&self, buffered: usize, step: usize) -> usize {
        match self {
            Self::Rlpx(session) => session.wanted(buffered, step),
            Self::Tls(session) => session.wanted(buffered, step),
            Self::Clear(_) => step,
        }
    }

    /// Gives back the memory that only a busy session needs.
    pub fn rest(&mut self) {
        match self {
            Self::Rlpx(session) => session.rest(),
            Self::Tls(_) | Self::Clear(_) => {}
        }
    }
}
