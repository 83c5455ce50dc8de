//! A listener in the test's process: TLS with `identity::tls`, or something else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chainmesh_identity::certificate::private_key;
use chainmesh_identity::tls::rustls::pki_types::PrivatePkcs8KeyDer;
use chainmesh_identity::tls::rustls::server::{ClientHello, ResolvesServerCert};
use chainmesh_identity::tls::rustls::sign::CertifiedKey;
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use chainmesh_identity::tls::{
    Credentials, HandshakeOptions, TlsMaterial, Trust, Versions, provider, server_config,
};

use super::certificates::Shown;

/// Longest wait for the other end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts one connection after another until it is dropped.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Hands each connection to `serve`, one after another.
    pub(super) fn new(serve: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                serve(stream);
            }
        });
        Self { address, over, thread: Some(thread) }
    }

    /// A TLS server that says `words` to whom it accepts, and then waits for the end.
    pub(super) fn tls(server: Server) -> Self {
        Self::new(move |stream| {
            let connection = ServerConnection::new(Arc::new(server.config())).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            let mut rest = Vec::new();
            let spoken = tls.write_all(server.words).and_then(|()| tls.flush());
            if spoken.is_ok() && !server.hang_up {
                // The other end goes first; how is its own business.
                let _ = tls.read_to_end(&mut rest);
            }
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it up; if that fails it is gone already.
        let _ = TcpStream::connect(self.address);
        let done = self.thread.take().unwrap().join();
        assert!(done.is_ok() || std::thread::panicking(), "the listener panicked");
    }
}

/// What a TLS listener is like.
pub(super) struct Server {
    pub(super) material: Arc<TlsMaterial>,
    pub(super) shown: Arc<dyn ResolvesServerCert>,
    pub(super) versions: Versions,
    pub(super) protocols: Vec<Vec<u8>>,
    pub(super) words: &'static [u8],
    /// Wants a certificate of whoever comes.
    pub(super) asks: bool,
    /// Closes as soon as it has spoken.
    pub(super) hang_up: bool,
}

impl Server {
    /// Trusts `trust`, and shows `shown` whether it fits together or not.
    pub(super) fn new(honest: &Shown, trust: Trust, shown: &Shown) -> Self {
        let credentials = Credentials::of_node(honest.chain.clone(), &honest.key).unwrap();
        let key = private_key::to_pkcs8_der(&shown.key).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.to_vec()).into();
        let key = provider().key_provider.load_private_key(key).unwrap();
        Self {
            material: TlsMaterial::new(credentials, trust),
            shown: Arc::new(Shows(Arc::new(CertifiedKey::new(shown.chain.clone(), key)))),
            versions: Versions::Both,
            protocols: Vec::new(),
            words: b"",
            asks: true,
            hang_up: false,
        }
    }

    fn config(&self) -> ServerConfig {
        let options = HandshakeOptions {
            versions: self.versions,
            expected: None,
            time: Arc::new(DefaultTimeProvider),
        };
        let mut config = if self.asks {
            server_config(&self.material, &options).unwrap().0
        } else {
            ServerConfig::builder_with_details(provider(), options.time)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&self.shown))
        };
        config.cert_resolver = Arc::clone(&self.shown);
        config.alpn_protocols = self.protocols.clone();
        config
    }
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
