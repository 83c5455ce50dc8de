//! A channel frame on its way between 2.x nodes: whole, header included, as payload of an RC2 packet.

use bytes::{Bytes, BytesMut};

use super::Frame;
use crate::amop::AmopError;
use crate::mesh::EncodeError;
use crate::mesh::rc2::{ProtocolId, Rc2Packet};

/// As what a frame travels between 2.x nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carried {
    /// A request to one node with subscribers; answered within 30 s.
    Request,
    /// A multicast, to every node with subscribers; not answered.
    Multicast,
    /// The answer to a request, with the request packet's seq.
    Response,
}

impl Carried {
    const MULTICAST: u16 = 1;

    /// The protocol ID of its packet.
    #[must_use]
    pub const fn protocol(self) -> ProtocolId {
        match self {
            Self::Request | Self::Multicast => ProtocolId::AMOP,
            Self::Response => ProtocolId::AMOP.opposite(),
        }
    }

    /// The type of its packet.
    #[must_use]
    pub const fn packet_type(self) -> u16 {
        match self {
            Self::Request | Self::Response => 0,
            Self::Multicast => Self::MULTICAST,
        }
    }

    /// As what the payload of this packet travels; `None` when it is not AMOP. FISCO's receiver goes
    /// by the type of the frame, not by that of the packet.
    #[must_use]
    pub fn of(packet: &Rc2Packet) -> Option<Self> {
        match packet.protocol {
            ProtocolId::AMOP if packet.packet_type == Self::MULTICAST => Some(Self::Multicast),
            ProtocolId::AMOP => Some(Self::Request),
            protocol if protocol == ProtocolId::AMOP.opposite() => Some(Self::Response),
            _ => None,
        }
    }
}

impl Frame {
    /// A packet with this frame in it, as all bytes before the frame's data and the data itself,
    /// which is not copied. `seq` is the packet's.
    ///
    /// # Errors
    /// When frame or packet are too large.
    pub fn to_rc2_parts(&self, carried: Carried, seq: u32) -> Result<[Bytes; 2], EncodeError> {
        let packet = Rc2Packet::new(carried.protocol(), carried.packet_type(), seq, Bytes::new());
        let mut head = BytesMut::new();
        packet.encode_head_of(self.encoded_len(), &mut head)?;
        self.encode_head(&mut head)?;
        Ok([head.freeze(), self.data.clone()])
    }

    /// Reads the frame in an unpacked packet; `None` when the packet is not AMOP.
    ///
    /// # Errors
    /// When the payload is not one whole frame.
    pub fn from_rc2(packet: &Rc2Packet) -> Result<Option<(Carried, Self)>, AmopError> {
        let Some(carried) = Carried::of(packet) else { return Ok(None) };
        Self::decode(packet.payload.clone()).map(|frame| Some((carried, frame)))
    }
}
