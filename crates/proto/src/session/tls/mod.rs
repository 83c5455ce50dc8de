//! TLS sessions of the consortium: mutual certificates, and P2P packets inside.
//!
//! | file | what |
//! |---|---|
//! | `handshake.rs` | rustls up to the end of the handshake |
//! | `record.rs` | records sealed and opened without copies |
//! | `packets.rs` | packets cut from the plaintext, and messages made of them |
//!
//! Between two nodes of our own (they know each other by [`ALPN`]) messages of the base protocol and
//! of modules travel in packets of the type [`MODULE_PACKET`], with the message's code in the `seq`.
//! All other packets belong to the module `mesh`, whole; with FISCO's nodes there is nothing else.
//! The heartbeat packet (type 1) is the session's own.

mod handshake;
mod packets;
mod record;

use bytes::{Buf, BytesMut};
use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_identity::tls::rustls::client::ClientConnectionData;
use chainmesh_identity::tls::rustls::kernel::KernelConnection;
use chainmesh_identity::tls::rustls::server::ServerConnectionData;
use chainmesh_identity::tls::rustls::{
    self, AlertDescription, ConnectionTrafficSecrets, ProtocolVersion,
};
use chainmesh_identity::tls::{HandshakeFailure, Verdict};
use chainmesh_wire::mesh::MeshError;

use super::{Message, SessionError};
use crate::module::PeerKind;
pub(super) use handshake::Progress;
pub use handshake::{ALPN, PeerCertificate, TlsHandshake, TlsLocal};
use packets::Packets;
pub use packets::{MODULE_PACKET, RAW_PACKET};
use record::{Content, MAX_PLAIN, Opener, Record, Sealer};

