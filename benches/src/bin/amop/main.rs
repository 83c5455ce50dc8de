//! Measures messages by topic: publisher → node → node → subscriber, through the ports for SDKs, and
//! NATS with the same pattern beside it in the same run.
//!
//! `chainmesh-amop [--secs N] [--only PART] [--chainmesh PROGRAM] [--nats PROGRAM]`. The nodes are two
//! processes of `chainmesh run` with TLS between them, the NATS servers two processes with a plain
//! route. The clients, all in this process, are lean ones that speak the bare protocols.

mod crowd;
mod link;
mod pairs;
mod protocol;
mod servers;

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Parser;

use crowd::Crowd;
use pairs::{Load, Pattern};
use protocol::Protocol;
use servers::Servers;

/// Bytes of a message.
const SIZE: usize = 1024;
/// Subscribers whose memory is measured.
const SUBSCRIBERS: usize = 1_000;

/// Measures messages by topic.
#[derive(Debug, Parser)]
struct Args {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    secs: f64,
    /// Only this part
    #[arg(long, value_parser = ["pairs", "crowd", "memory"])]
    only: Option<String>,
    /// Only with so many pairs
    #[arg(long)]
    pairs: Option<usize>,
    /// Only systems with this in their name
    #[arg(long, default_value = "")]
    system: String,
    /// The program chainmesh [default: the one beside this program]
    #[arg(long)]
    chainmesh: Option<PathBuf>,
    /// The program nats-server
    #[arg(long, default_value = "nats-server")]
    nats: PathBuf,
}

/// One column of the comparison.
struct System {
    name: String,
    protocol: Protocol,
    tls: bool,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    open_files()?;
    let beside = || Ok::<_, io::Error>(std::env::current_exe()?.with_file_name("chainmesh"));
    let program = args.chainmesh.clone().map_or_else(beside, Ok)?;
    if !program.exists() {
        let why =
            format!("{} is not there: cargo build --release -p chainmesh-node", program.display());
        return Err(io::Error::other(why));
    }
    let version = Command::new(&args.nats).arg("--version").output().ok();
    let version = version.filter(|output| output.status.success());
    let mut systems = vec![
        System { name: "2.x port".into(), protocol: Protocol::Channel, tls: false },
        System { name: "3.x port".into(), protocol: Protocol::WebSocket, tls: false },
        System { name: "2.x port, TLS".into(), protocol: Protocol::Channel, tls: true },
        System { name: "3.x port, TLS".into(), protocol: Protocol::WebSocket, tls: true },
    ];
    match version {
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let number = said.trim().rsplit(' ').next().unwrap_or_default().to_owned();
            systems.push(System {
                name: format!("NATS {number}"),
                protocol: Protocol::Nats,
                tls: false,
            });
        }
        None => eprintln!(
            "SKIP: there is no {} (apt-get install nats-server): nothing to compare with",
            args.nats.display()
        ),
    }
    systems.retain(|system| system.name.contains(&args.system));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let part = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
        if part("pairs") {
            pairs_table(&args, &program, &systems).await?;
        }
        if part("crowd") {
            crowd_table(&args, &program, &systems).await?;
        }
        if part("memory") {
            memory_table(&args, &program, &systems).await?;
        }
        Ok(())
    })
}

/// As many files as the system lets us, for very many connections; the servers inherit it.
fn open_files() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole rlimit that lives.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    match (got, unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }) {
        (0, 0) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn start(args: &Args, program: &std::path::Path, system: &System) -> io::Result<Servers> {
    match system.protocol {
        Protocol::Nats => Servers::nats(&args.nats),
        _ => Servers::nodes(program, system.tls),
    }
}

/// Publishers and subscribers in pairs, one system after the other for each load.
async fn pairs_table(args: &Args, program: &std::path::Path, systems: &[System]) -> io::Result<()> {
    let servers: Vec<Servers> =
        systems.iter().map(|system| start(args, program, system)).collect::<Result<_, _>>()?;
    println!("Publisher → server → server → subscriber, {SIZE} B\n");
    println!(
        "| pattern | pairs | under way | system | messages/s | p50 µs | p99 µs | server CPU µs/message | of NATS |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for pattern in [Pattern::Unicast, Pattern::Multicast] {
        let windows: &[usize] = if pattern == Pattern::Unicast { &[1, 16] } else { &[1, 64] };
        for &window in windows {
            let all = [1, 10, 100].into_iter();
            for pairs in all.filter(|pairs| args.pairs.is_none_or(|only| only == *pairs)) {
                let time = Duration::from_secs_f64(args.secs);
                let load = Load { pattern, pairs, window, size: SIZE, time };
                let mut measured = Vec::new();
                for (system, servers) in systems.iter().zip(&servers) {
                    let places = servers.places(system.protocol)?;
                    measured.push(pairs::run(servers, &places, load).await?);
                }
                let nats = systems.iter().position(|system| system.protocol == Protocol::Nats);
                let nats = nats.and_then(|at| measured.get(at)).map(|it| it.per_second);
                for (system, it) in systems.iter().zip(&measured) {
                    let ratio =
                        nats.map_or("-".into(), |nats| format!("{:.2}", it.per_second / nats));
                    let failed = if it.failed == 0 {
                        String::new()
                    } else {
                        format!(" ({} failed: {})", it.failed, it.code)
                    };
                    println!(
                        "| {pattern:?} | {pairs} | {} | {} | {:.0}{failed} | {:.0} | {:.0} | {:.1} | {ratio} |",
                        pairs * window,
                        system.name,
                        it.per_second,
                        it.p50,
                        it.p99,
                        it.cpu
                    );
                }
            }
        }
    }
    println!();
    Ok(())
}

async fn crowd_table(args: &Args, program: &std::path::Path, systems: &[System]) -> io::Result<()> {
    let time = Duration::from_secs_f64(args.secs.max(1.0) * 5.0);
    let crowd = Crowd { readers: 900, slow: 100, size: SIZE, time };
    println!(
        "{} subscribers of one topic, 20 messages a second of {SIZE} B for all; then {} of them, which do \
         not read, have 15 MiB each waiting\n",
        crowd.readers + crowd.slow,
        crowd.slow
    );
    println!(
        "| system | p50 ms | p99 ms | p50 ms with full queues | p99 ms with full queues | arrived | server MiB before | after |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for system in systems.iter().filter(|system| !system.tls) {
        let servers = start(args, program, system)?;
        let places = servers.places(system.protocol)?;
        let it = crowd::run(&servers, &places, crowd).await?;
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} % | {:.0} | {:.0} |",
            system.name,
            it.before[0],
            it.before[1],
            it.during[0],
            it.during[1],
            it.arrived * 100.0,
            it.resident[0],
            it.resident[1]
        );
    }
    println!();
    Ok(())
}

async fn memory_table(
    args: &Args,
    program: &std::path::Path,
    systems: &[System],
) -> io::Result<()> {
    println!("Memory of a server for each of {SUBSCRIBERS} subscribers that are connected\n");
    println!("| system | KiB |\n|---|---|");
    for system in systems {
        let servers = start(args, program, system)?;
        let [_, place] = servers.places(system.protocol)?;
        let kib = crowd::memory(&servers, &place, SUBSCRIBERS).await?;
        println!("| {} | {kib:.1} |", system.name);
    }
    Ok(())
}
