//! What can go wrong, whose fault it is, and what to do.

use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use chainmesh_identity::tls::HandshakeFailure;
use chainmesh_wire::amop::AmopError;
use chainmesh_wire::mesh::EncodeError;

use crate::url::NodeUrl;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// [`ClientConfig::urls`](crate::ClientConfig::urls) is empty: the caller's fault.
    #[error("no node was named: at least one URL is needed")]
    NoUrl,
    /// None of the nodes let us in.
    #[error("{}", Failures(.0))]
    Nodes(Vec<NodeFailure>),
}

/// Why a node did not let us in.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct NodeFailure {
    /// Where it is.
    pub url: NodeUrl,
    /// Why.
    pub reason: DialError,
}

struct Failures<'a>(&'a [NodeFailure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, failure) in self.0.iter().enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}{failure}")?;
        }
        Ok(())
    }
}

/// Why one attempt to connect failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address: the URL is wrong, or there is no name service.
    #[error("the host has no address: {0}")]
    Resolve(#[source] io::Error),
    /// There is no TCP connection: nobody listens there, or the network is in the way.
    #[error("{}", refused(.0))]
    Connect(#[source] io::Error),
    /// It took longer than [`ClientConfig::connect_timeout`](crate::ClientConfig::connect_timeout).
    #[error("it did not let us in within {:.1} s: is it the right port?", .0.as_secs_f64())]
    Timeout(Duration),
    /// The URL says TLS, and there are no certificates: the caller's fault.
    #[error("this URL speaks TLS, which needs certificates: `chainmesh ca issue` makes them")]
    NoCertificates,
    /// Our certificate and the node's do not fit. The text says which one, and why.
    #[error(transparent)]
    Tls(Box<HandshakeFailure>),
    /// What listens there does not speak TLS.
    #[error(
        "what listens there does not speak TLS: it is the port of something else, or of a node \
         without TLS (then write ws:// or channel+plain://)"
    )]
    NotTls,
    /// An HTTP server answers, and does not upgrade to a WebSocket.
    #[error("an HTTP server answers there (status {0}), and it is no WebSocket port of a node")]
    NotWebSocket(u16),
    /// The WebSocket could not be opened for another reason.
    #[error("there is no WebSocket ({source}): {hint}")]
    WebSocket {
        /// What is usually the reason.
        hint: &'static str,
        /// What the library says.
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    /// What listens there answers, and not as a node: the wrong port.
    #[error("what listens there is no SDK port of a node: {0}")]
    NotANode(#[source] AmopError),
    /// What listens there answers HTTP where the channel protocol was expected.
    #[error("an HTTP server answers there, and it is no channel port of a node")]
    HttpServer,
    /// It hung up before it had said hello.
    #[error("it hung up before it said hello: {hint}{}", cause(.source.as_ref()))]
    Ended {
        /// What is usually the reason.
        hint: &'static str,
        /// What the system says.
        source: Option<io::Error>,
    },
}

fn refused(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there: is the node running, and is it the right port?".into()
        }
        _ => format!("it cannot be reached: {error}"),
    }
}

fn cause(error: Option<&io::Error>) -> String {
    error.map(|error| format!(" ({error})")).unwrap_or_default()
}

/// How a connection was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The node has closed it.
    #[error("the node has closed the connection")]
    Ended,
    /// The system, or TLS, has ended it.
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The WebSocket has ended it.
    #[error("the connection broke: {0}")]
    WebSocket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// What the node sent is no message: its fault.
    #[error("the node sent what is no message: {0}")]
    Unreadable(#[source] AmopError),
    /// Nothing came for this time.
    #[error("the node was silent for {:.0} s", .0.as_secs_f64())]
    Silent(Duration),
}

/// Why there is no connection at the moment.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The last one was lost.
    #[error("{url}: {reason}")]
    Lost {
        /// Where it led.
        url: NodeUrl,
        /// How.
        reason: Arc<Lost>,
    },
    /// None could be made.
    #[error(transparent)]
    Dial(Arc<ConnectError>),
}

