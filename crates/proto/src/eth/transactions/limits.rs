//! The bounds of gossip. Where nothing else is said they are those of geth
//! (`eth/fetcher/tx_fetcher.go`, `eth/protocols/eth/broadcast.go`).

use core::time::Duration;

/// Announced transactions of one peer that are waited for or asked for; more are not looked at.
pub const MAX_WANTED_PER_PEER: usize = 4096;

/// How long a transaction that was announced may come by itself before it is asked for.
pub const ARRIVE_WAIT: Duration = Duration::from_millis(500);

/// Transactions that are asked for at once.
pub const MAX_FETCHED: usize = 256;

/// Bytes that are asked for at once, as announced.
pub const MAX_FETCHED_BYTES: usize = 128 * 1024;

/// What a transaction is thought to have, bytes, that was announced without its size (before
/// eth/68). Ours.
pub const ASSUMED_SIZE: usize = 512;

/// How long an answer may take before the others are asked that announced the same.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer that did not answer is not asked again. Ours.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Requests in a row without an answer that end the session. Ours.
pub const MAX_SILENT: u32 = 3;

/// How far the size of a transaction may be from what was announced, bytes.
pub const SIZE_TOLERANCE: usize = 8;

/// Refused transactions that are remembered.
pub const MAX_REFUSED: usize = 32_768;

/// How long a refused transaction is not asked for again.
pub const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// Largest transaction that is sent without being asked for, bytes; larger ones are announced.
pub const MAX_SENT_WHOLE: usize = 4096;

/// Bytes of transactions in one message.
pub const MAX_MESSAGE_BYTES: usize = 100 * 1024;

/// EIP-2718 type of transactions with blobs, which are never sent without being asked for.
pub const BLOB_KIND: u8 = 3;
