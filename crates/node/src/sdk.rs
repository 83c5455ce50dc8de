//! The ports to which SDKs of applications connect: the channel port for FISCO BCOS 2.x, and the
//! WebSocket port for 3.x. Both are faces of the one broker of AMOP (`chainmesh_net::amop`).
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | [`SdkOptions`]: where to listen, and how |
//! | `ports.rs` | [`SdkPorts`]: the listeners, and how many clients there may be |
//! | `greeting.rs` | who has not finished its handshake, and how many of these there may be |
//! | `metered.rs` | how many bytes of unfinished messages there may be |
//! | `clients.rs` | [`PortCertificates`]: who is there, to be judged again |
//! | `secure.rs` | TLS with the clients, and who they are |
//! | `gather.rs` | small writes that leave together, below TLS |
//! | `conversation.rs` | what a connection of either port does until it ends |
//! | `channel.rs` | a connection of the channel protocol |
//! | `websocket.rs` | a connection of the WebSocket protocol |
//! | `calls.rs` | calls of JSON-RPC that take a while |
//! | `ledger.rs` | [`Ledger`]: what the calls are answered that SDKs make at their start, and which others the node answers |

mod calls;
mod channel;
mod clients;
mod conversation;
mod gather;
mod greeting;
mod ledger;
mod metered;
mod options;
mod ports;
mod secure;
mod websocket;

pub use clients::PortCertificates;
pub use ledger::{Generation, Ledger};
pub use options::{
    CHANNEL_PORT, DEFAULT_CHAIN_ID, DEFAULT_MAX_CLIENTS, SdkCertificates, SdkOptions,
    WEBSOCKET_PORT,
};
pub use ports::{SdkError, SdkPorts};
