//! A development network: several nodes in one process, over RLPx on loopback, or as a consortium
//! over TLS.
//!
//! Node 1 makes the blocks (or imports them from a file); the others know nothing but its enode
//! URL, and find each other by discovery. Each has a data directory of its own, so `chainmesh peers` and `geth attach` reach it there.

mod accounts;
mod chatter;
mod events;
mod json;
mod lines;
mod mesh;
mod network;
mod sample;
mod screen;
mod summary;
mod table;
mod traffic;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::output::{self, StdoutClosed};
use crate::cli::signals::StopSignals;
use network::Network;
use sample::{Sampler, View};
use screen::{Screen, ScreenKind};

/// How long the last block may take to reach all nodes when the network stops.
const SETTLE: Duration = Duration::from_secs(3);

/// What a development network is made from.
#[derive(Debug)]
pub(crate) struct DevnetOptions {
    /// Nodes; at least one.
    pub(crate) nodes: usize,
    /// Seconds between two blocks; `None` takes what the chain says, and 1 for a new one.
    pub(crate) period: Option<u64>,
    /// When it ends by itself.
    pub(crate) duration: Option<Duration>,
    /// Where the nodes keep their data.
    pub(crate) data_dir: PathBuf,
    /// Whether the directory is removed in the end.
    pub(crate) temporary: bool,
    /// Genesis file and chain file to synchronise instead of making blocks.
    pub(crate) chain: Option<(PathBuf, PathBuf)>,
    /// Whether it is a consortium: certificates, TLS, a mesh.
    pub(crate) consortium: bool,
    /// Whether its nodes look for each other; if not, they are connected to the first one alone.
    pub(crate) discovery: bool,
    /// Transactions that the network makes by itself, a second.
    pub(crate) transactions: u32,
    /// JSON lines instead of a table.
    pub(crate) json: bool,
}

/// Runs a development network until it is told to stop.
pub(crate) async fn run(options: DevnetOptions) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let began = Instant::now();
    let mut network = Network::open(&options).await?;
    let mut sampler = Sampler::new(began);
    let kind = ScreenKind::choose(options.json);
    let mut screen = Screen::open(kind, network.len(), options.consortium)?;

    let ran = watch(&options, began, &mut network, &mut sampler, &mut screen, &mut signals).await;
    // The terminal is as it was before anything is printed.
    screen.close()?;
    signals.end_on_next();
    let view = match &ran {
        Ok(()) => Some(settle(&mut network, &mut sampler).await?),
        Err(_) => None,
    };
    network.stop().await;
    ran?;
    if let Some(view) = view {
        match kind {
            ScreenKind::Json => output::line(&json::summary(&view))?,
            _ => output::line(&summary::text(&view, place(&options).as_deref()))?,
        }
    }
    Ok(())
}

fn place(options: &DevnetOptions) -> Option<PathBuf> {
    (!options.temporary).then(|| options.data_dir.clone())
}

/// Shows the network until somebody asks it to end, or its time is over.
async fn watch(
    options: &DevnetOptions,
    began: Instant,
    network: &mut Network,
    sampler: &mut Sampler,
    screen: &mut Screen,
    signals: &mut StopSignals,
) -> anyhow::Result<()> {
    let deadline = options.duration.map(|duration| began + duration);
    let over = async {
        match deadline {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => core::future::pending().await,
        }
    };
    let mut over = core::pin::pin!(over);
    let mut ticks = tokio::time::interval(screen.pace());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            () = &mut over => return Ok(()),
            () = screen.quit() => return Ok(()),
            imported = network.imported() => network.begin(imported?, sampler).await?,
            _ = ticks.tick() => {
                let view = sampler.sample(network).await?;
                match screen.show(&view) {
                    Err(error) if is_closed(&error) => return Err(StdoutClosed.into()),
                    shown => shown?,
                }
            }
        }
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.is::<StdoutClosed>() || error.downcast_ref().is_some_and(broken)
}

/// Makes no more blocks and lets the last one reach everybody, if it does so soon.
async fn settle(network: &mut Network, sampler: &mut Sampler) -> anyhow::Result<View> {
    let patience = Instant::now() + SETTLE;
    network.stop_making_blocks();
    loop {
        let view = sampler.sample(network).await?;
        let pointless = !network.is_running() || view.nodes.iter().any(|node| node.is_far_behind());
        if view.heads_agree() || pointless || Instant::now() > patience {
            return Ok(view);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A directory of its own for a network whose data nobody wants to keep.
pub(crate) fn temporary_directory() -> anyhow::Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("chainmesh-devnet-").tempdir();
    made.context("cannot make a temporary directory; name one with --data-dir")
}

/// The log of a development network.
pub(crate) fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.join("devnet.log")
}
