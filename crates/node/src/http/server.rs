//! The listeners and their connections.

use core::net::SocketAddr;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee_core::server::Methods;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::accept::accept;
use super::patient::Patient;
use super::request::Answering;
use super::{Apis, HttpError, HttpLimits, HttpOptions, websocket};
use crate::rpc::dispatch::Connections;

/// The JSON-RPC ports of a running node. They are closed, with all connections, when this is
/// dropped.
#[derive(Debug)]
pub struct HttpServer {
    /// Where HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where WebSockets are served.
    pub ws: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all connections of a port share.
pub(super) struct Port {
    /// The methods over HTTP, if it is served.
    pub(super) http: Option<Methods>,
    /// The methods over WebSockets, if they are served.
    pub(super) ws: Option<Methods>,
    pub(super) options: HttpOptions,
    pub(super) connections: Connections,
}

/// What upgrades a connection to a WebSocket; empty until it was asked for.
pub(super) type Upgrade = Arc<Mutex<Option<OnUpgrade>>>;

impl HttpServer {
    /// Opens the ports inside the current tokio runtime. `methods` gives those of some groups.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn open(
        options: &HttpOptions,
        methods: impl Fn(&Apis) -> Methods,
    ) -> Result<Self, HttpError> {
        let http = options.http.map(|address| (address, methods(&options.http_apis)));
        let ws = options.ws.map(|address| (address, methods(&options.ws_apis)));
        let mut server = Self { http: None, ws: None, tasks: Vec::new() };
        match (http, ws) {
            (Some((address, http)), Some((same, ws))) if address == same => {
                let bound = server.listen(address, Some(http), Some(ws), options).await?;
                (server.http, server.ws) = (Some(bound), Some(bound));
            }
            (http, ws) => {
                if let Some((address, methods)) = http {
                    server.http = Some(server.listen(address, Some(methods), None, options).await?);
                }
                if let Some((address, methods)) = ws {
                    server.ws = Some(server.listen(address, None, Some(methods), options).await?);
                }
            }
        }
        Ok(server)
    }

    async fn listen(
        &mut self,
        address: SocketAddr,
        http: Option<Methods>,
        ws: Option<Methods>,
        options: &HttpOptions,
    ) -> Result<SocketAddr, HttpError> {
        let remote = !address.ip().is_loopback();
        if remote && !options.allow_remote {
            return Err(HttpError::Remote { address });
        }
        let failed = |source| HttpError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        if remote {
            warn!(
                address = %bound,
                "JSON-RPC can be reached from other machines, and asks nobody who they are: whoever \
                 gets through to this port can use it"
            );
        }
        if http.is_some() {
            info!(url = %format_args!("http://{bound}"), apis = %options.http_apis, "JSON-RPC");
        }
        if ws.is_some() {
            info!(url = %format_args!("ws://{bound}"), apis = %options.ws_apis, "JSON-RPC");
        }
        let options = options.clone();
        let most = options.limits.max_connections;
        let port = Arc::new(Port { http, ws, options, connections: Connections::default() });
        let serve = move |stream| serve(stream, Arc::clone(&port));
        self.tasks.push(tokio::spawn(accept(listener, most, "JSON-RPC", serve)));
        Ok(bound)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// How a connection broke.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("WebSocket: {0}")]
    WebSocket(#[from] io::Error),
}

async fn serve(stream: TcpStream, port: Arc<Port>) -> Result<(), Broken> {
    // Small answers are not to wait for each other.
    let _ = stream.set_nodelay(true);
    let limits = &port.options.limits;
    let HttpLimits { timeout, max_subscriptions, .. } = *limits;
    let upgrade = Upgrade::default();
    let answering = Answering::new(Arc::clone(&port), Arc::clone(&upgrade));
    let service = service_fn(move |request| {
        let answering = answering.clone();
        async move { Ok::<_, core::convert::Infallible>(answering.answer(request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TokioIo::new(Patient::new(stream, timeout)), service)
        .with_upgrades()
        .await?;
    let upgrade = upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (Some(upgrade), Some(methods)) = (upgrade, &port.ws) else { return Ok(()) };
    let dispatcher = port.connections.open(methods, max_subscriptions);
    websocket::serve(upgrade.await?, &dispatcher, limits).await?;
    Ok(())
}
