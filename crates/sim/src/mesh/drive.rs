//! What the mesh says, done and noted down; what a test sends, and what it may see.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::sync::PoisonError;

use bytes::Bytes;
use chainmesh_proto::mesh::{
    Broadcast, Cast, DEFAULT_GROUP, Delivery, MODULE_SEND, MeshModule, MeshReport, MessageId,
    Multicast, Unicast,
};

use super::node::MeshWord;
use super::{Application, Delivered, MeshRecord};
use crate::eth::Hearer;
use crate::network::NodeIndex;
use crate::world::World;

impl World {
    /// Lets those who look at the clock from within a connection see what time it is.
    pub(crate) fn tell_time(&self) {
        self.clock.store(self.now.as_micros(), Relaxed);
    }

    /// Does what came through the members' ears. Says whether there was anything.
    pub(crate) fn listen_to_meshes(&mut self) -> bool {
        let heard = {
            let mut heard = self.mesh_heard.lock().unwrap_or_else(PoisonError::into_inner);
            core::mem::take(&mut *heard)
        };
        let any = !heard.is_empty();
        let mut wake = std::collections::BTreeSet::new();
        for (hearer, word) in heard {
            let (node, life) = hearer;
            if self.nodes.get(node.0).is_none_or(|node| node.life != life) {
                continue;
            }
            if self.hear_mesh(hearer, word) {
                wake.insert(node);
            }
        }
        for node in wake {
            self.pump(node, Vec::new());
        }
        any
    }

    /// Says whether the node has to look at its timers.
    fn hear_mesh(&mut self, (node, life): Hearer, word: MeshWord) -> bool {
        let now = self.now;
        match word {
            MeshWord::Wake => return true,
            MeshWord::Event(event) => {
                self.decided((node, format!("{event:?}")));
                self.records.entry(node).or_default().note_event(now, &event);
            }
            MeshWord::Settled(settled) => {
                self.decided((node, format!("{settled:?}")));
                let record = self.records.entry(node).or_default();
                record.settled.insert(settled.id, (now, *settled));
            }
            MeshWord::Delivery(delivery) => {
                self.delivered(node, life, *delivery);
                return true;
            }
        }
        false
    }

    fn delivered(&mut self, node: NodeIndex, life: u64, delivery: Delivery) {
        let delivered = Delivered::new(self.now, life, &delivery);
        self.decided((node, delivered.gateway, &delivered.cast, &delivered.payload));
        self.records.entry(node).or_default().deliveries.push(delivered);
        let member = self.nodes.get(node.0).and_then(|node| node.running.as_ref()?.mesh.as_ref());
        if let (Cast::Unicast { reply }, Some(member)) = (delivery.cast, member)
            && member.application == Application::Echoes
        {
            member.mesh.reply(reply, delivery.payload);
        }
    }

    /// A running member's mesh.
    #[must_use]
    pub fn mesh(&self, node: NodeIndex) -> Option<&MeshModule> {
        Some(&self.nodes.get(node.0)?.running.as_ref()?.mesh.as_ref()?.mesh)
    }

    /// The mesh as a running member sees it.
    #[must_use]
    pub fn mesh_report(&self, node: NodeIndex) -> Option<MeshReport> {
        self.mesh(node).map(MeshModule::snapshot)
    }

    /// What came to a member, over all its lives.
    #[must_use]
    pub fn mesh_record(&self, node: NodeIndex) -> &MeshRecord {
        static NOTHING: MeshRecord = MeshRecord::new();
        self.records.get(&node).unwrap_or(&NOTHING)
    }

    /// Sends a message to another member, in the default group. It leaves when the world runs on.
    /// `None` when the member does not run.
    #[must_use]
    pub fn unicast(
        &self,
        node: NodeIndex,
        to: NodeIndex,
        payload: &[u8],
        reply_within: Option<Duration>,
    ) -> Option<MessageId> {
        let message = Unicast {
            to: self.id(to),
            group: Bytes::from_static(DEFAULT_GROUP.as_bytes()),
            module: MODULE_SEND,
            payload: Bytes::copy_from_slice(payload),
            reply_within,
        };
        self.mesh(node).map(|mesh| mesh.unicast(message))
    }

    /// Sends a message to all members of the default group. It leaves when the world runs on. `None`
    /// when the member does not run.
    #[must_use]
    pub fn broadcast(&self, node: NodeIndex, payload: &[u8]) -> Option<MessageId> {
        let message = Broadcast {
            group: Bytes::from_static(DEFAULT_GROUP.as_bytes()),
            module: MODULE_SEND,
            payload: Bytes::copy_from_slice(payload),
        };
        self.mesh(node).map(|mesh| mesh.broadcast(message))
    }

    /// Sends a message to all who follow a topic. It leaves when the world runs on. `None` when the
    /// member does not run.
    #[must_use]
    pub fn multicast(&self, node: NodeIndex, topic: &str, payload: &[u8]) -> Option<MessageId> {
        let payload = Bytes::copy_from_slice(payload);
        let message = Multicast { topic: topic.to_owned(), payload };
        self.mesh(node).map(|mesh| mesh.multicast(message))
    }
}
