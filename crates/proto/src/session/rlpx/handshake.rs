//! The RLPx handshake in its EIP-8 form: two packets, `auth` and `ack`, and the keys they make.
//!
//! Each side is a value that is consumed when it advances, so there is no way to use a handshake
//! twice or out of turn. Source: devp2p `rlpx.md`, "Initial Handshake"; EIP-8.

use alloy_primitives::{B256, Keccak256};
use alloy_rlp::{Encodable, Header};
use chainmesh_identity::secp256k1::PublicKey;
use chainmesh_identity::{EphemeralKey, NodeKey, PeerId, recover};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::ecies::{self, EciesError};

/// Largest handshake packet that is read, bytes, its two length bytes not counted. geth's limit
/// since v1.14.6.
pub const MAX_HANDSHAKE_PACKET: usize = 2048;

/// Version that goes into both packets.
const HANDSHAKE_VERSION: u8 = 4;

/// Why a handshake failed. The peer is told nothing: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The packet says that it is longer than [`MAX_HANDSHAKE_PACKET`].
    #[error("a handshake packet of {0} bytes was announced, at most 2048 are allowed")]
    TooLarge(usize),
    /// The packet cannot be decrypted.
    #[error(transparent)]
    Ecies(#[from] EciesError),
    /// What is inside is not the list that it should be.
    #[error("the handshake packet was decrypted, but its content is malformed: {0}")]
    Malformed(alloy_rlp::Error),
    /// A public key in the packet is none.
    #[error("a public key in the handshake packet is no point of the curve")]
    BadKey,
    /// The first frame was not made with the keys that were agreed on: the other end does not have
    /// the key of the node that it says it is.
    #[error("the other end did not prove that it has the key of the node it says it is")]
    NotProved,
    /// The signature does not lead to a key.
    #[error("the signature in the handshake packet is not valid")]
    BadSignature,
}

impl From<alloy_rlp::Error> for HandshakeError {
    fn from(error: alloy_rlp::Error) -> Self {
        Self::Malformed(error)
    }
}

/// The keys of a session.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Secrets {
    pub(super) aes: [u8; 32],
    pub(super) mac: [u8; 32],
    /// Nonce and packet that begin the MAC of what we send.
    pub(super) egress: (B256Bytes, Vec<u8>),
    /// The same for what we receive.
    pub(super) ingress: (B256Bytes, Vec<u8>),
}

type B256Bytes = [u8; 32];

/// Fresh values of one side of a handshake.
struct Fresh {
    nonce: [u8; 32],
    ephemeral: EphemeralKey,
    /// Makes the ECIES key, its vector, and the padding.
    random: ChaCha20Rng,
}

impl Fresh {
    fn new(seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut nonce = [0; 32];
        random.fill_bytes(&mut nonce);
        let ephemeral = EphemeralKey::from_entropy(entropy(&mut random));
        Self { nonce, ephemeral, random }
    }

    /// Encrypts a packet: two bytes of length, the envelope of the list in `fields`, and padding
    /// that hides which version made it (EIP-8 asks for at least 100 bytes).
    fn seal(&mut self, to: &PublicKey, fields: &[u8]) -> Vec<u8> {
        let padding = 100 + usize::try_from(self.random.next_u32() % 100).unwrap_or(0);
        let mut message = Zeroizing::new(Vec::with_capacity(fields.len() + padding + 3));
        Header { list: true, payload_length: fields.len() }.encode(&mut *message);
        message.extend_from_slice(fields);
        let end = message.len();
        message.resize(end + padding, 0);
        if let Some(padding) = message.get_mut(end..) {
            self.random.fill_bytes(padding);
        }
        let size = message.len() + ecies::OVERHEAD;
        let prefix = u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes();
        let mut packet = Vec::with_capacity(size + 2);
        packet.extend_from_slice(&prefix);
        let envelope_key = EphemeralKey::from_entropy(entropy(&mut self.random));
        let mut iv = [0; 16];
        self.random.fill_bytes(&mut iv);
        ecies::encrypt(to, &envelope_key, iv, &prefix, &mut message, &mut packet);
        packet
    }
}

/// A packet that `to` can decrypt, with any fields in it: for fuzzers, which cannot guess a key.
#[doc(hidden)]
#[must_use]
pub fn seal_any(to: &PeerId, fields: &[u8]) -> Option<Vec<u8>> {
    (fields.len() < MAX_HANDSHAKE_PACKET).then_some(())?;
    Some(Fresh::new([5; 32]).seal(&to.public_key().ok()?, fields))
}

fn entropy(random: &mut ChaCha20Rng) -> [u8; 32] {
    let mut entropy = [0; 32];
    random.fill_bytes(&mut entropy);
    entropy
}

/// How many bytes of `input` the packet takes that begins there; `None` while it is incomplete.
///
/// # Errors
/// When it announces more than [`MAX_HANDSHAKE_PACKET`].
pub(super) fn packet_length(input: &[u8]) -> Result<Option<usize>, HandshakeError> {
    let Some(prefix) = input.first_chunk::<2>() else { return Ok(None) };
    let size = usize::from(u16::from_be_bytes(*prefix));
    if size > MAX_HANDSHAKE_PACKET {
        return Err(HandshakeError::TooLarge(size));
    }
    Ok((input.len() >= size + 2).then_some(size + 2))
}

/// Decrypts a whole packet; the result is the list inside it.
fn open(key: &NodeKey, packet: &[u8]) -> Result<Zeroizing<Vec<u8>>, HandshakeError> {
    let mut packet = packet.to_vec();
    let (prefix, envelope) = packet.split_first_chunk_mut::<2>().ok_or(EciesError::TooShort)?;
    let message = ecies::decrypt(key, &*prefix, envelope)?;
    Ok(Zeroizing::new(message.to_vec()))
}

