//! TLS with a client, and who it is.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_identity::certificate::{CertificateError, InspectedCertificate};
use chainmesh_identity::tls::rustls::pki_types::CertificateDer;
use chainmesh_identity::tls::rustls::server::Acceptor;
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::{
    HandshakeFailure, HandshakeOptions, PeerSide, TlsMaterial, peer_identity, rustls,
    server_config, versions_for_client,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use super::gather::Gather;
use super::metered::{Meter, Metered};

/// A connection, whatever secures it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A client that may speak.
pub(super) struct Client<S = Metered> {
    pub(super) stream: S,
    /// The key of its certificate; empty without TLS.
    pub(super) identity: Bytes,
    /// Whose certificate it is, fit to be shown.
    pub(super) subject: Option<String>,
    /// It, and those that lead to its CA.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Each write becomes a record of its own.
    pub(super) has_records: bool,
}

/// Why a client may not speak.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Connection(#[from] io::Error),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(Box<HandshakeFailure>),
    /// Our own certificate cannot be used.
    #[error("no TLS can be spoken: {0}")]
    Own(rustls::Error),
    /// Its certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its certificate is of another issuer than ours.
    #[error("its certificate is of {theirs}, not of {ours}")]
    OtherIssuer {
        /// Who issued the client's.
        theirs: String,
        /// Who issued ours.
        ours: String,
    },
    /// There are too many clients.
    #[error("there are {0}")]
    Full(usize),
    /// Too many others came before it was done.
    #[error("{0} others came before it had finished its handshake")]
    Crowded(usize),
    /// It took too long.
    #[error("it has not finished its handshake in {0} s")]
    Slow(u64),
}

impl Client {
    /// One without TLS.
    pub(super) fn plain(stream: TcpStream, meter: &Arc<Meter>) -> Self {
        let stream = Metered::new(Box::new(stream), Arc::clone(meter));
        let (identity, certificates) = (Bytes::new(), Vec::new());
        Self { stream, identity, subject: None, certificates, has_records: false }
    }

    /// One with a certificate that we accept.
    pub(super) async fn secure(
        stream: TcpStream,
        material: &Arc<TlsMaterial>,
        check_issuer: bool,
        meter: &Arc<Meter>,
    ) -> Result<Self, Refusal> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), Gather::new(stream)).await?;
        let versions = versions_for_client(material, &hello.client_hello());
        let time = Arc::new(DefaultTimeProvider);
        let options = HandshakeOptions { versions, expected: None, time };
        let (config, verdict) = server_config(material, &options).map_err(Refusal::Own)?;
        let mut stream = hello.into_stream(Arc::new(config)).await.map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(inner) => {
                    let failure =
                        HandshakeFailure::new(inner.clone(), &verdict, PeerSide::Dialling);
                    Refusal::Handshake(Box::new(failure))
                }
                None => Refusal::Connection(error),
            }
        })?;
        stream.get_mut().0.begin();
        let shown = stream.get_ref().1.peer_certificates();
        let theirs = shown.and_then(<[_]>::first);
        let theirs = theirs.map(InspectedCertificate::read).transpose()?;
        // The verifier has seen one, or there would be no session.
        let identity = peer_identity(shown).ok();
        let certificates = shown.unwrap_or_default().iter().map(|it| it.clone().into_owned());
        let certificates = certificates.collect();
        if let (true, Some(theirs)) = (check_issuer, &theirs) {
            same_issuer(theirs, material)?;
        }
        Ok(Self {
            identity: identity.map(|it| Bytes::copy_from_slice(it.key_bytes())).unwrap_or_default(),
            subject: theirs.map(|theirs| theirs.subject),
            certificates,
            has_records: true,
            stream: Metered::new(Box::new(stream), Arc::clone(meter)),
        })
    }
}

fn same_issuer(theirs: &InspectedCertificate, material: &TlsMaterial) -> Result<(), Refusal> {
    let credentials = material.credentials();
    let Some(ours) = credentials.chain().first() else { return Ok(()) };
    let ours = InspectedCertificate::read(ours)?;
    if theirs.issuer == ours.issuer {
        return Ok(());
    }
    Err(Refusal::OtherIssuer { theirs: theirs.issuer.clone(), ours: ours.issuer })
}
