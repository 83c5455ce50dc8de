//! Chains for worlds that synchronise: small generated blocks, and a store in memory that stands
//! for a node's disk.

mod audit;
pub mod blocks;
mod memory;

pub use audit::ChainDefect;
pub(crate) use audit::{Audit, Sank, Sound};
pub use blocks::{INVALID, Shape};
pub use memory::MemoryChain;
