//! `chainmesh key new` and `chainmesh key show`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chainmesh_chain::clique;
use chainmesh_identity::key_file::{self, KEY_FILE_NAME};
use chainmesh_identity::{Enode, NodeKey, enode};
use clap::{Args, Subcommand};

use super::output;

/// Make a node key, or show what belongs to one
///
/// The key names a node: its public half is the node ID in the enode URL, and whoever holds its
/// secret half is that node. It is kept in the file p2p_key of the data directory, as 64 hex
/// digits.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    New(NewArgs),
    Show(ShowArgs),
}

/// Make a new key and save it; an existing file is never overwritten
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh key new --data-dir ./node      the key of a node, ./node/p2p_key
  chainmesh key new --out validator.key    a key to seal blocks with")]
#[group(id = "where", required = true, multiple = false)]
pub(super) struct NewArgs {
    /// Save it as p2p_key in this data directory
    #[arg(long, value_name = "DIR", group = "where")]
    data_dir: Option<PathBuf>,
    /// Save it in this file
    #[arg(long, value_name = "FILE", group = "where")]
    out: Option<PathBuf>,
}

/// Show ID, enode URL and address of the key in a data directory; the secret is not shown
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chainmesh key show --data-dir ./node

The enode URL says 127.0.0.1:30303: replace that by the address and the port
under which others reach the node. chainmesh run prints the URL with the port
that the node listens on.")]
pub(super) struct ShowArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

pub(super) fn run(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::New(args) => new(args),
        KeyCommand::Show(args) => {
            let path = args.data_dir.join(KEY_FILE_NAME);
            let Some(key) = key_file::load(&path)? else {
                bail!(
                    "there is no node key {}; make one with: chainmesh key new --data-dir {}",
                    path.display(),
                    args.data_dir.display()
                );
            };
            show(&path, &key)
        }
    }
}

fn new(args: &NewArgs) -> anyhow::Result<()> {
    let path = match (&args.data_dir, &args.out) {
        (Some(dir), _) => {
            let made = std::fs::create_dir_all(dir);
            made.with_context(|| format!("cannot make the data directory {}", dir.display()))?;
            dir.join(KEY_FILE_NAME)
        }
        (None, Some(file)) => file.clone(),
        (None, None) => bail!("say where the key is to be saved: --data-dir DIR or --out FILE"),
    };
    let key = NodeKey::from_entropy(chainmesh_net::entropy());
    key_file::create(&path, &key)?;
    show(&path, &key)
}

/// Shows everything about a key that is no secret.
fn show(path: &Path, key: &NodeKey) -> anyhow::Result<()> {
    let id = key.peer_id();
    let enode = Enode::new(id, Ipv4Addr::LOCALHOST.into(), enode::DEFAULT_PORT);
    output::line(&format!("file     {}", path.display()))?;
    output::line(&format!("id       {id}"))?;
    output::line(&format!("enode    {enode}"))?;
    output::line(&format!("address  {}", clique::address(key.public_key())))
}
