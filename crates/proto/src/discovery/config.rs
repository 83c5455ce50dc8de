//! The numbers that [`Discovery`](super::Discovery) works with, and where each comes from.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::Bytes;
use chainmesh_identity::{NodeKey, NodeRecord};
use chainmesh_wire::discv4::{Contact, Seal};

use crate::time::Instant;

/// Nodes in a bucket, and in an answer (Kademlia's k; geth: 16).
pub const BUCKET_SIZE: usize = 16;
/// Buckets: one for each of the 17 greatest distances; the lowest one also has all that are nearer,
/// of which there are few (geth: 17).
pub const BUCKETS: usize = 17;
/// Nodes that wait for a place in a bucket (geth: 10).
pub const REPLACEMENTS: usize = 10;
/// Nodes of one prefix (IPv4 /24, IPv6 /48) in a bucket (geth: 2). Local networks are exempt.
pub const MAX_PER_PREFIX_IN_BUCKET: usize = 2;
/// Nodes of one prefix in the whole table (geth: 10). Local networks are exempt.
pub const MAX_PER_PREFIX: usize = 10;
/// Nodes of one single address in a bucket. Local networks are exempt.
pub const MAX_PER_ADDRESS_IN_BUCKET: usize = 1;
/// Nodes in a bucket that came to us by themselves: an attacker chooses when he comes, and as whom,
/// but not whom we find.
pub const MAX_INBOUND_PER_BUCKET: usize = BUCKET_SIZE / 2;
/// Boot nodes in a bucket: they are where one begins, not the network.
pub const MAX_BOOT_PER_BUCKET: usize = BUCKET_SIZE / 2;
/// Nodes that a lookup asks at once (Kademlia's alpha; geth: 3).
pub const ALPHA: usize = 3;
/// Time in which a request is answered (geth: 0.5 s; the discv5 crate: 1 s). A satellite takes 0.6 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Validity of what we send (geth: 20 s).
pub const EXPIRATION: Duration = Duration::from_secs(20);
/// How long the proof holds that a node is where it says (the specification: at least 12 h;
/// geth: 24 h).
pub const BOND_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long we rely on another node's remembering our proof: half of what it should.
pub const BOND_RELIED_ON: Duration = Duration::from_secs(12 * 60 * 60);
/// Proofs that are remembered; the oldest goes first.
pub const MAX_BONDS: usize = 4096;
/// Proofs of one prefix that are remembered, so that one owner does not push the others out.
/// Local networks are exempt.
pub const MAX_BONDS_PER_PREFIX: usize = 128;
/// Nodes of one prefix that are announced within [`ANNOUNCE_WINDOW`], so that one owner does not fill
/// the dial queue with names. Local networks are exempt.
pub const MAX_ANNOUNCED_PER_PREFIX: usize = MAX_PER_PREFIX;
/// How long announcements are counted together.
pub const ANNOUNCE_WINDOW: Duration = Duration::from_secs(60 * 60);
/// Time after which the table is looked after, when all is well (geth: 30 min).
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// Time before the second refresh; each further one waits twice as long, up to
/// [`REFRESH_INTERVAL`].
pub const FIRST_REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time between two refreshes while the table has fewer nodes than a bucket holds.
pub const LONELY_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// Lookups for random targets in a refresh, after the one for the own ID (geth: 3).
pub const RANDOM_LOOKUPS: usize = 3;
/// Longest time between two looks at whether a node of the table is still there (geth: 9 s for those
/// that were there often, 3 s for others). The time is random, evenly from zero.
pub const REVALIDATION_INTERVAL: Duration = Duration::from_secs(6);
/// Requests that wait for their answers, in all.
pub const MAX_REQUESTS: usize = 1024;
/// Pings under way to one address that has proved nothing. Loopback is exempt.
pub const MAX_UNPROVEN_PINGS_PER_ADDRESS: usize = 8;
/// Questions to single nodes under way, that somebody asked for.
pub const MAX_QUESTIONS: usize = 256;
/// Lookups under way.
pub const MAX_LOOKUPS: usize = 16;
/// Packets taken per second from one address (IPv6: /64) in the long run. Loopback is exempt, so that
/// a whole network can run on one machine.
pub const PACKETS_PER_SECOND: u32 = 20;
/// Packets taken from one address at once after a quiet time: two whole lookups through it.
pub const PACKET_BURST: u32 = 100;
/// Packets taken per second from addresses that proved nothing, all together: a signature takes
/// some 50 µs to check, so they cost a tenth of a processor at most.
pub const UNPROVEN_PACKETS_PER_SECOND: u32 = 2000;
/// Addresses whose packets are counted one by one; the rest share one count.
pub const MAX_COUNTED_ADDRESSES: usize = 4096;
/// Peers that must have said where they see us, before it is believed (geth: 10).
pub const MIN_STATEMENTS: usize = 10;
/// How long such a statement counts (geth: 5 min).
pub const STATEMENT_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Says whether a node is of our network, by its record; it gets `None` if the node has none.
pub type NodeFilter = Arc<dyn Fn(Option<&NodeRecord>) -> bool + Send + Sync>;

