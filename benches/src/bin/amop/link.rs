//! A connection of the lean client.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::BytesMut;
use chainmesh_identity::tls::rustls::time_provider::DefaultTimeProvider;
use chainmesh_identity::tls::{HandshakeOptions, Versions, client_config, server_name};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::protocol::{Event, Protocol};

/// Where a server is, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    /// Directory of certificates, for TLS.
    pub(crate) certificates: Option<Arc<Path>>,
}

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection.
pub(crate) struct Link {
    pub(crate) protocol: Protocol,
    /// A number that no other link has.
    pub(crate) client: u64,
    stream: Box<dyn Duplex>,
    input: BytesMut,
    pub(crate) out: BytesMut,
}

static CLIENTS: AtomicU64 = AtomicU64::new(1);

impl Link {
    /// Connects and says hello. `small`: with a receive buffer as small as the system allows.
    pub(crate) async fn open(place: &Place, small: bool) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if small {
            socket.set_recv_buffer_size(4096)?;
        }
        let stream = socket.connect(place.address).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Duplex> = match &place.certificates {
            None => Box::new(stream),
            Some(directory) => secure(stream, directory).await?,
        };
        let client = CLIENTS.fetch_add(1, Relaxed);
        let (input, out) = (BytesMut::new(), BytesMut::new());
        let mut link = Self { protocol: place.protocol, client, stream, input, out };
        if place.protocol == Protocol::WebSocket {
            link.upgrade(place.address).await?;
        }
        link.protocol.hello(client, &mut link.out);
        link.ready().await?;
        Ok(link)
    }

    async fn upgrade(&mut self, host: SocketAddr) -> io::Result<()> {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.out.extend_from_slice(request.as_bytes());
        self.flush().await?;
        loop {
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                if !self.input.starts_with(b"HTTP/1.1 101") {
                    return Err(io::Error::other("no WebSocket"));
                }
                let _ = self.input.split_to(end + 4);
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Follows topics, and waits until the server has seen it.
    pub(crate) async fn subscribe(&mut self, topics: &[&str]) -> io::Result<()> {
        self.protocol.subscribe(topics, &mut self.out);
        self.ready().await
    }

    async fn ready(&mut self) -> io::Result<()> {
        self.flush().await?;
        loop {
            match self.next().await? {
                Event::Ready => return Ok(()),
                _ => continue,
            }
        }
    }

    /// Writes what waits. When this is dropped before it is ready, the rest waits on.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.stream.write_buf(&mut self.out).await?;
        }
        self.stream.flush().await
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.input.capacity() - self.input.len() < 4096 {
            self.input.reserve(16 * 1024);
        }
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next event, if it was read already. Pings are answered with the next flush.
    pub(crate) fn try_next(&mut self) -> io::Result<Option<Event>> {
        loop {
            match self.protocol.next(&mut self.input)? {
                Some(Event::Ping(payload)) => self.protocol.pong(&payload, &mut self.out),
                event => return Ok(event),
            }
        }
    }

    /// The next event. When this is dropped before it is ready, nothing is lost.
    pub(crate) async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            self.flush().await?;
            self.fill().await?;
        }
    }
}

async fn secure(stream: TcpStream, directory: &Path) -> io::Result<Box<dyn Duplex>> {
    let material = chainmesh_sdk::certificates::load(directory).map_err(io::Error::other)?;
    let time = Arc::new(DefaultTimeProvider);
    let options = HandshakeOptions { versions: Versions::Both, expected: None, time };
    let (config, _) = client_config(&material, &options).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(server_name(), stream).await?))
}
