//! Whole control planes in virtual time: discovery, address book and peer manager of each node, with
//! the glue of a real one. Connections are simulated at the manager's seam: they take their round
//! trips, and carry nothing.
//!
//! Beside the nodes there are [`Stub`]s: others that take connections, or make them, by a script.

mod drive;
pub mod eclipse;
mod link;
mod look;
mod node;
mod stub;
mod world;

pub use node::PeersNode;
pub use stub::{Stub, StubConduct, StubIndex};
pub use world::PeersWorld;
