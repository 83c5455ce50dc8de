//! `chainmesh init`: a new network of proof of authority, or a data directory for one that is there.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use alloy_genesis::Genesis;
use alloy_primitives::utils::parse_units;
use alloy_primitives::{Address, U256};
use anyhow::{Context as _, bail};
use chainmesh_chain::genesis::{CliqueNetwork, DEV_GAS_LIMIT, LastFork};
use chainmesh_chain::{ChainSpec, Consensus, DATABASE_FILE_NAME, clique};
use chainmesh_identity::{NodeKey, key_file};
use clap::{Args, ValueEnum};

use super::output;
use crate::data_dir::DataDir;

/// Name of the genesis file that is made in the data directory.
const GENESIS_FILE_NAME: &str = "genesis.json";

/// Name of the key file that is made for a new signer.
const SIGNER_FILE_NAME: &str = "validator.key";

/// Make a new network of proof of authority, or a data directory for a network that is there
///
/// A new network gets the file genesis.json in the data directory, which all its nodes need; the
/// first block is stored, too. go-ethereum up to v1.13 reads the file, and can be a node of the
/// network as long as its last fork is london.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainmesh init --data-dir ./node --new-signer --chain-id 1515
  chainmesh init --data-dir ./node --chain-id 1515 --period 5 \\
      --signers 0x8c1e…,0x2adf… --alloc 0x71c7…=1000ether,0x90f7…=5gwei
  chainmesh init --data-dir ./node --genesis genesis.json

An amount is in wei, or has a unit: 1000ether, 0.5ether, 30gwei.
With --forks shanghai and later only chainmesh nodes can take part: the proof of
authority of go-ethereum ends with london. Current Solidity compilers make code
for prague, unless they are told otherwise (--evm-version london).")]
pub(super) struct InitArgs {
    /// Directory for key, chain and socket; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Take this genesis file, and make no new network
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "signers", "new_signer", "period", "epoch", "alloc", "chain_id", "forks", "gas_limit"
        ]
    )]
    genesis: Option<PathBuf>,
    /// Addresses of those who may seal blocks at the start; may be given several times
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',')]
    signers: Vec<Address>,
    /// Make a key for one more signer, in the file validator.key of the data directory
    #[arg(long)]
    new_signer: bool,
    /// Seconds between two blocks; 0: a block whenever there are transactions
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    period: u64,
    /// Blocks between two checkpoints, at which votes on signers end
    #[arg(long, value_name = "BLOCKS", default_value_t = clique::DEFAULT_EPOCH,
          value_parser = clap::value_parser!(u64).range(2..))]
    epoch: u64,
    /// Who owns how much at the start; may be given several times
    #[arg(long, value_name = "ADDRESS=AMOUNT,…", value_delimiter = ',')]
    alloc: Vec<Balance>,
    /// The number that names the network, and by which transactions are bound to it
    #[arg(long, value_name = "NUMBER", required_unless_present = "genesis",
          value_parser = clap::value_parser!(u64).range(1..))]
    chain_id: Option<u64>,
    /// The newest fork; it and all before it count from the first block on
    #[arg(long, value_name = "FORK", default_value = "london")]
    forks: Fork,
    /// Gas limit of the first block
    #[arg(long, value_name = "GAS", default_value_t = DEV_GAS_LIMIT,
          value_parser = clap::value_parser!(u64).range(5_000..=i64::MAX as u64))]
    gas_limit: u64,
}

/// The names of [`LastFork`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fork {
    /// As far as go-ethereum's proof of authority goes
    London,
    Shanghai,
    Cancun,
    Prague,
}

impl From<Fork> for LastFork {
    fn from(fork: Fork) -> Self {
        match fork {
            Fork::London => Self::London,
            Fork::Shanghai => Self::Shanghai,
            Fork::Cancun => Self::Cancun,
            Fork::Prague => Self::Prague,
        }
    }
}

/// `ADDRESS=AMOUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Balance(Address, U256);

/// Why it is no `ADDRESS=AMOUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum BalanceError {
    #[error(
        "write it as ADDRESS=AMOUNT, such as 0x71c7656ec7ab88b098defb751b7401b5f6d8976f=10ether"
    )]
    Form,
    #[error("what stands before the = is no address: 0x and 40 hexadecimal digits")]
    Address,
    #[error("what stands behind the = is no amount: wei, or a number with ether or gwei behind it")]
    Amount,
}

impl FromStr for Balance {
    type Err = BalanceError;

    fn from_str(text: &str) -> Result<Self, BalanceError> {
        let (address, amount) = text.split_once('=').ok_or(BalanceError::Form)?;
        let address = address.parse().map_err(|_| BalanceError::Address)?;
        Ok(Self(address, wei(amount).ok_or(BalanceError::Amount)?))
    }
}

