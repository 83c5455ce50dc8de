//! The handshake: rustls does it, fed one record at a time so that nothing of what follows it is
//! touched, and gives its keys away at the end.

use core::fmt;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use chainmesh_identity::certificate::{CertificateDer, CertificateIdentity, KeyKind};
use chainmesh_identity::tls::rustls::ProtocolVersion;
use chainmesh_identity::tls::rustls::client::UnbufferedClientConnection;
use chainmesh_identity::tls::rustls::server::{Acceptor, UnbufferedServerConnection};
use chainmesh_identity::tls::rustls::time_provider::TimeProvider;
use chainmesh_identity::tls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus,
};
use chainmesh_identity::tls::{
    HandshakeFailure, HandshakeOptions, PeerSide, TlsMaterial, Verdict, Versions, client_config,
    peer_identity, rustls, server_config, server_name, versions_for_client,
};

use super::record::{Opener, Record, Sealer};
use super::{Kernel, TlsError, TlsSession};
use crate::module::PeerKind;

/// By this our own nodes know each other (RFC 7301). FISCO's offer nothing and look at nothing.
pub const ALPN: &[u8] = b"chainmesh/1";
/// Bytes of a handshake that are read, at most: the longest handshake message of rustls. Two
/// certificates with RSA keys are about 2 KiB.
const MAX_HANDSHAKE: usize = 64 * 1024;

/// What TLS needs to know of this node.
#[derive(Clone)]
pub struct TlsLocal {
    /// Certificate and key, and who is believed.
    pub material: Arc<TlsMaterial>,
    /// Versions that are spoken.
    pub versions: Versions,
    /// The clock, for the dates of certificates.
    pub time: Arc<dyn TimeProvider>,
}

impl fmt::Debug for TlsLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLocal")
            .field("material", &self.material)
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

/// What a peer showed of itself; kept to be judged again when the lists change.
#[derive(Debug, Clone)]
pub struct PeerCertificate {
    /// Who it is.
    pub identity: CertificateIdentity,
    /// Its certificate and those that lead to the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// At which end it is.
    pub side: PeerSide,
}

/// A handshake that is under way.
pub struct TlsHandshake {
    local: TlsLocal,
    side: Side,
    verdict: Verdict,
    /// Bytes of the input that rustls may look at.
    offered: usize,
    /// Bytes that were looked at and are done with.
    done: usize,
}

enum Side {
    Client(UnbufferedClientConnection),
    /// The ClientHello is not there yet: it decides which versions can be spoken.
    Hello(Acceptor, usize),
    Server(UnbufferedServerConnection),
}

/// What comes after a step of rustls.
enum Next {
    Again,
    More,
    Done,
}

/// What comes after a step of ours.
pub(in crate::session) enum Progress {
    Wait(Box<TlsHandshake>),
    Done(Box<TlsSession>),
}

impl TlsHandshake {
    pub(in crate::session) fn dial(local: &TlsLocal) -> Result<Box<Self>, TlsError> {
        let (mut config, verdict) = client_config(&local.material, &options(local, local.versions))
            .map_err(TlsError::Local)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_secret_extraction = true;
        let client = UnbufferedClientConnection::new(Arc::new(config), server_name())
            .map_err(TlsError::Local)?;
        Ok(Box::new(Self::new(local, Side::Client(client), verdict)))
    }

    pub(in crate::session) fn accept(local: &TlsLocal) -> Box<Self> {
        let side = Side::Hello(Acceptor::default(), 0);
        Box::new(Self::new(local, side, Verdict::default()))
    }

    fn new(local: &TlsLocal, side: Side, verdict: Verdict) -> Self {
        Self { local: local.clone(), side, verdict, offered: 0, done: 0 }
    }

