//! The chainmesh node: configuration, life cycle, commands and what people see.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the `chainmesh` command, a file for each of its commands |
//! | [`data_dir`] | the directory of one node: lock, key, chain |
//! | [`node`] | one running node: chain, network, validator, IPC |
//! | [`validator`] | when the next block is made |
//! | [`rpc`] | the JSON-RPC methods, whatever carries them |
//! | [`ipc`] | JSON-RPC over a Unix socket, both ends |
//! | [`http`] | JSON-RPC over HTTP and WebSocket |
//! | [`metrics`] | numbers for Prometheus, and whether the node is ready |
//! | [`sdk`] | the ports for SDKs of applications |
//! | [`devnet`] | several nodes in one process, and how they are shown |
//!
//! This is the only crate that looks at the wall clock.

mod book;
pub mod cli;
pub mod config;
pub mod consortium;
pub mod data_dir;
pub mod devnet;
mod future;
pub mod http;
pub mod ipc;
pub mod metrics;
pub mod node;
mod pool;
pub mod rpc;
pub mod sdk;
pub mod validator;

/// Name and version of this program, as peers and `web3_clientVersion` say it.
pub const CLIENT_VERSION: &str = concat!("chainmesh/v", env!("CARGO_PKG_VERSION"));

/// The wall clock, seconds since 1970; 0 on a machine whose clock stands before that.
pub(crate) fn unix_time() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
