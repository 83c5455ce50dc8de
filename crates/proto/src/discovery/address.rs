//! Addresses: which belong to one owner, and which may be passed on to whom.

use core::net::IpAddr;

use chainmesh_wire::discv4::Contact;

/// The highest port that a node may not have. Services of others live there; geth draws the line at
/// the same place.
const MAX_LOW_PORT: u16 = 1024;

/// Addresses that are likely to have one owner: an IPv4 /24 or an IPv6 /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix([u8; 7]);

impl Prefix {
    /// The prefix that an address belongs to.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self([4, a, b, c, 0, 0, 0])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self([6, a, b, c, d, e, f])
            }
        }
    }
}

/// Whether the address is of a local network, where one owner is no sign of anything.
#[must_use]
pub const fn is_lan(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether nobody can be reached there.
#[must_use]
pub const fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // "This" network, benchmarks, and what is reserved for ever.
            let reserved = first == 0 || first >= 240 || (first == 198 && second & 0xfe == 18);
            reserved || ip.is_multicast() || ip.is_documentation()
        }
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            let documentation = first == 0x2001 && second == 0xdb8;
            documentation || ip.is_multicast() || ip.is_unspecified()
        }
    }
}

/// Whether what `teller` says about `ip` may be true: nobody outside knows our local network, and
/// nobody but this machine its loopback.
pub(crate) const fn may_know(teller: IpAddr, ip: IpAddr) -> bool {
    !is_special(ip)
        && (!ip.is_loopback() || teller.is_loopback())
        && (!is_lan(ip) || is_lan(teller))
}

/// Whether a node may be told to, or be heard from, somebody at `other`: nobody outside knows our local
/// network, nobody but this machine its loopback, and low ports belong to services of others.
#[must_use]
pub const fn may_relay(other: IpAddr, contact: &Contact) -> bool {
    contact.endpoint.udp_port > MAX_LOW_PORT && may_know(other, contact.endpoint.ip)
}
