//! Numbers for Prometheus, and whether the node is alive and ready, over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | every number that the node counts, in the OpenMetrics text format |
//! | `/healthz` | 200 as long as the process answers |
//! | `/readyz` | 200 when the node does its work, else 503 and a line for each reason |
//!
//! | file | holds |
//! |---|---|
//! | `page.rs` | `Page`: numbers with names, labels and helps, written as text |
//! | `network.rs` | peers, dials, discovery, gossip |
//! | `ledger.rs` | the chain, the pool, synchronisation |
//! | `consortium.rs` | the mesh, SDKs, certificates |
//! | `readiness.rs` | what keeps the node from being ready |
//! | `server.rs` | [`MetricsServer`]: the listener |
//!
//! Nothing is counted here: each answer is made from the reports of the machines, so that a node
//! that nobody asks pays nothing.

mod consortium;
mod ledger;
mod network;
mod page;
mod readiness;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use chainmesh_chain::clique::CliqueHandle;
use chainmesh_chain::{Chain, Mempool};
use chainmesh_net::P2pHandle;

use crate::consortium::Reloader;
use page::Page;
pub use server::MetricsServer;

/// Where metrics are served unless told otherwise: go-ethereum's port.
pub const DEFAULT_METRICS_ADDRESS: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6060));

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for metrics on {address}: {source}; choose another port (0: any)")]
pub struct MetricsError {
    /// Where.
    pub address: SocketAddr,
    /// The system's reason.
    pub source: io::Error,
}

/// What is reported on.
#[derive(Debug, Clone)]
pub(crate) struct MetricsSources {
    pub(crate) net: P2pHandle,
    pub(crate) chain: Option<Arc<Chain>>,
    pub(crate) pool: Option<Arc<Mempool>>,
    pub(crate) clique: Option<CliqueHandle>,
    pub(crate) reloader: Option<Arc<Reloader>>,
}

impl MetricsSources {
    /// All numbers, as of now.
    async fn text(&self) -> String {
        let mut page = Page::new();
        page.gauges(
            "build_info",
            "The version of the program; always 1",
            &["version"],
            [([env!("CARGO_PKG_VERSION").to_owned()], 1)],
        );
        network::peers(&mut page, &self.net).await;
        network::discovery(&mut page, &self.net).await;
        network::pex(&mut page, &self.net);
        network::gossip(&mut page, &self.net);
        ledger::chain(&mut page, self);
        consortium::mesh(&mut page, &self.net);
        consortium::amop(&mut page, &self.net);
        consortium::certificates(&mut page, self.reloader.as_deref());
        page.text()
    }
}
