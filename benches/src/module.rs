//! The module that both sides have, and the nodes that speak it.

use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::Ordering::Relaxed;
use std::io;
use std::sync::Arc;

use chainmesh_identity::certificate::{Authority, ValidityPeriod};
use chainmesh_net::tls::{Credentials, TlsMaterial, Trust, Versions};
use chainmesh_net::{
    Bytes, Capability, Module, ModuleError, NodeKey, P2pConfig, PeerContext, PeerHandler,
    TlsConfig, TopicHandler,
};

use crate::args::{Args, Variant};
use crate::probe::Received;

/// A message that is only counted.
pub(crate) const FLOOD: u32 = 0;
/// A message that is sent back.
pub(crate) const ECHO: u32 = 1;
/// A message that was sent back.
pub(crate) const ANSWER: u32 = 2;

/// Registers `handler` as the benchmark's module.
pub(crate) fn module(handler: Arc<dyn PeerHandler>) -> io::Result<Module> {
    let capability = Capability::new("bench", 1).map_err(io::Error::other)?;
    Ok(Module { capability, message_count: 3, required: true, handler })
}

/// A node on loopback that nobody's limits slow down.
pub(crate) fn config(args: &Args, identity: Identity, module: Module) -> P2pConfig {
    let Identity { key, tls } = identity;
    let mut config = P2pConfig::new(key, 1, alloy_primitives::B256::ZERO);
    config.listen_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    config.listen_port = 0;
    config.session = args.variant.kind();
    config.tls = tls;
    config.modules.push(module);
    // A third of the slots is kept for connections that a node dials itself.
    config.max_peers = 2 * (args.conns + args.par) + 16_384;
    config.max_pending_inbound = 16_384;
    config.accept_rate = (u32::MAX, u32::MAX);
    config.event_capacity = 1;
    config
}

/// A certificate for the key by a CA that is the same in every process.
fn certificates(key: &NodeKey) -> Result<TlsConfig, Box<dyn core::error::Error + Send + Sync>> {
    // 2020 to 2100.
    let validity = ValidityPeriod { not_before: 1_577_836_800, not_after: 4_102_444_800 };
    let authority = Authority::create("bench", NodeKey::from_entropy([7; 32]), validity, [7; 16])?;
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    let certificate = authority.issue_node("node", key.public_key(), validity, serial)?;
    let credentials = Credentials::of_node(vec![certificate], key)?;
    let trust = Trust::new(&[authority.certificate().clone()])?;
    let material = TlsMaterial::new(credentials, trust);
    Ok(TlsConfig { material, versions: Versions::Both })
}

/// Who a node is: its key and, for TLS, its certificate.
pub(crate) struct Identity {
    key: NodeKey,
    tls: Option<TlsConfig>,
}

impl Identity {
    /// A new one.
    pub(crate) fn new(args: &Args) -> io::Result<Self> {
        let key = new_key()?;
        let tls = match args.variant {
            Variant::Tls => Some(certificates(&key).map_err(io::Error::other)?),
            Variant::Rlpx | Variant::Clear => None,
        };
        Ok(Self { key, tls })
    }
}

/// A new key.
pub(crate) fn new_key() -> io::Result<NodeKey> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(io::Error::other)?;
    Ok(NodeKey::from_entropy(entropy))
}

/// A payload that no compression shortens.
pub(crate) fn payload(size: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.into())
}

/// The server's side: counts, and sends back what it is asked to.
pub(crate) struct Counter(pub(crate) Arc<Received>);

struct CounterPeer {
    peer: PeerContext,
    received: Arc<Received>,
}

impl PeerHandler for Counter {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        Box::new(CounterPeer { peer, received: Arc::clone(&self.0) })
    }
}

impl TopicHandler for CounterPeer {
    fn handle(&mut self, code: u32, payload: Bytes) -> Result<(), ModuleError> {
        match code {
            FLOOD => {
                self.received.messages.fetch_add(1, Relaxed);
                self.received.bytes.fetch_add(payload.len() as u64, Relaxed);
                Ok(())
            }
            ECHO => self.peer.send(ANSWER, payload).map_err(ModuleError::breach),
            other => Err(ModuleError::breach(format!("code {other} is not for a server"))),
        }
    }
}
