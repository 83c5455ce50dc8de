//! JSON-RPC as programs on the other side of a port see it.

mod client;
mod http;
mod methods;
mod metrics;
mod options;
mod transactions;
mod websocket;

use chainmesh_identity::NodeKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Blocks, Process, directory, succeeds, text};
use client::Http;

const ETHER: u128 = 1_000_000_000_000_000_000;

/// A node with JSON-RPC at a port of the system's choice, over HTTP and WebSocket alike.
struct Served {
    _directory: TempDir,
    node: Process,
    /// `IP:port`.
    address: String,
    blocks: Blocks,
}

impl Served {
    /// A node with a few blocks.
    fn start(more: &[&str]) -> Self {
        Self::with(Blocks::make(1, 5), more)
    }

    fn with(blocks: Blocks, more: &[&str]) -> Self {
        let directory = directory();
        let data = text(directory.path());
        let file = blocks.file("chain.rlp", &blocks.rlp.concat());
        succeeds(&["import", "--data-dir", &data, "--genesis", &blocks.genesis(), &file]);
        let port = ["--http", "127.0.0.1:0", "--ws", "127.0.0.1:0"];
        let all = [&port[..], more].concat();
        let (node, urls) = Process::run_and_read(directory.path(), &all, 2);
        let address = urls[0].strip_prefix("http://").expect("a URL").to_owned();
        assert_eq!(urls[1], format!("ws://{address}"), "one port has both");
        Self { _directory: directory, node, address, blocks }
    }

    /// The same, which seals a block each second.
    fn sealing(more: &[&str]) -> Self {
        let blocks = Blocks::with_wei(1, 1, 1_000 * ETHER);
        let key = blocks.file("validator", NodeKey::from_entropy([1; 32]).to_hex().as_bytes());
        Self::with(blocks, &[&["--validator-key", &key], more].concat())
    }

    fn http(&self) -> Http<'_> {
        Http { address: &self.address, headers: Vec::new() }
    }

    /// The answer to one request over HTTP.
    fn ask(&self, method: &str, params: Value) -> Value {
        self.http().ask(&request(method, params))
    }
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}
