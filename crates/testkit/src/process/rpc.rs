//! JSON-RPC over the socket of a node, and what the tests read of its answers.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Time for one answer. A process that stands still takes requests and never answers; a message of
/// which nobody confirms the arrival is given up by its node after 10 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no socket, nobody listens on it, or the connection broke.
    #[error("no answer: {0}")]
    Io(#[from] io::Error),
    /// The answer is no JSON.
    #[error("no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The node refused the call.
    #[error("refused: {0}")]
    Refused(Value),
}

pub(super) fn call(data_dir: &Path, method: &str, params: &Value) -> Result<Value, CallError> {
    let stream = UnixStream::connect(data_dir.join("chainmesh.ipc"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(request.to_string().as_bytes())?;
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let mut answer: Value = serde_json::from_str(&line)?;
    match answer.get_mut("error") {
        Some(error) => Err(CallError::Refused(error.take())),
        None => Ok(answer["result"].take()),
    }
}

/// A connected peer, as `admin_peers` shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectedPeer {
    /// Its public key in hex.
    pub public_key: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// For how many seconds it has been connected.
    pub connected_seconds: Option<f64>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// How earlier attempts and sessions ended, oldest first.
    pub history: Vec<String>,
}

/// A peer that is wanted and not connected, as `chainmesh_wantedPeers` shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedPeer {
    /// Its public key in hex, when it is known.
    pub public_key: Option<String>,
    /// Where it is dialled.
    pub address: String,
    /// Dials so far.
    pub dials: u64,
    /// How the last attempt or session ended.
    pub last_error: Option<String>,
    /// How the last ones ended, oldest first.
    pub history: Vec<String>,
}

/// A block, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Its number.
    #[serde(deserialize_with = "quantity")]
    pub number: u64,
    /// Its hash, in hex with `0x`.
    pub hash: String,
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(serde::de::Error::custom)
}
