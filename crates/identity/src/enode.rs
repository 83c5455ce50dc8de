//! Enode URLs: `enode://<public key>@<host>:<tcp port>[?discport=<udp port>]`.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::{PeerId, PeerIdError};

/// Port that is meant when an enode URL names none.
pub const DEFAULT_PORT: u16 = 30303;

/// Longest host name (RFC 1035).
const MAX_HOST_NAME: usize = 253;

/// Where a node is: an address, or a name that is looked up before each dial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A host name.
    Name(String),
}

impl Host {
    /// The address, if this is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A node and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Enode {
    /// Who it is.
    pub id: PeerId,
    /// Where it is.
    pub host: Host,
    /// TCP port of its listener; 0 when it does not listen.
    pub tcp_port: u16,
    /// UDP port of its discovery, the same as `tcp_port` unless the URL says otherwise.
    pub udp_port: u16,
}

/// What is wrong with an enode URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnodeError {
    /// It does not begin with `enode://`.
    #[error("an enode URL begins with enode://")]
    Scheme,
    /// There is no `@` between key and address.
    #[error("an enode URL has the form enode://<public key>@<host>:<port>; the @ is missing")]
    NoAddress,
    /// The public key is none.
    #[error("the public key before the @ is wrong: {0}")]
    Id(#[from] PeerIdError),
    /// The host is missing, or no address and no name either.
    #[error("the host is neither an IP address nor a host name")]
    Host,
    /// A port is missing or no number up to 65535.
    #[error("the {0} port is not a number from 0 to 65535")]
    Port(&'static str),
    /// Something follows the port that is not `?discport=…`.
    #[error("after the port only ?discport=<port> may follow")]
    Query,
}

impl Enode {
    /// A node at an IP address with one port for TCP and UDP.
    #[must_use]
    pub const fn new(id: PeerId, ip: IpAddr, port: u16) -> Self {
        Self { id, host: Host::Ip(ip), tcp_port: port, udp_port: port }
    }
}

impl FromStr for Enode {
    type Err = EnodeError;

    fn from_str(url: &str) -> Result<Self, EnodeError> {
        let rest = url.trim().strip_prefix("enode://").ok_or(EnodeError::Scheme)?;
        let (id, address) = rest.split_once('@').ok_or(EnodeError::NoAddress)?;
        let id: PeerId = id.parse()?;
        id.public_key()?;
        let (address, query) = match address.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (address, None),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = split_port(address)?;
        let tcp_port = port.map_or(Ok(DEFAULT_PORT), |port| parse_port(port, "TCP"))?;
        let udp_port = match query.map(|query| query.strip_prefix("discport=")) {
            None => tcp_port,
            Some(Some(port)) => parse_port(port, "discovery")?,
            Some(None) => return Err(EnodeError::Query),
        };
        Ok(Self { id, host: parse_host(host)?, tcp_port, udp_port })
    }
}

/// Reads `host:port`, as node lists of FISCO BCOS have it: an address of a node whose ID is not known.
///
/// # Errors
/// [`EnodeError::Host`] and [`EnodeError::Port`]; the port must be there.
pub fn parse_address(text: &str) -> Result<(Host, u16), EnodeError> {
    let (host, port) = split_port(text.trim())?;
    let port = parse_port(port.ok_or(EnodeError::Port("TCP"))?, "TCP")?;
    Ok((parse_host(host)?, port))
}

/// Splits `host:port`, where an IPv6 address stands in brackets.
fn split_port(address: &str) -> Result<(&str, Option<&str>), EnodeError> {
    if address.starts_with('[') {
        let (host, rest) = address.split_once(']').ok_or(EnodeError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(EnodeError::Port("TCP")),
        };
    }
    match address.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((address, None)),
    }
}

fn parse_port(port: &str, which: &'static str) -> Result<u16, EnodeError> {
    // `u16::from_str` takes a sign.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EnodeError::Port(which));
    }
    port.parse().map_err(|_| EnodeError::Port(which))
}

fn parse_host(host: &str) -> Result<Host, EnodeError> {
    if let Some(ip) = host.strip_prefix('[') {
        return ip.parse::<Ipv6Addr>().map(|ip| Host::Ip(ip.into())).map_err(|_| EnodeError::Host);
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if name.len() > MAX_HOST_NAME || numeric || !name.split('.').all(label) {
        return Err(EnodeError::Host);
    }
    Ok(Host::Name(host.to_owned()))
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enode://{}@{}:{}", self.id, self.host, self.tcp_port)?;
        if self.udp_port != self.tcp_port {
            write!(f, "?discport={}", self.udp_port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
