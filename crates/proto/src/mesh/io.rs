//! What a driver tells the mesh, and what it is told.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_wire::amop::AmopError;
use chainmesh_wire::devp2p::DisconnectReason;
use chainmesh_wire::mesh::{ErrorCode, MeshError, ModuleId, NegotiationError, NodeType};

use super::{AmopEvent, AmopSend, Limits};
use crate::module::PeerKind;
use crate::session::Class;

/// Names a session with a neighbour; the driver counts them and never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Names a message of ours: a random UUID (version 4). On the wire it is the 36 characters of its
/// text, as FISCO's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) u128);

impl MessageId {
    /// The id with these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads the text of an id, 36 characters, as it travels.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let dashes = [8, 13, 18, 23];
        let mut id = 0;
        for (at, byte) in text.iter().enumerate() {
            match dashes.contains(&at) {
                true if *byte == b'-' => {}
                true => return None,
                false => id = id << 4 | u128::from(char::from(*byte).to_digit(16)?),
            }
        }
        (text.len() == 36).then_some(Self(id))
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        let [b, c, d] = [80, 64, 48].map(|shift| id >> shift & 0xffff);
        let a = id >> 96;
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", id & 0xffff_ffff_ffff)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A message for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unicast {
    /// The front node: for our own nodes their ID.
    pub to: PeerId,
    /// The group in which it is.
    pub group: Bytes,
    /// The module it is for.
    pub module: ModuleId,
    /// What it says; shared, not copied.
    pub payload: Bytes,
    /// How long to wait for the application's reply once the message is acknowledged; `None` when
    /// the acknowledgement is enough.
    pub reply_within: Option<Duration>,
}

/// A message for all members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// The group.
    pub group: Bytes,
    /// The module it is for.
    pub module: ModuleId,
    /// What it says; encoded once for all receivers.
    pub payload: Bytes,
}

/// A message for every node that follows a topic, without acknowledgements (as AMOP has it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multicast {
    /// The topic.
    pub topic: String,
    /// What it says; shared, not copied.
    pub payload: Bytes,
}

/// Where the reply to a delivered unicast goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The gateway the message came from.
    pub(super) gateway: chainmesh_identity::certificate::ShortId,
    /// The front node it came from, raw.
    pub(super) front: Bytes,
    pub(super) group: Bytes,
    pub(super) module: ModuleId,
    pub(super) uuid: Bytes,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A session with a neighbour has begun; frames may be sent.
    Opened {
        /// The session.
        session: SessionId,
        /// Who is at the other end.
        peer: CertificateIdentity,
        /// What sort of node it is.
        kind: PeerKind,
    },
    /// A session is over. Nothing comes from it any more.
    Closed {
        /// The session.
        session: SessionId,
    },
    /// A whole packet came, header included.
    Frame {
        /// The session it came from.
        session: SessionId,
        /// The packet.
        frame: Bytes,
    },
    /// A packet of [`Output::Transmit`] found no room in the session's queue.
    Refused {
        /// The session.
        session: SessionId,
        /// The message it carried, as the output said.
        message: Option<MessageId>,
    },
    /// Send a message to one node. The end is told as [`Output::Settled`].
    Unicast {
        /// From [`Mesh::next_id`](super::Mesh::next_id).
        id: MessageId,
        /// The message.
        message: Unicast,
    },
    /// Send a message to all members of a group. The end is told as [`Output::Settled`].
    Broadcast {
        /// From [`Mesh::next_id`](super::Mesh::next_id).
        id: MessageId,
        /// The message.
        message: Broadcast,
    },
    /// Send a message to all who follow a topic. The end is told as [`Output::Settled`], at once.
    Multicast {
        /// From [`Mesh::next_id`](super::Mesh::next_id).
        id: MessageId,
        /// The message.
        message: Multicast,
    },
    /// Reply to a delivered unicast.
    Reply {
        /// From the [`Delivery`].
        to: ReplyTo,
        /// What it says; shared, not copied.
        payload: Bytes,
    },
    /// Follow a topic.
    Subscribe(String),
    /// Follow a topic no longer.
    Unsubscribe(String),
    /// The broker of AMOP has something to be sent.
    Amop(AmopSend),
    /// Our own role or height is another now.
    Local {
        /// What this node is in its groups.
        role: NodeType,
        /// The highest block it has.
        height: u64,
    },
    /// Other limits hold from now on.
    SetLimits(Limits),
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a packet: the head, then the payload, which other packets may share.
    Transmit {
        /// The session.
        session: SessionId,
        /// Which goes first, and what happens when the queue is full.
        class: Class,
        /// The header.
        head: Box<[u8]>,
        /// What is behind it.
        payload: Bytes,
        /// The message of ours that it carries: to be given back with [`Input::Refused`].
        message: Option<MessageId>,
    },
    /// End a session. [`Input::Closed`] follows all the same.
    Close {
        /// The session.
        session: SessionId,
        /// Why.
        fault: MeshFault,
    },
    /// A message for this node.
    Deliver(Delivery),
    /// A message of ours came to its end.
    Settled(Settled),
    /// Something for the broker of AMOP.
    Amop(AmopEvent),
    /// Something to be told.
    Event(MeshEvent),
}

/// A message for this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The gateway it came from; the neighbour itself where the packet does not say.
    pub gateway: PeerId,
    /// The front node it came from, raw: 64 bytes, the ID of a node of our own. Empty for a
    /// multicast. As the peer wrote it: nothing proves it but the gateway's good faith.
    pub source: Bytes,
    /// How it was sent.
    pub cast: Cast,
    /// The group, as the peer wrote it (escape it before it is shown); empty for a multicast.
    pub group: Bytes,
    /// The module it is for; AMOP for a multicast.
    pub module: ModuleId,
    /// Its id: the 36 characters of a UUID, or whatever the sender wrote; may be empty.
    pub uuid: Bytes,
    /// What it says.
    pub payload: Bytes,
}

