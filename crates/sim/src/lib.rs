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

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod decisions;
mod drive;
pub mod invariants;
mod network;
mod node;
mod observe;
mod schedule;
mod world;

pub use network::{Conditions, NodeIndex};
pub use node::NodeConfig;
pub use world::{World, WorldConfig};
