//! TCP, TLS, the upgrade to a WebSocket, and the first words: who answers there, and if it is no
//! node, what else it is.

use core::future::poll_fn;
use std::io;
use std::sync::Arc;

use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::{
    HandshakeFailure, HandshakeOptions, PeerSide, TlsMaterial, Verdict, Versions, client_config,
    rustls, server_name,
};
use chainmesh_wire::amop::AmopError;
use chainmesh_wire::amop::channel::{self, Frame, FrameType};
use chainmesh_wire::amop::ws::{self, WS_VERSIONS, WsMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;

use crate::config::ClientConfig;
use crate::error::{ConnectError, DialError, Lost, NodeFailure};
use crate::face::channel::{Channel, ReadFault};
use crate::face::websocket::{self, WebSocket};
use crate::face::{Protocol as _, Seqs};
use crate::stream::Stream;
use crate::url::{Face, NodeUrl};

/// What a node of 2.x is told that we are.
const CLIENT_TYPE: &str = "chainmesh-sdk";
/// The module of a handshake of 3.x that has AMOP (`MODULE_ID` of FISCO's C SDK): RPC.
const MODULE: i32 = 2;
/// Content type of a TLS alert: what a port with TLS answers to what is none.
const TLS_ALERT: u8 = 21;

/// A node that has let us in.
pub(crate) enum Dialled {
    Channel(Box<Channel>),
    WebSocket(Box<WebSocket>),
}

/// Any number.
pub(crate) fn random() -> u64 {
    // Without the system's randomness there is no TLS either; what is drawn here is no secret.
    getrandom::u64().unwrap_or_default()
}

/// Seqs that no other client has.
pub(crate) fn fresh_seqs() -> Seqs {
    Seqs::new(random())
}

/// The first node that lets us in, and which one it is; each is tried once, beginning with this one.
pub(crate) async fn any(
    config: &ClientConfig,
    seqs: Seqs,
    begin: usize,
) -> Result<(Dialled, usize), ConnectError> {
    let mut failures = Vec::new();
    let count = config.urls.len();
    for at in (0..count).map(|step| (begin + step) % count) {
        let Some(url) = config.urls.get(at) else { continue };
        let dialling = one(url, config.certificates.as_ref(), seqs);
        let reason = match tokio::time::timeout(config.connect_timeout, dialling).await {
            Ok(Ok(dialled)) => return Ok((dialled, at)),
            Ok(Err(reason)) => reason,
            Err(_) => DialError::Timeout(config.connect_timeout),
        };
        failures.push(NodeFailure { url: url.clone(), reason });
    }
    if failures.is_empty() { Err(ConnectError::NoUrl) } else { Err(ConnectError::Nodes(failures)) }
}

async fn one(
    url: &NodeUrl,
    certificates: Option<&Arc<TlsMaterial>>,
    seqs: Seqs,
) -> Result<Dialled, DialError> {
    let certificates = match (url.is_tls(), certificates) {
        (true, None) => return Err(DialError::NoCertificates),
        (true, Some(certificates)) => Some(certificates),
        (false, _) => None,
    };
    let tcp = reach(url).await?;
    tcp.set_nodelay(true).map_err(DialError::Connect)?;
    let (stream, verdict) = match certificates {
        None => (Stream::Plain(tcp), Verdict::default()),
        Some(certificates) => secure(tcp, certificates).await?,
    };
    let hello = match url.face() {
        Face::Channel => hello_channel(stream, seqs).await.map(Dialled::Channel),
        Face::WebSocket => hello_websocket(url, stream, seqs).await.map(Dialled::WebSocket),
    };
    hello.map_err(|silence| why(url, silence, &verdict))
}

async fn reach(url: &NodeUrl) -> Result<TcpStream, DialError> {
    let addresses = tokio::net::lookup_host((url.host(), url.port())).await;
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses.map_err(DialError::Resolve)? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(DialError::Connect(last))
}

async fn secure(
    tcp: TcpStream,
    certificates: &Arc<TlsMaterial>,
) -> Result<(Stream, Verdict), DialError> {
    let time = Arc::new(DefaultTimeProvider);
    let options = HandshakeOptions { versions: Versions::Both, expected: None, time };
    let (config, verdict) = client_config(certificates, &options).map_err(|error| {
        let failure = HandshakeFailure::Protocol(error);
        DialError::Tls(Box::new(failure))
    })?;
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(server_name(), tcp).await {
        Ok(stream) => Ok((Stream::Tls(Box::new(stream)), verdict)),
        Err(error) => Err(in_tls(error, &verdict)),
    }
}

/// What an error of the stream means before the node has said hello.
fn in_tls(error: io::Error, verdict: &Verdict) -> DialError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => DialError::NotTls,
        Some(inner) => {
            let failure = HandshakeFailure::new(inner.clone(), verdict, PeerSide::Accepting);
            DialError::Tls(Box::new(failure))
        }
        None => DialError::Ended {
            hint: "either it speaks no TLS, or it does not like our certificate",
            source: Some(error),
        },
    }
}

