//! What rustls is asked and told in a handshake, listened in on.

use std::sync::{Arc, Mutex, PoisonError};

use chainmesh_identity::tls::rustls::client::ResolvesClientCert;
use chainmesh_identity::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use chainmesh_identity::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use chainmesh_identity::tls::rustls::sign::CertifiedKey;
use chainmesh_identity::tls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// What the peer said of the certificate it wants, and what it showed.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The kinds of signature it can check; `None` while it has not asked for a certificate.
    pub(super) asked: Option<Vec<SignatureScheme>>,
    /// What it showed, its own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

/// Where the observers of one connection leave what they saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Notebook(Arc<Mutex<Seen>>);

impl Notebook {
    pub(super) fn read(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Shows what `inner` would, or nothing, and notes that it was asked for.
#[derive(Debug)]
pub(super) struct NotedResolver {
    /// `None`: we have nothing to show.
    pub(super) inner: Option<Arc<dyn ResolvesClientCert>>,
    pub(super) notebook: Notebook,
}

impl ResolvesClientCert for NotedResolver {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.notebook.write(|seen| seen.asked = Some(schemes.to_vec()));
        self.inner.as_ref().and_then(|inner| inner.resolve(authorities, schemes))
    }

    fn has_certs(&self) -> bool {
        self.inner.is_some()
    }
}

/// Accepts every certificate and notes it. For a connection that is used for nothing, after the peer
/// was refused on another one: what does the peer say of us?
#[derive(Debug)]
pub(super) struct NotedCertificate {
    pub(super) schemes: Vec<SignatureScheme>,
    pub(super) notebook: Notebook,
}

impl ServerCertVerifier for NotedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [end_entity].into_iter().chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        self.notebook.write(|seen| seen.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
