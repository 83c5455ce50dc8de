//! What a driver tells peer exchange, and what it is told.

use core::net::IpAddr;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_wire::DecodeError;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::discv4::Contact;

/// Names a session; the driver counts them and never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A peer has the module, too.
    Opened {
        /// From now on.
        session: SessionId,
        /// Who.
        peer: PeerId,
        /// The other end of the connection.
        address: IpAddr,
        /// Whether we dialled it.
        dialled: bool,
    },
    /// A peer is one of ours: other modules have nothing against it. Before, it is neither asked nor
    /// answered.
    Ready {
        /// Who.
        peer: PeerId,
    },
    /// The session is over.
    Closed {
        /// Which.
        session: SessionId,
    },
    /// A message of the module came.
    Message {
        /// From whom.
        session: SessionId,
        /// Its code.
        code: u32,
        /// Its payload.
        payload: Bytes,
    },
    /// How many more nodes it would be good to know; zero: nobody is asked.
    Need {
        /// Nodes.
        nodes: usize,
    },
    /// The sample that [`Output::Sample`] wanted.
    Sampled {
        /// For whom.
        session: SessionId,
        /// The nodes, the first of which are told.
        nodes: Vec<Contact>,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        session: SessionId,
        /// Its code.
        code: u32,
        /// Its payload.
        payload: Bytes,
    },
    /// Draw a [sample](crate::peers::book::AddressBook::sample) of the book and give it back with
    /// [`Input::Sampled`].
    Sample {
        /// For whom.
        session: SessionId,
        /// Where they are.
        asker: IpAddr,
    },
    /// A peer told of nodes: hearsay.
    Learned {
        /// Who told.
        teller: PeerId,
        /// Where it is.
        from: IpAddr,
        /// The nodes. None of them is the teller or this node.
        nodes: Vec<Contact>,
    },
    /// End the session.
    Close {
        /// Which.
        session: SessionId,
        /// What for.
        fault: PexFault,
    },
}

/// How a peer broke the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PexFault {
    /// It sent what is no message.
    #[error("peer exchange: {0}")]
    Malformed(#[from] DecodeError),
    /// It asks again and again, too soon.
    #[error("peer exchange: the peer asked {0} times too soon")]
    TooSoon(u32),
    /// It tells what it was not asked for, again and again.
    #[error("peer exchange: the peer sent {0} answers that nobody had asked for")]
    Unasked(u32),
}

impl PexFault {
    /// What the peer is told.
    #[must_use]
    pub const fn reason(&self) -> DisconnectReason {
        DisconnectReason::SubprotocolError
    }
}

/// Why something that was told was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// The answer was not asked for.
    Unasked,
    /// The answer came after its time.
    Late,
    /// It is this node.
    Own,
    /// It is the teller itself: its address is known better from the session.
    Teller,
    /// It was in the answer already.
    Repeated,
    /// Nobody can be reached at the address, or it is one of a local network that the teller is not in.
    Address,
    /// It has no TCP port.
    NoPort,
    /// There were enough of its /24.
    Crowded,
    /// Tellers of this network have told enough for this hour or day.
    Quota,
}

impl Ignored {
    /// One word for people and for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Late => "late",
            Self::Own => "own",
            Self::Teller => "teller",
            Self::Repeated => "repeated",
            Self::Address => "address",
            Self::NoPort => "no-port",
            Self::Crowded => "crowded",
            Self::Quota => "quota",
        }
    }
}