/// Why there was no hello.
enum Silence {
    Lost(Lost),
    Other(DialError),
}

impl From<AmopError> for Silence {
    fn from(error: AmopError) -> Self {
        Self::Other(DialError::NotANode(error))
    }
}

async fn hello_channel(stream: Stream, seqs: Seqs) -> Result<Box<Channel>, Silence> {
    let mut face = Box::new(Channel::new(stream, seqs));
    let hello = channel::Handshake { maximum: 3, minimum: 1, client_type: CLIENT_TYPE.to_owned() };
    let hello = Frame::new(FrameType::Handshake, seqs.of(0), hello.to_json());
    // Its few bytes are below every limit.
    let _ = face.send(&hello);
    poll_fn(|cx| face.poll_flush(cx)).await.map_err(Silence::Lost)?;
    loop {
        match poll_fn(|cx| face.poll_frame(cx)).await {
            Ok(frame) if frame.frame_type == FrameType::Handshake => {
                let reply = channel::HandshakeReply::from_json(&frame.data)?;
                face.version = reply.protocol;
                return Ok(face);
            }
            // Notices may come in between.
            Ok(_) => {}
            Err(ReadFault::Frame(error)) => {
                let fault = match face.beginning() {
                    [b'H', b'T', b'T', b'P', ..] => DialError::HttpServer,
                    [TLS_ALERT, 3, ..] => ended("it speaks TLS: write channel:// instead"),
                    _ => DialError::NotANode(error),
                };
                return Err(Silence::Other(fault));
            }
            Err(fault) => return Err(Silence::Lost(fault.into())),
        }
    }
}

async fn hello_websocket(
    url: &NodeUrl,
    stream: Stream,
    seqs: Seqs,
) -> Result<Box<WebSocket>, Silence> {
    let address = NodeUrl::new(Face::WebSocket, false, url.host(), url.port()).to_string();
    let options = Some(websocket::options());
    let opened = tokio_tungstenite::client_async_with_config(address, stream, options).await;
    let (socket, _) = opened.map_err(|error| match error {
        Error::Http(answer) => Silence::Other(DialError::NotWebSocket(answer.status().as_u16())),
        error => Silence::Lost(websocket::lost(error)),
    })?;
    let mut face = Box::new(WebSocket::new(socket, seqs));
    let hello = ws::Handshake { max_version: *WS_VERSIONS.end(), min_version: 0, module: MODULE };
    let _ = face.hello(0, &hello.to_json());
    poll_fn(|cx| face.poll_flush(cx)).await.map_err(Silence::Lost)?;
    loop {
        let came = poll_fn(|cx| face.poll_message(cx)).await.map_err(Silence::Lost)?;
        let Ok(bytes) = came else { continue };
        let message = WsMessage::decode(bytes)?;
        // An answer is known by its seq.
        if seqs.number(&message.seq) == Some(0) {
            ws::HandshakeReply::from_json(&message.payload)?;
            return Ok(face);
        }
    }
}

const fn ended(hint: &'static str) -> DialError {
    DialError::Ended { hint, source: None }
}

fn why(url: &NodeUrl, silence: Silence, verdict: &Verdict) -> DialError {
    let lost = match silence {
        Silence::Other(error) => return error,
        Silence::Lost(lost) => lost,
    };
    let hint = match (url.face(), url.is_tls()) {
        (Face::Channel, true) => {
            "is it the channel port (2.x)? The WebSocket port (3.x) is wss://. Or does it refuse our \
             certificate? `chainmesh doctor tls` says more"
        }
        (Face::Channel, false) => "is it the channel port (2.x)? Does it speak TLS (channel://)?",
        (Face::WebSocket, true) => {
            "is it the WebSocket port (3.x)? The channel port (2.x) is channel://. Or does it refuse \
             our certificate? `chainmesh doctor tls` says more"
        }
        (Face::WebSocket, false) => "is it the WebSocket port (3.x)? Does it speak TLS (wss://)?",
    };
    match lost {
        Lost::Broken(error) if url.is_tls() => match in_tls(error, verdict) {
            DialError::Ended { source, .. } => DialError::Ended { hint, source },
            error => error,
        },
        Lost::Broken(error) => DialError::Ended { hint, source: Some(error) },
        Lost::WebSocket(source) => DialError::WebSocket { hint, source },
        Lost::Unreadable(error) => DialError::NotANode(error),
        Lost::Ended | Lost::Silent(_) => ended(hint),
    }
}
