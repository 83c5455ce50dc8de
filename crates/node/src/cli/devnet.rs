//! `chainmesh devnet`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::{logging, output};
use crate::devnet::{self, DevnetOptions};

/// Run a whole network in one process, and watch it
///
/// Several nodes on loopback, connected over RLPx as they would be over the Internet. The first one
/// makes a block every period (or has the blocks of a file); the others know nothing but its enode
/// URL, find each other through it (discovery over UDP), and synchronise. Some accounts have money, and the last node sends a few payments; each node
/// serves JSON-RPC at the address that it prints, from 8545 on if these ports are free. A terminal shows a live table; other output gets one line a second.
/// q, Ctrl-C or SIGTERM ends it, with a summary.
///
/// With --consortium it has a CA and a certificate for each node, and the nodes are connected over
/// TLS: each with each, except the first with the last one. These two talk through the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh devnet                                   a block every second
  chainmesh devnet --nodes 8 --duration 30 --json    for scripts
  chainmesh devnet --data-dir ./net                  kept, to go on later
  chainmesh devnet --genesis genesis.json --chain chain.rlp
  chainmesh devnet --consortium --data-dir ./net     certificates, TLS

The nodes have their data in node1, node2, … of the data directory. While the
devnet runs, this works, too:
  chainmesh peers --data-dir ./net/node1

And with --consortium, where <ID> stands for the first digits of a node's ID:
  chainmesh mesh --data-dir ./net/node1
  chainmesh send --data-dir ./net/node1 --to <ID> --reply 5 hello
  chainmesh listen --data-dir ./net/node4 --topic news
  chainmesh send --data-dir ./net/node1 --topic news hello
  chainmesh sub news --data-dir ./net/node4
  chainmesh pub news hello --data-dir ./net/node1
  chainmesh ca revoke node3 --ca ./net/ca
  chainmesh ca export node1 --ca ./net/ca --out ./net/node1/cert

Each line of --json is an object. Its \"type\" is \"status\" each second and
\"summary\" in the end; \"synced\" says whether all nodes have the same chain
(while blocks are made, the last one may be on its way).")]
pub(super) struct DevnetArgs {
    /// Number of nodes
    #[arg(long, value_name = "NUMBER", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: u16,
    /// Seconds between two blocks [default: 1]
    #[arg(long, value_name = "SECS", conflicts_with = "chain",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    period: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "SECS")]
    duration: Option<u64>,
    /// Payments that the network makes by itself, a second; 0 for none
    #[arg(long, value_name = "NUMBER", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    transactions: u32,
    /// Let no node look for others: each is connected to the first one alone (a consortium never looks)
    #[arg(long)]
    no_discovery: bool,
    /// Make it a consortium: a CA, certificates, TLS, and a mesh in which one pair has no link
    #[arg(long)]
    consortium: bool,
    /// Print one JSON object a second, and nothing else
    #[arg(long)]
    json: bool,
    /// Keep the data of the nodes here [default: a temporary directory, removed in the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// With --chain: the genesis file of the network
    #[arg(long, value_name = "FILE", requires = "chain")]
    genesis: Option<PathBuf>,
    /// With --genesis: a file of blocks; node 1 imports it and the others synchronise it
    #[arg(long, value_name = "FILE.rlp", requires = "genesis")]
    chain: Option<PathBuf>,
    /// What is logged into devnet.log of the data directory: a level, or target=level pairs
    #[arg(long, value_name = "FILTER", default_value = logging::DEFAULT_FILTER)]
    log: String,
}

pub(super) fn run(args: DevnetArgs) -> anyhow::Result<()> {
    let temporary = match &args.data_dir {
        None => Some(devnet::temporary_directory()?),
        Some(path) => {
            let made = std::fs::create_dir_all(path);
            made.with_context(|| format!("cannot make the data directory {}", path.display()))?;
            None
        }
    };
    let data_dir = temporary.as_ref().map(|made| made.path().to_path_buf()).or(args.data_dir);
    let data_dir = data_dir.context("there is no data directory")?;
    logging::to_file(&args.log, &devnet::log_path(&data_dir))?;
    let options = DevnetOptions {
        nodes: usize::from(args.nodes),
        period: args.period,
        duration: args.duration.map(Duration::from_secs),
        data_dir,
        temporary: temporary.is_some(),
        chain: args.genesis.zip(args.chain),
        consortium: args.consortium,
        discovery: !args.no_discovery && !args.consortium,
        transactions: args.transactions,
        json: args.json,
    };
    let result = super::runtime()?.block_on(devnet::run(options));
    if let Some(Err(error)) = temporary.map(tempfile::TempDir::close) {
        output::note(&format!("the temporary directory was not removed: {error}"));
    }
    result
}
