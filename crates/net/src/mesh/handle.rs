//! [`MeshHandle`]: what the owner of a node does with the mesh.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::mesh::{
    Broadcast, DEFAULT_GROUP, Input, Limits, MODULE_SEND, MeshEvent, MeshModule, MeshReport,
    MessageId, Multicast, Outcome, SendFailure, Settled, Unicast,
};
use chainmesh_wire::mesh::{ModuleId, NodeType};
use tokio::sync::broadcast;

use super::service::Shared;
use super::{Messages, Subscription};
use crate::handle::NodeEnded;

/// The mesh, as the owner of the node sees it. Cheap to clone; it does not keep the node alive.
#[derive(Debug, Clone)]
pub struct MeshHandle {
    pub(super) mesh: MeshModule,
    pub(super) shared: Arc<Shared>,
    pub(super) groups: Arc<[String]>,
}

/// How a message to one node is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendOptions {
    /// The group in which the node is; the first one of this node if `None`.
    pub group: Option<String>,
    /// The module it is for; that of `chainmesh send` by default.
    pub module: ModuleId,
    /// How long to wait for the reply of the application there, once the message has arrived. By
    /// default the acknowledgement is enough.
    pub reply_within: Option<Duration>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { group: None, module: MODULE_SEND, reply_within: None }
    }
}

/// How a message to one node ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The message.
    pub id: MessageId,
    /// The gateway that took it: for a node of our own the node itself.
    pub gateway: PeerId,
    /// What the application replied, if a reply was waited for.
    pub reply: Option<Bytes>,
    /// Copies that this node put on the wire, repetitions included.
    pub copies: u32,
}

/// How a message to several nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The message.
    pub id: MessageId,
    /// Copies that this node put on the wire, repetitions included.
    pub copies: u32,
    /// Members that it was sent to. None is no error.
    pub members: u32,
    /// Members that confirmed it. Our own nodes confirm a broadcast, FISCO's do not, and nobody
    /// confirms a multicast.
    pub confirmed: u32,
}

/// Why a message was not delivered, or not that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The mesh says why.
    #[error(transparent)]
    Failure(#[from] SendFailure),
    /// The node has ended.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
}

/// What was waited for did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Not in time.
    #[error("it did not happen within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The node has ended.
    #[error(transparent)]
    Ended(#[from] NodeEnded),
}

