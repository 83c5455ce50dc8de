//! The messages by which gateways keep their sessions, statuses and routes; all others are for the
//! modules above.

use bytes::Bytes;

use super::{MeshError, NodeStatus, Packet, PacketType, ProtocolInfo, RouterTable};

/// A message between gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Sign of life, every 5 s.
    Heartbeat,
    /// The versions a node speaks, once at the start.
    Handshake(ProtocolInfo),
    /// Number of the sender's node status, every second.
    SyncNodeSeq(u32),
    /// Asks for the node status.
    RequestNodeStatus,
    /// The node status.
    ResponseNodeStatus(NodeStatus),
    /// Number of the sender's router table, every 3 s to neighbours.
    RouterTableSyncSeq(u32),
    /// Asks for the router table.
    RouterTableRequest,
    /// The router table.
    RouterTableResponse(RouterTable),
}

impl Message {
    /// The type of its packet.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Heartbeat => PacketType::Heartbeat,
            Self::Handshake(_) => PacketType::Handshake,
            Self::SyncNodeSeq(_) => PacketType::SyncNodeSeq,
            Self::RequestNodeStatus => PacketType::RequestNodeStatus,
            Self::ResponseNodeStatus(_) => PacketType::ResponseNodeStatus,
            Self::RouterTableSyncSeq(_) => PacketType::RouterTableSyncSeq,
            Self::RouterTableRequest => PacketType::RouterTableRequest,
            Self::RouterTableResponse(_) => PacketType::RouterTableResponse,
        }
    }

    /// The payload of its packet.
    #[must_use]
    pub fn encode_payload(&self) -> Bytes {
        match self {
            Self::Heartbeat | Self::RequestNodeStatus | Self::RouterTableRequest => Bytes::new(),
            Self::Handshake(info) => info.encode(),
            Self::SyncNodeSeq(seq) | Self::RouterTableSyncSeq(seq) => {
                Bytes::copy_from_slice(&seq.to_be_bytes())
            }
            Self::ResponseNodeStatus(status) => status.encode(),
            Self::RouterTableResponse(table) => table.encode(),
        }
    }

    /// Reads the message of a packet; `None` when its type is for a module above, an answer, or not
    /// known. The payload must be unpacked ([`Packet::unpack`]).
    ///
    /// Payloads of messages that have none are not looked at, as in FISCO; after the number of a
    /// SyncSeq more bytes may come.
    ///
    /// # Errors
    /// When the payload is not what the type says.
    pub fn decode(packet: &Packet) -> Result<Option<Self>, MeshError> {
        let payload = || packet.payload.clone();
        Ok(Some(match packet.packet_type {
            PacketType::Heartbeat => Self::Heartbeat,
            PacketType::Handshake => Self::Handshake(ProtocolInfo::decode(payload())?),
            PacketType::SyncNodeSeq => Self::SyncNodeSeq(seq(packet)?),
            PacketType::RequestNodeStatus => Self::RequestNodeStatus,
            PacketType::ResponseNodeStatus => {
                Self::ResponseNodeStatus(NodeStatus::decode(payload())?)
            }
            PacketType::RouterTableSyncSeq => Self::RouterTableSyncSeq(seq(packet)?),
            PacketType::RouterTableRequest => Self::RouterTableRequest,
            PacketType::RouterTableResponse => {
                Self::RouterTableResponse(RouterTable::decode(payload())?)
            }
            _ => return Ok(None),
        }))
    }
}

fn seq(packet: &Packet) -> Result<u32, MeshError> {
    let bytes = packet.payload.first_chunk().ok_or(MeshError::Truncated("status number"))?;
    Ok(u32::from_be_bytes(*bytes))
}
