//! Whether others can reach this node: peers are asked to dial back, and are dialled back.
//!
//! | file | holds |
//! |---|---|
//! | `module.rs` | `reach/1` as a module: what peers say, on its way to the machine |
//! | `dial_back.rs` | one dial for a peer: TCP, the handshake, and a goodbye |
//! | `service.rs` | the task that runs the machine |

mod dial_back;
mod module;
mod service;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use chainmesh_proto::reach::Report;
pub use chainmesh_proto::reach::{Statement, Verdict};
pub use chainmesh_wire::reach::Outcome;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::discovery::Addresses;
pub(crate) use service::Service;

/// Whether others can reach this node, as its owner sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReachHandle {
    clock: Clock,
    report: watch::Receiver<Report>,
    addresses: Option<watch::Receiver<Addresses>>,
}

/// Everything there is to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachStatus {
    /// What the peers say.
    pub report: Report,
    /// How long ago they were asked.
    pub checked_ago: Option<Duration>,
    /// When they are asked again.
    pub next_in: Option<Duration>,
    /// Where the node's record says that it is, if it says so; of discovery.
    pub advertised: Option<SocketAddr>,
    /// Where enough other nodes see it, over UDP; of discovery.
    pub observed: Option<SocketAddr>,
}

impl ReachStatus {
    /// The address that others see: of discovery, where more have a voice, else of the peers.
    #[must_use]
    pub fn seen(&self) -> Option<IpAddr> {
        self.observed.map(|observed| observed.ip()).or_else(|| self.report.seen())
    }

    /// The address that the record says and the one that others see, if they are not the same: then
    /// nobody who reads the record can come.
    #[must_use]
    pub fn mismatch(&self) -> Option<(IpAddr, IpAddr)> {
        let (advertised, seen) = (self.advertised?.ip(), self.seen()?);
        (advertised != seen).then_some((advertised, seen))
    }
}

impl ReachHandle {
    /// Everything there is to know, as of now.
    #[must_use]
    pub fn status(&self) -> ReachStatus {
        status(&self.report.borrow(), self.clock, self.addresses.as_ref())
    }

    /// Waits until something else is known than before. `false`: the node has ended.
    pub async fn changed(&mut self) -> bool {
        self.report.changed().await.is_ok()
    }
}

fn status(
    report: &Report,
    clock: Clock,
    addresses: Option<&watch::Receiver<Addresses>>,
) -> ReachStatus {
    let now = clock.now();
    let Addresses { advertised, observed } =
        addresses.map(|addresses| *addresses.borrow()).unwrap_or_default();
    ReachStatus {
        checked_ago: report.checked.map(|at| now.saturating_since(at)),
        next_in: report.next.map(|at| at.saturating_since(now)),
        report: report.clone(),
        advertised,
        observed,
    }
}
