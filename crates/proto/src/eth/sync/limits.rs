//! The constants of synchronisation, and where they come from.

use core::time::Duration;

/// Bounds that a driver, or a test, may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncLimits {
    /// Headers in a request. Seed 003 section 4 asks for 512, and so does geth since v1.17.
    pub header_batch: u64,
    /// Most headers that wait for their bodies or for import: geth's result cache holds 8192.
    pub pending_blocks: u64,
    /// Most bytes of headers and bodies that wait for import; one answer more may be held when it
    /// has the block that all others wait for. A quarter of geth's 256 MiB.
    pub pending_bytes: usize,
    /// Most blocks in an import. One transaction of the store each, so large enough to spread its
    /// cost, and small enough to stop soon.
    pub import_blocks: usize,
    /// Most bytes in an import, unless one block is larger.
    pub import_bytes: usize,
}

impl Default for SyncLimits {
    fn default() -> Self {
        Self {
            header_batch: 512,
            pending_blocks: 8192,
            pending_bytes: 64 * 1024 * 1024,
            import_blocks: 512,
            import_bytes: 8 * 1024 * 1024,
        }
    }
}

/// Most bodies in a request, as in geth (`MaxBlockFetch`).
pub const MAX_BODY_REQUEST: usize = 128;
/// How long a request for bodies should take: the size of the next one follows from it. Below half
/// of [`MIN_TIMEOUT`], so that an estimate that is too good by half does not time out.
pub const TARGET_ROUND_TRIP: Duration = Duration::from_millis(900);
/// Weight of a new measurement in the estimates: geth's `measurementImpact`.
pub const MEASUREMENT_IMPACT: f64 = 0.1;
/// Bodies per second that a new peer is believed to deliver. With [`TARGET_ROUND_TRIP`] its first
/// request is for 29.
pub const INITIAL_BODIES_PER_SECOND: f64 = 32.0;
/// Round trip that a new peer is believed to need: its first request times out after three
/// seconds, so that a silent peer is replaced within five (row 41 of the reliability matrix).
pub const INITIAL_ROUND_TRIP: Duration = Duration::from_secs(1);
/// A request times out after so many estimated round trips (geth's `ttlScaling`).
pub const TIMEOUT_ROUND_TRIPS: u32 = 3;
/// Shortest time-out (geth's `rttMinEstimate`).
pub const MIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time-out (geth's `rttMaxEstimate`), and the time after which a peer that still has not
/// answered is dropped.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(20);
/// Empty answers in a row after which a peer is dropped. Fewer can be honest: the peer's head has
/// just moved to another branch.
pub const MAX_STRIKES: u32 = 3;
/// Pause after an empty answer, times the strikes, and after a request that could not be sent.
pub const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Pause after the store has failed.
pub const STORAGE_PAUSE: Duration = Duration::from_secs(5);
/// How far below the head another branch may begin: geth's `FullImmutabilityThreshold`.
pub const MAX_REORG_DEPTH: u64 = 90_000;
/// Announced blocks this far below the head are still fetched (geth's `maxUncleDist`).
pub const MAX_BELOW_HEAD: u64 = 7;
/// Announced blocks this far above the head are still fetched one by one (geth's `maxQueueDist`).
pub const MAX_ABOVE_HEAD: u64 = 32;
/// Announced blocks of one peer that are on their way.
pub const MAX_ANNOUNCED_PER_PEER: usize = 8;
/// Announced blocks on their way in all (geth's `blockLimit` is 64 for each peer).
pub const MAX_ANNOUNCED: usize = 64;
/// Refused blocks that are remembered.
pub const MAX_REMEMBERED_INVALID: usize = 256;
/// Blocks that are remembered for not having come from one peer.
pub const MAX_LACKING: usize = 4096;
