//! What the broker is told before it starts, and its numbers.

use core::time::Duration;

use chainmesh_identity::PeerId;
pub use chainmesh_wire::amop::MAX_NODE_TOPICS;
use chainmesh_wire::amop::MAX_TOPICS;

use crate::mesh::Rate;

/// How long one subscriber has to answer before the next one is asked (`ChannelRPCServer` of FISCO
/// 2.x, 5,000 ms; FISCO 3.x waits 30 s for one and asks no other).
pub const SUBSCRIBER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a node has to answer before the next one is asked (`ChannelRPCServer`, 30,000 ms; the
/// same for all local subscribers together, and for a 3.x node that waits for its SDK).
pub const NODE_TIMEOUT: Duration = Duration::from_secs(30);
/// After this time a unicast ends, whoever might still be asked. Chosen: four silent nodes; no SDK
/// waits longer by default.
pub const UNICAST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the topics of an SDK that left are kept for its return. Chosen: Java's SDKs of 2.x dial
/// again every 20 s, those of 3.x every 10 s.
pub const GRACE: Duration = Duration::from_secs(30);
/// A session whose queue has been full for this long is cut. Chosen: Java's own idle limit.
pub const SLOW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a publisher's SDK has to judge a subscriber of a private topic before it, or another
/// publisher, is asked again. FISCO asks again with each heartbeat (`P2PSession`, 5,000 ms).
pub const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Lists of topics of one session that could not be read, of which the last ends it
/// (decision 14: the third closes).
pub const MAX_BAD_LISTS: u8 = 3;

/// Most unicasts of one session that wait for their end. Chosen: a burst of a thousand passes.
pub const MAX_WAITING: usize = 2_048;
/// Most bytes of the unicasts of one session that wait for their end; one message passes whatever its
/// size. Chosen: a quarter of [`MAX_WAITING_BYTES`], so that none takes all the room.
pub const MAX_SESSION_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Most bytes of all unicasts that wait for their end, all sessions and nodes together. Chosen: as
/// the mesh has for its own messages.
pub const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Most unicasts of other nodes that wait for a subscriber here. Chosen: as the mesh has it.
pub const MAX_NODE_WAITING: usize = 4_096;
/// Most requests of a subscriber that it has not answered; above it, it counts as busy. Chosen: as
/// [`MAX_WAITING`].
pub const MAX_UNANSWERED: usize = 2_048;
/// Most SDKs that left whose topics are kept. Chosen: a node has fewer sessions.
pub const MAX_GONE: usize = 1_024;
/// Most bytes of all topics of one session. Chosen: two of the longest of 3.x, or 1,024 of 128 bytes.
pub const MAX_TOPIC_BYTES: usize = 128 * 1024;
/// Most bytes of all topics of all sessions together; as JSON they take at most six times as much,
/// which the mesh reads.
pub const MAX_NODE_TOPIC_BYTES: usize = 512 * 1024;

/// What the broker is told before it starts.
#[derive(Debug, Clone)]
pub struct AmopConfig {
    /// This node's name: publishers of private topics are told it for subscribers here.
    pub name: PeerId,
    /// Most topics of one session; a longer list is refused whole. At most what a list can hold
    /// ([`MAX_TOPICS`]).
    pub max_topics: usize,
    /// How much each session may publish. `None`s are no limit, the default, as in FISCO.
    pub session_limit: Rate,
    /// How much all sessions together may publish.
    pub limit: Rate,
    /// How long the topics of an SDK that left are kept for its return; zero: not at all.
    pub grace: Duration,
}

impl AmopConfig {
    /// No limits but those of memory.
    #[must_use]
    pub const fn new(name: PeerId) -> Self {
        let none = Rate { bytes: None, messages: None };
        Self { name, max_topics: MAX_TOPICS, session_limit: none, limit: none, grace: GRACE }
    }
}
