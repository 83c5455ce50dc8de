//! Records, fork IDs and times, for people and as JSON. What a peer chose is escaped and cut.

use std::fmt::Write as _;
use std::time::Duration;

use alloy_primitives::hex;
use chainmesh_identity::NodeRecord;
use chainmesh_net::discovery::fork_id;
use chainmesh_net::{Escaped, EscapedTo};
use chainmesh_wire::eth::{Status, StatusHead};
use serde_json::{Value, json};

/// Further entries of a record that are shown by name.
const MAX_NAMES: usize = 12;
/// Characters of a client's name that are shown.
pub(in crate::cli) const CLIENT_SHOWN: usize = 96;

/// Milliseconds with a fraction: `0.4 ms`, `12 ms`, `1500 ms`.
pub(in crate::cli) fn millis(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1000.0;
    let digits = usize::from(millis < 9.95);
    format!("{millis:.digits$} ms")
}

/// The same for programs.
pub(in crate::cli) fn millis_json(span: Duration) -> Value {
    json!((span.as_secs_f64() * 1_000_000.0).round() / 1000.0)
}

/// Keys that are shown with their values, or that every record has.
const KNOWN: [&[u8]; 9] =
    [b"id", b"secp256k1", b"ip", b"ip6", b"tcp", b"tcp6", b"udp", b"udp6", b"eth"];

/// The names of the entries that are not shown otherwise.
fn other_names(record: &NodeRecord) -> Vec<String> {
    let names = record.iter().map(|(name, _)| name.as_slice());
    let others = names.filter(|name| !KNOWN.contains(name)).take(MAX_NAMES);
    others.map(|name| EscapedTo(&String::from_utf8_lossy(name), 16).to_string()).collect()
}

/// A record in a line.
pub(in crate::cli) fn record_text(record: &NodeRecord) -> String {
    let mut text = format!("number {}", record.seq());
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, ", {name} {value}");
        }
    };
    add("ip", record.ip4().map(|ip| ip.to_string()));
    add("tcp", record.tcp4().map(|port| port.to_string()));
    add("udp", record.udp4().map(|port| port.to_string()));
    add("ip6", record.ip6().map(|ip| ip.to_string()));
    add("tcp6", record.tcp6().map(|port| port.to_string()));
    add("udp6", record.udp6().map(|port| port.to_string()));
    add("fork ID", fork_id(record).map(|id| fork_text(id.hash.0, id.next)));
    let others = other_names(record);
    add("also", (!others.is_empty()).then(|| others.join(" ")));
    text
}

/// A record for programs.
pub(in crate::cli) fn record_json(record: &NodeRecord) -> Value {
    json!({
        "sequence": record.seq(),
        "ip": record.ip4().map(|ip| ip.to_string()),
        "tcp": record.tcp4(),
        "udp": record.udp4(),
        "ip6": record.ip6().map(|ip| ip.to_string()),
        "tcp6": record.tcp6(),
        "udp6": record.udp6(),
        "forkId": fork_id(record).map(|id| fork_json(id.hash.0, id.next)),
        "otherKeys": other_names(record),
        "text": record.to_base64(),
    })
}

/// A fork ID (EIP-2124): a checksum of the forks that were passed, and when the next one is.
pub(in crate::cli) fn fork_text(hash: [u8; 4], next: u64) -> String {
    let hash = hex::encode_prefixed(hash);
    if next == 0 { hash } else { format!("{hash} (next fork at {next})") }
}

pub(in crate::cli) fn fork_json(hash: [u8; 4], next: u64) -> Value {
    json!({"hash": hex::encode_prefixed(hash), "next": next})
}

/// A Status of `eth` for programs.
pub(in crate::cli) fn status_json(status: &Status) -> Value {
    let (hash, difficulty, number) = match &status.head {
        StatusHead::TotalDifficulty { total_difficulty, best_hash } => {
            (*best_hash, Some(total_difficulty.to_string()), None)
        }
        StatusHead::Range(range) => (range.latest_hash, None, Some(range.latest)),
    };
    json!({
        "version": status.version,
        "networkId": status.network_id,
        "genesis": status.genesis.to_string(),
        "forkId": fork_json(status.fork_id.hash.0, status.fork_id.next),
        "headHash": hash.to_string(),
        "headNumber": number,
        "totalDifficulty": difficulty,
    })
}

/// A client's name, fit for a terminal.
pub(in crate::cli) fn client(name: &str) -> String {
    EscapedTo(name, CLIENT_SHOWN).to_string()
}

/// Capabilities, fit for a terminal.
pub(in crate::cli) fn words(words: &[String]) -> String {
    let shown: Vec<String> = words.iter().take(24).map(|word| Escaped(word).to_string()).collect();
    shown.join(" ")
}
