//! The numbers that [`Reach`](super::Reach) works with.

use core::time::Duration;

/// Peers that are asked in a round: the least number in which two outvote one.
pub const ASKED: usize = 3;
/// Peers that are asked in a round at most, when some did not try.
pub const MAX_ASKED: usize = 9;
/// Time after the first peer before the first round: the others come meanwhile.
pub const SETTLE: Duration = Duration::from_secs(10);
/// Time between two rounds.
pub const ROUND_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The same when fewer than [`ASKED`] could say anything: more peers may have come.
pub const FEW_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Time before the next round when nobody could say anything, or the address has changed: longer than
/// [`DIAL_INTERVAL`], so that the same peers may be asked.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(6 * 60);
/// Time in which those who were asked answer: a dial ([`DIAL_TIMEOUT`]), and the way.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a dial for somebody may take, the handshake included. The driver's own limit is shorter.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(12);
/// Least time between two dials for one identity, and for one address. Loopback is exempt from the limit
/// by address, so that a whole network can run on one machine.
pub const DIAL_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Dials for others at once.
pub const MAX_DIALS: usize = 4;
/// Identities and addresses whose last dial is remembered; while they are full, nobody else is dialled.
pub const MAX_REMEMBERED: usize = 1024;
/// Peers that are known at once; the rest is not asked, and not answered.
pub const MAX_PEERS: usize = 1024;
/// The highest port that is not dialled: services of others live there (discovery has the same line).
pub const MAX_LOW_PORT: u16 = 1024;
