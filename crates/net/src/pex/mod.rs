//! Peer exchange: peers tell each other of nodes, over the sessions that they have.
//!
//! A node takes part when [`P2pConfig::pex`](crate::P2pConfig::pex) is set. Then the nodes of its address
//! book are dialled, also without discovery and in a consortium, so a node that knows one member finds
//! the others:
//!
//! ```
//! use chainmesh_net::{NodeKey, P2pConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = |number: u8, known: Option<&chainmesh_net::P2pHandle>| {
//!     let mut config = P2pConfig::new(NodeKey::from_entropy([number; 32]), 1, Default::default());
//!     config.listen_address = [127, 0, 0, 1].into();
//!     config.listen_port = 0;
//!     config.pex = true;
//!     config.boot_nodes.extend(known.and_then(|known| known.enode()));
//!     chainmesh_net::start(config)
//! };
//! let first = node(1, None).await?;
//! let second = node(2, Some(&first)).await?;
//! let third = node(3, Some(&first)).await?;
//! while third.peer_count() < 2 {
//!     tokio::task::yield_now().await;
//! }
//! // One of the two was told of the other.
//! let taken = |node: &chainmesh_net::P2pHandle| node.pex_report().map(|pex| pex.counters.taken);
//! assert!([&second, &third].into_iter().filter_map(taken).sum::<u64>() > 0);
//! for node in [first, second, third] {
//!     node.shutdown().await;
//! }
//! # Ok(())
//! # }
//! ```

mod service;

pub use chainmesh_proto::pex::{Ignored, PexCounters, PexReport};
pub(crate) use service::{PexOrder, PexService};