impl MeshHandle {
    /// Sends a message to one node, wherever it is in the mesh, and waits for its acknowledgement
    /// or, if the options say so, for the reply of the application there. It always ends: the mesh
    /// gives each step a time.
    ///
    /// When this is dropped, the message is sent all the same.
    ///
    /// # Errors
    /// [`SendError`] says why it did not arrive.
    pub async fn send(
        &self,
        to: PeerId,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Answer, SendError> {
        let SendOptions { group, module, reply_within } = options;
        let group = self.group(group);
        let message = Unicast { to, group, module, payload: payload.into(), reply_within };
        let settled = self.settle(|id| Input::Unicast { id, message }).await?;
        let (gateway, reply) = match settled.result? {
            Outcome::Delivered { gateway } => (gateway, None),
            Outcome::Replied { gateway, payload } => (gateway, Some(payload)),
            // Not of a message to one node.
            Outcome::Sent { .. } => (to, None),
        };
        Ok(Answer { id: settled.id, gateway, reply, copies: settled.copies })
    }

    /// Waits until there is room in the queue on the way to a node: for those who send faster than
    /// the network, and do not want [`SendFailure::QueueFull`].
    pub async fn ready(&self, to: PeerId, group: Option<String>) {
        if let Some(way) = self.mesh.way_to(&self.group(group), &to) {
            // When the session ends, sending says what became of the way.
            let _ = way.ready().await;
        }
    }

    /// Sends a message to each node that follows a topic. Nobody confirms it.
    ///
    /// # Errors
    /// [`SendError`] when it could not be sent; that nobody follows the topic is no error.
    pub async fn multicast(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Sent, SendError> {
        let message = Multicast { topic: topic.to_owned(), payload: payload.into() };
        self.sent(|id| Input::Multicast { id, message }).await
    }

    /// Sends a message to all nodes of this node's first group, for the module of `chainmesh send`,
    /// and waits until those who do so have confirmed it.
    ///
    /// # Errors
    /// [`SendError`] when it could not be sent.
    pub async fn broadcast(&self, payload: impl Into<Bytes>) -> Result<Sent, SendError> {
        self.broadcast_to(None, MODULE_SEND, payload).await
    }

    /// The same to a group and for a module of the caller's choice.
    ///
    /// # Errors
    /// [`SendError`] when it could not be sent.
    pub async fn broadcast_to(
        &self,
        group: Option<String>,
        module: ModuleId,
        payload: impl Into<Bytes>,
    ) -> Result<Sent, SendError> {
        let message = Broadcast { group: self.group(group), module, payload: payload.into() };
        self.sent(|id| Input::Broadcast { id, message }).await
    }

    /// Follows a topic until the result is dropped. The other nodes learn of it within a few
    /// seconds.
    #[must_use]
    pub fn subscribe(&self, topic: &str) -> Subscription {
        let inbox = self.shared.subscribe(&self.mesh, topic);
        Subscription {
            topic: topic.to_owned(),
            inbox,
            mesh: self.mesh.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The messages that are sent to this node alone, and to all. Each receiver gets all of them;
    /// without a receiver they are acknowledged and dropped.
    #[must_use]
    pub fn messages(&self) -> Messages {
        Messages { inbox: self.shared.direct(), shared: Arc::clone(&self.shared) }
    }

    /// Tells the others what this node is and the highest block it has.
    pub fn set_status(&self, role: NodeType, height: u64) {
        self.mesh.set_local(role, height);
    }

    /// Other limits hold from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.mesh.set_limits(limits);
    }

    /// The mesh as this node sees it.
    #[must_use]
    pub fn report(&self) -> MeshReport {
        self.mesh.snapshot()
    }

    /// What happens in the mesh, from now on. For observers: who is too slow misses some.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<MeshEvent> {
        self.shared.events()
    }

    /// Waits until there is a way to a node that can be written to.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn reachable(&self, node: PeerId, within: Duration) -> Result<(), WaitError> {
        let is_there = |report: &MeshReport| {
            report.members.iter().any(|member| {
                member.name == node && member.distance.is_some() && member.status_seq.is_some()
            })
        };
        self.wait_for(is_there, within).await
    }

    /// Waits until so many other nodes that can be reached follow a topic.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn followed(
        &self,
        topic: &str,
        nodes: usize,
        within: Duration,
    ) -> Result<(), WaitError> {
        let are_there = |report: &MeshReport| {
            let members = report.members.iter().filter(|member| member.distance.is_some());
            let followers =
                members.filter(|member| member.topics.iter().any(|other| other == topic));
            followers.count() >= nodes
        };
        self.wait_for(are_there, within).await
    }

    /// Waits until the mesh is as wanted.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_for(
        &self,
        wanted: impl Fn(&MeshReport) -> bool,
        within: Duration,
    ) -> Result<(), WaitError> {
        let mut events = self.events();
        let wait = async {
            while !wanted(&self.report()) {
                match events.recv().await {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(NodeEnded),
                }
            }
            Ok(())
        };
        match tokio::time::timeout(within, wait).await {
            Ok(waited) => Ok(waited?),
            Err(_) => Err(WaitError::TimedOut(within)),
        }
    }

    fn group(&self, group: Option<String>) -> Bytes {
        let own = || self.groups.first().cloned().unwrap_or_else(|| DEFAULT_GROUP.to_owned());
        Bytes::from(group.unwrap_or_else(own))
    }

    async fn settle(&self, input: impl FnOnce(MessageId) -> Input) -> Result<Settled, NodeEnded> {
        let (_, end) = self.shared.send(&self.mesh, input).ok_or(NodeEnded)?;
        end.await.map_err(|_| NodeEnded)
    }

    async fn sent(&self, input: impl FnOnce(MessageId) -> Input) -> Result<Sent, SendError> {
        let Settled { id, copies, result } = self.settle(input).await?;
        let (members, confirmed) = match result? {
            Outcome::Sent { members, confirmed } => (members, confirmed),
            // Not of a message to several nodes.
            Outcome::Delivered { .. } | Outcome::Replied { .. } => (1, 1),
        };
        Ok(Sent { id, copies, members, confirmed })
    }
}
