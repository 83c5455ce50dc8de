//! The packet of FISCO BCOS 2.x nodes (RC2: all releases from 2.0.0-rc2 on) and the messages by
//! which they tell each other their topics. There is no handshake and no negotiation.

mod packet;
mod rc1;
mod topics;

pub use packet::{
    COMPRESSED, MAX_RC2_PACKET, ProtocolId, RC2_HEADER, Rc2Packet, Rc2Reader, module,
};
pub use rc1::RC1_HEADER;
pub use topics::{MAX_TOPICS, TopicMessage};
