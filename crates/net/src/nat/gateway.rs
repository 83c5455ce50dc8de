//! The gateway, by whichever protocol it speaks.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::time::Duration;
use std::io;

use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{
    AddAnyPortError, AddPortError, GetExternalIpError, PortMappingProtocol, RemovePortError,
    SearchError, SearchOptions,
};
use tokio::net::UdpSocket;

use super::pmp::{PmpError, PmpGateway};
use super::{NatChoice, route};

/// How long a mapping holds when it is not renewed (geth: 10 min).
pub(super) const LEASE: Duration = Duration::from_secs(20 * 60);
/// What a gateway's list of mappings says.
const DESCRIPTION: &str = "chainmesh";

/// Why a gateway was not found, or did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    #[error("no gateway answered, neither by UPnP ({upnp}) nor by NAT-PMP ({pmp})")]
    Nobody { upnp: SearchError, pmp: PmpError },
    #[error("no gateway was found by UPnP: {0}")]
    Search(#[from] SearchError),
    #[error("NAT-PMP: {0}")]
    Pmp(#[from] PmpError),
    #[error("the gateway does not say its external address: {0}")]
    Address(#[from] GetExternalIpError),
    #[error("the gateway does not map a port: {0}")]
    Map(#[from] AddPortError),
    #[error("the gateway does not map any port: {0}")]
    MapAny(#[from] AddAnyPortError),
    #[error("the gateway does not take a mapping back: {0}")]
    Unmap(#[from] RemovePortError),
    #[error("there is no way to the gateway: {0}")]
    Way(#[from] io::Error),
    #[error("it is behind another gateway: its external address is {0}")]
    Nested(IpAddr),
}

/// Where gateways are looked for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// Where UPnP's question goes.
    pub(super) ssdp: SocketAddr,
    /// Where a gateway listens for NAT-PMP.
    pub(super) pmp_port: u16,
    /// Time for the answer to UPnP's question.
    pub(super) timeout: Duration,
    /// Addresses that a gateway may name beside the one that it answers from; loopback it may not
    /// otherwise.
    pub(super) trusted: Vec<IpAddr>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            ssdp: SocketAddr::from((Ipv4Addr::new(239, 255, 255, 250), 1900)),
            pmp_port: super::pmp::PORT,
            timeout: Duration::from_secs(5),
            trusted: Vec::new(),
        }
    }
}

/// What a mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl From<Transport> for PortMappingProtocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::TCP,
            Transport::Udp => Self::UDP,
        }
    }
}

/// A gateway that answered.
pub(super) enum Gateway {
    Upnp(Box<igd_next::aio::Gateway<Tokio>>),
    Pmp(PmpGateway),
}

impl Gateway {
    pub(super) const fn protocol(&self) -> &'static str {
        match self {
            Self::Upnp(_) => "UPnP",
            Self::Pmp(_) => "NAT-PMP",
        }
    }

    /// Looks for the gateway.
    pub(super) async fn find(choice: NatChoice, search: &Search) -> Result<Self, GatewayError> {
        match choice {
            NatChoice::Upnp => Ok(upnp(search).await?),
            NatChoice::Pmp(gateway) => Ok(pmp(gateway, search).await?),
            _ => any(search).await,
        }
    }

    pub(super) async fn external_ip(&self) -> Result<IpAddr, GatewayError> {
        match self {
            Self::Upnp(gateway) => Ok(gateway.get_external_ip().await?),
            Self::Pmp(gateway) => Ok(gateway.external_ip().await?.into()),
        }
    }

    /// Maps a port of ours, or renews the mapping; gives the port at the gateway: `wish`, if nobody
    /// else has it.
    pub(super) async fn map(
        &self,
        transport: Transport,
        local: SocketAddr,
        wish: u16,
    ) -> Result<u16, GatewayError> {
        let lease = u32::try_from(LEASE.as_secs()).unwrap_or(u32::MAX);
        let gateway = match self {
            Self::Pmp(gateway) => {
                return Ok(gateway.map(transport, local.port(), wish, lease).await?);
            }
            Self::Upnp(gateway) => gateway,
        };
        let local = SocketAddr::new(towards(gateway.addr, local.ip()).await?, local.port());
        let protocol = transport.into();
        let result = gateway.add_port(protocol, wish, local, lease, DESCRIPTION).await;
        match result {
            Ok(()) => Ok(wish),
            // Old gateways know no leases: the mapping is taken back at the end, then.
            Err(AddPortError::OnlyPermanentLeasesSupported) => {
                gateway.add_port(protocol, wish, local, 0, DESCRIPTION).await?;
                Ok(wish)
            }
            Err(AddPortError::PortInUse) => {
                Ok(gateway.add_any_port(protocol, local, lease, DESCRIPTION).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a mapping back.
    pub(super) async fn unmap(
        &self,
        transport: Transport,
        local_port: u16,
        external_port: u16,
    ) -> Result<(), GatewayError> {
        match self {
            Self::Upnp(gateway) => Ok(gateway.remove_port(transport.into(), external_port).await?),
            Self::Pmp(gateway) => Ok(gateway.unmap(transport, local_port).await?),
        }
    }
}

async fn upnp(search: &Search) -> Result<Gateway, SearchError> {
    let mut options = SearchOptions::default();
    options.broadcast_address = search.ssdp;
    options.timeout = Some(search.timeout);
    options.allowed_gateway_ips.clone_from(&search.trusted);
    Ok(Gateway::Upnp(Box::new(search_gateway(options).await?)))
}

async fn pmp(gateway: Option<IpAddr>, search: &Search) -> Result<Gateway, PmpError> {
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => route::default_gateway().await.ok_or(PmpError::NoRoute)?,
    };
    let gateway = PmpGateway::connect(SocketAddr::new(gateway, search.pmp_port)).await?;
    // Whether anybody is there.
    gateway.external_ip().await?;
    Ok(Gateway::Pmp(gateway))
}

async fn any(search: &Search) -> Result<Gateway, GatewayError> {
    let (mut upnp, mut pmp) = (pin!(upnp(search)), pin!(pmp(None, search)));
    let (by_upnp, by_pmp) = tokio::select! {
        by_upnp = &mut upnp => match by_upnp {
            Ok(gateway) => return Ok(gateway),
            Err(error) => (Some(error), None),
        },
        by_pmp = &mut pmp => match by_pmp {
            Ok(gateway) => return Ok(gateway),
            Err(error) => (None, Some(error)),
        },
    };
    // One of them has failed: the other may still answer.
    let upnp = match by_upnp {
        Some(error) => error,
        None => match upnp.await {
            Ok(gateway) => return Ok(gateway),
            Err(error) => error,
        },
    };
    let pmp = match by_pmp {
        Some(error) => error,
        None => match pmp.await {
            Ok(gateway) => return Ok(gateway),
            Err(error) => error,
        },
    };
    Err(GatewayError::Nobody { upnp, pmp })
}

/// The address of this machine on the way to the gateway, unless the node listens on one alone.
async fn towards(gateway: SocketAddr, listening: IpAddr) -> io::Result<IpAddr> {
    if !listening.is_unspecified() {
        return Ok(listening);
    }
    route::local_address(gateway).await
}

/// A socket on any address of the family that reaches `to`.
pub(super) async fn socket_for(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (core::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}
