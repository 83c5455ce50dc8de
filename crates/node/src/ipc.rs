//! JSON-RPC 2.0 over a Unix socket in the data directory, as go-ethereum's IPC: a stream of JSON
//! values in each direction, without frames. Our answers end with a newline.

pub mod client;
mod framing;
mod server;

use std::io;
use std::path::PathBuf;

pub use framing::{FrameError, JsonStream};
pub use server::{IpcServer, MAX_CONNECTIONS};

/// Name of the socket in a data directory.
pub const SOCKET_NAME: &str = "chainmesh.ipc";

/// Longest request, or batch of requests, in bytes.
pub const MAX_REQUEST: usize = 1 << 20;

/// Why there is no IPC socket.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The socket could not be made.
    #[error("cannot make the IPC socket {}: {source}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The name of the socket does not fit into a socket address.
    #[error(
        "the path of the data directory is too long for a Unix socket: {} has {length} bytes, \
         {MAX_SOCKET_PATH} is the limit; use a shorter --data-dir",
        path.display()
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// Bytes of its path.
        length: usize,
    },
}

/// Longest path of a Unix socket, bytes: `sun_path` has 108 on Linux and 104 on the BSDs and macOS,
/// with the zero at the end. The temporary name that a socket has at first is not longer than its
/// final one.
pub const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
