//! The consortium mesh on sockets: messages to one node, to those who follow a topic, and to all,
//! over whatever way there is.
//!
//! A node has a mesh when [`P2pConfig::mesh`](crate::P2pConfig::mesh) is set, and
//! [`P2pHandle::mesh`](crate::P2pHandle::mesh) gives the handle to it. It is a module as any other,
//! so it runs over TLS among the nodes of a consortium and over RLPx elsewhere.
//!
//! ```
//! use std::time::Duration;
//! use chainmesh_net::mesh::{MeshOptions, SendOptions};
//! use chainmesh_net::{NodeKey, P2pConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = |number: u8| {
//!     let key = NodeKey::from_entropy([number; 32]);
//!     let mut config = P2pConfig::new(key, 1, Default::default());
//!     config.listen_address = [127, 0, 0, 1].into();
//!     config.listen_port = 0;
//!     config.mesh = Some(MeshOptions::default());
//!     config
//! };
//! let first = chainmesh_net::start(node(1)).await?;
//! let mut second = node(2);
//! second.boot_nodes.push(first.enode().expect("it listens"));
//! let second = chainmesh_net::start(second).await?;
//! let (here, there) = (first.mesh().expect("configured"), second.mesh().expect("configured"));
//!
//! // The first node answers whoever writes to it.
//! let mut messages = here.messages();
//! tokio::spawn(async move {
//!     while let Some(message) = messages.next().await {
//!         let _ = message.reply("and good day to you");
//!     }
//! });
//!
//! // The second one finds a way to it as soon as there is one.
//! there.reachable(first.local_id, Duration::from_secs(10)).await?;
//! let options = SendOptions { reply_within: Some(Duration::from_secs(5)), ..Default::default() };
//! let answer = there.send(first.local_id, "good day", options).await?;
//! assert_eq!(answer.reply.as_deref(), Some(b"and good day to you".as_slice()));
//!
//! // Whoever follows a topic gets what is sent to it.
//! let mut news = here.subscribe("news");
//! there.followed("news", 1, Duration::from_secs(10)).await?;
//! let sent = there.multicast("news", "it rains").await?;
//! assert_eq!(sent.members, 1);
//! assert_eq!(news.next().await.expect("a message").payload, "it rains");
//! second.shutdown().await;
//! first.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod handle;
mod inbox;
mod message;
mod service;

use chainmesh_identity::certificate::CertificateIdentity;
use chainmesh_proto::mesh::{DEFAULT_GROUP, MAX_MEMBERS, MeshConfig};
use chainmesh_wire::mesh::VersionRange;

pub use chainmesh_proto::mesh::{
    Limits, MODULE_SEND, MemberReport, MeshCounters, MeshEvent, MeshReport, MessageId, Rate,
    SendFailure, SessionReport,
};
pub use chainmesh_wire::mesh::{ModuleId, NodeType};
pub use handle::{Answer, MeshHandle, SendError, SendOptions, Sent, WaitError};
pub use inbox::{INBOX_BYTES, INBOX_MESSAGES};
pub use message::{Message, MessageKind, Messages, NoReplyError, Subscription};
pub(crate) use service::{MeshService, lock};

/// What a mesh is made from, besides the node's identity.
#[derive(Debug, Clone)]
pub struct MeshOptions {
    /// The groups that the node takes part in; `group0` by default.
    pub groups: Vec<String>,
    /// Versions of the packets that are offered.
    pub versions: VersionRange,
    /// What the node is in its groups.
    pub role: NodeType,
    /// The highest block it has.
    pub height: u64,
    /// Whether payloads above 1,024 bytes are packed for those who can unpack them.
    pub compression: bool,
    /// How much may be sent and received; without limits by default.
    pub limits: Limits,
    /// Members that are known at once, at most.
    pub max_members: usize,
}

impl Default for MeshOptions {
    fn default() -> Self {
        Self {
            groups: vec![DEFAULT_GROUP.to_owned()],
            versions: VersionRange::ALL,
            role: NodeType::CONSENSUS,
            height: 0,
            compression: false,
            limits: Limits::default(),
            max_members: MAX_MEMBERS,
        }
    }
}

impl MeshOptions {
    fn config(self, identity: CertificateIdentity) -> MeshConfig {
        MeshConfig {
            identity,
            versions: self.versions,
            groups: self.groups,
            role: self.role,
            height: self.height,
            compression: self.compression,
            limits: self.limits,
            max_members: self.max_members,
        }
    }
}
