//! What came to a member, over all its lives.

use std::collections::BTreeMap;

use bytes::Bytes;
use chainmesh_identity::PeerId;
use chainmesh_proto::mesh::{Cast, Delivery, MeshEvent, MessageId, Settled};
use chainmesh_proto::time::Instant;

/// A message that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// When.
    pub at: Instant,
    /// In which life of the member; the first is 1.
    pub life: u64,
    /// The member it came from.
    pub gateway: PeerId,
    /// The front node it came from, if the sender's carrier says it.
    pub source: Option<PeerId>,
    /// How it was sent.
    pub cast: DeliveredCast,
    /// What it says.
    pub payload: Bytes,
}

/// How a message was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeliveredCast {
    /// To this member alone.
    Unicast,
    /// To all members of its group.
    Broadcast,
    /// To all who follow this topic.
    Multicast(Bytes),
}

/// What came to a member since the world began.
#[derive(Debug, Clone, Default)]
pub struct MeshRecord {
    /// Messages, in the order in which they came.
    pub deliveries: Vec<Delivered>,
    /// Messages of its own that came to an end, and when.
    pub settled: BTreeMap<MessageId, (Instant, Settled)>,
    /// When a way of its own was another for the last time.
    pub rerouted_at: Option<Instant>,
    /// How often a member could be reached that could not be before.
    pub reached: u64,
    /// How often a member could not be reached any more.
    pub lost: u64,
    /// How often a member was reached over another neighbour than before.
    pub rerouted: u64,
    /// Statuses of members that were taken.
    pub statuses: u64,
    /// Topic lists of members that were taken.
    pub topics: u64,
}

impl MeshRecord {
    pub(super) const fn new() -> Self {
        Self {
            deliveries: Vec::new(),
            settled: BTreeMap::new(),
            rerouted_at: None,
            reached: 0,
            lost: 0,
            rerouted: 0,
            statuses: 0,
            topics: 0,
        }
    }

    pub(super) fn note_event(&mut self, now: Instant, event: &MeshEvent) {
        let count = match event {
            MeshEvent::Reached { .. } => &mut self.reached,
            MeshEvent::Lost { .. } => &mut self.lost,
            MeshEvent::Rerouted { .. } => &mut self.rerouted,
            MeshEvent::Status { .. } => &mut self.statuses,
            MeshEvent::Topics { .. } => &mut self.topics,
            MeshEvent::Negotiated { .. } => return,
        };
        *count += 1;
        if matches!(
            event,
            MeshEvent::Reached { .. } | MeshEvent::Lost { .. } | MeshEvent::Rerouted { .. }
        ) {
            self.rerouted_at = Some(now);
        }
    }

    /// How often a message with this payload was delivered.
    #[must_use]
    pub fn times(&self, payload: &[u8]) -> usize {
        self.deliveries.iter().filter(|delivered| delivered.payload == payload).count()
    }

    /// The end of a message of its own.
    #[must_use]
    pub fn end_of(&self, message: MessageId) -> Option<&Settled> {
        self.settled.get(&message).map(|(_, settled)| settled)
    }
}

impl Delivered {
    pub(super) fn new(at: Instant, life: u64, delivery: &Delivery) -> Self {
        let cast = match &delivery.cast {
            Cast::Unicast { .. } => DeliveredCast::Unicast,
            Cast::Broadcast => DeliveredCast::Broadcast,
            Cast::Multicast { topic } => DeliveredCast::Multicast(topic.clone()),
        };
        let (gateway, source) = (delivery.gateway, delivery.source_id());
        Self { at, life, gateway, source, cast, payload: delivery.payload.clone() }
    }
}
