//! x
#[derive(Debug, clap::Args)]
pub(super) struct DevnetArgs {}
pub(super) fn run(_: DevnetArgs) -> anyhow::Result<()> {
    Ok(())
}
