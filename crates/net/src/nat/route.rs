//! Where the gateway is.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::io;

use super::gateway::socket_for;

/// The kernel's routes, where there is such a file (Linux).
const ROUTES: &str = "/proc/net/route";
/// Somewhere outside; nothing is sent there. (RFC 5737)
const OUTSIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The address of this machine on the way to another; nothing is sent.
pub(super) async fn local_address(to: SocketAddr) -> io::Result<IpAddr> {
    Ok(socket_for(to).await?.local_addr()?.ip())
}

/// The gateway of the default route. Where the system does not say, it is guessed as go-ethereum does: the
/// first address of our /24.
pub(super) async fn default_gateway() -> Option<IpAddr> {
    let routes = tokio::task::spawn_blocking(|| std::fs::read_to_string(ROUTES)).await;
    if let Ok(Ok(routes)) = routes {
        return in_routes(&routes).map(IpAddr::V4);
    }
    match local_address(OUTSIDE).await.ok()? {
        IpAddr::V4(ip) if ip.is_private() => {
            let [a, b, c, _] = ip.octets();
            Some(IpAddr::from([a, b, c, 1]))
        }
        _ => None,
    }
}

/// The gateway in the lines of `/proc/net/route`: that of the route to everywhere with the least metric.
pub(super) fn in_routes(routes: &str) -> Option<Ipv4Addr> {
    let mut best = None;
    for line in routes.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let metric: u32 = fields.nth(3)?.parse().ok()?;
        let mask = fields.next()?;
        // The bytes of the address, in the order of the machine's memory.
        let number = u32::from_str_radix(gateway, 16).ok()?;
        let everywhere = destination == "00000000" && mask == "00000000";
        if everywhere && number != 0 && best.is_none_or(|(least, _)| metric < least) {
            best = Some((metric, Ipv4Addr::from(number.to_ne_bytes())));
        }
    }
    best.map(|(_, gateway)| gateway)
}
