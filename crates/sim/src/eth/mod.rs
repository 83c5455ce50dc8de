//! Nodes that synchronise: the real `EthModule` and `BlockSyncManager` of a node, and what the
//! tokio driver is to them.
//!
//! | part | is |
//! |---|---|
//! | `node` | one node's machine, its peers, and the ear through which it hears them |
//! | `drive` | what the machine wants, done; what the peers say, told |
//! | `serve` | what a node answers, honest or not |
//! | `observe` | what tests may see |

mod drive;
mod node;
mod observe;
mod serve;

use std::sync::Arc;

use chainmesh_wire::eth::EthVersion;

use crate::chain::MemoryChain;

pub(crate) use drive::Work;
pub(crate) use node::{EthNode, Heard, Hearer, modules};
pub use observe::Accusation;

/// A node's chain, and how the node behaves with it.
#[derive(Debug, Clone)]
pub struct ChainNode {
    /// Its blocks; they survive its crashes.
    pub chain: Arc<MemoryChain>,
    /// What it answers.
    pub conduct: Conduct,
    /// The versions of `eth` that it speaks.
    pub versions: Vec<EthVersion>,
}

impl ChainNode {
    /// An honest node with this chain, in every version.
    #[must_use]
    pub fn new(chain: MemoryChain) -> Self {
        let versions = EthVersion::ALL.to_vec();
        Self { chain: Arc::new(chain), conduct: Conduct::Honest, versions }
    }

    /// The same with another conduct.
    #[must_use]
    pub fn with_conduct(self, conduct: Conduct) -> Self {
        Self { conduct, ..self }
    }

    /// The same with one version of `eth` only.
    #[must_use]
    pub fn with_version(self, version: EthVersion) -> Self {
        Self { versions: vec![version], ..self }
    }
}

/// Size of the body that a [`Conduct::Giant`] makes up, bytes: no block of a network has so many, and a
/// message may.
pub const GIANT: usize = 8 << 20;

/// How a node answers. Whatever it does to others, it says its own head and announces blocks as
/// an honest node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conduct {
    /// As it should. The world's invariants are about these nodes.
    #[default]
    Honest,
    /// As it should, from a chain that need not be valid.
    Forger,
    /// Never answers.
    Staller,
    /// Answers headers, never bodies.
    BodyStaller,
    /// Leaves a header out of each long answer.
    Gap,
    /// Has nothing of what it said that it has.
    Empty,
    /// Sends an empty body in place of each last one.
    WrongBodies,
    /// Sends a body of [`GIANT`] bytes in place of each last one.
    Giant,
}