/// Why a TLS session cannot be, or cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// This node has no certificate to show.
    #[error("this node has no certificate: TLS needs one")]
    NoCertificate,
    /// rustls refused what we configured.
    #[error("TLS cannot be set up here: {0}")]
    Local(#[source] rustls::Error),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(Box<HandshakeFailure>),
    /// The handshake is larger than any real one.
    #[error("the handshake is larger than 64 KiB")]
    HandshakeTooLarge,
    /// The peer's certificate names nobody.
    #[error("the peer's certificate has no key that names a node")]
    NoIdentity,
    /// What came is no TLS.
    #[error("this is no TLS: what came is no record")]
    NoRecord,
    /// A record is larger than TLS allows.
    #[error("a TLS record of {0} bytes is larger than allowed")]
    RecordTooLarge(usize),
    /// A record has no content, not even a type.
    #[error("a TLS record without content")]
    Empty,
    /// A record of a type that does not belong here.
    #[error("a TLS record of type {0} does not belong here")]
    Content(u8),
    /// The tag of a record does not fit.
    #[error("a TLS record is forged or damaged")]
    Forged,
    /// The peer ended the session because of this.
    #[error("the peer ended the session with the TLS alert {0:?}")]
    Alert(AlertDescription),
    /// The peer said goodbye.
    #[error("the peer closed the session")]
    Closed,
    /// A handshake message after the handshake that is not for us.
    #[error("an unexpected TLS handshake message ({0}) in an open session")]
    PostHandshake(u8),
    /// A cipher that the records cannot be made with.
    #[error("the cipher of the session cannot be used")]
    Cipher,
    /// So much was sent with one key that it is not safe any more, and TLS 1.2 has no other.
    #[error("256 GiB were sent with one key: TLS 1.2 needs a new session")]
    Worn,
    /// A packet is malformed.
    #[error("malformed packet: {0}")]
    Packet(#[from] MeshError),
}

/// What rustls keeps to make new keys with.
enum Kernel {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

type Secrets = Result<(u64, ConnectionTrafficSecrets), rustls::Error>;

impl Kernel {
    fn update_tx(&mut self) -> Secrets {
        match self {
            Self::Client(kernel) => kernel.update_tx_secret(),
            Self::Server(kernel) => kernel.update_tx_secret(),
        }
    }

    fn update_rx(&mut self) -> Secrets {
        match self {
            Self::Client(kernel) => kernel.update_rx_secret(),
            Self::Server(kernel) => kernel.update_rx_secret(),
        }
    }
}

/// Handshake messages of TLS 1.3 that may come later (RFC 8446 section 4).
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// Bytes of such messages that are put together, at most. Tickets are the largest.
const MAX_POST_HANDSHAKE: usize = 16 * 1024;

/// Largest read at once, bytes: what is read is opened at once, and what does not leave the
/// first caches meanwhile is opened faster.
const MAX_READ: usize = 64 * 1024;

/// An open TLS session.
pub struct TlsSession {
    sealer: Sealer,
    opener: Opener,
    version: ProtocolVersion,
    kernel: Kernel,
    certificate: PeerCertificate,
    kind: PeerKind,
    packets: Packets,
    /// Where the record begins that is being filled in the out-buffer.
    filling: Option<usize>,
    /// Bytes that a begun message lacks, and packets that wait for its end.
    payload_left: usize,
    held: Vec<u8>,
    /// The peer asked for new keys of ours.
    key_update_owed: bool,
    /// Handshake messages that came in parts.
    messages: BytesMut,
    /// Why nothing more can be sent.
    fault: Option<TlsError>,
}

impl TlsSession {
    fn new(
        sealer: Sealer,
        opener: Opener,
        version: ProtocolVersion,
        kernel: Kernel,
        certificate: PeerCertificate,
        kind: PeerKind,
    ) -> Self {
        let packets = Packets::new(kind);
        Self {
            sealer,
            opener,
            version,
            kernel,
            certificate,
            kind,
            packets,
            filling: None,
            payload_left: 0,
            held: Vec::new(),
            key_update_owed: false,
            messages: BytesMut::new(),
            fault: None,
        }
    }

    /// What the peer showed.
    pub(super) const fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// Who the peer is.
    pub(super) const fn identity(&self) -> &CertificateIdentity {
        &self.certificate.identity
    }

    /// What sort of node it is.
    pub(super) const fn kind(&self) -> PeerKind {
        self.kind
    }

    /// Appends a message to the record that is being filled in `out`, without closing it: the
    /// same `out` goes to [`TlsSession::flush`] before it is sent.
    pub(super) fn write(
        &mut self,
        code: u64,
        head: Option<&[u8]>,
        payload: &[u8],
        out: &mut BytesMut,
    ) {
        let head = head.unwrap_or_default();
        let module =
            (code != RAW_PACKET).then(|| packets::module_header(code, head.len() + payload.len()));
        for part in [module.as_ref().map_or(&[][..], |header| header), head, payload] {
            self.between_messages(part, out);
        }
    }

    /// Appends all of a message but its payload, which must follow with
    /// [`TlsSession::append_payload`] before the next message is begun. What is written meanwhile
    /// with [`TlsSession::write`] comes behind it.
    pub(super) fn begin(
        &mut self,
        code: u64,
        head: Option<&[u8]>,
        payload: &[u8],
        out: &mut BytesMut,
    ) {
        let head = head.unwrap_or_default();
        if code != RAW_PACKET {
            self.append(&packets::module_header(code, head.len() + payload.len()), out);
        }
        self.append(head, out);
        self.payload_left = payload.len();
    }

    /// Appends a piece of the payload of the message that was begun, and behind its last piece what
    /// had to wait for it.
    pub(super) fn append_payload(&mut self, piece: &[u8], out: &mut BytesMut) {
        self.append(piece, out);
        self.payload_left = self.payload_left.saturating_sub(piece.len());
        if self.payload_left == 0 {
            let held = core::mem::take(&mut self.held);
            self.append(&held, out);
        }
    }

    /// Appends packets, or a part of one, where no message is in the middle of its payload. It is
    /// the base protocol's that has to wait then: a few small packets, until the message has left
    /// or the peer is cut for not taking it.
    fn between_messages(&mut self, bytes: &[u8], out: &mut BytesMut) {
        if self.payload_left > 0 {
            self.held.extend_from_slice(bytes);
        } else {
            self.append(bytes, out);
        }
    }

    /// Appends a heartbeat packet, where the peer knows it.
    pub(super) fn heartbeat(&mut self, out: &mut BytesMut) {
        if self.kind != PeerKind::Fisco2 {
            self.between_messages(&packets::HEARTBEAT, out);
            self.flush(out);
        }
    }

    /// Says that nothing more will come. A peer that is in the middle of a message hears only this
    /// of a farewell.
    pub(super) fn close_notify(&mut self, out: &mut BytesMut) {
        self.flush(out);
        let warning = [1, 0];
        let sealed = self.sealer.seal(Content::Alert, &warning, out);
        self.note(sealed);
    }

    /// Appends bytes of the stream of packets.
    fn append(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() && self.fault.is_none() {
            let start = match self.filling {
                Some(start) => start,
                None => {
                    self.renew(out);
                    let start = out.len();
                    out.reserve(self.sealer.prefix() + bytes.len().min(MAX_PLAIN) + 32);
                    self.sealer.begin(out);
                    *self.filling.insert(start)
                }
            };
            let filled = out.len().saturating_sub(start + self.sealer.prefix());
            let (now, later) = bytes.split_at(bytes.len().min(MAX_PLAIN.saturating_sub(filled)));
            out.extend_from_slice(now);
            bytes = later;
            if filled + now.len() >= MAX_PLAIN {
                self.flush(out);
            }
        }
    }

    /// Closes the record that is being filled.
    pub(super) fn flush(&mut self, out: &mut BytesMut) {
        if let Some(start) = self.filling.take() {
            let sealed = self.sealer.finish(Content::Data, start, out);
            self.note(sealed);
        }
    }

    fn note(&mut self, outcome: Result<(), TlsError>) {
        if let Err(error) = outcome {
            self.fault.get_or_insert(error);
        }
    }

    /// New keys of ours, when the peer asked for them or the old ones are worn.
    fn renew(&mut self, out: &mut BytesMut) {
        let worn = self.sealer.is_worn();
        if !worn && !self.key_update_owed {
            return;
        }
        if !self.sealer.is_tls13() {
            return self.note(Err(TlsError::Worn));
        }
        self.key_update_owed = false;
        let update = [KEY_UPDATE, 0, 0, 1, 0];
        let sealed = self.sealer.seal(Content::Handshake, &update, out);
        self.note(sealed);
        let sealer = self.kernel.update_tx().map_err(TlsError::Local);
        match sealer.and_then(|secrets| Sealer::new(self.version, secrets)) {
            Ok(sealer) => self.sealer = sealer,
            Err(error) => self.note(Err(error)),
        }
    }

    /// Reads the next message, if it is there whole. `limit` is the largest message that is
    /// allowed now.
    pub(super) fn read(
        &mut self,
        input: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Message>, SessionError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone().into());
        }
        loop {
            if let Some(message) = self.packets.next(limit)? {
                return Ok(Some(message));
            }
            let Some(record) = Record::peek(input)? else { return Ok(None) };
            match self.packets.place_for(self.opener.most(record)) {
                Some(place) => {
                    let before = place.len();
                    let content = self.opener.open_into(record, input, place)?;
                    if content != Content::Data {
                        let other = place.split_off(before);
                        self.other(content, other)?;
                    }
                }
                None => match self.opener.open(record, input)? {
                    (Content::Data, plain) => self.packets.take(plain),
                    (other, plain) => self.other(other, plain)?,
                },
            }
        }
    }

    /// A record that holds no packets.
    fn other(&mut self, content: Content, plain: BytesMut) -> Result<(), TlsError> {
        match content {
            Content::Alert => match plain.first_chunk() {
                Some([_, 0]) => Err(TlsError::Closed),
                // user_canceled: a close_notify follows.
                Some([_, 90]) => Ok(()),
                Some([_, alert]) => Err(self.alert(AlertDescription::from(*alert))),
                None => Err(TlsError::Empty),
            },
            _ => self.post_handshake(&plain),
        }
    }

    /// What an alert means. In TLS 1.3 a server judges our certificate when our handshake is done.
    fn alert(&self, alert: AlertDescription) -> TlsError {
        let error = rustls::Error::AlertReceived(alert);
        match HandshakeFailure::new(error, &Verdict::default(), self.certificate.side) {
            refused @ HandshakeFailure::TheyRefused { .. } => {
                TlsError::Handshake(Box::new(refused))
            }
            _ => TlsError::Alert(alert),
        }
    }

    fn post_handshake(&mut self, plain: &[u8]) -> Result<(), TlsError> {
        if !self.sealer.is_tls13() {
            // Renegotiation, which nobody needs.
            return Err(TlsError::PostHandshake(plain.first().copied().unwrap_or_default()));
        }
        self.messages.extend_from_slice(plain);
        while let Some([kind, a, b, c]) = self.messages.first_chunk().copied() {
            let length =
                4 + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if length > MAX_POST_HANDSHAKE {
                return Err(TlsError::PostHandshake(kind));
            }
            if self.messages.len() < length {
                break;
            }
            match (kind, &self.kernel, self.messages.get(4..length).unwrap_or_default()) {
                (NEW_SESSION_TICKET, Kernel::Client(_), _) => {}
                // Nothing may share a record with the last message of the old keys.
                (KEY_UPDATE, _, [asked @ (0 | 1)]) if self.messages.len() == length => {
                    self.key_update_owed |= *asked == 1;
                    let secrets = self.kernel.update_rx().map_err(TlsError::Local)?;
                    self.opener = Opener::new(self.version, secrets)?;
                }
                _ => return Err(TlsError::PostHandshake(kind)),
            }
            self.messages.advance(length);
        }
        if self.messages.is_empty() {
            self.messages = BytesMut::new();
        }
        Ok(())
    }

    /// How many bytes the next read from the network should have room for.
    pub(super) fn wanted(&self, buffered: usize, step: usize) -> usize {
        // A whole record at least: it cannot be opened before.
        step.min(MAX_READ)
            .max((MAX_PLAIN + 64).min(self.packets.missing() + 64).saturating_sub(buffered))
    }
}

impl From<TlsError> for SessionError {
    fn from(error: TlsError) -> Self {
        Self::Tls(Box::new(error))
    }
}

impl From<MeshError> for SessionError {
    fn from(error: MeshError) -> Self {
        TlsError::Packet(error).into()
    }
}

#[cfg(test)]
mod tests;
