//! `chainmesh export`.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, bail};
use chainmesh_chain::file::{self, ExportError};
use chainmesh_proto::eth::chain::ChainReader;
use clap::Args;

use super::import::{interruptible, progress_bar};
use super::output::{self, StdoutClosed};
use crate::data_dir::DataDir;

/// Write the blocks of a data directory into a file
///
/// Blocks are written in RLP, one behind the other, without the genesis block: what chainmesh import
/// and go-ethereum's import read. The file appears under its name when it is whole.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh export --data-dir ./node chain.rlp
  chainmesh export --data-dir ./node --from 1000 --to 1999 part.rlp
  chainmesh export --data-dir ./node - | gzip > chain.rlp.gz")]
pub(super) struct ExportArgs {
    /// The data directory; no node may be running on it
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// First block
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// Last block; the head if not given
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// The file to write, or - for stdout
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let data = DataDir::open(&args.data_dir, None)?;
    let head = data.chain.head().number;
    let range = args.from..=args.to.unwrap_or(head);
    if args.to.is_none() && args.from > head {
        bail!("there is nothing to export: the head of the chain is block {head}");
    }
    let written = interruptible(|stop| {
        if args.file.as_os_str() == "-" {
            export(&data, range, BufWriter::new(io::stdout().lock()), &stop)
        } else {
            to_file(&args.file, |file| export(&data, range, BufWriter::new(file), &stop))
        }
    })??;
    output::note(&format!("exported {} blocks", output::grouped(written)));
    Ok(())
}

/// Writes beside the file, and moves the whole into place.
fn to_file(path: &Path, write: impl FnOnce(&File) -> anyhow::Result<u64>) -> anyhow::Result<u64> {
    let failed = || format!("cannot write {}", path.display());
    // A device or a pipe is written as it is.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let file = File::options().write(true).open(path).with_context(failed)?;
        return write(&file);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .with_context(failed)?;
    let written = write(beside.as_file())?;
    beside.as_file().sync_all().with_context(failed)?;
    beside.persist(path).map_err(|error| error.error).with_context(failed)?;
    Ok(written)
}

fn export(
    data: &DataDir,
    range: std::ops::RangeInclusive<u64>,
    output: impl Write,
    stop: &AtomicBool,
) -> anyhow::Result<u64> {
    let bar = progress_bar("block {pos} of {len}");
    let mut stopped = false;
    let written = file::export(&data.chain, range, output, |written, total| {
        if written == 1 {
            bar.set_length(total);
        }
        bar.set_position(written);
        stopped = stop.load(Relaxed);
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    match written {
        Ok(_) if stopped => bail!("interrupted; no file was written"),
        Ok(written) => Ok(written),
        Err(ExportError::Write { source, .. }) if source.kind() == ErrorKind::BrokenPipe => {
            Err(StdoutClosed.into())
        }
        Err(error) => Err(error.into()),
    }
}
