//! `reach/1` as a module: what peers say, on its way to the machine.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use bytes::Bytes;
use chainmesh_proto::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
use chainmesh_proto::reach::SessionId;
use chainmesh_wire::devp2p::{Capability, DisconnectReason};
use chainmesh_wire::reach::{MESSAGE_COUNT, Message, NAME, VERSION};
use tokio::sync::mpsc;

/// What happens on sessions.
pub(super) enum FromPeer {
    Up(SessionId, PeerContext),
    Heard(SessionId, Message),
    Down(SessionId),
}

/// The module; what its peers say comes out of `to`. When the task is behind, they are not heard: they
/// are asked, or ask, again another time.
pub(super) fn module(to: mpsc::Sender<FromPeer>) -> Option<Module> {
    let handler = Arc::new(Handler { to, next: AtomicU64::new(0) });
    let capability = Capability::new(NAME, VERSION).ok()?;
    Some(Module { capability, message_count: MESSAGE_COUNT, required: false, handler })
}

struct Handler {
    to: mpsc::Sender<FromPeer>,
    next: AtomicU64,
}

struct Topic {
    session: SessionId,
    to: mpsc::Sender<FromPeer>,
}

impl PeerHandler for Handler {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        let session = SessionId(self.next.fetch_add(1, Relaxed));
        let _ = self.to.try_send(FromPeer::Up(session, peer));
        Box::new(Topic { session, to: self.to.clone() })
    }
}

impl TopicHandler for Topic {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        let message = Message::decode(code, &payload).map_err(ModuleError::breach)?;
        let _ = self.to.try_send(FromPeer::Heard(self.session, message));
        Ok(())
    }

    fn closed(&mut self, _: &DisconnectReason) {
        let _ = self.to.try_send(FromPeer::Down(self.session));
    }
}
