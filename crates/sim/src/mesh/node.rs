//! One life of a member, and the ear through which its mesh is heard.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chainmesh_identity::PeerId;
use chainmesh_proto::mesh::{Delivery, MeshEvent, MeshModule, MeshSink, Settled};
use chainmesh_proto::module::Module;
use chainmesh_proto::time::Instant;

use super::{Application, MeshNode};
use crate::eth::Hearer;

/// The world's clock, in microseconds, for those who look at it from within a connection.
pub(crate) type Clock = Arc<AtomicU64>;

/// What the meshes said, and to whom, in order.
pub(crate) type MeshHeard = Arc<Mutex<VecDeque<(Hearer, MeshWord)>>>;

/// What a mesh said.
#[derive(Debug)]
pub(crate) enum MeshWord {
    /// Its timer is earlier than it was.
    Wake,
    Delivery(Box<Delivery>),
    Settled(Box<Settled>),
    Event(MeshEvent),
}

/// Called in the middle of the connections' work: notes down what the world does afterwards.
struct Ear {
    hearer: Hearer,
    heard: MeshHeard,
    clock: Clock,
}

impl Ear {
    fn note(&self, word: MeshWord) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push_back((self.hearer, word));
    }
}

impl MeshSink for Ear {
    fn now(&self) -> Instant {
        Instant::from_micros(self.clock.load(Relaxed))
    }

    fn wake(&self) {
        self.note(MeshWord::Wake);
    }

    fn deliver(&self, delivery: Delivery) {
        self.note(MeshWord::Delivery(Box::new(delivery)));
    }

    fn settled(&self, settled: Settled) {
        self.note(MeshWord::Settled(Box::new(settled)));
    }

    fn event(&self, event: MeshEvent) {
        self.note(MeshWord::Event(event));
    }
}

/// A member while it runs.
pub(crate) struct MeshMember {
    pub(crate) mesh: MeshModule,
    pub(crate) application: Application,
}

impl fmt::Debug for MeshMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshMember").finish_non_exhaustive()
    }
}

impl MeshMember {
    /// A member that has just started, and its module.
    pub(crate) fn start(
        node: &MeshNode,
        id: PeerId,
        seed: [u8; 32],
        hearer: Hearer,
        heard: &MeshHeard,
        clock: &Clock,
    ) -> (Self, Option<Module>) {
        let ear = Ear { hearer, heard: Arc::clone(heard), clock: Arc::clone(clock) };
        let mesh = MeshModule::new(node.config(id), seed, Arc::new(ear));
        for topic in &node.topics {
            mesh.subscribe(topic.clone());
        }
        let module = mesh.module();
        (Self { mesh, application: node.application }, module)
    }
}
