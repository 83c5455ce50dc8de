//! Which protocol the first bytes inside TLS are.
//!
//! FISCO BCOS 3.x sends a Heartbeat and a Handshake as soon as the TLS handshake is done (`Service`,
//! `onConnect`), 2.x its topic seq (`P2PSession`, `start`); neither waits for us.

use bytes::BytesMut;
use chainmesh_wire::mesh::rc2::{ProtocolId, Rc2Reader};
use chainmesh_wire::mesh::{PacketReader, PacketType, ProtocolInfo};

/// Most bytes that are kept of what the peer says.
pub(super) const MAX_WORDS: usize = 64 * 1024;

/// `packetType` of 2.x's SendTopicSeq, the heartbeat (`P2PSession.cpp`).
const SEND_TOPIC_SEQ: u16 = 1;

/// What a peer speaks inside TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Speaks {
    /// It said nothing while we listened.
    Nothing,
    /// Packets of FISCO BCOS 3.x, with the versions it announced, if it did.
    Fisco3 { packets: Vec<&'static str>, versions: Option<(i32, i32)> },
    /// Packets of FISCO BCOS 2.x.
    Fisco2,
    /// Something else; these are its first bytes.
    Unknown(Vec<u8>),
}

impl Speaks {
    /// What these bytes are.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        fisco3(bytes)
            .or_else(|| is_fisco2(bytes).then_some(Self::Fisco2))
            .unwrap_or_else(|| Self::Unknown(bytes.iter().take(16).copied().collect()))
    }

    /// Whether more bytes would tell nothing more.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self, Self::Fisco2 | Self::Fisco3 { versions: Some(_), .. })
    }
}

fn fisco3(bytes: &[u8]) -> Option<Speaks> {
    let (reader, mut rest) = (PacketReader::default(), BytesMut::from(bytes));
    let (mut packets, mut versions) = (Vec::new(), None);
    while let Ok(Some(packet)) = reader.read(&mut rest) {
        match packet.packet_type {
            // What 2.x says first looks like a packet of type 0 that answers nothing.
            PacketType::Response | PacketType::Unknown(_) if packets.is_empty() => return None,
            PacketType::Handshake => {
                let info = ProtocolInfo::decode(packet.payload).ok();
                versions = info.map(|info| (info.min_version, info.max_version));
            }
            _ => {}
        }
        packets.push(packet.packet_type.name());
    }
    (!packets.is_empty()).then_some(Speaks::Fisco3 { packets, versions })
}

fn is_fisco2(bytes: &[u8]) -> bool {
    let first = Rc2Reader::default().read(&mut BytesMut::from(bytes));
    first.is_ok_and(|packet| {
        packet.is_some_and(|packet| {
            packet.protocol == ProtocolId::TOPIC && packet.packet_type == SEND_TOPIC_SEQ
        })
    })
}

#[cfg(test)]
mod tests;
