//! A small client of a node's SDK ports: an application publishes and subscribes by topic, and this
//! crate keeps it connected.
//!
//! One [`Client`] is one connection and one task. The URL says which of a node's two ports it is
//! (`ws://`, `wss://`: that of FISCO BCOS 3.x; `channel://`, `channel+plain://`: that of 2.x); what
//! an application sees is the same. When the connection is lost, the client dials the next URL, or
//! the same one again, and follows all topics again before anything else.
//!
//! ```no_run
//! use chainmesh_sdk::{Client, ClientConfig};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new(["wss://127.0.0.1:20201".parse()?, "wss://127.0.0.1:20301".parse()?])
//!     .with_certificates(chainmesh_sdk::certificates::load("./app")?);
//! let client = Client::connect(config).await?;
//!
//! let mut news = client.subscribe("news").await?;
//! client.multicast("news", "it rains").await?;
//! while let Some(message) = news.next().await {
//!     println!("{}: {} bytes", message.topic(), message.payload().len());
//!     message.reply("thanks").await?;
//! #   break;
//! }
//!
//! // One subscriber of the topic, drawn at random, answers.
//! let answer = client.publish("question", "what time is it?").await?;
//! println!("{:?} after {:?}", answer.payload, answer.after);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! | what | promise |
//! |---|---|
//! | [`Client::publish`] | The answer of one subscriber, or an error that says whether it can have arrived ([`PublishError::may_have_arrived`]). It is never repeated by itself. |
//! | [`Client::multicast`] | At most once to each subscriber. |
//! | [`Message`] of a publish | Comes at least once to some subscriber that is alive: a node that hears no answer asks another one. A message that is dropped without a reply is acknowledged with an empty one. |
//! | order | Messages of one publisher to one subscriber keep their order as long as no connection is lost. |
//!
//! # What is bounded
//!
//! Messages that the application has not taken wait in memory up to [`ClientConfig::queue_bytes`].
//! Then nothing more is read from the socket, which is counted ([`Counters::pauses`]): the node's
//! queue for this client (4 MiB) fills up, then the node leaves multicasts out, and after 10 s it
//! ends the connection. Answers come over the same socket: who publishes much and subscribes
//! slowly should have two clients. What is published waits for its answer up to
//! [`ClientConfig::in_flight_bytes`]; above it [`Client::publish`] waits.
//!
//! | file | holds |
//! |---|---|
//! | `config.rs`, `url.rs`, `certificates.rs` | what a client is made from |
//! | `client.rs`, `subscription.rs` | what an application has in its hands |
//! | `driver.rs` | the task: dial, speak, dial again |
//! | `session.rs` | one connection, as long as it lives |
//! | `dial.rs`, `stream.rs` | TCP, TLS, and who answers there |
//! | `face.rs`, `face/` | the two protocols |
//! | `error.rs` | what can go wrong, and whose fault it is |

mod backoff;
pub mod certificates;
mod client;
mod config;
mod counters;
mod dial;
mod driver;
mod error;
mod face;
mod session;
mod shared;
mod stream;
mod subscription;
mod topics;
mod url;

pub use bytes::Bytes;
pub use client::{Client, Reply, State};
pub use config::{ClientConfig, Reconnect};
pub use counters::Counters;
pub use error::{
    CallError, ConnectError, ConnectionError, DialError, Lost, NodeFailure, PublishError,
    ReplyError, SubscribeError,
};
pub use subscription::{Kind, Message, Subscription};
pub use url::{DEFAULT_PORT, Face, NodeUrl, UrlError};
