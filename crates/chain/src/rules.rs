//! What a header must be, given its parent: the rules that need no state.
//!
//! One variant of [`RuleError`] for each rule. The rules of clique that need to know the signers
//! are in [`clique`](crate::clique).

use core::cmp::Ordering;

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_eips::eip1559::{
    DEFAULT_BASE_FEE_MAX_CHANGE_DENOMINATOR, DEFAULT_ELASTICITY_MULTIPLIER,
    GAS_LIMIT_BOUND_DIVISOR, INITIAL_BASE_FEE,
};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{B64, B256, U256};

use crate::clique::CliqueError;
use crate::{ChainSpec, Consensus, difficulty};

/// Least gas limit of a block (yellow paper; go-ethereum, `params.MinGasLimit`).
pub const MIN_GAS_LIMIT: u64 = 5_000;

/// Largest gas limit of a block: 2^63 - 1 (go-ethereum, `params.MaxGasLimit`).
pub const MAX_GAS_LIMIT: u64 = i64::MAX as u64;

/// Most bytes of extra data, outside of clique (yellow paper; `params.MaximumExtraDataSize`).
pub const MAX_EXTRA_DATA: usize = 32;

/// Extra data of the first blocks of the DAO fork (EIP-779, `dao-hard-fork`).
const DAO_EXTRA_DATA: &[u8] = b"dao-hard-fork";

/// So many blocks have them (EIP-779).
const DAO_BLOCKS: u64 = 10;

/// How many seconds a block may be ahead of our clock (go-ethereum's ethash,
/// `allowedFutureBlockTimeSeconds`). For clique go-ethereum allows none, and keeps such a block
/// for later: see [`HELD_SECONDS`].
pub const ALLOWED_FUTURE_SECONDS: u64 = 15;

/// How many seconds a clique block may be ahead of our clock to be kept for later (go-ethereum,
/// `maxTimeFutureBlocks`). The chain imports it when its time has come, and not before.
pub const HELD_SECONDS: u64 = 30;

/// A field that a header has from some fork on, and never before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkField {
    /// `baseFeePerGas`, London (EIP-1559).
    BaseFee,
    /// `withdrawalsRoot`, Shanghai (EIP-4895).
    WithdrawalsRoot,
    /// `blobGasUsed`, Cancun (EIP-4844).
    BlobGasUsed,
    /// `excessBlobGas`, Cancun (EIP-4844).
    ExcessBlobGas,
    /// `parentBeaconBlockRoot`, Cancun (EIP-4788).
    ParentBeaconBlockRoot,
    /// `requestsHash`, Prague (EIP-7685).
    RequestsHash,
    /// `blockAccessListHash`, Amsterdam (EIP-7928).
    BlockAccessListHash,
    /// `slotNumber`, Amsterdam (EIP-7843).
    SlotNumber,
}

impl core::fmt::Display for ForkField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BaseFee => "base fee (London)",
            Self::WithdrawalsRoot => "withdrawals root (Shanghai)",
            Self::BlobGasUsed => "blob gas used (Cancun)",
            Self::ExcessBlobGas => "excess blob gas (Cancun)",
            Self::ParentBeaconBlockRoot => "parent beacon block root (Cancun)",
            Self::RequestsHash => "requests hash (Prague)",
            Self::BlockAccessListHash => "block access list hash (Amsterdam)",
            Self::SlotNumber => "slot number (Amsterdam)",
        })
    }
}

