//! `chainmesh crawl`: who is in the network, by asking everybody.
//!
//! | file | holds |
//! |---|---|
//! | `targets.rs` | what a node is asked, so that it tells of each of its buckets |
//! | `visit.rs` | one node: Ping, record, neighbours, and on request its Hello |
//! | `walk.rs` | from node to node until nothing new is found |
//! | `graph.rs` | what was found |
//! | `show.rs` | the summary, the JSON document, the DOT graph |

mod graph;
mod show;
mod targets;
mod visit;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chainmesh_chain::ChainSpec;
use chainmesh_proto::discovery::NodeFilter;
use clap::Args;

use super::output;
use super::ping::target::Target;
use super::signals::StopSignals;
use graph::Network;
use walk::Limits;

/// Walk the network from node to node, and say who is there
///
/// Every node that is found is pinged, asked for its record, and asked for its neighbours at several
/// distances (discv4 over UDP), until nobody tells of anybody new. A node is sent at most five
/// questions a second. Ctrl-C ends it early; what was found is shown and saved all the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh crawl --bootnode 'enode://3c60d5fa…@203.0.113.7:30303'
  chainmesh crawl --bootnode 'enode://3c60…@203.0.113.7:30303' --hello --json network.json
  chainmesh crawl --bootnode 'enr:-Iq4QM…' --genesis genesis.json --dot network.dot
  dot -Tsvg network.dot > network.svg")]
pub(super) struct CrawlArgs {
    /// Where to begin: an enode URL or a node record (enr:…); may be given several times
    #[arg(long = "bootnode", value_name = "NODE", required = true)]
    bootnodes: Vec<Target>,
    /// Only walk through nodes of this network, by the fork ID in their records
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// With --hello: count the nodes of this network
    #[arg(long, value_name = "N", requires = "hello")]
    network_id: Option<u64>,
    /// Connect to every node over TCP, too, for its client, its capabilities and its chain
    #[arg(long)]
    hello: bool,
    /// How often each node is asked for neighbours, each time at another distance
    #[arg(long, value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// Time for all of it; what was found by then is shown
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Nodes that are remembered at most
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_nodes: u32,
    /// Nodes that are asked at the same time
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=128))]
    at_once: u32,
    /// Write everything to this file as JSON; - is stdout, in place of the summary
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write who told of whom to this file as a graph for Graphviz
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
}

pub(super) fn run(args: &CrawlArgs) -> anyhow::Result<()> {
    let mut boot_nodes = Vec::new();
    for target in &args.bootnodes {
        match target {
            Target::Node(enode) => boot_nodes.push(enode.clone()),
            Target::Address { .. } => bail!("--bootnode is an enode URL or a record (enr:…)"),
        }
    }
    let spec = args.genesis.as_deref().map(ChainSpec::read).transpose()?;
    let limits = Limits {
        rounds: args.rounds,
        time: Duration::from_secs(args.timeout),
        max_nodes: args.max_nodes as usize,
        at_once: args.at_once as usize,
        hello: args.hello,
        chain: spec.as_ref().map(of_chain),
    };
    let network = super::runtime()?.block_on(async {
        let mut signals = StopSignals::listen()?;
        let network = walk::crawl(boot_nodes, limits, &mut signals).await;
        signals.end_on_next();
        network
    })?;
    save(args, &network)?;
    if !args.json.as_deref().is_some_and(is_stdout) {
        output::line(&show::summary(&network, args.network_id))?;
    }
    if network.answered() == 0 {
        bail!("no node answered: `chainmesh ping` says why");
    }
    Ok(())
}

/// Says of a record whether it is of a chain, as far as its genesis file lets us see.
fn of_chain(spec: &ChainSpec) -> NodeFilter {
    let forks = chainmesh_chain::forks::fork_filter(spec, 0, spec.genesis_header().timestamp);
    Arc::new(move |record| {
        let fork_id = record.and_then(chainmesh_net::discovery::fork_id);
        fork_id.is_some_and(|fork_id| forks.validate(fork_id).is_ok())
    })
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn save(args: &CrawlArgs, network: &Network) -> anyhow::Result<()> {
    let write = |path: &Path, text: &str| match is_stdout(path) {
        true => output::line(text),
        false => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        }
    };
    if let Some(path) = &args.json {
        write(path, &show::document(network, args.network_id).to_string())?;
    }
    if let Some(path) = &args.dot {
        write(path, &show::dot(network))?;
    }
    Ok(())
}
