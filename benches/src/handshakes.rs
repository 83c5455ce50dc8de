//! Whole handshakes: TCP, RLPx, Hello, the module, and one byte there and back.
//!
//! A peer has one session, so each handshake is that of a new node with a key of its own (and, for
//! TLS, a certificate). They are made before the window opens; everything else a node costs is inside it, its goodbye
//! too.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chainmesh_net::{
    Bytes, Enode, ModuleError, P2pEvent, P2pHandle, PeerContext, PeerHandler, TopicHandler,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::args::Args;
use crate::module::{ANSWER, ECHO, Identity, config, module};
use crate::output::Line;
use crate::probe::Probe;
use crate::server::Server;

/// Handshakes in a second, more than any machine we know makes on one core.
const MOST_PER_SECOND: f64 = 8000.0;
/// A handshake that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends a byte as soon as it can, and tells when it is back.
struct Greeter(mpsc::Sender<()>);

struct GreeterPeer(mpsc::Sender<()>);

impl PeerHandler for Greeter {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        // If this fails the connection is over, and the handshake counts as failed.
        let _ = peer.send(ECHO, Bytes::from_static(b"I"));
        Box::new(GreeterPeer(self.0.clone()))
    }
}

impl TopicHandler for GreeterPeer {
    fn handle(&mut self, code: u32, _: Bytes) -> Result<(), ModuleError> {
        if code != ANSWER {
            return Err(ModuleError::breach(format!("unexpected code {code}")));
        }
        let _ = self.0.try_send(());
        Ok(())
    }
}

/// A node with a session to `server` on which a byte went there and back.
pub(crate) async fn connect(
    args: &Args,
    identity: Identity,
    server: &Enode,
) -> io::Result<P2pHandle> {
    let (back, mut byte) = mpsc::channel(1);
    let mut config = config(args, identity, module(Arc::new(Greeter(back)))?);
    config.listen = false;
    config.boot_nodes.push(server.clone());
    let node = chainmesh_net::start(config).await.map_err(io::Error::other)?;
    let mut events = node.subscribe();
    let session = async {
        byte.recv().await.ok_or_else(|| io::Error::other("the node ended"))?;
        while node.peer_count() == 0 {
            match events.recv().await {
                Ok(P2pEvent::PeerConnected { .. }) => break,
                Ok(_) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, session).await??;
    Ok(node)
}

/// What all workers share.
struct Shared {
    args: Args,
    server: Enode,
    identities: Mutex<Vec<Identity>>,
    failed: AtomicU64,
}

impl Shared {
    async fn one(&self) -> io::Result<()> {
        let identity = self.identities.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let identity = identity.map_or_else(|| Identity::new(&self.args), Ok)?;
        // The goodbye is said after the handle is gone, beside the next handshake.
        connect(&self.args, identity, &self.server).await.map(drop)
    }

    async fn work(self: Arc<Self>, end: Instant) -> u64 {
        let mut made = 0;
        while Instant::now() < end {
            match self.one().await {
                Ok(()) => made += 1,
                Err(_) => {
                    self.failed.fetch_add(1, Relaxed);
                }
            }
        }
        made
    }
}

pub(crate) fn run(
    line: Line,
    args: &Args,
    runtime: &Runtime,
    server: &mut Server,
) -> io::Result<Line> {
    let identities = (0..(args.secs * MOST_PER_SECOND) as usize).map(|_| Identity::new(args));
    let shared = Arc::new(Shared {
        args: args.clone(),
        server: server.enode.clone(),
        identities: Mutex::new(identities.collect::<io::Result<_>>()?),
        failed: AtomicU64::new(0),
    });
    let first = Arc::clone(&shared);
    runtime.block_on(async { tokio::spawn(async move { first.one().await }).await? })?;

    let begin = Probe::take(server)?;
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(args.secs);
    let workers: Vec<_> =
        (0..args.par).map(|_| runtime.spawn(Arc::clone(&shared).work(end))).collect();
    let mut made = 0;
    for worker in workers {
        made += runtime.block_on(worker)?;
    }
    let took = started.elapsed();
    let window = begin.until(&Probe::take(server)?);
    if made == 0 {
        return Err(io::Error::other("no handshake succeeded"));
    }
    let line = line.number("hs_s", made as f64 / took.as_secs_f64());
    let failed = shared.failed.load(Relaxed);
    Ok(window
        .cpu_each(line, made as f64)
        .number("errs", failed as f64)
        .number("foreign", window.foreign))
}
