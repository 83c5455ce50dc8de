//! Messages that came, and those who take them.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::mesh::{Cast, Delivery, MeshModule, ReplyTo};
use chainmesh_wire::mesh::ModuleId;

use super::inbox::Inbox;
use super::service::Shared;
use crate::Escaped;

/// A message for this node.
#[derive(Clone)]
pub struct Message {
    /// Who sent it: the node, where its ID came along, else the gateway that it came from. Only the
    /// gateway's certificate is proved; of what it says about its nodes, this is its word.
    pub from: PeerId,
    /// The gateway that it came from; for a node of our own the same as `from`.
    pub gateway: PeerId,
    /// How it was sent.
    pub kind: MessageKind,
    /// The group; empty for a topic. The sender chose it: show it through [`Escaped`].
    pub group: String,
    /// The module that it is for.
    pub module: ModuleId,
    /// Its ID, as the sender wrote it (a UUID, mostly). Show it through [`Escaped`].
    pub id: String,
    /// What it says.
    pub payload: Bytes,
    reply: Option<(MeshModule, ReplyTo)>,
}

/// How a message was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKind {
    /// To this node alone; it may be replied to.
    Unicast,
    /// To all nodes of the group.
    Broadcast,
    /// To all who follow the topic.
    Multicast {
        /// The topic.
        topic: String,
    },
}

/// A message that cannot be replied to: it was not sent to this node alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only a message to this node alone can be replied to")]
pub struct NoReplyError;

impl Message {
    pub(super) fn new(delivery: Delivery, module: Option<&MeshModule>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let from = delivery.source_id().unwrap_or(delivery.gateway);
        let (kind, reply) = match delivery.cast {
            Cast::Unicast { reply } => (MessageKind::Unicast, Some(reply)),
            Cast::Broadcast => (MessageKind::Broadcast, None),
            Cast::Multicast { topic } => (MessageKind::Multicast { topic: text(&topic) }, None),
        };
        Self {
            from,
            gateway: delivery.gateway,
            kind,
            group: text(&delivery.group),
            module: delivery.module,
            id: text(&delivery.uuid),
            payload: delivery.payload,
            reply: module.cloned().zip(reply),
        }
    }

    /// Sends a reply to the node that sent this. It is sent once; whether it arrives is for the
    /// sender to notice, who waits for it.
    ///
    /// # Errors
    /// [`NoReplyError`] when the message was not sent to this node alone.
    pub fn reply(&self, payload: impl Into<Bytes>) -> Result<(), NoReplyError> {
        let (mesh, to) = self.reply.as_ref().ok_or(NoReplyError)?;
        mesh.reply(to.clone(), payload.into());
        Ok(())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("from", &self.from.short())
            .field("kind", &self.kind)
            .field("group", &format_args!("{}", Escaped(&self.group)))
            .field("module", &self.module)
            .field("id", &format_args!("{}", Escaped(&self.id)))
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// A topic that this node follows, until this is dropped.
///
/// At most [`INBOX_MESSAGES`](super::INBOX_MESSAGES) and [`INBOX_BYTES`](super::INBOX_BYTES) wait
/// here; then the oldest is dropped, which [`Subscription::missed`] counts.
#[derive(Debug)]
pub struct Subscription {
    pub(super) topic: String,
    pub(super) inbox: Arc<Inbox>,
    pub(super) mesh: MeshModule,
    pub(super) shared: Arc<Shared>,
}

impl Subscription {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The next message; `None` when the node has ended. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.inbox.next().await
    }

    /// The next message, if there is one now.
    pub fn try_next(&mut self) -> Option<Message> {
        self.inbox.try_next()
    }

    /// Messages that were dropped, since too many waited.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.inbox.missed()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.unsubscribe(&self.mesh, &self.topic, &self.inbox);
    }
}

/// The messages that are sent to this node alone, or to all, until this is dropped. As for a
/// [`Subscription`], so many may wait, and then the oldest is dropped.
#[derive(Debug)]
pub struct Messages {
    pub(super) inbox: Arc<Inbox>,
    pub(super) shared: Arc<Shared>,
}

impl Messages {
    /// The next message; `None` when the node has ended. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.inbox.next().await
    }

    /// The next message, if there is one now.
    pub fn try_next(&mut self) -> Option<Message> {
        self.inbox.try_next()
    }

    /// Messages that were dropped, since too many waited.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.inbox.missed()
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.shared.forget(&self.inbox);
    }
}
