//! What a probe speaks: enough of `eth` to hear the Status, and names that let a session stand.

use std::sync::Arc;

use bytes::Bytes;
use chainmesh_proto::module::{Module, ModuleError, PeerContext, PeerHandler, TopicHandler};
use chainmesh_proto::session::MESH;
use chainmesh_wire::devp2p::Capability;
use chainmesh_wire::eth::{EthVersion, GetBlockHeaders, Message, Origin, Status, StatusHead, code};
use chainmesh_wire::reach;
use tokio::sync::mpsc;

/// Name of the module whose Status is heard.
pub(super) const ETH: &str = "eth";

/// What the modules of a probe tell it.
#[derive(Debug)]
pub(super) enum FromModule {
    Status(Box<Status>),
    /// The number of the head, if it has answered with its header.
    Head(Option<u64>),
}

/// The modules of one probe.
pub(super) fn modules(to: &mpsc::Sender<FromModule>, tls: bool) -> Vec<Module> {
    let mut modules = Vec::new();
    for version in EthVersion::ALL {
        let handler = Arc::new(Eth { version, to: to.clone() });
        modules.extend(module(ETH, version.number(), version.message_count(), handler));
    }
    // Every node of ours has it, with a chain or without.
    modules.extend(module(reach::NAME, reach::VERSION, reach::MESSAGE_COUNT, Arc::new(Silent)));
    if tls {
        // The one capability that nodes of a consortium have in any case; it has one code.
        modules.extend(module(MESH, 1, 1, Arc::new(Silent)));
    }
    modules
}

fn module(name: &str, version: u32, codes: u32, handler: Arc<dyn PeerHandler>) -> Option<Module> {
    let capability = Capability::new(name, version).ok()?;
    Some(Module { capability, message_count: codes, required: false, handler })
}

/// Hears everything and says nothing.
struct Silent;

impl PeerHandler for Silent {
    fn new_peer(&self, _: PeerContext) -> Box<dyn TopicHandler> {
        Box::new(Self)
    }
}

impl TopicHandler for Silent {
    fn handle(&mut self, _: u32, _: Bytes) -> Result<(), ModuleError> {
        Ok(())
    }
}

struct Eth {
    version: EthVersion,
    to: mpsc::Sender<FromModule>,
}

struct EthPeer {
    version: EthVersion,
    peer: PeerContext,
    to: mpsc::Sender<FromModule>,
    /// The hash of the peer's head, whose number was asked for.
    asked: bool,
    greeted: bool,
}

impl PeerHandler for Eth {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        peer.begin_handshake();
        let (version, to) = (self.version, self.to.clone());
        Box::new(EthPeer { version, peer, to, asked: false, greeted: false })
    }
}

impl EthPeer {
    /// The peer is told what it said: it has no reason to refuse that.
    fn status(&mut self, payload: &Bytes) -> Result<(), ModuleError> {
        if core::mem::replace(&mut self.greeted, true) {
            return Ok(());
        }
        let status = Status::decode(self.version, payload).map_err(ModuleError::breach)?;
        let _ = self.to.try_send(FromModule::Status(Box::new(status)));
        self.peer.send(code::STATUS, status.encode()).map_err(ModuleError::breach)?;
        self.peer.handshake_done();
        if let StatusHead::TotalDifficulty { best_hash, .. } = status.head {
            let origin = Origin::Hash(best_hash);
            let question =
                GetBlockHeaders { request_id: 1, origin, limit: 1, skip: 0, reverse: false };
            self.asked = self.peer.send(code::GET_BLOCK_HEADERS, question.encode()).is_ok();
        }
        Ok(())
    }

    fn headers(&mut self, payload: &Bytes) {
        if !core::mem::take(&mut self.asked) {
            return;
        }
        let number = match Message::decode(self.version, code::BLOCK_HEADERS, payload) {
            Ok(Message::BlockHeaders(answer)) => {
                answer.items.first().map(|header| header.header.number)
            }
            _ => None,
        };
        let _ = self.to.try_send(FromModule::Head(number));
    }
}

impl TopicHandler for EthPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        match code {
            code::STATUS => self.status(&payload)?,
            code::BLOCK_HEADERS => self.headers(&payload),
            // It is not here to serve, nor to follow.
            _ => {}
        }
        Ok(())
    }
}
