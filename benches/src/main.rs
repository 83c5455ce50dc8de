//! Measures sessions between two processes on loopback, and the cryptography under them.
//!
//! `chainmesh-bench --test tput --size 1024` starts itself a second time as the server, is the
//! client, and prints one line of JSON. Command line and line are those of the baseline harness
//! (see `benches/README.md`), so that its driver runs this program beside the others. Both sides
//! are nodes made with [`chainmesh_net::start`] and a module: nothing goes past the public
//! interface.

mod args;
mod ceiling;
mod flow;
mod handshakes;
mod idle;
mod module;
mod output;
mod probe;
mod round_trip;
mod server;

use args::{Args, Test};
use clap::Parser;
use output::Line;
use server::Server;

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    args.pin()?;
    if args.what == Some(args::What::Ceiling) {
        return ceiling::run(&args);
    }
    let runtime = args.runtime()?;
    if args.server {
        return runtime.block_on(async { tokio::spawn(server::serve(args)).await? });
    }
    let mut server = Server::start()?;
    let line = Line::new(&args);
    let line = match args.test {
        Test::Tput => flow::run(line, &args, &runtime, &mut server)?,
        Test::Rtt => round_trip::run(line, &args, &runtime, &mut server)?,
        Test::Hs => handshakes::run(line, &args, &runtime, &mut server)?,
        Test::Mem => idle::run(line, &args, &runtime, &mut server)?,
    };
    println!("{line}");
    // What still runs (sessions, the flow) ends with the process.
    drop(server);
    std::process::exit(0)
}
