//! The broker of AMOP beside the mesh: SDKs of applications publish and subscribe through this node.
//!
//! A node has a broker when [`P2pConfig::amop`](crate::P2pConfig::amop) and
//! [`P2pConfig::mesh`](crate::P2pConfig::mesh) are set, and
//! [`P2pHandle::amop`](crate::P2pHandle::amop) gives the handle to it. Whoever takes the connections
//! of SDKs opens an [`SdkLink`] for each: what the SDK says goes in with [`SdkLink::handle`], what it
//! is to be told comes out of [`SdkLink::next`].
//!
//! ```
//! use std::time::Duration;
//! use chainmesh_net::amop::{AmopCast, AmopOptions, Input, Message, SdkCommand, SdkKind};
//! use chainmesh_net::mesh::MeshOptions;
//! use chainmesh_net::{Bytes, NodeKey, P2pConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = P2pConfig::new(NodeKey::from_entropy([1; 32]), 1, Default::default());
//! config.listen = false;
//! config.mesh = Some(MeshOptions::default());
//! config.amop = Some(AmopOptions::default());
//! let node = chainmesh_net::start(config).await?;
//! let amop = node.amop().expect("configured");
//!
//! let link = amop.open();
//! let session = link.session();
//! let (kind, identity) = (SdkKind::Channel, Bytes::new());
//! link.handle(Input::Opened { session, kind, identity });
//! link.handle(Input::Subscribe { session, topics: vec!["news".to_owned()] });
//! // A publisher that follows the topic itself gets its message, too.
//! let message = Message::new(Bytes::from_static(b"1"), "news".into(), "it rains".into());
//! link.handle(Input::Publish { session, cast: AmopCast::Multicast, message });
//! let SdkCommand::Push(_, push) = link.next().await else { panic!("not a message") };
//! assert_eq!(push.data, "it rains");
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod link;
mod service;

use chainmesh_proto::mesh::Rate;

pub use chainmesh_proto::amop::{
    AmopCast, AmopCounters, AmopFailure, AmopReport, Input, Message, NoticeBudget, SdkFault,
    SdkKind, SdkReport, SdkSession, TopicReport, channel, ws,
};
pub use link::{QUEUE_BYTES, SdkCommand, SdkLink};
pub use service::AmopHandle;
pub(crate) use service::Sdks;

/// What a broker is made from.
#[derive(Debug, Clone, Default)]
pub struct AmopOptions {
    /// Most topics of one SDK; as many as a list can hold by default.
    pub max_topics: Option<usize>,
    /// How much each SDK may publish; without limits by default.
    pub session_limit: Rate,
    /// How much all SDKs together may publish; without limits by default.
    pub limit: Rate,
}
