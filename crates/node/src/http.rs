//! JSON-RPC over HTTP and WebSocket, for wallets and programs.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | [`HttpOptions`]: where to listen, what is served to whom |
//! | `server.rs` | [`HttpServer`]: the listeners and their connections |
//! | `accept.rs` | takes the connections of a port |
//! | `gate.rs` | host names and origins that are let in |
//! | `request.rs` | what is answered to an HTTP request |
//! | `websocket.rs` | messages of a WebSocket |
//! | `patient.rs` | a socket whose reader may not sleep |
//!
//! The methods are those of [`rpc`](crate::rpc); each listener has those of the namespaces that its
//! options name. HTTP is hyper's, WebSockets are tungstenite's: jsonrpsee's own server starts a task
//! for each message of a WebSocket, as many as come, and has no timeouts for slow clients.

mod accept;
mod gate;
mod options;
mod patient;
mod request;
mod server;
mod websocket;

use std::io;
use std::net::SocketAddr;

pub(crate) use accept::accept;
pub use gate::{Hosts, Origins};
pub use options::{
    Api, ApiError, Apis, DEFAULT_HTTP_ADDRESS, DEFAULT_MAX_BODY, DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_SUBSCRIPTIONS, DEFAULT_TIMEOUT, DEFAULT_WS_ADDRESS, HttpLimits, HttpOptions,
};
pub(crate) use patient::Patient;
pub(crate) use request::{Reply, TEXT, reply};
pub use server::HttpServer;

/// Why JSON-RPC is not served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A port cannot be listened on.
    #[error("cannot listen for JSON-RPC on {address}: {source}; choose another port (0: any)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than programs on this machine would reach it.
    #[error(
        "JSON-RPC on {address} could be reached from other machines, and it asks nobody who they \
         are: listen on 127.0.0.1, or say [rpc] allow-remote = true in the configuration file"
    )]
    Remote {
        /// Where.
        address: SocketAddr,
    },
}
