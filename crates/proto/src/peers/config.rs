//! The numbers that [`PeerManager`](super::PeerManager) works with, and where each comes from.

use core::time::Duration;

use chainmesh_identity::PeerId;

/// Peers at most, when nobody says otherwise: geth's default.
pub const DEFAULT_MAX_PEERS: usize = 50;
/// One slot of this many is kept for peers that this node chose itself (geth's dial ratio): an
/// attacker who fills every inbound slot still has not cut the node off.
pub const DIAL_RATIO: usize = 3;
/// Dials under way at once (geth: 16). Half of those in an old address book are gone, and each of these holds
/// a dial for [`DIAL_TIMEOUT`].
pub const MAX_CONCURRENT_DIALS: usize = 16;
/// Time for a name look-up and a TCP connection (`CometBFT` uses the same).
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Time from the connection to the end of all handshakes, in all and not per message, so that a
/// peer who sends a byte per second gains nothing (geth: 5 s for each handshake).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait before the second dial; it doubles with each failure.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// Longest wait between two dials of one target, before the jitter of a quarter: a peer that
/// comes back is found again within 75 s.
pub const BACKOFF_CAP: Duration = Duration::from_secs(60);
/// A session that lasted this long counts as a success: the next dial starts from
/// [`BACKOFF_BASE`] again.
pub const STABLE_SESSION: Duration = Duration::from_secs(30);
/// Time in which a peer has to answer a probe.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Least time between two probes of one connection, and its age before the first one.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Inbound connections that have not proved an identity yet, in all (geth: 50).
pub const MAX_PENDING_INBOUND: usize = 256;
/// The same from one IPv4 address or one IPv6 /64. Loopback is exempt, so that a whole network
/// can run on one machine.
pub const MAX_PENDING_PER_IP: usize = 8;
/// Inbound connections taken per second in the long run.
pub const ACCEPT_RATE: u32 = 50;
/// Inbound connections taken at once after a quiet time.
pub const ACCEPT_BURST: u32 = 100;
/// Targets of kind [`Dynamic`](super::NodeKind::Dynamic) that are remembered at once.
pub const MAX_DYNAMIC_TARGETS: usize = 1024;
/// Dynamic targets without a session that are taken from the address book at once: two rounds of
/// [`MAX_CONCURRENT_DIALS`].
pub const MAX_IDLE_DYNAMIC: usize = 32;
/// Failures in a row after which a dynamic target is forgotten: the address book, from which it came, says when it is
/// dialled again. (reth has 5. With as many, a node whose book is full of occupied nodes asks each five times in half a
/// minute, and few of them.)
pub const MAX_DYNAMIC_FAILURES: u32 = 1;
/// All dynamic slots have to be taken for so long before one peer is let go, and so long it is from
/// one to the next; a quarter up or down. Slow enough that a peer repays what its handshake cost, and
/// in an hour a node has met a dozen others.
pub const ROTATION_INTERVAL: Duration = Duration::from_secs(300);
/// The same after a candidate that did not become a session.
pub const ROTATION_RETRY: Duration = Duration::from_secs(30);
/// Dynamic targets that wait for a rotation when all slots are taken.
pub const ROTATION_CANDIDATES: usize = 4;
/// Of the dynamic outbound peers, so many that are connected longest are not rotated, and as many of
/// the best; a third of them at the most. (Heilman et al. 2015 and Marcus et al. 2018: an attacker who
/// comes later must not displace them.)
pub const PROTECTED_PEERS: usize = 4;
/// Time from one inbound peer that is let go for a newcomer to the next.
pub const INBOUND_EVICTION_INTERVAL: Duration = Duration::from_secs(60);
/// An inbound peer stays for so long whoever comes.
pub const INBOUND_GRACE: Duration = Duration::from_secs(60);
/// There may be too few peers for so long before it is said: at the start, dials and discovery need
/// that time, and later a peer that comes back after the longest backoff is no reason for an alarm.
pub const FLOOR_GRACE: Duration = Duration::from_secs(90);
/// There have to be enough peers for so long before that is said: one that comes and goes does not end
/// the alarm.
pub const FLOOR_CALM: Duration = Duration::from_secs(30);

/// The minimum of peers when nobody says otherwise: one in fifty of `max_peers`, at least one.
/// A node that is cut off has none, in a network of any size.
#[must_use]
pub const fn default_min_peers(max_peers: usize) -> usize {
    let share = max_peers / 50;
    if share == 0 && max_peers > 0 { 1 } else { share }
}

/// What a [`PeerManager`](super::PeerManager) is made from.
#[derive(Debug, Clone)]
pub struct PeerManagerConfig {
    /// This node's own ID.
    pub local_id: PeerId,
    /// Peers at most, trusted ones not counted.
    pub max_peers: usize,
    /// Dials under way at once.
    pub max_concurrent_dials: usize,
    /// Time for a name look-up and a TCP connection.
    pub dial_timeout: Duration,
    /// Time from the connection to the end of all handshakes.
    pub handshake_timeout: Duration,
    /// Wait before the second dial of a target.
    pub backoff_base: Duration,
    /// Longest wait between two dials of a target, before jitter.
    pub backoff_cap: Duration,
    /// How long a session has to last to be no failure.
    pub stable_session: Duration,
    /// Time in which a peer has to answer a probe.
    pub probe_timeout: Duration,
    /// Inbound connections without a proven identity, in all.
    pub max_pending_inbound: usize,
    /// The same per IP address.
    pub max_pending_per_ip: usize,
    /// Inbound connections taken per second in the long run.
    pub accept_rate: u32,
    /// Inbound connections taken at once after a quiet time.
    pub accept_burst: u32,
    /// Dynamic targets remembered at once.
    pub max_dynamic_targets: usize,
    /// Failures in a row after which a dynamic target is forgotten.
    pub max_dynamic_failures: u32,
    /// Whether one peer in a while is let go when all slots are taken (default true): of the dynamic
    /// outbound ones so that others are met, of the inbound ones so that a newcomer gets in.
    pub rotation: bool,
    /// With fewer peers than this, [`TooFewPeers`](super::PeerEvent::TooFewPeers) is said; 0 (the
    /// default): never. See [`default_min_peers`].
    pub min_peers: usize,
}

impl PeerManagerConfig {
    /// The default numbers for the node `local_id` with at most `max_peers` peers.
    #[must_use]
    pub const fn new(local_id: PeerId, max_peers: usize) -> Self {
        Self {
            local_id,
            max_peers,
            max_concurrent_dials: MAX_CONCURRENT_DIALS,
            dial_timeout: DIAL_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            backoff_base: BACKOFF_BASE,
            backoff_cap: BACKOFF_CAP,
            stable_session: STABLE_SESSION,
            probe_timeout: PROBE_TIMEOUT,
            max_pending_inbound: MAX_PENDING_INBOUND,
            max_pending_per_ip: MAX_PENDING_PER_IP,
            accept_rate: ACCEPT_RATE,
            accept_burst: ACCEPT_BURST,
            max_dynamic_targets: MAX_DYNAMIC_TARGETS,
            max_dynamic_failures: MAX_DYNAMIC_FAILURES,
            rotation: true,
            min_peers: 0,
        }
    }
}
