//! Nodes that this node wants to be connected to, and when each is dialled next.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use chainmesh_identity::{Enode, Host, PeerId};
use chainmesh_wire::devp2p::DisconnectReason;
use rand_core::Rng;

use super::{ClosedBy, ConnectionId, DialError, PeerManagerConfig};
use crate::time::Instant;

/// Attempts that are remembered per target.
const HISTORY: usize = 8;

/// Where to dial, and who is expected there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialTarget {
    /// Who must answer; `None` when only the address is known, as in FISCO's node lists.
    pub id: Option<PeerId>,
    /// Address, or a name that the driver looks up anew for each dial.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

impl DialTarget {
    /// What the target is remembered by: its ID if there is one, else its address.
    #[must_use]
    pub fn key(&self) -> TargetKey {
        match self.id {
            Some(id) => TargetKey::Id(id),
            None => TargetKey::Address(self.host.clone(), self.port),
        }
    }
}

impl From<&Enode> for DialTarget {
    fn from(enode: &Enode) -> Self {
        Self { id: Some(enode.id), host: enode.host.clone(), port: enode.tcp_port }
    }
}

impl fmt::Display for DialTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            write!(f, "{}@", id.short())?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The name of a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKey {
    /// A node whose ID is known.
    Id(PeerId),
    /// An address where nobody in particular is expected.
    Address(Host, u16),
}

/// How much a target is wanted. The order is the order in which free slots are given out, last
/// one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// Found by discovery or told by a peer: forgotten when it fails too often.
    Dynamic,
    /// A boot node: dialled for ever.
    Boot,
    /// Configured or added by the operator: dialled for ever.
    Static,
    /// As static, and its slot is beside `max_peers`.
    Trusted,
}

impl NodeKind {
    /// Whether a person asked for this node: such a target is never given up, and its peer may use
    /// the outbound reserve whoever dials.
    #[must_use]
    pub const fn is_configured(self) -> bool {
        !matches!(self, Self::Dynamic)
    }
}

/// What came of a dial or of a session with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No connection.
    DialFailed(DialError),
    /// Somebody else answered.
    UnexpectedIdentity {
        /// Who.
        found: PeerId,
    },
    /// This node itself answered.
    OwnAddress,
    /// There was a connection, and it ended.
    Ended {
        /// Why.
        reason: DisconnectReason,
        /// Whose decision it was.
        by: ClosedBy,
        /// How long it had been a session; `None` when it ended in a handshake.
        lasted: Option<Duration>,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DialFailed(error) => write!(f, "{error}"),
            Self::UnexpectedIdentity { found } => {
                write!(f, "another node answered there: {}", found.short())
            }
            Self::OwnAddress => f.write_str("this node itself listens there"),
            Self::Ended { reason, by, lasted } => {
                match by {
                    ClosedBy::Us => write!(f, "we closed: {reason}")?,
                    ClosedBy::Peer => write!(f, "the peer closed: {reason}")?,
                    ClosedBy::Network => write!(f, "the connection broke: {reason}")?,
                }
                match lasted {
                    Some(lasted) => write!(f, ", after {} s", lasted.as_secs()),
                    None => f.write_str(", during the handshake"),
                }
            }
        }
    }
}

/// One entry of a target's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: Instant,
    /// How.
    pub outcome: Outcome,
}

/// Where a target is in its round.
///
/// ```text
///   Ready ──slot free──▶ Dialing ──▶ Settled (a session exists)
///     ▲                     │            │
///     └──────backoff── Waiting ◀─────────┘ the session ended
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Waits for a free dial and slot; the number is its place in the queue.
    Ready(u64),
    /// A dial or its handshake is under way.
    Dialing(ConnectionId),
    /// Its peer has a session, whoever dialled it.
    Settled,
    /// A timer runs.
    Waiting,
    /// Never again: this node itself listens there.
    OwnAddress,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) target: DialTarget,
    pub(super) kind: NodeKind,
    pub(super) schedule: Schedule,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) dials: u64,
    /// Who answered last, for a target without an ID.
    pub(super) found: Option<PeerId>,
    pub(super) history: VecDeque<Attempt>,
}

impl Target {
    pub(super) const fn new(target: DialTarget, kind: NodeKind) -> Self {
        Self {
            target,
            kind,
            schedule: Schedule::Waiting,
            failures: 0,
            dials: 0,
            found: None,
            history: VecDeque::new(),
        }
    }

    /// Who is, or was, at the other end.
    pub(super) fn id(&self) -> Option<PeerId> {
        self.target.id.or(self.found)
    }

    pub(super) fn record(&mut self, at: Instant, outcome: Outcome) {
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Attempt { at, outcome });
    }
}

/// The wait after `failures` failures in a row: doubling up to the cap, then a quarter up or down,
/// so that nodes that failed together do not come back together.
pub(super) fn backoff(config: &PeerManagerConfig, failures: u32, rng: &mut impl Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let wait = config.backoff_base.saturating_mul(1 << doublings).min(config.backoff_cap);
    let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX / 4);
    let half = micros / 2;
    let jitter = if half == 0 { 0 } else { rng.next_u64() % half };
    Duration::from_micros((micros - micros / 4).saturating_add(jitter))
}
