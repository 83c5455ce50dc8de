//! The consortium mesh: sessions and versions, routes, statuses, topics, and messages to one, to
//! some and to all, as the gateways of FISCO BCOS 3.x do it, and the topics of 2.x neighbours.

mod config;
mod io;
mod limits;
mod module;
mod report;

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

pub use self::config::*;
pub use self::io::{
    Broadcast, Cast, Delivery, Input, MeshEvent, MeshFault, MessageId, Multicast, Outcome, Output,
    ReplyTo, SendFailure, SessionId, Settled, Unicast, Where,
};
pub use self::limits::{EXEMPT_MODULES, Limits, Rate};
pub use self::module::{MESH, MESH_VERSION, MeshModule, MeshSink, PACKET};
pub use self::report::{MemberReport, MeshCounters, MeshReport, SessionReport};

use crate::time::Instant;
use chainmesh_identity::PeerId;

/// The mesh of one node, as a machine. One frame, one call, one tick at a time.
#[derive(Debug)]
pub struct Mesh {
    config: MeshConfig,
    rng: ChaCha8Rng,
    counters: MeshCounters,
    outputs: VecDeque<Output>,
}

impl Mesh {
    /// A mesh without sessions. `seed` makes the ids of its messages.
    #[must_use]
    pub fn new(config: MeshConfig, seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha8Rng::from_seed(seed),
            config,
            counters: MeshCounters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// A new id for a message.
    pub fn next_id(&mut self) -> MessageId {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        // RFC 9562 section 5.4: version 4, variant 10.
        let random = u128::from_be_bytes(bytes);
        MessageId(random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let _ = (now, input);
    }

    /// What the driver has to do next; `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Mesh::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The session on the way to a front node of a group now.
    #[must_use]
    pub fn way_to(&self, group: &[u8], to: &PeerId) -> Option<SessionId> {
        let _ = (group, to);
        None
    }

    /// The mesh as this node sees it.
    #[must_use]
    pub fn snapshot(&self) -> MeshReport {
        let identity = &self.config.identity;
        MeshReport {
            name: identity.name(),
            short: identity.short(),
            role: self.config.role,
            height: self.config.height,
            groups: self.config.groups.clone(),
            topics: Vec::new(),
            router_seq: 1,
            status_seq: 1,
            topic_seq: 1,
            members: Vec::new(),
            sessions: Vec::new(),
            links: Vec::new(),
            pending: 0,
            counters: self.counters,
        }
    }
}
