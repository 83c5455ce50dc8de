//! How often is asked and answered, and how much of it is believed.

use core::time::Duration;

use chainmesh_identity::PeerId;
use chainmesh_wire::pex::MAX_NODES;

use crate::peers::book::SampleLimits;

/// A peer is asked so often at most, as long as it has something new to tell. CometBFT: 30 s.
pub const ASK_EVERY: Duration = Duration::from_secs(60);
/// The wait after several answers without anything new, at most; it doubles with each.
pub const MAX_ASK_WAIT: Duration = Duration::from_secs(32 * 60);
/// A question goes out within so much time after it may: nodes that were started together do not ask
/// together.
pub const JITTER: Duration = Duration::from_millis(500);
/// Questions to all peers together: one in so much time.
pub const PACE: Duration = Duration::from_millis(500);
/// Time for an answer. What comes later is not believed.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A peer is answered once in so much time, half of what [`ASK_EVERY`] asks for.
pub const ANSWER_EVERY: Duration = Duration::from_secs(30);
/// Answers that a peer may have at once after a quiet time: one for a node that has just restarted.
pub const ANSWER_BURST: u32 = 2;
/// Peers of which it is remembered when they were answered, also after their session.
pub const MAX_ANSWERED: usize = 1024;
/// Questions that come too soon, in one session, before it ends.
pub const MAX_TOO_SOON: u32 = 10;
/// Answers that nobody asked for, in one session, before it ends. One may be the fault of a peer that
/// is mistaken; a dump of addresses comes in many.
pub const MAX_UNASKED: u32 = 3;
/// Nodes that are taken from the tellers of one /24 (IPv6: /48) in an hour: four full answers.
pub const MAX_TAKEN_PER_HOUR: usize = 128;
/// The same in a day. In the book, of those that are told from one /16, there is room for 256.
pub const MAX_TAKEN_PER_DAY: usize = 512;
/// Networks of tellers whose numbers are remembered.
pub const MAX_SOURCES: usize = 1024;
/// Nodes of one /24 in an answer, ours and theirs, as in a bucket of discovery.
pub const MAX_PER_PREFIX: usize = 2;

/// What peer exchange is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PexConfig {
    /// This node.
    pub local_id: PeerId,
    /// Whether those are asked, too, who came to us. An attacker chooses whom he connects to, but
    /// not who connects to him; where certificates decide who may connect, that does not matter.
    pub ask_inbound: bool,
    /// Nodes of one /24 (IPv6: /48) in an answer, told or believed. Local networks are exempt.
    pub per_prefix: usize,
}

impl PexConfig {
    /// For a network that anybody may join.
    #[must_use]
    pub const fn open(local_id: PeerId) -> Self {
        Self { local_id, ask_inbound: false, per_prefix: MAX_PER_PREFIX }
    }

    /// For one whose members have certificates: nobody has more names than he was given, and their nodes
    /// may well stand in one network.
    #[must_use]
    pub const fn certified(local_id: PeerId) -> Self {
        Self { local_id, ask_inbound: true, per_prefix: MAX_NODES }
    }

    /// What is to be drawn from the book for an answer.
    #[must_use]
    pub const fn sample_limits(&self) -> SampleLimits {
        SampleLimits { nodes: MAX_NODES, per_prefix: self.per_prefix, unproved: MAX_NODES / 2 }
    }
}
