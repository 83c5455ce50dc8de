//! What a packet is (`packetType`), and the bits beside it (`ext`).

use core::fmt;
use core::ops::BitOr;

/// Type of a packet (`GatewayMessageType` in FISCO's `GatewayTypeDef.h`; unchanged since 3.0.0).
/// Types that are not known are kept: a forwarder passes them on, a receiver ignores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PacketType {
    /// 0x0: an answer made by the general responder; its `seq` says to what.
    Response,
    /// 0x1: sign of life, always V0 with seq 0.
    Heartbeat,
    /// 0x2: the versions a node speaks.
    Handshake,
    /// 0x3: asks for the node status.
    RequestNodeStatus,
    /// 0x4: the node status. A packet of its own, without the response bit.
    ResponseNodeStatus,
    /// 0x5: a group message to one front node.
    PeerToPeerMessage,
    /// 0x6: a group message to all.
    BroadcastMessage,
    /// 0x7: AMOP between nodes.
    AmopMessage,
    /// 0x8: an SDK's answer, carried back as the WebSocket message it came in.
    WsMessage,
    /// 0x9: number of the node status.
    SyncNodeSeq,
    /// 0xa: number of the router table.
    RouterTableSyncSeq,
    /// 0xb: the router table. A packet of its own, without the response bit.
    RouterTableResponse,
    /// 0xc: asks for the router table.
    RouterTableRequest,
    /// 0xd: reserved; no FISCO node does anything with it.
    ForwardMessage,
    /// Any other number.
    Unknown(u16),
}

impl PacketType {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Response => 0x0,
            Self::Heartbeat => 0x1,
            Self::Handshake => 0x2,
            Self::RequestNodeStatus => 0x3,
            Self::ResponseNodeStatus => 0x4,
            Self::PeerToPeerMessage => 0x5,
            Self::BroadcastMessage => 0x6,
            Self::AmopMessage => 0x7,
            Self::WsMessage => 0x8,
            Self::SyncNodeSeq => 0x9,
            Self::RouterTableSyncSeq => 0xa,
            Self::RouterTableResponse => 0xb,
            Self::RouterTableRequest => 0xc,
            Self::ForwardMessage => 0xd,
            Self::Unknown(number) => number,
        }
    }

    /// The type with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            0x0 => Self::Response,
            0x1 => Self::Heartbeat,
            0x2 => Self::Handshake,
            0x3 => Self::RequestNodeStatus,
            0x4 => Self::ResponseNodeStatus,
            0x5 => Self::PeerToPeerMessage,
            0x6 => Self::BroadcastMessage,
            0x7 => Self::AmopMessage,
            0x8 => Self::WsMessage,
            0x9 => Self::SyncNodeSeq,
            0xa => Self::RouterTableSyncSeq,
            0xb => Self::RouterTableResponse,
            0xc => Self::RouterTableRequest,
            0xd => Self::ForwardMessage,
            other => Self::Unknown(other),
        }
    }

    /// FISCO's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Response => "Response",
            Self::Heartbeat => "Heartbeat",
            Self::Handshake => "Handshake",
            Self::RequestNodeStatus => "RequestNodeStatus",
            Self::ResponseNodeStatus => "ResponseNodeStatus",
            Self::PeerToPeerMessage => "PeerToPeerMessage",
            Self::BroadcastMessage => "BroadcastMessage",
            Self::AmopMessage => "AMOPMessageType",
            Self::WsMessage => "WSMessageType",
            Self::SyncNodeSeq => "SyncNodeSeq",
            Self::RouterTableSyncSeq => "RouterTableSyncSeq",
            Self::RouterTableResponse => "RouterTableResponse",
            Self::RouterTableRequest => "RouterTableRequest",
            Self::ForwardMessage => "ForwardMessage",
            Self::Unknown(_) => "unknown type",
        }
    }

    /// Whether the header ends with a [`GroupOptions`](super::GroupOptions) block.
    #[must_use]
    pub const fn has_options(self) -> bool {
        matches!(self, Self::PeerToPeerMessage | Self::BroadcastMessage)
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:x})", self.name(), self.number())
    }
}

/// The bits of the `ext` field (`MessageExtFieldFlag` in FISCO's `Protocol.h`). Bits that are not
/// known are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ext(pub u16);

impl Ext {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// The packet answers the request with the same seq.
    pub const RESPONSE: Self = Self(0x0001);
    /// A broadcast for consensus nodes.
    pub const CONSENSUS_NODE: Self = Self(0x0002);
    /// A broadcast for observers.
    pub const OBSERVER_NODE: Self = Self(0x0004);
    /// A broadcast for nodes outside the group.
    pub const FREE_NODE: Self = Self(0x0008);
    /// The payload is one zstd frame.
    pub const COMPRESS: Self = Self(0x0010);
    /// A broadcast for light nodes.
    pub const LIGHT_NODE: Self = Self(0x0020);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Ext {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
