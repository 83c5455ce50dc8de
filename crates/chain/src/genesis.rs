//! `genesis.json`: reading it, the block that it makes, and a built-in one for development
//! networks.
//!
//! The format is go-ethereum's; so are the defaults for what a file leaves out
//! (`core/genesis.go`).

mod network;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip1559::INITIAL_BASE_FEE;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_genesis::{ChainConfig, CliqueConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use alloy_trie::root::state_root_ref_unhashed;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::clique;

pub use network::{CliqueNetwork, LastFork};

/// Longest genesis file that is read, bytes. Mainnet's is under 1 MiB, and the accounts of the
/// largest test networks stay below 64 MiB.
pub const MAX_GENESIS_FILE: u64 = 64 << 20;

/// Gas limit of a genesis file that says 0 (go-ethereum, `params.GenesisGasLimit`).
pub const DEFAULT_GENESIS_GAS_LIMIT: u64 = 4_712_388;

/// Gas limit of [`dev_clique`]: what a block of the Ethereum mainnet had at London.
pub const DEV_GAS_LIMIT: u64 = 30_000_000;

/// Why a genesis file makes no chain.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The file could not be read.
    #[error("cannot read the genesis file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is longer than [`MAX_GENESIS_FILE`].
    #[error("the genesis file {path} is longer than {MAX_GENESIS_FILE} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is no JSON, or a field of it has a wrong form.
    #[error("the genesis file {path} is not valid: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A field that each genesis file has is not there.
    #[error("the genesis file {path} has no field \"{field}\"")]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// The fields are well formed, and still describe no chain that can be run.
    #[error("the genesis file {path} makes no chain: {source}")]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SpecError,
    },
}

/// Why a genesis describes no chain that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The genesis block is block 0.
    #[error("\"number\" is {0}, a genesis block has number 0")]
    NotBlockZero(u64),
    /// A base fee is a 64-bit number in a header.
    #[error("\"baseFeePerGas\" is {0}, which does not fit into 64 bits")]
    BaseFeeTooLarge(u128),
    /// The first block would be of a fork that this program does not know.
    #[error("the Amsterdam fork is active in the genesis block; forks up to Osaka are known")]
    UnknownFork,
    /// A clique network has its signers in the genesis block.
    #[error(
        "\"extraData\" has {0} bytes; for clique it is 32 bytes, one address of 20 bytes \
         for each signer (at least one), and 65 zero bytes"
    )]
    CliqueExtraData(usize),
    /// A clique network has the signers of its genesis block in ascending order, each once.
    #[error("the signers in \"extraData\" are not in ascending order, each of them once")]
    CliqueSignersUnsorted,
}

/// The fields that go-ethereum refuses to do without; alloy takes their defaults.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Required {
    config: Option<IgnoredAny>,
    gas_limit: Option<IgnoredAny>,
    difficulty: Option<IgnoredAny>,
    alloc: Option<IgnoredAny>,
}

