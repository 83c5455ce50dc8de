//! Runs the protocol machines in virtual time: the second driver beside `net`.
//!
//! A [`World`] is one process, one thread, one seed: nodes, the TCP connections between them, and
//! an event queue. The same seed gives the same decisions ([`World::decision_hash`]), and after
//! each step the [`invariants`] are checked.
//!
//! ```
//! use chainmesh_sim::{NodeConfig, World, WorldConfig};
//! use chainmesh_proto::peers::NodeKind;
//! use core::time::Duration;
//!
//! let mut world = World::new(7, WorldConfig::default());
//! let a = world.add_node(NodeConfig::default());
//! let b = world.add_node(NodeConfig::default());
//! world.want(a, b, NodeKind::Static);
//! assert!(world.run_until(Duration::from_secs(5), |world| world.connected(a, b))?);
//! # Ok::<(), chainmesh_sim::invariants::Broken>(())
//! ```
//!
//! A node with a chain ([`NodeConfig::chain`]) speaks `eth` and synchronises with the machines of a
//! real node; its blocks are generated ([`chain::blocks`]) and lie in memory, where its crashes do
//! not reach them:
//!
//! ```
//! use chainmesh_sim::chain::{MemoryChain, Shape, blocks};
//! use chainmesh_sim::{ChainNode, NodeConfig, World, WorldConfig};
//! use chainmesh_proto::peers::NodeKind;
//! use core::time::Duration;
//!
//! let blocks = blocks::branch(&blocks::genesis(), 100, Shape::default());
//! let full = ChainNode::new(MemoryChain::with(&blocks)?);
//! let empty = ChainNode::new(MemoryChain::default());
//! let mut world = World::new(7, WorldConfig::default());
//! let [a, b] = [full, empty].map(|chain| {
//!     world.add_node(NodeConfig { chain: Some(chain), ..NodeConfig::default() })
//! });
//! world.want(b, a, NodeKind::Static);
//! let synced = |world: &World| world.head(b) == world.head(a);
//! assert!(world.run_until(Duration::from_secs(10), synced)?);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A member of a mesh ([`NodeConfig::mesh`]) has the real `MeshModule`; what comes to it is noted down
//! ([`World::mesh_record`]), over its crashes too:
//!
//! ```
//! use chainmesh_sim::{MeshNode, NodeConfig, World, WorldConfig};
//! use chainmesh_proto::peers::NodeKind;
//! use core::time::Duration;
//!
//! let mut world = World::new(7, WorldConfig::default());
//! let [a, b, c] = [(); 3].map(|()| {
//!     world.add_node(NodeConfig { mesh: Some(MeshNode::default()), ..NodeConfig::default() })
//! });
//! world.want(a, b, NodeKind::Static);
//! world.want(b, c, NodeKind::Static);
//! world.run_for(Duration::from_secs(2))?;
//! assert!(world.unicast(a, c, b"over b", None).is_some());
//! let came = |world: &World| world.mesh_record(c).times(b"over b") == 1;
//! assert!(world.run_until(Duration::from_secs(1), came)?);
//! # Ok::<(), chainmesh_sim::invariants::Broken>(())
//! ```

//! Discovery has a world of its own, [`DiscoveryWorld`]: datagrams, no sessions, thousands of nodes.
//!
//! ```
//! use chainmesh_sim::{Conditions, DiscoveryNode, DiscoveryWorld};
//! use core::time::Duration;
//!
//! let mut world = DiscoveryWorld::new(7, Conditions::default());
//! let boot = world.add_node(DiscoveryNode::new("20.0.0.1:30303".parse()?, Vec::new()));
//! let known = vec![world.contact(boot)];
//! let [a, b] = ["20.0.1.1:30303", "20.0.2.1:30303"].map(|address| {
//!     let address = address.parse().expect("an address");
//!     world.add_node(DiscoveryNode::new(address, known.clone()))
//! });
//! let met = |world: &DiscoveryWorld| world.found(a).contains(&world.contact(b).id);
//! assert!(world.run_until(Duration::from_secs(30), met));
//! # Ok::<(), core::net::AddrParseError>(())
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod chain;
mod decisions;
mod discovery;
mod drive;
mod eth;
pub mod invariants;
mod mesh;
mod network;
mod node;
mod observe;
pub mod peers;
mod schedule;
mod world;

pub use discovery::{DiscoveryNode, DiscoveryWorld, Hostile, LookupResult};
pub use eth::{Accusation, ChainNode, Conduct, GIANT};
pub use mesh::{Application, Delivered, DeliveredCast, MeshNode, MeshRecord};
pub use network::{Conditions, NodeIndex};
pub use node::NodeConfig;
pub use peers::{PeersNode, PeersWorld, Stub, StubConduct, StubIndex};
pub use world::{World, WorldConfig};