impl Delivery {
    /// The source as an ID, if it has the length of one.
    #[must_use]
    pub fn source_id(&self) -> Option<PeerId> {
        PeerId::from_slice(&self.source).ok()
    }
}

/// How a message was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cast {
    /// To this node alone.
    Unicast {
        /// Where a reply goes, if the application has one.
        reply: ReplyTo,
    },
    /// To all members of the group.
    Broadcast,
    /// To all who follow the topic.
    Multicast {
        /// The topic, as the peer wrote it: escape it before it is shown.
        topic: Bytes,
    },
}

/// A message of ours came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The message.
    pub id: MessageId,
    /// Copies of it that this node put on the wire, repetitions included.
    pub copies: u32,
    /// How it ended.
    pub result: Result<Outcome, SendFailure>,
}

/// How a message ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A unicast was acknowledged, and no reply was asked for.
    Delivered {
        /// The gateway that took it.
        gateway: PeerId,
    },
    /// The application replied to a unicast.
    Replied {
        /// The gateway that took it.
        gateway: PeerId,
        /// What it says.
        payload: Bytes,
    },
    /// A broadcast or multicast was sent.
    Sent {
        /// Members it was sent to. None is no error.
        members: u32,
        /// Members that confirmed it. FISCO's nodes never confirm a broadcast, and no node a
        /// multicast.
        confirmed: u32,
    },
}

/// Why a message of ours was not delivered, or not that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// No member that can be reached has this node in this group, and none ever said so.
    #[error("no member of the mesh has announced this node in this group")]
    UnknownNode,
    /// The node is known, but there is no way to it now.
    #[error("there is no way to this node now: its links or those of the relays are down")]
    NotReachable,
    /// The gateway says that it has no such front node (1002).
    #[error("the gateway that announced this node says that it has no such front node (1002)")]
    NoSuchFrontNode,
    /// Above the limits, here or there (1005).
    #[error("above the rate limit {0} (1005)")]
    OverLimit(Where),
    /// No gateway acknowledged it in time. It may have arrived all the same.
    #[error("no acknowledgement in {} s; the message may have arrived all the same", ACK_SECONDS)]
    TimedOut,
    /// It was acknowledged, but the application did not reply in time.
    #[error("the message arrived, but the application did not reply in time")]
    NoReply,
    /// The gateway refused it with another code.
    #[error("the gateway refused it: {0}")]
    Refused(ErrorCode),
    /// The packet would be larger than a packet may be.
    #[error("the message is too large: {size} bytes in all, a packet has at most {limit}")]
    TooLarge {
        /// Bytes of the packet.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Group or topic cannot be written.
    #[error("the group or the topic is longer than 65,535 bytes")]
    TooLong,
    /// The session on the way does not keep up.
    #[error("the neighbour on the way does not read as fast as we send")]
    QueueFull,
    /// Too many messages of ours wait for an acknowledgement.
    #[error("too many messages wait for an acknowledgement: send later")]
    Busy,
}

const ACK_SECONDS: u64 = super::config::ACK_TIMEOUT.as_secs();

/// Which side's limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// This node's own.
    Here,
    /// That of the receiver, or of a relay.
    There,
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "of this node",
            Self::There => "of the receiver or a relay",
        })
    }
}

/// Why the mesh ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MeshFault {
    /// The peer sent something that is no packet or message.
    #[error(transparent)]
    Packet(#[from] MeshError),
    /// The peer sent something that is no AMOP message.
    #[error("AMOP: {0}")]
    Amop(#[from] AmopError),
    /// No version in common. Nobody is to blame.
    #[error(transparent)]
    Version(#[from] NegotiationError),
    /// A table or status above what is accepted.
    #[error("{what}: {size} bytes or items, at most {limit} are accepted")]
    TooLarge {
        /// Which message.
        what: &'static str,
        /// What came.
        size: usize,
        /// What is accepted.
        limit: usize,
    },
    /// A node ID that is neither a long nor a short one.
    #[error("a node ID of {0} bytes is neither a long nor a short one")]
    NodeId(usize),
    /// The peer is this node itself.
    #[error("the peer is this node itself")]
    Itself,
}

impl MeshFault {
    /// What the peer is told, where the session has words for it.
    #[must_use]
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            Self::Version(_) => DisconnectReason::IncompatibleVersion,
            Self::Itself => DisconnectReason::SelfConnection,
            _ => DisconnectReason::SubprotocolError,
        }
    }

    /// Whether the peer broke a rule.
    #[must_use]
    pub const fn blames_peer(&self) -> bool {
        !matches!(self, Self::Version(_) | Self::Itself)
    }
}

/// Something that whoever watches the mesh wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeshEvent {
    /// A member can be reached.
    Reached {
        /// Who.
        member: PeerId,
        /// Over how many links.
        distance: u32,
    },
    /// A member cannot be reached any more.
    Lost {
        /// Who.
        member: PeerId,
    },
    /// The way to a member is another now.
    Rerouted {
        /// Who.
        member: PeerId,
        /// The neighbour on the way.
        next_hop: PeerId,
        /// Over how many links.
        distance: u32,
    },
    /// A member's status was taken.
    Status {
        /// Who.
        member: PeerId,
        /// Its number.
        seq: u32,
    },
    /// A member's topics were taken.
    Topics {
        /// Who.
        member: PeerId,
        /// How many it follows.
        topics: usize,
    },
    /// A neighbour and this node agreed on a version.
    Negotiated {
        /// Who.
        neighbour: PeerId,
        /// The version, 0 to 3.
        version: u16,
    },
}
