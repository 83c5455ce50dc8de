//! Where log lines go.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoLocal;

/// How times look: local, for the people who read them.
const TIME: &str = "%m-%d %H:%M:%S%.3f";

/// What is logged when nobody says. The crate `discv5` warns of whatever others do.
pub(super) const DEFAULT_FILTER: &str = "info,discv5=error";

/// Logs to stderr.
///
/// # Errors
/// When the filter cannot be understood.
pub(super) fn to_stderr(filter: &str) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(parse(filter)?)
        .with_timer(ChronoLocal::new(TIME.into()))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(())
}

/// Logs to the end of a file.
///
/// # Errors
/// When the filter cannot be understood, or the file cannot be written.
pub(super) fn to_file(filter: &str, path: &Path) -> anyhow::Result<()> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.with_context(|| format!("cannot write the log {}", path.display()))?;
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(parse(filter)?)
        .with_timer(ChronoLocal::new(TIME.into()))
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .init();
    Ok(())
}

fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder().parse(filter).with_context(|| {
        format!(
            "--log {filter:?} is no filter: give a level (error, warn, info, debug, trace) or \
                 target=level pairs with commas between them"
        )
    })
}
