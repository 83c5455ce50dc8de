//! What a client is made from.

use core::time::Duration;
use std::sync::Arc;

use chainmesh_identity::tls::TlsMaterial;

use crate::url::NodeUrl;

/// What a client is made from. The fields may be set one by one.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The SDK ports, in the order in which they are tried. At least one.
    pub urls: Vec<NodeUrl>,
    /// What we show and whom we trust; needed for `wss://` and `channel://`.
    pub certificates: Option<Arc<TlsMaterial>>,
    /// How long a node has to let us in: TCP, TLS and the first answer together. 10 s, as a node
    /// gives a client.
    pub connect_timeout: Duration,
    /// How long an answer is waited for, connecting again included. 60 s; a node asks one silent
    /// subscriber after the other for up to 120 s. Ends are seen with a precision of 0.25 s.
    pub timeout: Duration,
    /// How often we say that we are alive, 4 s: a node of 3.x hangs up after 10 s of silence, one of
    /// 2.x after 60 s. At least 0.25 s.
    pub heartbeat: Duration,
    /// A node that has said nothing for this time is lost, 15 s: three heartbeats and some patience.
    pub silence: Duration,
    /// Bytes of messages that wait for the application, above which nothing is read; one message may
    /// be above it. 8 MiB.
    pub queue_bytes: usize,
    /// Messages that wait in one [`Subscription`](crate::Subscription), above which nothing is read.
    /// 1,024.
    pub queue_messages: usize,
    /// Bytes of what is published and not answered, above which publishing waits. Each counts 16 KiB
    /// at least, so 16 MiB (a node takes no more from one client) are also 1,024 messages.
    pub in_flight_bytes: usize,
    /// How a lost connection is made again.
    pub reconnect: Reconnect,
}

/// How a lost connection is made again. All URLs are tried one after the other, then there is a
/// pause; the pauses are drawn at random (decorrelated jitter), so that the clients of a node that
/// starts again do not come all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest pause before the first attempt. 0.1 s.
    pub first: Duration,
    /// The shortest of the others. 1 s.
    pub base: Duration,
    /// The longest of all. 60 s.
    pub longest: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            base: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        }
    }
}

impl ClientConfig {
    /// These ports, without certificates, and with the values named at the fields.
    #[must_use]
    pub fn new(urls: impl IntoIterator<Item = NodeUrl>) -> Self {
        Self {
            urls: urls.into_iter().collect(),
            certificates: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(4),
            silence: Duration::from_secs(15),
            queue_bytes: 8 << 20,
            queue_messages: 1_024,
            in_flight_bytes: 16 << 20,
            reconnect: Reconnect::default(),
        }
    }

    /// With certificates, such as [`certificates::load`](crate::certificates::load) reads.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Arc<TlsMaterial>) -> Self {
        self.certificates = Some(certificates);
        self
    }
}
