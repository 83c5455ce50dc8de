//! A secure session with one peer: bytes from the network in, messages out, and back.
//!
//! There are two kinds, and nothing above knows which one it is on: [`rlpx`] for the open chain,
//! and the clear session of the simulator and of tests. [`Handshake`] becomes a [`Session`] by
//! being consumed; [`connection::Connection`] drives both and everything on top of them.

mod clear;
pub mod connection;
mod link;
pub mod rlpx;
mod snappy;
#[cfg(test)]
pub(crate) mod testing;

use bytes::{Bytes, BytesMut};
use chainmesh_identity::{NodeKey, PeerId};

pub use clear::ClearSession;
pub use link::{Class, Link, MAX_HOLDS, MAX_QUEUED, ReadHold, SendError, Traffic};
pub use snappy::{MAX_UNPACKED, SnappyError};

use rlpx::{FrameError, HandshakeError, Initiator, Recipient, RlpxSession, Step};

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
    /// No secrecy and no proof of identity: for the simulator and tests only.
    Clear,
}

/// Why a session cannot go on. In every case the peer (or somebody between) is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The handshake failed.
    #[error("handshake failed: {0}")]
    Handshake(#[from] HandshakeError),
    /// A frame is damaged, forged or too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
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
    /// When `remote` is no public key.
    pub fn dial(
        kind: SessionKind,
        key: &NodeKey,
        remote: PeerId,
        seed: [u8; 32],
        out: &mut BytesMut,
    ) -> Result<Self, SessionError> {
        match kind {
            SessionKind::Rlpx => {
                let initiator = Initiator::new(key, remote, seed)?;
                out.extend_from_slice(initiator.auth());
                Ok(Self::RlpxInitiator(Box::new(initiator)))
            }
            SessionKind::Clear => {
                clear::introduce(&key.peer_id(), out);
                Ok(Self::Clear)
            }
        }
    }

    /// Waits for a session that somebody else begins.
    #[must_use]
    pub fn accept(kind: SessionKind, key: &NodeKey, seed: [u8; 32], out: &mut BytesMut) -> Self {
        match kind {
            SessionKind::Rlpx => Self::RlpxRecipient(Recipient::new(seed)),
            SessionKind::Clear => {
                clear::introduce(&key.peer_id(), out);
                Self::Clear
            }
        }
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
            Self::Clear(_) => {}
        }
    }

    /// Appends a message to `out`. The payload is at most [`MAX_PAYLOAD`] long.
    pub fn write(&mut self, code: u64, payload: &[u8], out: &mut BytesMut) {
        match self {
            Self::Rlpx(session) => session.write(code, payload, out),
            Self::Clear(_) => ClearSession::write(code, payload, out),
        }
    }

    /// The same for a payload that begins with `head`.
    pub(crate) fn write_parts(
        &mut self,
        code: u64,
        head: Option<&[u8]>,
        payload: &[u8],
        out: &mut BytesMut,
    ) {
        match head {
            None => self.write(code, payload, out),
            Some(head) => self.write(code, &[head, payload].concat(), out),
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
            Self::Clear(_) => Ok(!input.is_empty()),
        }
    }

    /// How many bytes the next read from the network should have room for, where `step` is what
    /// is usual and `buffered` what is in the buffer.
    #[must_use]
    pub fn wanted(&self, buffered: usize, step: usize) -> usize {
        match self {
            Self::Rlpx(session) => session.wanted(buffered, step),
            Self::Clear(_) => step,
        }
    }

    /// Gives back the memory that only a busy session needs.
    pub fn rest(&mut self) {
        match self {
            Self::Rlpx(session) => session.rest(),
            Self::Clear(_) => {}
        }
    }
}
