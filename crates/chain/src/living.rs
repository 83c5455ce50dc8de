//! What makes a chain live: a pool that stays at its head, and blocks that are filled from it.
//!
//! | part | does |
//! |---|---|
//! | [`ChainPool`] | keeps a [`Mempool`] at the head of a [`Chain`](crate::Chain) |
//! | `blocks` | hands the pool out to [`ExecutedBlocks`](crate::producer::ExecutedBlocks) |
//! | [`NetworkPool`] | shows the pool to the network |

mod blocks;
mod follow;
mod network;

pub use follow::ChainPool;
pub use network::NetworkPool;