/// The rule that a block breaks. Whoever made or sent it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The parent is another block.
    #[error("the parent hash is {found}, the parent is {expected}")]
    ParentHash {
        /// In the header.
        found: B256,
        /// Hash of the parent.
        expected: B256,
    },
    /// The number is not one more than the parent's.
    #[error("the number is {found}, it must be {expected}")]
    Number {
        /// In the header.
        found: u64,
        /// The parent's and one.
        expected: u64,
    },
    /// The block is not far enough behind its parent in time.
    #[error("the timestamp is {found}, it must be at least {least}")]
    Timestamp {
        /// In the header, seconds since 1970.
        found: u64,
        /// The earliest that is allowed.
        least: u64,
    },
    /// The block is too far ahead of our clock.
    #[error("the timestamp {found} is in the future: our clock says {now}")]
    Future {
        /// In the header, seconds since 1970.
        found: u64,
        /// Our clock, seconds since 1970.
        now: u64,
    },
    /// The gas limit moved by more than 1/1024 of the parent's, or is out of all bounds.
    #[error("the gas limit is {found}, it must be in {least}..={most}")]
    GasLimit {
        /// In the header.
        found: u64,
        /// Least that is allowed after this parent.
        least: u64,
        /// Most that is allowed after this parent.
        most: u64,
    },
    /// More gas was used than the limit.
    #[error("the block used {used} gas, its limit is {limit}")]
    GasUsed {
        /// Used.
        used: u64,
        /// Limit.
        limit: u64,
    },
    /// The extra data are too long.
    #[error("the extra data have {length} bytes, at most {MAX_EXTRA_DATA} are allowed")]
    ExtraData {
        /// Bytes.
        length: usize,
    },
    /// The block is one of the first ten of the DAO fork and does not say so, or it says so and the
    /// network has not made that fork (EIP-779).
    #[error("the extra data are not those of this side of the DAO fork")]
    DaoExtraData,
    /// A field of a fork that is active is not there.
    #[error("the header has no {0}, and the fork is active")]
    FieldMissing(ForkField),
    /// A field of a fork that is not active is there.
    #[error("the header has a {0}, and the fork is not active")]
    FieldUnexpected(ForkField),
    /// The base fee is not what follows from the parent (EIP-1559).
    #[error("the base fee is {found}, after its parent it must be {expected}")]
    BaseFee {
        /// In the header, wei.
        found: u64,
        /// What follows from the parent, wei.
        expected: u64,
    },
    /// The blob gas is no whole number of blobs, or above the most that is allowed (EIP-4844).
    #[error(
        "the blob gas used is {found}, it must be a multiple of {DATA_GAS_PER_BLOB} and at most {most}"
    )]
    BlobGasUsed {
        /// In the header.
        found: u64,
        /// Most that is allowed.
        most: u64,
    },
    /// The excess blob gas is not what follows from the parent (EIP-4844).
    #[error("the excess blob gas is {found}, after its parent it must be {expected}")]
    ExcessBlobGas {
        /// In the header.
        found: u64,
        /// What follows from the parent.
        expected: u64,
    },
    /// The difficulty is not what the rules give.
    #[error("the difficulty is {found}, it must be {expected}")]
    Difficulty {
        /// In the header.
        found: U256,
        /// By the rules.
        expected: U256,
    },
    /// A proof-of-stake block has a nonce.
    #[error("a proof-of-stake block has the nonce {0}, it must be 0")]
    Nonce(B64),
    /// A proof-of-stake block has ommers.
    #[error("a proof-of-stake block has ommers")]
    Ommers,
    /// A rule of clique.
    #[error(transparent)]
    Clique(#[from] CliqueError),
    /// The block is so far behind the head that it will not be the start of a better chain.
    #[error("the block is on a side chain, {depth} blocks behind the head")]
    SideChainTooDeep {
        /// Blocks behind the head.
        depth: u64,
    },
    /// The state behind the block is another one than the header says.
    #[error("the state root is {found}, the header says {expected}")]
    StateRoot {
        /// Behind the block, when it is executed.
        found: B256,
        /// In the header.
        expected: B256,
    },
    /// The difficulties of the chain add up to more than 256 bits.
    #[error("the total difficulty does not fit into 256 bits")]
    TotalDifficulty,
}

/// Checks a header against its parent, for all that can be said without state and without knowing
/// the signers of a clique network.
///
/// `consensus` is [`ChainSpec::consensus_after`] the parent; `now` our clock in seconds since 1970.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(
    spec: &ChainSpec,
    consensus: Consensus,
    header: &Header,
    (parent, parent_hash): (&Header, B256),
    now: u64,
) -> Result<(), RuleError> {
    if header.parent_hash != parent_hash {
        return Err(RuleError::ParentHash { found: header.parent_hash, expected: parent_hash });
    }
    let expected = parent.number.saturating_add(1);
    if header.number != expected || parent.number == u64::MAX {
        return Err(RuleError::Number { found: header.number, expected });
    }
    timestamp(consensus, header, parent, now)?;
    gas(spec, header, parent)?;
    fork_fields(spec, header)?;
    base_fee(spec, header, parent)?;
    blob_gas(spec, header, parent)?;
    by_consensus(spec, consensus, header, parent)
}

