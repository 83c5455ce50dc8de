//! Measures a living chain: full synchronisation with execution, transactions through four nodes,
//! and the memory of a full pool; ours, and go-ethereum v1.13.15 beside it in the same run.
//!
//! `chainmesh-living [--only PART] [--rounds N] [--secs N] [--chainmesh PROGRAM] [--geth PROGRAM]`.
//! Each node is a process of its own that is started as its users do.

mod accounts;
mod http;
mod inclusion;
mod made;
mod node;
mod pool;
mod sync;

use std::path::PathBuf;
use std::process::Command;

use clap::Parser;

use node::System;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures a living chain.
#[derive(Debug, Parser)]
struct Args {
    /// Only this part
    #[arg(long, value_parser = ["sync", "inclusion", "pool"])]
    only: Option<String>,
    /// Blocks of the chain that is fetched
    #[arg(long, default_value_t = 3_000)]
    blocks: u64,
    /// How often each synchronisation is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Also across: geth from ours, and ours from geth
    #[arg(long)]
    across: bool,
    /// Transactions in a second; behind these come as many as go
    #[arg(long, value_delimiter = ',', default_value = "100,500")]
    rates: Vec<f64>,
    /// Seconds of each load
    #[arg(long, default_value_t = 20.0)]
    secs: f64,
    /// Only systems with this in their name
    #[arg(long, default_value = "")]
    system: String,
    /// The program chainmesh [default: the one beside this program]
    #[arg(long)]
    chainmesh: Option<PathBuf>,
    /// The program geth, v1.13.15 (interop/setup.sh --geth)
    #[arg(long, default_value = "interop/.cache/bin/geth")]
    geth: PathBuf,
    /// Where the chain is kept for the next run [default: the directory of this program]
    #[arg(long)]
    cache: Option<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let here = std::env::current_exe()?;
    let ours = args.chainmesh.clone().unwrap_or_else(|| here.with_file_name("chainmesh"));
    if !ours.exists() {
        let why = "is not there: cargo build --release -p chainmesh-node";
        return Err(format!("{} {why}", ours.display()).into());
    }
    let mut systems = vec![System::Chainmesh(ours)];
    match version(&args.geth) {
        Some(version) if version.starts_with("1.13.15") => {
            systems.push(System::Geth(args.geth.clone()));
        }
        found => eprintln!(
            "SKIP: {} is not geth v1.13.15 ({}): there is nothing to compare with \
             (interop/setup.sh --geth, or --geth PROGRAM)",
            args.geth.display(),
            found.as_deref().unwrap_or("it cannot be run")
        ),
    }
    systems.retain(|system| system.name().contains(&args.system));
    let systems: Vec<&System> = systems.iter().collect();
    let part = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    if part("sync") {
        let cache = args.cache.clone().unwrap_or_else(|| here.with_file_name("living"));
        let made = made::chain(&cache, args.blocks)?;
        let mut pairs: Vec<(&System, &System)> =
            systems.iter().map(|system| (*system, *system)).collect();
        if let ([ours, geth], true) = (systems.as_slice(), args.across) {
            pairs.extend([(*ours, *geth), (*geth, *ours)]);
        }
        sync::table(&pairs, &made, args.rounds)?;
    }
    if part("inclusion") {
        inclusion::table(&systems, &args.rates, args.secs)?;
    }
    if part("pool") {
        pool::table(&systems)?;
    }
    Ok(())
}

/// What `geth version` says.
fn version(geth: &std::path::Path) -> Option<String> {
    let output = Command::new(geth).arg("version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Version: "))?;
    Some(line.to_owned())
}
