//! One-way throughput: a producer task fills the queue of a peer as fast as it empties.

use std::io;
use std::sync::Arc;

use chainmesh_net::{
    Bytes, ModuleError, P2pHandle, PeerContext, PeerHandler, SendError, TopicHandler,
};
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::module::{FLOOD, Identity, config, module, payload};
use crate::output::Line;
use crate::probe::{Probe, WARM_UP};
use crate::server::Server;

struct Producer {
    payload: Bytes,
    window: usize,
}

impl PeerHandler for Producer {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        tokio::spawn(produce(peer, self.payload.clone(), self.window));
        Box::new(Silent)
    }
}

async fn produce(peer: PeerContext, payload: Bytes, window: usize) -> Result<(), SendError> {
    let most = if window == 0 { usize::MAX } else { window * payload.len() };
    loop {
        if peer.queued() >= most {
            tokio::task::yield_now().await;
            continue;
        }
        match peer.send(FLOOD, payload.clone()) {
            Err(SendError::Full) => peer.ready().await?,
            sent => sent?,
        }
    }
}

/// The server says nothing in this test.
struct Silent;

impl TopicHandler for Silent {
    fn handle(&mut self, code: u32, _: Bytes) -> Result<(), ModuleError> {
        Err(ModuleError::breach(format!("unexpected code {code}")))
    }
}

pub(crate) fn run(
    line: Line,
    args: &Args,
    runtime: &Runtime,
    server: &mut Server,
) -> io::Result<Line> {
    let producer = Producer { payload: payload(args.size)?, window: args.window };
    let mut config = config(args, Identity::new(args)?, module(Arc::new(producer))?);
    config.listen = false;
    config.boot_nodes.push(server.enode.clone());
    let _node: P2pHandle =
        runtime.block_on(chainmesh_net::start(config)).map_err(io::Error::other)?;

    std::thread::sleep(WARM_UP);
    let begin = Probe::take(server)?;
    std::thread::sleep(core::time::Duration::from_secs_f64(args.secs));
    let window = begin.until(&Probe::take(server)?);
    if window.messages == 0.0 {
        return Err(io::Error::other("nothing arrived"));
    }
    let gigabytes = window.bytes / 1e9;
    Ok(line
        .number("mb_s", window.bytes / window.seconds / 1e6)
        .number("msgs_s", window.messages / window.seconds)
        .number("cpu_gb_cli", window.client / gigabytes)
        .number("cpu_gb_srv", window.server / gigabytes)
        .number("cores_cli", window.client / window.seconds)
        .number("cores_srv", window.server / window.seconds)
        .number("foreign", window.foreign))
}
