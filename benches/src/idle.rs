//! Memory of idle sessions. On the dialling side each is a whole node of its own; the accepting
//! side is one node, and what a session costs it is the number that is asked for.

use core::time::Duration;
use std::io;

use chainmesh_net::{Enode, P2pHandle};
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::handshakes::connect;
use crate::module::Identity;
use crate::output::Line;
use crate::probe::{WARM_UP, resident};
use crate::server::Server;

/// Time in which what handshakes used is given back, before memory is read.
const SETTLE: Duration = Duration::from_millis(700);

pub(crate) fn run(
    line: Line,
    args: &Args,
    runtime: &Runtime,
    server: &mut Server,
) -> io::Result<Line> {
    let enode = server.enode.clone();
    let dial = |count| {
        let dialling = dial(args.clone(), enode.clone(), count);
        runtime.block_on(async { tokio::spawn(dialling).await? })
    };
    let first = dial(1)?;
    std::thread::sleep(WARM_UP);
    let (client_base, server_base) = (resident()?, server.read()?.resident);
    let nodes = dial(args.conns)?;
    std::thread::sleep(SETTLE);
    let (client, served) = (resident()?, server.read()?.resident);
    let still_there = nodes.iter().chain(&first).filter(|node| node.peer_count() == 1).count();
    if still_there != args.conns + 1 {
        return Err(io::Error::other(format!("only {still_there} sessions are left")));
    }
    let each = |now: u64, base: u64| now.saturating_sub(base) as f64 / args.conns as f64;
    Ok(line
        .number("kib_cli", each(client, client_base))
        .number("kib_srv", each(served, server_base))
        .number("base_cli_mib", client_base as f64 / 1024.0)
        .number("base_srv_mib", server_base as f64 / 1024.0))
}

async fn dial(args: Args, server: Enode, count: usize) -> io::Result<Vec<P2pHandle>> {
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        nodes.push(connect(&args, Identity::new(&args)?, &server).await?);
    }
    Ok(nodes)
}
