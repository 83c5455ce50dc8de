//! Where a node's SDK port is, and which of the two it is.

use core::fmt;
use core::str::FromStr;

/// The port of a node that has no number in its URL: FISCO BCOS's default, of 2.x
/// (`channel_listen_port`) and of 3.x (`rpc.listen_port`).
pub const DEFAULT_PORT: u16 = 20_200;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Face {
    /// The WebSocket port of FISCO BCOS 3.x.
    WebSocket,
    /// The channel port of FISCO BCOS 2.x.
    Channel,
}

/// The SDK port of a node: `ws://host:port`, `wss://host:port`, `channel://host:port` (over TLS) or
/// `channel+plain://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeUrl {
    face: Face,
    tls: bool,
    host: String,
    port: u16,
}

/// Why a text is no [`NodeUrl`]. Whoever wrote the text is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no `…://` in front.
    #[error(
        "it does not say which port it is: write ws:// or wss:// for the port of 3.x, channel:// \
         for that of 2.x"
    )]
    NoScheme,
    /// It is of a kind that no SDK port is.
    #[error("an SDK port begins with ws://, wss://, channel:// or channel+plain://")]
    Scheme,
    /// There is no host in it.
    #[error("there is no host in it")]
    NoHost,
    /// The port is no number from 1 to 65535.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// There is something behind the port.
    #[error("there is more than host and port in it")]
    Rest,
}

impl NodeUrl {
    /// A port at a host (a name, or an address without brackets).
    #[must_use]
    pub fn new(face: Face, tls: bool, host: impl Into<String>, port: u16) -> Self {
        Self { face, tls, host: host.into(), port }
    }

    /// Which protocol is spoken there.
    #[must_use]
    pub const fn face(&self) -> Face {
        self.face
    }

    /// Whether it is spoken over TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Name or address of the host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for NodeUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::NoScheme)?;
        let (face, tls) = match scheme.to_ascii_lowercase().as_str() {
            "ws" => (Face::WebSocket, false),
            "wss" => (Face::WebSocket, true),
            "channel" => (Face::Channel, true),
            "channel+plain" => (Face::Channel, false),
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace) {
            return Err(UrlError::Rest);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(UrlError::NoHost)?;
                (host, port.strip_prefix(':'))
            }
            None => match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?,
            None => DEFAULT_PORT,
        };
        Ok(Self::new(face, tls, host, port))
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.face, self.tls) {
            (Face::WebSocket, false) => "ws",
            (Face::WebSocket, true) => "wss",
            (Face::Channel, true) => "channel",
            (Face::Channel, false) => "channel+plain",
        };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests;
