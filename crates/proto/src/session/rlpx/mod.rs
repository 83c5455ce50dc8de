//! RLPx: the secure session of the open chain.
//!
//! [`Initiator`] and [`Recipient`] exchange `auth` and `ack`; what comes out is an
//! [`RlpxSession`], which seals and opens messages. Every step consumes the one before.

mod ecies;
mod frame;
mod handshake;
mod mac;

use alloy_rlp::{Decodable, Encodable};
use bytes::{Buf, BytesMut};
use chainmesh_identity::{NodeKey, PeerId};

pub use ecies::EciesError;
pub use frame::{FrameError, MAX_FRAME};
#[doc(hidden)]
pub use handshake::seal_any;
pub use handshake::{HandshakeError, Initiator, MAX_HANDSHAKE_PACKET, Recipient};

use super::snappy::{self, Packer};
use super::{Message, SessionError};
use frame::{FrameReader, FrameWriter};

/// Bytes of a message's code: an RLP integer, one byte for all codes below 0x80.
const MAX_CODE: usize = 9;

/// What a handshake step comes to.
pub(super) enum Step<H> {
    /// More bytes are needed.
    Wait(H),
    /// The session is there, and the peer has proved to be the holder of this ID's key.
    Done(Box<RlpxSession>, PeerId),
}

/// Goes on with a handshake that was begun by us: reads `ack`.
pub(super) fn initiate(
    initiator: Box<Initiator>,
    key: &NodeKey,
    input: &mut BytesMut,
) -> Result<Step<Box<Initiator>>, SessionError> {
    let Some(length) = handshake::packet_length(input)? else { return Ok(Step::Wait(initiator)) };
    let ack = input.split_to(length);
    let (secrets, peer) = initiator.finish(key, &ack)?;
    Ok(Step::Done(RlpxSession::new(&secrets), peer))
}

/// Goes on with a handshake that was begun by the peer: reads `auth`, appends `ack` to `out`.
pub(super) fn receive(
    recipient: Recipient,
    key: &NodeKey,
    input: &mut BytesMut,
    out: &mut BytesMut,
) -> Result<Step<Recipient>, SessionError> {
    let Some(length) = handshake::packet_length(input)? else { return Ok(Step::Wait(recipient)) };
    let auth = input.split_to(length);
    let (secrets, ack, peer) = recipient.finish(key, &auth)?;
    out.extend_from_slice(&ack);
    Ok(Step::Done(RlpxSession::new(&secrets), peer))
}

/// An open RLPx session: messages in frames, packed with snappy once both Hellos said so.
pub struct RlpxSession {
    writer: FrameWriter,
    reader: FrameReader,
    packer: Option<Packer>,
}

impl RlpxSession {
    fn new(secrets: &handshake::Secrets) -> Box<Self> {
        let (writer, reader) = frame::frames(secrets);
        Box::new(Self { writer, reader, packer: None })
    }

    pub(super) fn enable_packing(&mut self) {
        self.packer = Some(Packer::default());
    }

    pub(super) fn write(&mut self, code: u64, payload: &[u8], out: &mut BytesMut) {
        let mut head = [0; MAX_CODE + 9];
        let mut free = head.as_mut_slice();
        code.encode(&mut free);
        let mut used = code.length();
        let Some(packer) = &mut self.packer else {
            return self.writer.write(head.get(..used).unwrap_or_default(), payload, out);
        };
        let packed = packer.pack(payload);
        for byte in packed.head() {
            if let Some(place) = head.get_mut(used) {
                *place = *byte;
                used += 1;
            }
        }
        self.writer.write(head.get(..used).unwrap_or_default(), packed.body(), out);
        packer.trim();
    }

    pub(super) fn read(
        &mut self,
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Message>, SessionError> {
        let Some(mut body) = self.reader.read(input, limit)? else { return Ok(None) };
        let (code, length) = {
            let mut rest: &[u8] = &body;
            let code = u64::decode(&mut rest).map_err(|_| SessionError::BadCode)?;
            (code, body.len() - rest.len())
        };
        body.advance(length);
        // Around the Hellos a Disconnect may be packed or not, whatever we expect: its sender had
        // read our Hello, or had not. No plain form of it unpacks to anything.
        let is_disconnect = code == chainmesh_wire::devp2p::code::DISCONNECT;
        if self.packer.is_none() && !is_disconnect {
            return Ok(Some(Message { code, payload: body }));
        }
        let bare = is_disconnect.then(|| body.clone());
        let payload = match (snappy::unpack(body), bare) {
            (Ok(payload), None) => payload,
            (Ok(payload), Some(_)) if !payload.is_empty() => payload,
            (_, Some(bare)) => bare,
            (Err(error), None) => return Err(error.into()),
        };
        Ok(Some(Message { code, payload }))
    }

    /// Whether the peer has shown that it has the keys: the header of its first frame is good.
    pub(super) fn prove(
        &mut self,
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<bool, SessionError> {
        self.reader.begin(input, limit).map_err(|error| match error {
            FrameError::HeaderMac => HandshakeError::NotProved.into(),
            other => other.into(),
        })
    }

    pub(super) fn wanted(&self, buffered: usize, step: usize) -> usize {
        self.reader.wanted(buffered, step)
    }

    pub(super) fn rest(&mut self) {
        if let Some(packer) = &mut self.packer {
            packer.rest();
        }
    }
}

/// Bytes of a payload that fit into a frame with its code and snappy's preamble.
pub(super) const MAX_PAYLOAD: usize = MAX_FRAME - MAX_CODE - 9;

/// Bytes of a frame that holds a message of the base protocol, which is all that is allowed
/// before Hello.
pub(super) const MAX_BASE_FRAME: usize = chainmesh_wire::devp2p::MAX_BASE_MESSAGE + MAX_CODE;

#[cfg(test)]
pub(crate) use handshake::forged_auth;

#[cfg(test)]
mod tests;
