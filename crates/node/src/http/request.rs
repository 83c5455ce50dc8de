//! What is answered to an HTTP request.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use super::server::{Port, Upgrade};
use crate::rpc::dispatch::Dispatcher;

pub(crate) type Reply = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers the HTTP requests of one connection.
#[derive(Clone)]
pub(super) struct Answering {
    port: Arc<Port>,
    upgrade: Upgrade,
    dispatcher: Option<Arc<Dispatcher>>,
}

impl Answering {
    pub(super) fn new(port: Arc<Port>, upgrade: Upgrade) -> Self {
        let methods = port.http.as_ref();
        let dispatcher =
            methods.map(|methods| Arc::new(port.connections.without_subscriptions(methods)));
        Self { port, upgrade, dispatcher }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let headers = request.headers();
        let host = text(headers, &header::HOST).or_else(|| request.uri().host());
        if !host.is_some_and(|host| self.port.options.hosts.admit(host)) {
            debug!(?host, "a JSON-RPC request was refused: it calls this machine by another name");
            return plain(StatusCode::FORBIDDEN, "invalid host specified\n");
        }
        if request.uri().path() != "/" {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        if is_upgrade(headers) {
            return self.upgrade(request);
        }
        let allowed = self.allowed_origin(headers);
        let mut reply = match *request.method() {
            Method::OPTIONS if headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) => {
                preflight(allowed.is_some())
            }
            Method::POST => self.post(request).await,
            // For those who look whether somebody is there, as in go-ethereum.
            Method::GET if request.uri().query().is_none() => plain(StatusCode::OK, ""),
            _ => plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
        };
        let headers = reply.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        reply
    }

    /// The origin of the page that asks, if it may read the answer.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = text(headers, &header::ORIGIN)?;
        self.port.options.origins.admit(origin).then(|| headers.get(header::ORIGIN).cloned())?
    }

    async fn post(&self, request: Request<Incoming>) -> Reply {
        let Some(dispatcher) = &self.dispatcher else {
            return plain(StatusCode::BAD_REQUEST, "this port serves WebSockets only\n");
        };
        // A page of any web site can send a form or plain text here, without asking.
        if !is_json(text(request.headers(), &header::CONTENT_TYPE)) {
            let why = "invalid content type, only application/json is supported\n";
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
        }
        let limits = &self.port.options.limits;
        let body = request.into_body();
        let announced = body.size_hint().lower();
        if announced > limits.max_body as u64 {
            let why = format!("content length too large ({announced}>{})\n", limits.max_body);
            return closing(StatusCode::PAYLOAD_TOO_LARGE, &why);
        }
        let read = Limited::new(body, limits.max_body).collect();
        let body = match tokio::time::timeout(limits.timeout, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let why = format!("content length too large (>{})\n", limits.max_body);
                return closing(StatusCode::PAYLOAD_TOO_LARGE, &why);
            }
            Ok(Err(error)) => {
                debug!("the body of a JSON-RPC request broke off: {error}");
                return closing(StatusCode::BAD_REQUEST, "the body broke off\n");
            }
            Err(_) => return closing(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
        };
        let answer = dispatcher.answer(&body).await;
        reply(StatusCode::OK, JSON, answer.text.unwrap_or_default())
    }

    /// Answers a request for a WebSocket (RFC 6455, section 4.2).
    fn upgrade(&self, mut request: Request<Incoming>) -> Reply {
        if self.port.ws.is_none() {
            return plain(StatusCode::BAD_REQUEST, "this port serves no WebSockets\n");
        }
        let headers = request.headers();
        // Programs have no origin, pages in browsers always do.
        if let Some(origin) = headers.get(header::ORIGIN) {
            let admitted = origin.to_str().is_ok_and(|it| self.port.options.origins.admit(it));
            if !admitted {
                debug!(?origin, "a WebSocket was refused: pages of this origin may not ask");
                return plain(StatusCode::FORBIDDEN, "invalid origin\n");
            }
        }
        let version = text(headers, &header::SEC_WEBSOCKET_VERSION);
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
        let (Some("13"), Some(key), &Method::GET) = (version, key, request.method()) else {
            return plain(StatusCode::BAD_REQUEST, "this is no WebSocket of version 13\n");
        };
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let Ok(accept) = HeaderValue::try_from(accept) else {
            return plain(StatusCode::BAD_REQUEST, "this is no key of a WebSocket\n");
        };
        let upgrade = hyper::upgrade::on(&mut request);
        *self.upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = reply.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        reply
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: &HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
    };
    has(&header::CONNECTION, "upgrade") && has(&header::UPGRADE, "websocket")
}

/// go-ethereum takes the same three (`rpc.acceptedContentTypes`).
fn is_json(content_type: Option<&str>) -> bool {
    let kind = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    ["application/json", "application/json-rpc", "application/jsonrequest"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

/// The answer to a browser that asks whether a page may send JSON here.
fn preflight(allowed: bool) -> Reply {
    let mut reply = plain(StatusCode::NO_CONTENT, "");
    if allowed {
        let headers = reply.headers_mut();
        let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
        set(header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET");
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
        set(header::ACCESS_CONTROL_MAX_AGE, "600");
    }
    reply
}

/// An answer with a body of this kind.
pub(crate) fn reply(status: StatusCode, kind: HeaderValue, text: String) -> Reply {
    let mut reply = Response::new(Full::from(text));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

fn plain(status: StatusCode, why: &str) -> Reply {
    reply(status, TEXT, why.to_owned())
}

/// An answer after which the connection ends: what the client still sends is not read.
fn closing(status: StatusCode, why: &str) -> Reply {
    let mut reply = plain(status, why);
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}
