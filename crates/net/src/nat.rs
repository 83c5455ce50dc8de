//! Behind a gateway: ports that it maps to this node, and the address that others see.

#[cfg(feature = "upnp")]
mod gateway;
#[cfg(feature = "upnp")]
mod keeper;
#[cfg(feature = "upnp")]
mod pmp;
#[cfg(feature = "upnp")]
mod route;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use tokio::sync::watch;

use crate::discovery::DiscoveryHandle;

/// How the node gets to be reached from outside its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NatChoice {
    /// Nothing is done about it.
    #[default]
    None,
    /// It is reached under this address: somebody has seen to it.
    External(IpAddr),
    /// The gateway is asked, by UPnP or NAT-PMP, whichever it answers first.
    Any,
    /// The gateway is asked by UPnP.
    Upnp,
    /// The gateway is asked by NAT-PMP: the one at this address, or that of the default route.
    Pmp(Option<IpAddr>),
}

/// What is wrong with the text of a [`NatChoice`], or with the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NatChoiceError {
    /// None of the words.
    #[error("it is none, any, upnp, pmp, pmp:<address of the gateway>, or extip:<address>")]
    Unknown,
    /// What follows the colon is no address that others can reach.
    #[error("what follows the colon is not an IP address that others can reach")]
    Address,
    /// The program was built without it.
    #[error(
        "this program was built without UPnP and NAT-PMP (cargo feature `upnp`); none and \
         extip:<address> are there in every build"
    )]
    NotBuiltIn,
}

impl NatChoice {
    /// Whether a gateway is to be asked.
    #[must_use]
    pub const fn asks_gateway(self) -> bool {
        matches!(self, Self::Any | Self::Upnp | Self::Pmp(_))
    }

    /// The address that was said, if one was.
    #[must_use]
    pub const fn external(self) -> Option<IpAddr> {
        match self {
            Self::External(ip) => Some(ip),
            _ => None,
        }
    }

    /// Whether this program can do it.
    ///
    /// # Errors
    /// [`NatChoiceError::NotBuiltIn`].
    pub const fn check(self) -> Result<(), NatChoiceError> {
        match self.asks_gateway() && cfg!(not(feature = "upnp")) {
            true => Err(NatChoiceError::NotBuiltIn),
            false => Ok(()),
        }
    }
}

impl FromStr for NatChoice {
    type Err = NatChoiceError;

    fn from_str(text: &str) -> Result<Self, NatChoiceError> {
        let lower = text.trim().to_ascii_lowercase();
        let (word, address) = match lower.split_once(':') {
            Some((word, address)) => (word, Some(address)),
            None => (lower.as_str(), None),
        };
        let address = address.map(str::parse::<IpAddr>).transpose();
        let address = address.map_err(|_| NatChoiceError::Address)?;
        if address.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(NatChoiceError::Address);
        }
        match (word, address) {
            ("none" | "off", None) => Ok(Self::None),
            ("any" | "auto" | "on", None) => Ok(Self::Any),
            ("upnp", None) => Ok(Self::Upnp),
            ("pmp" | "natpmp" | "nat-pmp", gateway) => Ok(Self::Pmp(gateway)),
            ("extip" | "ip", Some(ip)) => Ok(Self::External(ip)),
            _ => Err(NatChoiceError::Unknown),
        }
    }
}

impl fmt::Display for NatChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::External(ip) => write!(f, "extip:{ip}"),
            Self::Any => f.write_str("any"),
            Self::Upnp => f.write_str("upnp"),
            Self::Pmp(None) => f.write_str("pmp"),
            Self::Pmp(Some(ip)) => write!(f, "pmp:{ip}"),
        }
    }
}

/// What is to be reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatPorts {
    /// Address that the node listens on; the unspecified one is all.
    pub address: IpAddr,
    /// TCP port of sessions.
    pub tcp: Option<u16>,
    /// UDP port of discovery.
    pub udp: Option<u16>,
}

/// Has the gateway map the ports until the node ends, and then takes the mappings back. Discovery is told
/// the address and the ports at the gateway. Without the cargo feature `upnp`, and for choices that ask no
/// gateway, it ends at once.
pub async fn keep(
    choice: NatChoice,
    ports: NatPorts,
    discovery: Option<DiscoveryHandle>,
    ended: watch::Receiver<()>,
) {
    #[cfg(feature = "upnp")]
    if choice.asks_gateway() {
        let search = gateway::Search::default();
        keeper::Keeper::new(choice, ports, search, discovery).run(ended).await;
    }
    #[cfg(not(feature = "upnp"))]
    let _ = (choice, ports, discovery, ended);
}
