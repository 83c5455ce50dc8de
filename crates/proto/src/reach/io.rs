//! What goes into a [`Reach`](super::Reach) and what comes out of it.

use core::net::SocketAddr;

use chainmesh_identity::PeerId;
use chainmesh_wire::reach::{Message, Outcome};

use super::Verdict;

/// The name of a session, given by the driver and never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The name of a dial for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A session with a peer that has the module.
    PeerUp {
        /// Its name.
        session: SessionId,
        /// Who.
        id: PeerId,
        /// The other end of the TCP connection.
        address: SocketAddr,
        /// Whether this node dialled.
        dialled: bool,
    },
    /// The session is over.
    PeerDown {
        /// Which.
        session: SessionId,
    },
    /// A message came.
    Message {
        /// On which session.
        session: SessionId,
        /// What it says.
        message: Message,
    },
    /// A dial is over.
    Dialled {
        /// Which.
        dial: DialId,
        /// What came of it.
        outcome: Outcome,
    },
    /// Others see this node at another address than before: it is to be found out again.
    Moved,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send a message; if the session is over it is lost.
    Send {
        /// On which session.
        session: SessionId,
        /// What.
        message: Message,
    },
    /// Dial, shake hands with this identity and no other, close, and tell with [`Input::Dialled`].
    Dial {
        /// Its name.
        dial: DialId,
        /// Where.
        address: SocketAddr,
        /// Who must answer.
        id: PeerId,
    },
    /// Something else is known than before; said once, not in each round.
    Verdict(Verdict),
}