/// What time it is: a moment of the driver's clock and the Unix time then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// The moment.
    pub at: Instant,
    /// Time since 1970 at that moment.
    pub unix: Duration,
}

impl WallClock {
    /// Unix time in seconds.
    #[must_use]
    pub fn seconds(&self, now: Instant) -> u64 {
        self.unix.saturating_add(now.saturating_since(self.at)).as_secs()
    }
}

/// What a [`Discovery`](super::Discovery) is made from.
pub struct DiscoveryConfig {
    /// This node's key.
    pub key: NodeKey,
    /// What time it is. It may be set right later.
    pub wall_clock: WallClock,
    /// Address under which others reach this node, if an operator or the listener says it. `None`:
    /// what other nodes see is believed, once enough of them agree.
    pub ip: Option<IpAddr>,
    /// UDP port of the listener.
    pub udp_port: u16,
    /// TCP port for sessions; 0 when the node does not listen.
    pub tcp_port: u16,
    /// Further entries of the own record: each a key and the RLP of its value.
    pub record_entries: Vec<(String, Bytes)>,
    /// Sequence number of the own record; it must be higher than in any earlier life of the node
    /// (geth: the Unix time in milliseconds).
    pub record_sequence: u64,
    /// Where to begin.
    pub boot_nodes: Vec<Contact>,
    /// Who is of our network.
    pub filter: Option<NodeFilter>,
    /// Whether the records of others are asked for.
    pub fetch_records: bool,
    /// Whether the table is filled and looked after. A tool that only asks what it is told to has no
    /// need of it.
    pub look_around: bool,
    /// Nodes in a bucket that came to us by themselves.
    pub max_inbound_per_bucket: usize,
    /// Peers that must have said where they see us, before it is believed.
    pub min_statements: usize,
    /// Packets taken per second from one address.
    pub packets_per_second: u32,
    /// Packets taken from one address at once.
    pub packet_burst: u32,
    /// How datagrams are sealed.
    pub seal: Seal,
}

impl DiscoveryConfig {
    /// The default numbers for a node with this key and these ports.
    #[must_use]
    pub const fn new(key: NodeKey, wall_clock: WallClock, udp_port: u16, tcp_port: u16) -> Self {
        Self {
            key,
            wall_clock,
            ip: None,
            udp_port,
            tcp_port,
            record_entries: Vec::new(),
            record_sequence: 1,
            boot_nodes: Vec::new(),
            filter: None,
            fetch_records: true,
            look_around: true,
            max_inbound_per_bucket: MAX_INBOUND_PER_BUCKET,
            min_statements: MIN_STATEMENTS,
            packets_per_second: PACKETS_PER_SECOND,
            packet_burst: PACKET_BURST,
            seal: Seal::Signed,
        }
    }
}

impl fmt::Debug for DiscoveryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryConfig")
            .field("key", &self.key)
            .field("ip", &self.ip)
            .field("udp_port", &self.udp_port)
            .field("tcp_port", &self.tcp_port)
            .field("boot_nodes", &self.boot_nodes)
            .finish_non_exhaustive()
    }
}
