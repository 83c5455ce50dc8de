//! Discovery in virtual time: many machines, and the datagrams between them.

mod hostile;
mod world;

pub use hostile::Hostile;
pub(crate) use world::EPOCH;
pub use world::{DiscoveryNode, DiscoveryWorld, LookupResult};
