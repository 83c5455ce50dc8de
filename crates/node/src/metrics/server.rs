//! The listener for Prometheus and for those who look whether the node is well.

use core::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tracing::{info, warn};

use super::{MetricsError, MetricsSources, readiness};
use crate::http::{DEFAULT_TIMEOUT, Patient, Reply, TEXT, accept, reply};
use crate::node::AbortOnDrop;

/// Connections at once: a Prometheus has one, and people look, too.
const MAX_CONNECTIONS: usize = 16;

const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The port for metrics of a running node. It is closed when this is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    /// Where it listens.
    pub address: SocketAddr,
    _task: AbortOnDrop,
}

impl MetricsServer {
    pub(crate) async fn open(
        address: SocketAddr,
        sources: MetricsSources,
    ) -> Result<Self, MetricsError> {
        let failed = |source| MetricsError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            warn!(%address, "metrics can be read from other machines");
        }
        info!(url = %format_args!("http://{address}/metrics"), "metrics");
        let sources = Arc::new(sources);
        let serve = move |stream| serve(stream, Arc::clone(&sources));
        let task = accept(listener, MAX_CONNECTIONS, "metrics", serve);
        Ok(Self { address, _task: AbortOnDrop(tokio::spawn(task)) })
    }
}

async fn serve(stream: TcpStream, sources: Arc<MetricsSources>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let sources = Arc::clone(&sources);
        async move { Ok::<_, core::convert::Infallible>(answer(&request, &sources).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEFAULT_TIMEOUT)
        .serve_connection(TokioIo::new(Patient::new(stream, DEFAULT_TIMEOUT)), service)
        .await
}

async fn answer(request: &Request<Incoming>, sources: &MetricsSources) -> Reply {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is served\n".into());
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    match request.uri().path() {
        "/metrics" => reply(StatusCode::OK, PROMETHEUS, sources.text().await),
        "/healthz" => reply(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => {
            let reasons = readiness::reasons(sources).await;
            if reasons.is_empty() {
                return reply(StatusCode::OK, TEXT, "ready\n".into());
            }
            let lines = reasons.iter().map(|reason| format!("{reason}\n")).collect();
            reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines)
        }
        _ => {
            let what = "there is /metrics, /healthz and /readyz\n";
            reply(StatusCode::NOT_FOUND, TEXT, what.into())
        }
    }
}
