//! `chainmesh import`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, bail};
use chainmesh_chain::ChainSpec;
use chainmesh_chain::file::{self, ImportSummary};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use super::signals::StopSignals;
use crate::data_dir::DataDir;

/// Read blocks from a file into the chain of a data directory
///
/// The file holds blocks in RLP, one behind the other, as go-ethereum's export writes them. Blocks
/// that are in the chain already are passed over, so an import that was interrupted can be
/// started again. At the first bad block it stops and names the block and the byte of the file;
/// the blocks before it are kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chainmesh import --data-dir ./node --genesis genesis.json chain.rlp")]
pub(super) struct ImportArgs {
    /// The data directory; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The genesis file of the network; not needed when the data directory has a chain already
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The file with the blocks
    #[arg(value_name = "FILE.rlp")]
    file: PathBuf,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    // A wrong file name is found before a data directory is made for it.
    let readable = std::fs::File::open(&args.file);
    readable.with_context(|| format!("cannot open the chain file {}", args.file.display()))?;
    let spec = args.genesis.as_deref().map(ChainSpec::read).transpose()?;
    let data = DataDir::open(&args.data_dir, spec)?;
    let summary = interruptible(|stop| import(args, &data, &stop))??;
    let progress = summary.progress;
    let new = progress.blocks - progress.known;
    output::line(&format!(
        "imported {} blocks ({} were there already); head is block {} {}",
        output::grouped(new),
        output::grouped(progress.known),
        progress.head.number,
        progress.head.hash,
    ))?;
    if summary.stopped {
        bail!("interrupted; what was imported is kept, and the same command goes on from there");
    }
    Ok(())
}

fn import(args: &ImportArgs, data: &DataDir, stop: &AtomicBool) -> anyhow::Result<ImportSummary> {
    let bar = progress_bar("{bytes}/{total_bytes}  {msg}");
    let summary = file::import_path(&data.chain, &args.file, |progress| {
        if let Some(total) = progress.total_bytes {
            bar.set_length(total);
        }
        bar.set_position(progress.bytes);
        bar.set_message(format!("block {}", output::grouped(progress.head.number)));
        if stop.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let failed = || format!("{} was not imported to its end", args.file.display());
    summary.map_err(|error| {
        let head = chainmesh_proto::eth::chain::ChainReader::head(&*data.chain).number;
        anyhow::Error::new(error).context(format!("{}, head is block {head}", failed()))
    })
}

/// A bar on stderr; none when that is no terminal.
pub(super) fn progress_bar(numbers: &str) -> ProgressBar {
    let template = format!("{{bar:30}} {{percent:>3}}%  {numbers}  {{elapsed}}");
    let style = ProgressStyle::with_template(&template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█▉▊▋▌▍▎▏ ");
    ProgressBar::new(0).with_style(style)
}

/// Does something long on this thread, and sets the flag when the user asks to stop.
///
/// # Errors
/// When signals cannot be listened to.
pub(super) fn interruptible<T>(work: impl FnOnce(Arc<AtomicBool>) -> T) -> anyhow::Result<T> {
    let runtime = super::runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    let _context = runtime.enter();
    let mut signals = StopSignals::listen()?;
    let flag = Arc::clone(&stop);
    runtime.spawn(async move {
        signals.next().await;
        flag.store(true, Relaxed);
        signals.end_on_next();
    });
    Ok(work(stop))
}
