//! Others, of whom only what they do on a connection is simulated.

use core::net::SocketAddr;
use core::time::Duration;

use chainmesh_identity::{Enode, Host, PeerId};

/// A stub of the world, by its place in the order in which stubs were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StubIndex(pub usize);

/// What a stub does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StubConduct {
    /// Of a thousand connections that somebody makes to it, it has a slot for so many. Chance is asked
    /// for each period of [`StubConduct::SLOTS_CHANGE`], not for each connection.
    pub spare_per_mille: u16,
    /// How long its sessions last in the mean, exponentially distributed; `None`: for ever.
    pub lasts: Option<Duration>,
    /// How long it waits before it dials again whom it wants to be connected to.
    pub dials_again: Duration,
    /// Whether it is there at all.
    pub online: bool,
}

impl StubConduct {
    /// How long a node that has a free slot, or none, stays so.
    pub const SLOTS_CHANGE: Duration = Duration::from_secs(20);

    /// Takes every connection and keeps it; dials again after two seconds.
    #[must_use]
    pub const fn greedy() -> Self {
        let dials_again = Duration::from_secs(2);
        Self { spare_per_mille: 1000, lasts: None, dials_again, online: true }
    }

    /// A node that so often has a slot for whoever comes, and dials nobody.
    #[must_use]
    pub const fn bystander(spare_per_mille: u16) -> Self {
        Self { spare_per_mille, ..Self::greedy() }
    }
}

/// Somebody at the other end of connections.
#[derive(Debug, Clone)]
pub struct Stub {
    /// Who.
    pub id: PeerId,
    /// Where it listens. Several stubs may share an address, as one host with many keys.
    pub address: SocketAddr,
    /// What it does.
    pub conduct: StubConduct,
    /// Whom it dials, again and again.
    pub wants: Option<SocketAddr>,
}

impl Stub {
    /// Its name and address.
    #[must_use]
    pub const fn enode(&self) -> Enode {
        let (ip, port) = (self.address.ip(), self.address.port());
        Enode { id: self.id, host: Host::Ip(ip), tcp_port: port, udp_port: port }
    }
}
