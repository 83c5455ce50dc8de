//! What goes into a [`Discovery`](super::Discovery) and what comes out of it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use alloy_primitives::Bytes as Raw;
use bytes::Bytes;
use chainmesh_identity::{NodeRecord, PeerId};
use chainmesh_wire::discv4::Contact;

/// The name of a lookup, never used twice by one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// The name of a Ping that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PingId(pub u64);

/// The name of a question to one node, never used twice by one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub u64);

/// What one node is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whom it knows that is near a target: a public key, which need not be anybody's.
    Neighbors {
        /// Near whom.
        target: PeerId,
    },
    /// Its record.
    Record,
}

/// What one node said, as it said it: nothing of it is proved but that the node said it. Whoever goes
/// on with the contacts looks at [`may_relay`](super::may_relay) first.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// At most a bucket full of nodes.
    Neighbors(Vec<Contact>),
    /// Its record, signed by its own key.
    Record(Box<NodeRecord>),
}

/// What happened, or is wanted.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// The whole datagram.
        bytes: Bytes,
    },
    /// What time it is: expirations are in Unix time.
    WallClock {
        /// Time since 1970.
        unix: Duration,
    },
    /// A node that may be there, of an address book or told by a peer: it is pinged, and counts only
    /// when it answers.
    AddNode {
        /// Who and where.
        contact: Contact,
    },
    /// The boot nodes, in place of those before: their names were looked up again.
    SetBootNodes {
        /// Who and where.
        contacts: Vec<Contact>,
    },
    /// Entries of the own record, in place of those before.
    SetRecordEntries {
        /// Each a key and the RLP of its value.
        entries: Vec<(String, Raw)>,
    },
    /// The address and ports under which others reach this node have become known, by a gateway for
    /// example. From now on they are said, whatever others see.
    SetAddress {
        /// The address.
        ip: IpAddr,
        /// The UDP port there.
        udp_port: u16,
        /// The TCP port there; 0 when the node does not listen.
        tcp_port: u16,
    },
    /// A session has shown that a node is not of our network, whatever its record says: it leaves the
    /// table, so others are not told of it. A newer record of it is judged anew.
    NotOurs {
        /// Who.
        id: PeerId,
    },
    /// The nodes closest to a target are wanted.
    Lookup {
        /// Name from [`next_lookup`](super::Discovery::next_lookup).
        lookup: LookupId,
        /// A public key; it need not be anybody's.
        target: PeerId,
    },
    /// A node proved to another protocol of discovery on the same socket who it is and where.
    Proven {
        /// Who and where. Its TCP port is that of its record.
        contact: Contact,
        /// Its record.
        record: Box<NodeRecord>,
    },
    /// A node said, in another protocol of discovery on the same socket, where it sees this one.
    SeenAt {
        /// Where that node is.
        by: SocketAddr,
        /// Who it is.
        id: PeerId,
        /// Where it sees this one.
        seen: SocketAddr,
    },
    /// Somebody wants to know whether a node is there.
    Ping {
        /// Name from [`next_ping`](super::Discovery::next_ping).
        ping: PingId,
        /// Who and where.
        contact: Contact,
    },
    /// Somebody has a question for one node. It proves itself first, if it has not, and so do we.
    Query {
        /// Name from [`next_question`](super::Discovery::next_question).
        query: QuestionId,
        /// Who and where.
        contact: Contact,
        /// What.
        question: Question,
    },
}

/// The protocols of discovery. They share socket, key, and record, but neither believes the other: who
/// wants to be found by both proves himself to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// The one that [`Discovery`](super::Discovery) speaks.
    Discv4,
    /// Node Discovery v5.1, which the driver brings.
    Discv5,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a datagram. If it cannot be sent it is lost, as on the way.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The whole datagram.
        bytes: Bytes,
    },
    /// Something that observers may want to know.
    Event(DiscoveryEvent),
}

/// What became known.
#[derive(Debug, Clone, PartialEq)]
pub enum DiscoveryEvent {
    /// A node of our network is there: it proved who and where it is. Said again when its record
    /// changes.
    Found {
        /// Who and where. Its TCP port is that of its record, if it has one.
        contact: Contact,
        /// Its record.
        record: Option<Box<NodeRecord>>,
        /// By which protocol it was found.
        protocol: Protocol,
    },
    /// The record of a boot node came.
    BootRecord {
        /// Its record.
        record: Box<NodeRecord>,
    },
    /// A lookup is over.
    LookupDone {
        /// Which.
        lookup: LookupId,
        /// Those that answered, closest first, at most a bucket full.
        nodes: Vec<Contact>,
        /// Over how many others the farthest of them was found.
        hops: u32,
        /// Nodes that were asked.
        asked: u32,
    },
    /// A Ping that somebody asked for is over.
    PingDone {
        /// Which.
        ping: PingId,
        /// How long the answer took; `None` when none came.
        rtt: Option<Duration>,
    },
    /// A question to one node is over.
    QueryDone {
        /// Which.
        query: QuestionId,
        /// What it said; `None` when it did not, or when too many questions are under way.
        answer: Option<Answer>,
    },
    /// Enough others see this node there; its record says so now.
    EndpointChanged {
        /// Where.
        endpoint: SocketAddr,
        /// Sequence number of the new record.
        sequence: u64,
    },
    /// Enough others see this node elsewhere than it was told to say. Said once for each address.
    SeenElsewhere {
        /// What the record says.
        advertised: SocketAddr,
        /// Where others see it.
        observed: SocketAddr,
    },
}

/// Why a datagram was dropped without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// Too many of this address, or of all that proved nothing.
    RateLimited,
    /// Too short or too long.
    Size,
    /// No discv4, or changed on its way.
    Hash,
    /// A type that is not known.
    Type,
    /// Its data is not what its type says.
    Malformed,
    /// Nobody could have made its signature.
    Signature,
    /// An address that nobody can have.
    Address,
    /// From this node itself.
    Own,
    /// Too old, or from somebody whose clock is wrong.
    Expired,
    /// A question from somebody who has not proved where he is.
    Unproven,
    /// An answer that nobody asked for.
    Unsolicited,
}
