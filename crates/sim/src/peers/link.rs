//! A connection as the managers at its ends feel it: who said what, and how long that took.

use core::net::SocketAddr;
use core::time::Duration;

use chainmesh_identity::PeerId;
use chainmesh_proto::peers::ConnectionId;
use chainmesh_wire::devp2p::DisconnectReason;

use super::stub::StubIndex;
use crate::network::NodeIndex;

/// The name of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId(pub(super) u64);

/// Who is at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Node(NodeIndex),
    Stub(StubIndex),
}

/// One of the two ends; number 0 dialled.
#[derive(Debug)]
pub(super) struct End {
    pub(super) party: Party,
    /// What a node's manager calls it.
    pub(super) conn: Option<ConnectionId>,
    /// Whether anybody holds it.
    pub(super) open: bool,
    /// Where the other end says that it listens.
    pub(super) peer_port: u16,
}

impl End {
    pub(super) const fn new(party: Party, conn: Option<ConnectionId>, open: bool) -> Self {
        Self { party, conn, open, peer_port: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// Where it was dialled.
    pub(super) address: SocketAddr,
    /// Time of each way; the same for all that is said, so that nothing overtakes.
    pub(super) delay: Duration,
    /// Whether both ends have a session.
    pub(super) established: bool,
}

/// What goes over a link, in the order of RLPx: the acceptor knows who is there only with the first
/// frame, and its own Hello carries its Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// TCP.
    Connect,
    /// TCP.
    Accepted,
    /// The dialler's half of the handshake.
    Auth,
    /// The acceptor's half: this is who it is.
    Ack(PeerId),
    /// The dialler's Hello: who it is, and where it listens.
    Hello(PeerId, u16),
    /// The acceptor's Hello and Status, and where it listens.
    Welcome(u16),
    /// The dialler's Status.
    Status,
    /// A Ping, since the manager doubts.
    Probe,
    /// Its answer.
    Alive,
    /// A Disconnect message.
    Goodbye(DisconnectReason),
    /// TCP: nobody holds this connection.
    Reset,
    /// Nothing has come for so long that the other end is given up.
    Silence,
}
