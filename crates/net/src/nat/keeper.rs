//! The task that keeps the mappings: made at the start, renewed, taken back at the end.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use chainmesh_proto::discovery::{is_lan, is_special};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::gateway::{Gateway, GatewayError, LEASE, Search, Transport};
use super::{NatChoice, NatPorts};
use crate::discovery::DiscoveryHandle;

/// When mappings are renewed: half way through.
const RENEW: Duration = Duration::from_secs(LEASE.as_secs() / 2);
/// Wait after a failure, twice as long each further time, up to [`RENEW`].
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// Time for taking the mappings back. The lease ends without it, too.
const FAREWELL: Duration = Duration::from_secs(2);

/// Ports at the gateway, and its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) ip: IpAddr,
    pub(super) tcp: Option<u16>,
    pub(super) udp: Option<u16>,
}

pub(super) struct Keeper {
    choice: NatChoice,
    ports: NatPorts,
    search: Search,
    discovery: Option<DiscoveryHandle>,
    gateway: Option<Gateway>,
    mapped: Option<Mapped>,
}

impl Keeper {
    pub(super) const fn new(
        choice: NatChoice,
        ports: NatPorts,
        search: Search,
        discovery: Option<DiscoveryHandle>,
    ) -> Self {
        Self { choice, ports, search, discovery, gateway: None, mapped: None }
    }

    pub(super) async fn run(mut self, mut ended: watch::Receiver<()>) {
        tokio::select! {
            () = self.keep() => {}
            // Nothing is ever sent: it ends when the sender is dropped.
            _ = ended.changed() => {}
        }
        if tokio::time::timeout(FAREWELL, self.take_back()).await.is_err() {
            debug!("the gateway did not say that it has taken the mappings back");
        }
    }

    async fn keep(&mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let wait = match self.renew().await {
                Ok(()) => {
                    retry = FIRST_RETRY;
                    RENEW
                }
                Err(error) => {
                    warn!(choice = %self.choice, "ports are not mapped: {error}");
                    self.gateway = None;
                    let next = (retry * 2).min(RENEW);
                    core::mem::replace(&mut retry, next)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Maps the ports, or renews the mappings, and says what is new.
    async fn renew(&mut self) -> Result<(), GatewayError> {
        if self.gateway.is_none() {
            self.gateway = Some(Gateway::find(self.choice, &self.search).await?);
        }
        let Some(gateway) = &self.gateway else { return Ok(()) };
        let ip = gateway.external_ip().await?;
        if is_lan(ip) || is_special(ip) {
            return Err(GatewayError::Nested(ip));
        }
        let mut mapped = Mapped { ip, tcp: None, udp: None };
        let before = self.mapped;
        if let Some(port) = self.ports.tcp {
            let wish = before.and_then(|before| before.tcp).unwrap_or(port);
            let local = SocketAddr::new(self.ports.address, port);
            mapped.tcp = Some(gateway.map(Transport::Tcp, local, wish).await?);
            // What is mapped is taken back, even if the next does not come about.
            self.mapped = Some(mapped);
        }
        if let Some(port) = self.ports.udp {
            let wish = before.and_then(|before| before.udp).unwrap_or(port);
            let local = SocketAddr::new(self.ports.address, port);
            mapped.udp = Some(gateway.map(Transport::Udp, local, wish).await?);
        }
        self.mapped = Some(mapped);
        if before != self.mapped {
            let Mapped { ip, tcp, udp } = mapped;
            info!(%ip, ?tcp, ?udp, protocol = gateway.protocol(), "the gateway maps the ports");
            if let (Some(discovery), Some(udp)) = (&self.discovery, udp) {
                let _ = discovery.set_address(ip, udp, tcp.unwrap_or(0)).await;
            }
        }
        Ok(())
    }

    async fn take_back(&mut self) {
        let (Some(gateway), Some(mapped)) = (&self.gateway, self.mapped) else { return };
        let mappings = [
            (Transport::Tcp, self.ports.tcp, mapped.tcp),
            (Transport::Udp, self.ports.udp, mapped.udp),
        ];
        for (transport, local, external) in mappings {
            if let (Some(local), Some(external)) = (local, external)
                && let Err(error) = gateway.unmap(transport, local, external).await
            {
                debug!("{error}");
            }
        }
    }
}