fn by_consensus(
    spec: &ChainSpec,
    consensus: Consensus,
    header: &Header,
    parent: &Header,
) -> Result<(), RuleError> {
    let found = header.difficulty;
    if let Consensus::Clique { epoch, .. } = consensus {
        return Ok(crate::clique::verify_form(spec, epoch, header)?);
    }
    dao_extra_data(spec, header)?;
    if header.extra_data.len() > MAX_EXTRA_DATA {
        return Err(RuleError::ExtraData { length: header.extra_data.len() });
    }
    if consensus == Consensus::UnsealedProofOfWork {
        let expected = difficulty::ethash(spec.config(), header.timestamp, parent);
        return check(found == expected, RuleError::Difficulty { found, expected });
    }
    check(found.is_zero(), RuleError::Difficulty { found, expected: U256::ZERO })?;
    check(header.nonce == B64::ZERO, RuleError::Nonce(header.nonce))?;
    check(header.ommers_hash == EMPTY_OMMER_ROOT_HASH, RuleError::Ommers)
}

/// Blocks of the two sides of the DAO fork tell themselves apart by their extra data.
fn dao_extra_data(spec: &ChainSpec, header: &Header) -> Result<(), RuleError> {
    let config = spec.config();
    let Some(fork) = config.dao_fork_block.filter(|fork| *fork <= header.number) else {
        return Ok(());
    };
    let says_so = header.extra_data.as_ref() == DAO_EXTRA_DATA;
    match config.dao_fork_support {
        true => check(says_so || header.number - fork >= DAO_BLOCKS, RuleError::DaoExtraData),
        false => check(!says_so || header.number > fork, RuleError::DaoExtraData),
    }
}

fn check(holds: bool, otherwise: RuleError) -> Result<(), RuleError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn timestamp(
    consensus: Consensus,
    header: &Header,
    parent: &Header,
    now: u64,
) -> Result<(), RuleError> {
    let (apart, ahead) = match consensus {
        // A period of 0 lets blocks share a second, as in go-ethereum.
        Consensus::Clique { period, .. } => (period, HELD_SECONDS),
        Consensus::ProofOfStake | Consensus::UnsealedProofOfWork => (1, ALLOWED_FUTURE_SECONDS),
    };
    let found = header.timestamp;
    let least = parent.timestamp.saturating_add(apart);
    check(found >= least, RuleError::Timestamp { found, least })?;
    check(found <= now.saturating_add(ahead), RuleError::Future { found, now })
}

fn gas(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), RuleError> {
    let parent_limit = comparable_gas_limit(spec, parent);
    let bound = parent_limit / GAS_LIMIT_BOUND_DIVISOR;
    // Strictly less than 1/1024 apart.
    let apart = bound.saturating_sub(1);
    let least = parent_limit.saturating_sub(apart).max(MIN_GAS_LIMIT);
    let most = parent_limit.saturating_add(apart).min(MAX_GAS_LIMIT);
    let found = header.gas_limit;
    // A bound of 0 leaves no limit at all, not even the parent's.
    let holds = bound > 0 && (least..=most).contains(&found);
    check(holds, RuleError::GasLimit { found, least, most })?;
    let (used, limit) = (header.gas_used, header.gas_limit);
    check(used <= limit, RuleError::GasUsed { used, limit })
}

/// The gas limit of a parent as its child's is measured against it: in the first block of London
/// it doubles, since then it is twice the target (EIP-1559).
pub(crate) fn comparable_gas_limit(spec: &ChainSpec, parent: &Header) -> u64 {
    let starts = spec.is_london(parent.number.saturating_add(1)) && !spec.is_london(parent.number);
    if starts {
        parent.gas_limit.saturating_mul(DEFAULT_ELASTICITY_MULTIPLIER)
    } else {
        parent.gas_limit
    }
}

