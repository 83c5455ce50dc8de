//! The Status handshake: what this node says of its chain, and whether it fits the peer's.

use core::fmt;

use alloy_eip2124::{ForkFilter, ForkHash, ForkId, Head, ValidationError};
use alloy_primitives::{B256, keccak256};
use chainmesh_wire::eth::{BlockRange, EthVersion, Status, StatusHead};

use super::chain::ChainHead;

/// What makes two nodes members of one chain.
#[derive(Debug, Clone)]
pub struct ChainIdentity {
    /// Network id; usually the chain id.
    pub network_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: B256,
    /// The forks that the chain has and will have (EIP-2124, EIP-6122).
    pub forks: ForkFilter,
    /// Number of the first block that this node can serve. 0 unless history is missing.
    pub earliest: u64,
}

impl ChainIdentity {
    /// The Status of this node in the form of `version`.
    #[must_use]
    pub fn status(&self, version: EthVersion, head: &ChainHead) -> Status {
        let head_part = if version >= EthVersion::Eth69 {
            StatusHead::Range(BlockRange {
                earliest: self.earliest.min(head.number),
                latest: head.number,
                latest_hash: head.hash,
            })
        } else {
            let total_difficulty = head.total_difficulty;
            StatusHead::TotalDifficulty { total_difficulty, best_hash: head.hash }
        };
        Status {
            version: version.number(),
            network_id: self.network_id,
            genesis: self.genesis_hash,
            fork_id: self.forks_at(head).current(),
            head: head_part,
        }
    }

    /// Whether a peer's Status fits. The order is geth's, so that the first difference named is
    /// the coarsest.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(
        &self,
        version: EthVersion,
        head: &ChainHead,
        theirs: &Status,
    ) -> Result<(), Incompatible> {
        self.check_network(theirs.network_id)?;
        if theirs.version != version.number() {
            return Err(Incompatible::ProtocolVersion {
                negotiated: version,
                theirs: theirs.version,
            });
        }
        self.check_chain(head, theirs.genesis, theirs.fork_id)
    }

    /// Whether a peer is on the same network.
    pub(crate) const fn check_network(&self, theirs: u64) -> Result<(), Incompatible> {
        let ours = self.network_id;
        if theirs == ours { Ok(()) } else { Err(Incompatible::NetworkId { ours, theirs }) }
    }

    /// Whether a peer has the same genesis block, and forks that fit.
    pub(crate) fn check_chain(
        &self,
        head: &ChainHead,
        genesis: B256,
        fork_id: ForkId,
    ) -> Result<(), Incompatible> {
        if genesis != self.genesis_hash {
            let (ours, theirs) = (self.genesis_hash, genesis);
            return Err(Incompatible::Genesis { ours, theirs });
        }
        self.forks_at(head).validate(fork_id).map_err(Incompatible::ForkId)
    }

    /// A number that changes with network, genesis block or the schedule of forks, not with the head.
    #[must_use]
    pub fn digest(&self) -> B256 {
        let mut forks = self.forks.clone();
        // Behind the last fork the hash is that of all of them.
        let end = Head { number: u64::MAX, timestamp: u64::MAX, ..Head::default() };
        forks.set_head(end);
        let ForkHash(all) = forks.current().hash;
        keccak256([&self.network_id.to_be_bytes(), self.genesis_hash.as_slice(), &all].concat())
    }

    pub(crate) fn forks_at(&self, head: &ChainHead) -> ForkFilter {
        let mut forks = self.forks.clone();
        forks.set_head(Head {
            number: head.number,
            hash: head.hash,
            timestamp: head.timestamp,
            ..Head::default()
        });
        forks
    }
}

/// Why two nodes cannot be peers: neither is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incompatible {
    /// Another network.
    NetworkId {
        /// This node's.
        ours: u64,
        /// The peer's.
        theirs: u64,
    },
    /// The Status has another version than the one that was negotiated.
    ProtocolVersion {
        /// What the two Hellos have in common.
        negotiated: EthVersion,
        /// What the Status says.
        theirs: u32,
    },
    /// Another genesis block.
    Genesis {
        /// This node's.
        ours: B256,
        /// The peer's.
        theirs: B256,
    },
    /// The same genesis block and other forks (EIP-2124).
    ForkId(ValidationError),
}

impl Incompatible {
    /// The same in few words: theirs, and ours. Hashes are cut to 4 bytes.
    #[must_use]
    pub fn in_short(&self) -> String {
        match self {
            Self::NetworkId { ours, theirs } => format!("network {theirs} (ours {ours})"),
            Self::ProtocolVersion { negotiated, theirs } => {
                format!("Status of eth/{theirs} ({negotiated} was negotiated)")
            }
            Self::Genesis { ours, theirs } => {
                format!("genesis {} (ours {})", Short(theirs), Short(ours))
            }
            Self::ForkId(
                ValidationError::RemoteStale { local, remote }
                | ValidationError::LocalIncompatibleOrStale { local, remote },
            ) => format!("fork {} (ours {})", Words(remote), Words(local)),
        }
    }
}

/// The beginning of a hash.
struct Short<'a>(&'a B256);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

impl core::error::Error for Incompatible {}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkId { ours, theirs } => {
                write!(f, "the peer is on network {theirs}, this node on {ours}")
            }
            Self::ProtocolVersion { negotiated, theirs } => {
                write!(f, "the peer's Status says eth/{theirs}, but {negotiated} was negotiated")
            }
            Self::Genesis { ours, theirs } => {
                write!(f, "the peer's chain begins with block {theirs}, this node's with {ours}")
            }
            Self::ForkId(ValidationError::RemoteStale { local, remote }) => write!(
                f,
                "the peer has not been upgraded for a fork that this node has passed: its fork id \
                 is {}, this node's is {}",
                Words(remote),
                Words(local)
            ),
            Self::ForkId(ValidationError::LocalIncompatibleOrStale { local, remote }) => write!(
                f,
                "the peer's chain has forks that this node does not know (another chain, or this \
                 node needs an upgrade): its fork id is {}, this node's is {}",
                Words(remote),
                Words(local)
            ),
        }
    }
}

/// A fork id for a person.
struct Words<'a>(&'a ForkId);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ForkId { hash: ForkHash(hash), next } = self.0;
        write!(f, "0x{:08x}", u32::from_be_bytes(*hash))?;
        match next {
            0 => f.write_str(" (no fork scheduled)"),
            next => write!(f, " (next fork at {next})"),
        }
    }
}

#[cfg(test)]
mod tests;
