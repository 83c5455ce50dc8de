//! Where nodes are, as a configuration says it.

use core::fmt;
use core::str::FromStr;
use std::net::SocketAddr;

use chainmesh_identity::enode::{EnodeError, parse_address};
use chainmesh_identity::{Enode, Host};
use serde::{Deserialize, Deserializer};

/// A node to connect to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeAddress {
    /// One whose ID is known: nobody else is accepted there.
    Enode(Enode),
    /// Whoever is there, if its certificate is good.
    Address(Host, u16),
}

/// Why a text says of no node where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeAddressError {
    /// It begins like an enode URL.
    #[error(transparent)]
    Enode(#[from] EnodeError),
    /// It is no address either.
    #[error("write a node as host:port (10.0.0.2:30300) or as an enode URL: {0}")]
    Address(#[source] EnodeError),
}

impl FromStr for NodeAddress {
    type Err = NodeAddressError;

    fn from_str(text: &str) -> Result<Self, NodeAddressError> {
        if text.trim_start().starts_with("enode:") {
            return Ok(Self::Enode(text.parse()?));
        }
        let (host, port) = parse_address(text).map_err(NodeAddressError::Address)?;
        Ok(Self::Address(host, port))
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enode(enode) => enode.fmt(f),
            Self::Address(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl<'de> Deserialize<'de> for NodeAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| super::of_value(&text, error))
    }
}

/// Address and port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| {
            serde::de::Error::custom(
                "write the address to listen on as \"IP:port\": \"0.0.0.0:30300\" for all of them",
            )
        };
        text.parse().map(Self).map_err(wrong)
    }
}
