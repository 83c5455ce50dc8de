//! Round trips of one message at a time: the answer to one makes the handler send the next.

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use chainmesh_net::{Bytes, ModuleError, PeerContext, PeerHandler, TopicHandler};
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::module::{ANSWER, ECHO, Identity, config, module, payload};
use crate::output::Line;
use crate::probe::{Probe, WARM_UP};
use crate::server::Server;

/// Round trips that fit between two looks at them.
const ROOM: usize = 1 << 20;

struct Asker {
    payload: Bytes,
    times: SyncSender<Duration>,
}

struct AskerPeer {
    peer: PeerContext,
    payload: Bytes,
    times: SyncSender<Duration>,
    asked: Instant,
}

impl AskerPeer {
    fn ask(&mut self) -> Result<(), ModuleError> {
        self.asked = Instant::now();
        self.peer.send(ECHO, self.payload.clone()).map_err(ModuleError::breach)
    }
}

impl PeerHandler for Asker {
    fn new_peer(&self, peer: PeerContext) -> Box<dyn TopicHandler> {
        let (payload, times) = (self.payload.clone(), self.times.clone());
        let mut handler = AskerPeer { peer, payload, times, asked: Instant::now() };
        if let Err(error) = handler.ask() {
            eprintln!("the first message was not taken: {error}");
        }
        Box::new(handler)
    }
}

impl TopicHandler for AskerPeer {
    fn handle(&mut self, code: u32, answer: Bytes) -> Result<(), ModuleError> {
        let took = self.asked.elapsed();
        if code != ANSWER || answer != self.payload {
            return Err(ModuleError::breach("not the message that was sent"));
        }
        self.times.try_send(took).map_err(ModuleError::breach)?;
        self.ask()
    }
}

pub(crate) fn run(
    line: Line,
    args: &Args,
    runtime: &Runtime,
    server: &mut Server,
) -> io::Result<Line> {
    let (to, times) = sync_channel(ROOM);
    let asker = Asker { payload: payload(args.size)?, times: to };
    let mut config = config(args, Identity::new(args)?, module(Arc::new(asker))?);
    config.listen = false;
    config.boot_nodes.push(server.enode.clone());
    let _node = runtime.block_on(chainmesh_net::start(config)).map_err(io::Error::other)?;

    std::thread::sleep(WARM_UP);
    drop(taken(&times));
    let begin = Probe::take(server)?;
    // Nobody looks at the times before the window is over: this thread would disturb.
    std::thread::sleep(Duration::from_secs_f64(args.secs));
    let mut taken = taken(&times);
    let window = begin.until(&Probe::take(server)?);
    taken.sort_unstable();
    let quantile = |share: f64| {
        let at = (taken.len() as f64 * share) as usize;
        taken.get(at.min(taken.len().saturating_sub(1))).map(|time| time.as_secs_f64() * 1e6)
    };
    let (Some(median), Some(late)) = (quantile(0.5), quantile(0.99)) else {
        return Err(io::Error::other("no answer came"));
    };
    let count = taken.len() as f64;
    let line = line.number("n", count).number("p50_us", median).number("p99_us", late);
    Ok(window.cpu_each(line, count).number("foreign", window.foreign))
}

fn taken(times: &Receiver<Duration>) -> Vec<Duration> {
    times.try_iter().collect()
}