fn fork_fields(spec: &ChainSpec, header: &Header) -> Result<(), RuleError> {
    let (number, time) = (header.number, header.timestamp);
    let cancun = spec.is_cancun(number, time);
    let amsterdam = spec.is_amsterdam(number, time);
    let fields = [
        (ForkField::BaseFee, header.base_fee_per_gas.is_some(), spec.is_london(number)),
        (
            ForkField::WithdrawalsRoot,
            header.withdrawals_root.is_some(),
            spec.is_shanghai(number, time),
        ),
        (ForkField::BlobGasUsed, header.blob_gas_used.is_some(), cancun),
        (ForkField::ExcessBlobGas, header.excess_blob_gas.is_some(), cancun),
        (ForkField::ParentBeaconBlockRoot, header.parent_beacon_block_root.is_some(), cancun),
        (ForkField::RequestsHash, header.requests_hash.is_some(), spec.is_prague(number, time)),
        (ForkField::BlockAccessListHash, header.block_access_list_hash.is_some(), amsterdam),
        (ForkField::SlotNumber, header.slot_number.is_some(), amsterdam),
    ];
    for (field, there, active) in fields {
        match (there, active) {
            (false, true) => return Err(RuleError::FieldMissing(field)),
            (true, false) => return Err(RuleError::FieldUnexpected(field)),
            _ => {}
        }
    }
    Ok(())
}

/// The base fee of the child of `parent` (EIP-1559); `None` before London.
///
/// It stops at 2^64 - 1 wei, which is as much as a header can say.
#[must_use]
pub fn next_base_fee(spec: &ChainSpec, parent: &Header) -> Option<u64> {
    if !spec.is_london(parent.number.saturating_add(1)) {
        return None;
    }
    let fee = match parent.base_fee_per_gas {
        Some(fee) if spec.is_london(parent.number) => fee,
        _ => return Some(INITIAL_BASE_FEE),
    };
    let target = parent.gas_limit / DEFAULT_ELASTICITY_MULTIPLIER;
    if target == 0 {
        return Some(fee);
    }
    let off = u128::from(parent.gas_used.abs_diff(target));
    // Both factors are below 2^64, so that the product fits.
    let change = u128::from(fee) * off
        / u128::from(target)
        / u128::from(DEFAULT_BASE_FEE_MAX_CHANGE_DENOMINATOR);
    let change = u64::try_from(change).unwrap_or(u64::MAX);
    Some(match parent.gas_used.cmp(&target) {
        Ordering::Greater => fee.saturating_add(change.max(1)),
        Ordering::Equal => fee,
        Ordering::Less => fee.saturating_sub(change),
    })
}

fn base_fee(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), RuleError> {
    let (Some(found), Some(expected)) = (header.base_fee_per_gas, next_base_fee(spec, parent))
    else {
        return Ok(());
    };
    check(found == expected, RuleError::BaseFee { found, expected })
}

fn blob_gas(spec: &ChainSpec, header: &Header, parent: &Header) -> Result<(), RuleError> {
    let (Some(used), Some(found)) = (header.blob_gas_used, header.excess_blob_gas) else {
        return Ok(());
    };
    let params = spec.blob_params(header.number, header.timestamp);
    let most = params.max_blob_gas_per_block();
    let whole = used.is_multiple_of(DATA_GAS_PER_BLOB);
    check(whole && used <= most, RuleError::BlobGasUsed { found: used, most })?;
    let expected = next_excess_blob_gas(spec, header.timestamp, parent);
    check(found == expected, RuleError::ExcessBlobGas { found, expected })
}

/// The excess blob gas of the child of `parent` with this timestamp, from Cancun on (EIP-4844).
pub(crate) fn next_excess_blob_gas(spec: &ChainSpec, timestamp: u64, parent: &Header) -> u64 {
    // The parent of the first Cancun block has no blobs.
    spec.blob_params(parent.number.saturating_add(1), timestamp).next_block_excess_blob_gas_osaka(
        parent.excess_blob_gas.unwrap_or(0),
        parent.blob_gas_used.unwrap_or(0),
        parent.base_fee_per_gas.unwrap_or(0),
    )
}
