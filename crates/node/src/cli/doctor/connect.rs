//! From the text HOST:PORT to an open TCP connection.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Where the peer is, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("the port is missing: HOST:PORT, as in 10.0.0.2:30300")]
    NoPort,
    #[error("the port is a number from 1 to 65535")]
    Port,
    #[error("an IPv6 address stands in brackets: [::1]:30300")]
    Brackets,
    #[error("the host is missing: HOST:PORT, as in 10.0.0.2:30300")]
    NoHost,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(EndpointError::NoPort)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) => host,
            None if host.contains(':') => return Err(EndpointError::Brackets),
            None => host,
        };
        if host.is_empty() {
            return Err(EndpointError::NoHost);
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Port)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = chainmesh_net::Escaped(&self.host);
        match self.host.contains(':') {
            true => write!(f, "[{host}]:{}", self.port),
            false => write!(f, "{host}:{}", self.port),
        }
    }
}

/// A connection, and how long it took to have it.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) took: Duration,
}

/// Why there is no TCP connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The name has no address.
    Unknown(io::Error),
    /// No address of it could be reached; this is what the last one said.
    Failed(io::Error),
}

/// Tries every address of the host, one after another.
pub(super) fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Connected, ConnectError> {
    let addresses = (endpoint.host.as_str(), endpoint.port).to_socket_addrs();
    let mut last = ConnectError::Unknown(io::ErrorKind::NotFound.into());
    for address in addresses.map_err(ConnectError::Unknown)? {
        let began = Instant::now();
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(Connected { stream, address, took: began.elapsed() }),
            Err(error) => last = ConnectError::Failed(error),
        }
    }
    Err(last)
}
