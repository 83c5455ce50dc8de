//! The read model: what RPC and people see.

use core::fmt;
use core::net::IpAddr;
use std::collections::BTreeMap;

use chainmesh_identity::PeerId;
use chainmesh_wire::reach::Outcome;

use super::majority;
use crate::time::Instant;

/// Whether others can reach this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nobody has said so far.
    #[default]
    Unknown,
    /// More than half of those who tried have reached it.
    Yes {
        /// How many reached it.
        reached: usize,
        /// How many tried.
        tried: usize,
    },
    /// They have not.
    No {
        /// How many reached it.
        reached: usize,
        /// How many tried.
        tried: usize,
        /// What most of the others met with.
        obstacle: Outcome,
        /// The port that they dialled.
        port: u16,
    },
}

impl Verdict {
    /// `Some(true)`: others can; `None`: nobody has said.
    #[must_use]
    pub const fn is_reachable(&self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Yes { .. } => Some(true),
            Self::No { .. } => Some(false),
        }
    }

    /// Whether people would do the same after both: how many said so does not matter.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let obstacle = |verdict: &Self| match verdict {
            Self::No { obstacle, .. } => Some(*obstacle),
            _ => None,
        };
        self.is_reachable() == other.is_reachable() && obstacle(self) == obstacle(other)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unknown => f.write_str("not known yet: no peer has tried"),
            Self::Yes { reached, tried } => write!(f, "yes ({reached} of {tried} peers)"),
            Self::No { reached, tried, obstacle, port } => {
                write!(f, "no ({reached} of {tried} peers): ")?;
                match obstacle {
                    Outcome::Refused => write!(
                        f,
                        "the connection is refused; forward TCP port {port} to this machine"
                    ),
                    Outcome::AnotherNode => write!(
                        f,
                        "another node or program answers there; forward TCP port {port} to this \
                         machine"
                    ),
                    Outcome::Unreachable => f.write_str("there is no way to this address"),
                    _ => write!(
                        f,
                        "no answer; open TCP port {port} in the firewall, and forward it to this \
                         machine"
                    ),
                }
            }
        }
    }
}

/// What one peer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Who.
    pub by: PeerId,
    /// What came of its dial.
    pub outcome: Outcome,
    /// Where it sees this node, if it said an address that can be.
    pub seen: Option<IpAddr>,
    /// When it said so.
    pub at: Instant,
}

/// Everything there is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// TCP port that this node listens on; 0: it does not ask.
    pub port: u16,
    /// What is known.
    pub verdict: Verdict,
    /// What the peers said in the round that is over or under way:
    /// [`MAX_ASKED`](super::MAX_ASKED) at most.
    pub statements: Vec<Statement>,
    /// When the last round was over.
    pub checked: Option<Instant>,
    /// When the next one begins, if that is known.
    pub next: Option<Instant>,
    /// Peers that could be asked.
    pub peers: usize,
    /// Dials for others under way.
    pub dialling: usize,
    /// Dials for others, by what came of them.
    pub dialled: BTreeMap<Outcome, u64>,
    /// Questions that were answered with "not tried".
    pub not_tried: u64,
}

impl Report {
    /// The address that more than half of the peers see this node at.
    #[must_use]
    pub fn seen(&self) -> Option<IpAddr> {
        majority(self.statements.iter().filter_map(|statement| statement.seen))
    }
}
