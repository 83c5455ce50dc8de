//! [`TlsMaterial`] and the configurations of rustls that are made of it.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ServerConfig, SignatureScheme, SupportedProtocolVersion, pki_types, version,
};

use super::credentials::Credentials;
use super::provider::{SECP256K1_SCHEME, provider};
use super::refusal::{PeerSide, Verdict};
use super::trust::Trust;
use super::verifier::Verifier;
use crate::certificate::{CertificateIdentity, IdentityError, KeyKind, ShortId};

/// Our credentials and our trust. Either can be replaced while the node runs: handshakes that begin
/// later use the new ones, sessions that are open go on.
pub struct TlsMaterial {
    /// Made once: a handshake need not.
    provider: Arc<CryptoProvider>,
    credentials: RwLock<Arc<Credentials>>,
    trust: RwLock<Arc<Trust>>,
}

/// Which versions of TLS are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// TLS 1.3 among our own nodes, TLS 1.2 for FISCO's: the higher that both have.
    #[default]
    Both,
    /// TLS 1.2 only, as FISCO's nodes do.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// What one handshake depends on, besides [`TlsMaterial`].
#[derive(Clone)]
pub struct HandshakeOptions {
    /// Which versions may be spoken.
    pub versions: Versions,
    /// Whom we dialled, if we know it. Another one is refused.
    pub expected: Option<ShortId>,
    /// Our clock.
    pub time: Arc<dyn TimeProvider>,
}

impl TlsMaterial {
    /// Both for a start.
    #[must_use]
    pub fn new(credentials: Credentials, trust: Trust) -> Arc<Self> {
        let credentials = RwLock::new(Arc::new(credentials));
        Arc::new(Self { provider: provider(), credentials, trust: RwLock::new(Arc::new(trust)) })
    }

    /// What we show now.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What peers are judged by now.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows these from now on.
    pub fn set_credentials(&self, credentials: Credentials) {
        let mut place = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(credentials);
    }

    /// Judges peers by this from now on. Open sessions are asked about with [`Trust::verify`].
    pub fn set_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        self.credentials().certified.clone()
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsMaterial(of {:?})", self.credentials().identity())
    }
}

impl fmt::Debug for HandshakeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeOptions")
            .field("versions", &self.versions)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

static TLS13_AND_TLS12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

impl Versions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        let [tls13, tls12] = &TLS13_AND_TLS12;
        match self {
            Self::Both => &TLS13_AND_TLS12,
            Self::Tls12 => core::slice::from_ref(tls12),
            Self::Tls13 => core::slice::from_ref(tls13),
        }
    }
}

/// The configuration for dialling one peer, and where the reason will be if it is refused.
///
/// Making one costs a few allocations. The name that rustls wants of the server is not looked at;
/// [`server_name`](super::server_name) has one. There are no tickets, and no session is resumed:
/// each handshake checks the certificate anew.
///
/// # Errors
/// None in practice: rustls would refuse a provider without cipher suites.
pub fn client_config(
    material: &Arc<TlsMaterial>,
    options: &HandshakeOptions,
) -> Result<(ClientConfig, Verdict), rustls::Error> {
    let verdict = Verdict::default();
    let verifier = Verifier {
        material: Arc::clone(material),
        side: PeerSide::Accepting,
        expected: options.expected,
        verdict: verdict.clone(),
    };
    let builder = ClientConfig::builder_with_details(
        Arc::clone(&material.provider),
        Arc::clone(&options.time),
    );
    let mut config = builder
        .with_protocol_versions(options.versions.list())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(Shown(Arc::clone(material))));
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok((config, verdict))
}

/// The configuration for accepting one peer, and where the reason will be if it is refused.
///
/// # Errors
/// As for [`client_config`].
pub fn server_config(
    material: &Arc<TlsMaterial>,
    options: &HandshakeOptions,
) -> Result<(ServerConfig, Verdict), rustls::Error> {
    let verdict = Verdict::default();
    let verifier = Verifier {
        material: Arc::clone(material),
        side: PeerSide::Dialling,
        expected: options.expected,
        verdict: verdict.clone(),
    };
    let builder = ServerConfig::builder_with_details(
        Arc::clone(&material.provider),
        Arc::clone(&options.time),
    );
    let mut config = builder
        .with_protocol_versions(options.versions.list())?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(Shown(Arc::clone(material))));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, verdict))
}

/// Which versions a server can speak with this client. TLS 1.3 has no name for a signature with
/// secp256k1 that anybody but us knows: a client that lacks ours is spoken to in TLS 1.2 as long as
/// our certificate has such a key.
///
/// Ask it about the [`ClientHello`] of a [`rustls::server::Acceptor`] when others than our own nodes
/// come to the same port.
#[must_use]
pub fn versions_for_client(material: &TlsMaterial, hello: &ClientHello<'_>) -> Versions {
    let ours = material.credentials().identity().key_kind() == KeyKind::Secp256k1;
    if ours && !hello.signature_schemes().contains(&SECP256K1_SCHEME) {
        Versions::Tls12
    } else {
        Versions::Both
    }
}

/// Who is at the other end, after the handshake: `connection.peer_certificates()`.
///
/// # Errors
/// [`IdentityError::Unreadable`] before the certificate was there.
pub fn peer_identity(
    certificates: Option<&[pki_types::CertificateDer<'_>]>,
) -> Result<CertificateIdentity, IdentityError> {
    let own = certificates.and_then(<[_]>::first).ok_or(IdentityError::Unreadable)?;
    CertificateIdentity::of_certificate(own)
}

/// A name for [`rustls::ClientConnection::new`], which wants one. It is neither sent nor checked.
#[must_use]
pub fn server_name() -> pki_types::ServerName<'static> {
    pki_types::ServerName::IpAddress(core::net::IpAddr::from([0, 0, 0, 0]).into())
}

/// Shows what the credentials are at the time of the handshake, whatever CAs the peer names.
#[derive(Debug)]
struct Shown(Arc<TlsMaterial>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified())
    }
}