    /// Goes on with what is there. On an error `out` may hold an alert that says why.
    pub(in crate::session) fn advance(
        mut self: Box<Self>,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Progress, TlsError> {
        if let Side::Hello(..) = self.side
            && !self.greet(input, out)?
        {
            return Ok(Progress::Wait(self));
        }
        loop {
            let (discard, next) = self.step(input, out);
            input.advance(discard.min(input.len()));
            self.offered = self.offered.saturating_sub(discard);
            self.done += discard;
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Done) => return self.finish().map(Progress::Done),
                Ok(Next::More) => {
                    match Record::peek(input.get(self.offered..).unwrap_or_default())? {
                        Some(record) => self.offered += record.len(),
                        None => return Ok(Progress::Wait(self)),
                    }
                    if self.done + self.offered > MAX_HANDSHAKE {
                        return Err(TlsError::HandshakeTooLarge);
                    }
                }
                Err(error) => {
                    self.say_why(input, out);
                    return Err(self.failure(error));
                }
            }
        }
    }

    /// Reads the ClientHello; `false` if it is not there yet.
    fn greet(&mut self, input: &BytesMut, out: &mut BytesMut) -> Result<bool, TlsError> {
        let Side::Hello(acceptor, read) = &mut self.side else { return Ok(true) };
        Record::peek(input)?;
        let mut fresh = input.get(*read..).unwrap_or_default();
        while !fresh.is_empty() {
            match acceptor.read_tls(&mut fresh) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(TlsError::HandshakeTooLarge),
            }
        }
        *read = input.len();
        match acceptor.accept() {
            Ok(None) if input.len() > MAX_HANDSHAKE => Err(TlsError::HandshakeTooLarge),
            Ok(None) => Ok(false),
            Ok(Some(accepted)) => {
                let versions = versions_for_client(&self.local.material, &accepted.client_hello());
                let versions = match self.local.versions {
                    Versions::Both => versions,
                    only => only,
                };
                self.serve(versions)?;
                Ok(true)
            }
            Err((error, mut alert)) => {
                let mut words = Vec::new();
                if alert.write_all(&mut words).is_ok() {
                    out.extend_from_slice(&words);
                }
                Err(self.failure(error))
            }
        }
    }

    fn serve(&mut self, versions: Versions) -> Result<(), TlsError> {
        let (mut config, verdict) =
            server_config(&self.local.material, &options(&self.local, versions))
                .map_err(TlsError::Local)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_secret_extraction = true;
        let server = UnbufferedServerConnection::new(Arc::new(config)).map_err(TlsError::Local)?;
        (self.side, self.verdict) = (Side::Server(server), verdict);
        Ok(())
    }

    /// One step of rustls, and how much of the input it is done with.
    fn step(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> (usize, Result<Next, rustls::Error>) {
        let offered = self.offered.min(input.len());
        let window = input.get_mut(..offered).unwrap_or_default();
        match &mut self.side {
            Side::Client(client) => carry_out(client.process_tls_records(window), out),
            Side::Server(server) => carry_out(server.process_tls_records(window), out),
            Side::Hello(..) => (0, Err(rustls::Error::HandshakeNotComplete)),
        }
    }

    /// Appends the alert that rustls has ready. It must not be asked for more than that: it would
    /// look at the input again, after its end.
    fn say_why(&mut self, input: &mut BytesMut, out: &mut BytesMut) {
        while self.common().is_some_and(rustls::CommonState::wants_write) {
            let (_, Ok(Next::Again)) = self.step(input, out) else { return };
        }
    }

    fn common(&self) -> Option<&rustls::CommonState> {
        match &self.side {
            Side::Client(client) => Some(client),
            Side::Server(server) => Some(server),
            Side::Hello(..) => None,
        }
    }

    /// At which end the peer is.
    const fn peer_side(&self) -> PeerSide {
        match self.side {
            Side::Client(_) => PeerSide::Accepting,
            _ => PeerSide::Dialling,
        }
    }

    fn failure(&self, error: rustls::Error) -> TlsError {
        TlsError::Handshake(Box::new(HandshakeFailure::new(error, &self.verdict, self.peer_side())))
    }

    fn finish(self: Box<Self>) -> Result<Box<TlsSession>, TlsError> {
        let side = self.peer_side();
        let not_done = TlsError::Local(rustls::Error::HandshakeNotComplete);
        let Some(common) = self.common() else { return Err(not_done) };
        let certificates = common.peer_certificates();
        let identity = peer_identity(certificates).map_err(|_| TlsError::NoIdentity)?;
        let chain = certificates.unwrap_or_default().iter().map(|c| c.clone().into_owned());
        let certificate = PeerCertificate { chain: chain.collect(), identity, side };
        let version = common.protocol_version().unwrap_or(ProtocolVersion::TLSv1_2);
        // FISCO BCOS 2.x has secp256k1 certificates, 3.x has not.
        let kind = match (common.alpn_protocol(), certificate.identity.key_kind()) {
            (Some(ALPN), _) => PeerKind::Own,
            (_, KeyKind::Secp256k1) => PeerKind::Fisco2,
            _ => PeerKind::Fisco3,
        };
        let (secrets, kernel) = match self.side {
            Side::Client(client) => {
                let (secrets, kernel) =
                    client.dangerous_into_kernel_connection().map_err(TlsError::Local)?;
                (secrets, Kernel::Client(Box::new(kernel)))
            }
            Side::Server(server) => {
                let (secrets, kernel) =
                    server.dangerous_into_kernel_connection().map_err(TlsError::Local)?;
                (secrets, Kernel::Server(Box::new(kernel)))
            }
            Side::Hello(..) => return Err(not_done),
        };
        let sealer = Sealer::new(version, secrets.tx)?;
        let opener = Opener::new(version, secrets.rx)?;
        Ok(Box::new(TlsSession::new(sealer, opener, version, kernel, certificate, kind)))
    }
}

fn options(local: &TlsLocal, versions: Versions) -> HandshakeOptions {
    // Whom we meant to reach is the peer manager's business: it says so to people, too.
    HandshakeOptions { versions, expected: None, time: Arc::clone(&local.time) }
}

fn carry_out<D>(
    status: UnbufferedStatus<'_, '_, D>,
    out: &mut BytesMut,
) -> (usize, Result<Next, rustls::Error>) {
    let next = match status.state {
        Err(error) => Err(error),
        Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out).map(|()| Next::Again),
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            sent.done();
            Ok(Next::Again)
        }
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Next::Done),
        Ok(ConnectionState::BlockedHandshake) => Ok(Next::More),
        // An end, or data, before the handshake is over.
        Ok(_) => Err(rustls::Error::HandshakeNotComplete),
    };
    (status.discard, next)
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut BytesMut) -> Result<(), rustls::Error> {
    let before = out.len();
    let mut room = 2048;
    loop {
        out.resize(before + room, 0);
        match data.encode(out.get_mut(before..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(before + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(error)) if error.required_size > room => {
                room = error.required_size;
            }
            Err(error) => {
                out.truncate(before);
                return Err(rustls::Error::General(error.to_string()));
            }
        }
    }
}
