//! A module that sends back what it gets, and nodes that have it.

use std::sync::Arc;
use std::time::Duration;

use chainmesh_net::certificate::{Authority, ValidityPeriod};
use chainmesh_net::tls::{Credentials, TlsMaterial, Trust, Versions};
use chainmesh_net::{
    Bytes, Capability, Module, ModuleError, NodeKey, P2pConfig, P2pEvent, P2pHandle, PeerContext,
    PeerHandler, PeerId, TlsConfig, TopicHandler,
};
use tokio::sync::{broadcast, mpsc};

/// Long enough for a busy machine; a test that needs it all has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something with an end.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: took too long"))
}

/// Waits until a node has so many peers.
pub(crate) async fn has_peers(node: &P2pHandle, count: usize) {
    within("the peers", async {
        while node.peer_count() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What an [`Echo`] module tells its test.
pub(crate) enum Seen {
    Peer(PeerContext),
    Answer(Bytes),
}

/// Code 0 is answered with code 1; code 2 is an error.
pub(crate) struct Echo {
    seen: mpsc::Sender<Seen>,
}

struct EchoPeer {
    peer: PeerContext,
    seen: mpsc::Sender<Seen>,
}

impl PeerHandler for Echo {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        self.seen.try_send(Seen::Peer(peer.clone())).ok();
        Box::new(EchoPeer { peer, seen: self.seen.clone() })
    }
}

impl TopicHandler for EchoPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        match code {
            0 => self.peer.send(1, payload).map_err(ModuleError::breach),
            1 => {
                self.seen.try_send(Seen::Answer(payload)).ok();
                Ok(())
            }
            _ => Err(ModuleError::breach("nobody sends code 2")),
        }
    }
}

pub(crate) fn echo() -> (Module, mpsc::Receiver<Seen>) {
    let (seen, receiver) = mpsc::channel(1000);
    let module = Module {
        capability: Capability::new("echo", 1).unwrap(),
        message_count: 3,
        required: false,
        handler: Arc::new(Echo { seen }),
    };
    (module, receiver)
}

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_entropy([number; 32])
}

/// A configuration on loopback, at a port that the system chooses.
pub(crate) fn config(number: u8) -> P2pConfig {
    let mut config = P2pConfig::new(key(number), 1, Default::default());
    config.listen_address = [127, 0, 0, 1].into();
    config.listen_port = 0;
    config.tls = Some(tls(number, &Chain::new("test-chain", 200)));
    config
}

/// A chain CA that believes itself, and what it has issued.
pub(crate) struct Chain {
    pub(crate) authority: Authority,
}

impl Chain {
    pub(crate) fn new(name: &str, number: u8) -> Self {
        Self { authority: Authority::create(name, key(number), VALID, [number; 16]).unwrap() }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::new(&[self.authority.certificate().clone()]).unwrap()
    }

    /// A certificate for the node of this number. The serial number tells renewed ones apart.
    pub(crate) fn credentials(&self, number: u8, serial: u8) -> Credentials {
        let key = key(number);
        let certificate =
            self.authority.issue_node("node", key.public_key(), VALID, [serial; 16]).unwrap();
        Credentials::of_node(vec![certificate], &key).unwrap()
    }
}

/// 2020 to 2100.
pub(crate) const VALID: ValidityPeriod =
    ValidityPeriod { not_before: 1_577_836_800, not_after: 4_102_444_800 };

/// Certificates for the node of this number.
pub(crate) fn tls(number: u8, chain: &Chain) -> TlsConfig {
    let material = TlsMaterial::new(chain.credentials(number, number), chain.trust());
    TlsConfig { material, versions: Versions::Both }
}

/// A node with the echo module.
pub(crate) async fn node(
    number: u8,
    change: impl FnOnce(&mut P2pConfig),
) -> (P2pHandle, mpsc::Receiver<Seen>) {
    let (module, seen) = echo();
    let mut config = config(number);
    config.modules.push(module);
    change(&mut config);
    (chainmesh_net::start(config).await.unwrap(), seen)
}

pub(crate) async fn next_peer(seen: &mut mpsc::Receiver<Seen>) -> PeerContext {
    within("a peer", async {
        loop {
            if let Seen::Peer(peer) = seen.recv().await.expect("the node is alive") {
                return peer;
            }
        }
    })
    .await
}

pub(crate) async fn next_answer(seen: &mut mpsc::Receiver<Seen>) -> Bytes {
    within("an answer", async {
        loop {
            if let Seen::Answer(answer) = seen.recv().await.expect("the node is alive") {
                return answer;
            }
        }
    })
    .await
}

pub(crate) async fn connected(events: &mut broadcast::Receiver<P2pEvent>) -> PeerId {
    within("PeerConnected", async {
        loop {
            if let P2pEvent::PeerConnected { peer_id, .. } = events.recv().await.unwrap() {
                return peer_id;
            }
        }
    })
    .await
}

pub(crate) async fn disconnected(events: &mut broadcast::Receiver<P2pEvent>) -> PeerId {
    within("PeerDisconnected", async {
        loop {
            if let P2pEvent::PeerDisconnected { peer_id } = events.recv().await.unwrap() {
                return peer_id;
            }
        }
    })
    .await
}