/// Why a message was not answered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Nobody follows the topic: 3001 (3.x). With 100 (2.x), 104 and 3002 somebody may follow it
    /// who has not answered, or is gone.
    #[error("{} ({code})", no_subscriber(*code))]
    NoSubscriber {
        /// The node's code.
        code: i32,
    },
    /// Subscribers were asked and did not answer in time: 102 (2.x), -4008 (3.x).
    #[error("no subscriber has answered in time ({code})")]
    SubscriberSilent {
        /// The node's code.
        code: i32,
    },
    /// The node takes no more from us for now: 103 (2.x), 1004 (3.x). Publish less in a second.
    #[error("the node's limit is reached, publish more slowly ({code})")]
    BandwidthLimited {
        /// The node's code.
        code: i32,
    },
    /// Any other code of the node, or of the subscriber.
    #[error("the message was not delivered: {text} ({code})")]
    Refused {
        /// The code.
        code: i32,
        /// What the node says about it, escaped and cut.
        text: String,
    },
    /// No answer came within [`ClientConfig::timeout`](crate::ClientConfig::timeout).
    #[error("no answer has come in {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// There was no connection within [`ClientConfig::timeout`](crate::ClientConfig::timeout); it
    /// was not sent.
    #[error("it was not sent, there is no connection: {0}")]
    NotConnected(ConnectionError),
    /// The connection was lost while the answer was awaited.
    #[error("the connection was lost before the answer came: {0}")]
    ConnectionLost(Arc<Lost>),
    /// Topic or payload are too long for the protocol: the caller's fault.
    #[error("it cannot be sent: {0}")]
    Unsendable(#[from] EncodeError),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl PublishError {
    /// The code of FISCO BCOS, if the node sent one.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        match self {
            Self::NoSubscriber { code }
            | Self::SubscriberSilent { code }
            | Self::BandwidthLimited { code }
            | Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether a subscriber can have got the message nevertheless: who publishes it again may deliver
    /// it twice.
    #[must_use]
    pub const fn may_have_arrived(&self) -> bool {
        match self {
            Self::NoSubscriber { code } => *code != 3001,
            Self::SubscriberSilent { .. }
            | Self::Refused { .. }
            | Self::Timeout(_)
            | Self::ConnectionLost(_) => true,
            Self::BandwidthLimited { .. }
            | Self::NotConnected(_)
            | Self::Unsendable(_)
            | Self::Closed => false,
        }
    }
}

const fn no_subscriber(code: i32) -> &'static str {
    match code {
        3001 => "nobody follows the topic",
        _ => "nobody follows the topic, or nobody who does has answered",
    }
}

/// Why a topic is not followed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The topic is longer than any protocol allows, or there are too many: the caller's fault.
    #[error("it cannot be followed: {0}")]
    Unsendable(#[from] EncodeError),
    /// The node has not confirmed it within
    /// [`ClientConfig::timeout`](crate::ClientConfig::timeout).
    #[error("the node has not confirmed it in {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a reply could not be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It was sent to all subscribers: nobody waits for a reply.
    #[error("a message to all is not replied to")]
    Multicast,
    /// The connection over which the message came was lost: its publisher is told so, or the node
    /// has asked somebody else.
    #[error("the connection over which it came was lost")]
    ConnectionLost,
}

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The node's own words.
    #[error("the node refuses the call: {message} ({code})")]
    Refused {
        /// The code of JSON-RPC.
        code: i64,
        /// Escaped and cut.
        message: String,
    },
    /// The answer is none of JSON-RPC 2.0: the node's fault.
    #[error("the node's answer is none of JSON-RPC 2.0")]
    Unreadable,
    /// There was no answer.
    #[error(transparent)]
    Unanswered(#[from] PublishError),
}