fn wei(amount: &str) -> Option<U256> {
    let (number, unit) = match amount.strip_suffix("ether").map(|number| (number, "ether")) {
        Some(found) => found,
        None => match amount.strip_suffix("gwei") {
            Some(number) => (number, "gwei"),
            None => (amount.strip_suffix("wei").unwrap_or(amount), "wei"),
        },
    };
    if number.is_empty() {
        return None;
    }
    if unit == "wei" {
        return number.parse().ok();
    }
    // It understands signs, too.
    let digits = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let most = if unit == "ether" { 18 } else { 9 };
    if !digits || decimals > most {
        return None;
    }
    parse_units(number, unit).ok().map(|units| units.get_absolute())
}

pub(super) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let database = args.data_dir.join(DATABASE_FILE_NAME);
    if database.exists() {
        bail!(
            "{} has a chain already; it was left as it is. To begin anew, name another directory",
            args.data_dir.display()
        );
    }
    match &args.genesis {
        Some(path) => take(args, path),
        None => make(args),
    }
}

/// The data directory of a network that is there.
fn take(args: &InitArgs, path: &Path) -> anyhow::Result<()> {
    let spec = ChainSpec::read(path)?;
    begin(args, spec.clone())?;
    show(args, &spec)?;
    output::line(&format!("run it   chainmesh run --data-dir {}", args.data_dir.display()))
}

/// A new network.
fn make(args: &InitArgs) -> anyhow::Result<()> {
    if args.signers.is_empty() && !args.new_signer {
        bail!("a network needs somebody to seal its blocks: give --signers, or --new-signer");
    }
    let genesis_path = args.data_dir.join(GENESIS_FILE_NAME);
    let key_path = args.data_dir.join(SIGNER_FILE_NAME);
    let made_here = [(true, &genesis_path), (args.new_signer, &key_path)];
    if let Some((_, path)) = made_here.iter().find(|(made, path)| *made && path.exists()) {
        bail!("{} exists already; it was left as it is", path.display());
    }
    let mut signers = args.signers.clone();
    let key = args.new_signer.then(|| NodeKey::from_entropy(chainmesh_net::entropy()));
    signers.extend(key.as_ref().map(|key| clique::address(key.public_key())));
    signers.sort_unstable();
    if signers.windows(2).any(|pair| pair[0] == pair[1]) {
        bail!("a signer is named twice in --signers");
    }
    let mut owners: Vec<Address> = args.alloc.iter().map(|balance| balance.0).collect();
    owners.sort_unstable();
    if let Some(twice) = owners.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("{} is named twice in --alloc", twice[0]);
    }
    let network = CliqueNetwork {
        chain_id: args.chain_id.unwrap_or_default(),
        period: args.period,
        epoch: args.epoch,
        gas_limit: args.gas_limit,
        timestamp: crate::unix_time(),
        last_fork: args.forks.into(),
        signers,
        balances: args.alloc.iter().map(|balance| (balance.0, balance.1)).collect(),
    };
    let genesis = network.genesis();
    let spec = ChainSpec::new(genesis.clone())?;
    begin(args, spec.clone())?;
    write_genesis(&genesis_path, &genesis)?;
    if let Some(key) = &key {
        key_file::create(&key_path, key)?;
    }
    show(args, &spec)?;
    output::line(&format!("file     {}", genesis_path.display()))?;
    let mut command = format!("chainmesh run --data-dir {}", args.data_dir.display());
    if key.is_some() {
        output::line(&format!("key      {}", key_path.display()))?;
        command = format!("{command} --validator-key {}", key_path.display());
    }
    if network.last_fork > LastFork::London {
        output::line(
            "note     go-ethereum cannot take part: its proof of authority ends with london",
        )?;
    }
    output::line(&format!("run it   {command}"))
}

/// Makes the data directory, and the first block in it.
fn begin(args: &InitArgs, spec: ChainSpec) -> anyhow::Result<()> {
    let made = std::fs::create_dir_all(&args.data_dir);
    made.with_context(|| format!("cannot make the directory {}", args.data_dir.display()))?;
    DataDir::open(&args.data_dir, Some(spec))?;
    Ok(())
}

fn write_genesis(path: &Path, genesis: &Genesis) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let text = serde_json::to_string_pretty(genesis).with_context(failed)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).with_context(failed)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).with_context(failed)
}

fn show(args: &InitArgs, spec: &ChainSpec) -> anyhow::Result<()> {
    output::line(&format!("data     {}", args.data_dir.display()))?;
    output::line(&format!("chain    {}", spec.config().chain_id))?;
    output::line(&format!("genesis  {}", spec.genesis_hash()))?;
    if let Consensus::Clique { period, .. } = spec.consensus() {
        output::line(&format!("period   {period} s"))?;
        let extra = &spec.genesis_header().extra_data;
        for signer in clique::signers_in_extra_data(extra).unwrap_or_default() {
            output::line(&format!("signer   {signer}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