/// Reads a genesis file.
///
/// # Errors
/// See [`GenesisError`]; each names the file. Whether the genesis makes a chain is the question of
/// [`ChainSpec::new`](crate::ChainSpec::new).
pub fn read(path: &Path) -> Result<Genesis, GenesisError> {
    let failed = |source| GenesisError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(MAX_GENESIS_FILE + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_GENESIS_FILE {
        return Err(GenesisError::TooLong { path: path.into() });
    }
    parse(&text, path)
}

/// Reads the text of a genesis file; `path` is what errors name.
///
/// # Errors
/// See [`GenesisError`].
pub fn parse(text: &[u8], path: &Path) -> Result<Genesis, GenesisError> {
    let json = |source| GenesisError::Json { path: path.into(), source };
    let required: Required = serde_json::from_slice(text).map_err(json)?;
    for (field, found) in [
        ("config", required.config),
        ("gasLimit", required.gas_limit),
        ("difficulty", required.difficulty),
        ("alloc", required.alloc),
    ] {
        if found.is_none() {
            return Err(GenesisError::MissingField { path: path.into(), field });
        }
    }
    serde_json::from_slice(text).map_err(json)
}

/// The header of the genesis block.
///
/// # Errors
/// See [`SpecError`].
pub fn header(genesis: &Genesis) -> Result<Header, SpecError> {
    if let Some(number) = genesis.number.filter(|number| *number != 0) {
        return Err(SpecError::NotBlockZero(number));
    }
    let config = &genesis.config;
    let active = |time: Option<u64>| time.is_some_and(|time| time <= genesis.timestamp);
    let london = config.london_block == Some(0);
    let shanghai = london && active(config.shanghai_time);
    let cancun = london && active(config.cancun_time);
    let prague = london && active(config.prague_time);
    if active(config.amsterdam_time) {
        return Err(SpecError::UnknownFork);
    }
    Ok(Header {
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: genesis.coinbase,
        state_root: state_root_ref_unhashed(&genesis.alloc),
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        difficulty: genesis.difficulty,
        gas_limit: match genesis.gas_limit {
            0 => DEFAULT_GENESIS_GAS_LIMIT,
            limit => limit,
        },
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: B64::from(genesis.nonce),
        base_fee_per_gas: base_fee(genesis)?.or(london.then_some(INITIAL_BASE_FEE)),
        withdrawals_root: shanghai.then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or(0)),
        excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or(0)),
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: prague.then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}

/// A base fee that the file itself gives: it counts before London, too, as in go-ethereum.
fn base_fee(genesis: &Genesis) -> Result<Option<u64>, SpecError> {
    genesis
        .base_fee_per_gas
        .map(|fee| u64::try_from(fee).map_err(|_| SpecError::BaseFeeTooLarge(fee)))
        .transpose()
}

/// What a development network of [`dev_clique`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevNetwork {
    /// Chain id, by which transactions of one network cannot be replayed on another.
    pub chain_id: u64,
    /// Seconds between two blocks.
    pub period: u64,
    /// Timestamp of the genesis block, seconds since 1970.
    pub timestamp: u64,
    /// Who may seal blocks; the order does not matter.
    pub signers: Vec<Address>,
    /// Who owns what at the start, wei.
    pub balances: Vec<(Address, U256)>,
}

/// The genesis of a clique network with all forks up to London from its first block on, which is
/// as far as clique goes. go-ethereum reads its JSON.
#[must_use]
pub fn dev_clique(network: &DevNetwork) -> Genesis {
    let at_start = Some(0);
    let config = ChainConfig {
        chain_id: network.chain_id,
        homestead_block: at_start,
        eip150_block: at_start,
        eip155_block: at_start,
        eip158_block: at_start,
        byzantium_block: at_start,
        constantinople_block: at_start,
        petersburg_block: at_start,
        istanbul_block: at_start,
        muir_glacier_block: at_start,
        berlin_block: at_start,
        london_block: at_start,
        clique: Some(CliqueConfig {
            period: Some(network.period),
            epoch: Some(clique::DEFAULT_EPOCH),
        }),
        ..ChainConfig::default()
    };
    let account = |balance: U256| GenesisAccount::default().with_balance(balance);
    Genesis {
        config,
        timestamp: network.timestamp,
        extra_data: clique_extra_data(&network.signers),
        gas_limit: DEV_GAS_LIMIT,
        difficulty: U256::from(1),
        alloc: network.balances.iter().map(|(who, wei)| (*who, account(*wei))).collect(),
        ..Genesis::default()
    }
}

/// `vanity (32) ‖ signers in ascending order ‖ 65 zero bytes`.
fn clique_extra_data(signers: &[Address]) -> Bytes {
    let signers: BTreeSet<_> = signers.iter().copied().collect();
    let mut extra = vec![0; clique::VANITY_LENGTH];
    extra.extend(signers.iter().flat_map(|signer| signer.0.0));
    extra.extend([0; clique::SEAL_LENGTH]);
    extra.into()
}

#[cfg(test)]
mod tests;