/// The next element of a list, which must be a byte string of `N` bytes.
fn fixed<const N: usize>(fields: &mut &[u8]) -> Result<[u8; N], HandshakeError> {
    let bytes = Header::decode_bytes(fields, false)?;
    bytes.try_into().map_err(|_| HandshakeError::Malformed(alloy_rlp::Error::UnexpectedLength))
}

/// The side that dialled.
pub struct Initiator {
    fresh: Fresh,
    auth: Vec<u8>,
    remote: PeerId,
}

impl Initiator {
    /// Begins a handshake with the node `remote`; [`Initiator::auth`] is to be sent to it.
    ///
    /// # Errors
    /// [`HandshakeError::BadKey`] when `remote` is no public key.
    pub fn new(key: &NodeKey, remote: PeerId, seed: [u8; 32]) -> Result<Self, HandshakeError> {
        let public = remote.public_key().map_err(|_| HandshakeError::BadKey)?;
        let mut fresh = Fresh::new(seed);
        let mut signed = *key.agree(&public);
        for (byte, nonce) in signed.iter_mut().zip(&fresh.nonce) {
            *byte ^= nonce;
        }
        let signature = fresh.ephemeral.sign_recoverable(B256::from(signed));
        signed.zeroize();
        let mut fields = Vec::with_capacity(180);
        signature.as_slice().encode(&mut fields);
        key.peer_id().as_bytes().as_slice().encode(&mut fields);
        fresh.nonce.as_slice().encode(&mut fields);
        HANDSHAKE_VERSION.encode(&mut fields);
        let auth = fresh.seal(&public, &fields);
        Ok(Self { fresh, auth, remote })
    }

    /// The packet that begins the connection.
    #[must_use]
    pub fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// Reads the answer, a whole packet, and ends the handshake.
    pub(super) fn finish(
        self,
        key: &NodeKey,
        ack: &[u8],
    ) -> Result<(Secrets, PeerId), HandshakeError> {
        let message = open(key, ack)?;
        let mut rest = message.as_slice();
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        let ephemeral = PeerId::from(fixed::<64>(&mut fields)?);
        let nonce: [u8; 32] = fixed(&mut fields)?;
        let ephemeral = ephemeral.public_key().map_err(|_| HandshakeError::BadKey)?;
        let (aes, mac) = derive(&self.fresh.ephemeral, &ephemeral, &nonce, &self.fresh.nonce);
        let secrets = Secrets {
            aes,
            mac,
            egress: (nonce, self.auth),
            ingress: (self.fresh.nonce, ack.to_vec()),
        };
        Ok((secrets, self.remote))
    }
}

/// The side that was dialled.
pub struct Recipient {
    seed: [u8; 32],
}

impl Recipient {
    /// Waits for the packet of somebody who dialled.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// Reads a whole `auth` packet and ends the handshake; the second value is the answer to send.
    pub(super) fn finish(
        self,
        key: &NodeKey,
        auth: &[u8],
    ) -> Result<(Secrets, Vec<u8>, PeerId), HandshakeError> {
        Self::answer(key, auth, || Fresh::new(self.seed))
    }

    fn answer(
        key: &NodeKey,
        auth: &[u8],
        fresh: impl FnOnce() -> Fresh,
    ) -> Result<(Secrets, Vec<u8>, PeerId), HandshakeError> {
        let message = open(key, auth)?;
        let mut rest = message.as_slice();
        let mut fields = Header::decode_bytes(&mut rest, true)?;
        let signature: [u8; 65] = fixed(&mut fields)?;
        let remote = PeerId::from(fixed::<64>(&mut fields)?);
        let remote_nonce: [u8; 32] = fixed(&mut fields)?;
        let public = remote.public_key().map_err(|_| HandshakeError::BadKey)?;
        let mut signed = *key.agree(&public);
        for (byte, nonce) in signed.iter_mut().zip(&remote_nonce) {
            *byte ^= nonce;
        }
        let ephemeral =
            recover(&signature, B256::from(signed)).ok_or(HandshakeError::BadSignature)?;
        signed.zeroize();

        let mut fresh = fresh();
        let mut fields = Vec::with_capacity(110);
        fresh.ephemeral.public_bytes().as_slice().encode(&mut fields);
        fresh.nonce.as_slice().encode(&mut fields);
        HANDSHAKE_VERSION.encode(&mut fields);
        let ack = fresh.seal(&public, &fields);
        let (aes, mac) = derive(&fresh.ephemeral, &ephemeral, &fresh.nonce, &remote_nonce);
        let secrets = Secrets {
            aes,
            mac,
            egress: (remote_nonce, ack.clone()),
            ingress: (fresh.nonce, auth.to_vec()),
        };
        Ok((secrets, ack, remote))
    }
}

/// The keys of cipher and MAC, from the ephemeral exchange and both nonces.
pub(super) fn derive(
    ours: &EphemeralKey,
    theirs: &PublicKey,
    recipient_nonce: &[u8; 32],
    initiator_nonce: &[u8; 32],
) -> ([u8; 32], [u8; 32]) {
    let agreed = ours.agree(theirs);
    let hash = |first: &[u8], second: &[u8]| {
        let mut hash = Keccak256::new();
        hash.update(first);
        hash.update(second);
        hash.finalize()
    };
    let nonces = hash(recipient_nonce, initiator_nonce);
    let shared = hash(&*agreed, nonces.as_slice());
    let aes = hash(&*agreed, shared.as_slice());
    let mac = hash(&*agreed, aes.as_slice());
    (aes.0, mac.0)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::forged_auth;
