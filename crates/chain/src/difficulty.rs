//! The difficulty of a proof-of-work block, from its parent and its time (yellow paper, and
//! EIP-2, EIP-100, EIP-649 and its successors for the "bomb" that makes it explode in time).

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_genesis::ChainConfig;
use alloy_primitives::U256;

/// Least difficulty of a block (go-ethereum, `params.MinimumDifficulty`).
pub const MINIMUM: u64 = 131_072;

/// One part of the parent's difficulty is the step by which it changes.
const BOUND_DIVISOR: u64 = 2_048;

/// Blocks after which the bomb doubles.
const BOMB_PERIOD: u64 = 100_000;

/// The difficulty of the child of `parent` with this timestamp.
#[must_use]
pub fn ethash(config: &ChainConfig, timestamp: u64, parent: &Header) -> U256 {
    let number = parent.number.saturating_add(1);
    let seconds = timestamp.saturating_sub(parent.timestamp);
    let step = parent.difficulty / U256::from(BOUND_DIVISOR);
    // Steps up (positive) or down, at most 99 down.
    let steps: i64 = if config.is_byzantium_active_at_block(number) {
        let most = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        steps(most, seconds / 9)
    } else if config.is_homestead_active_at_block(number) {
        steps(1, seconds / 10)
    } else if seconds < 13 {
        1
    } else {
        -1
    };
    let change = step.saturating_mul(U256::from(steps.unsigned_abs()));
    let difficulty = if steps < 0 {
        parent.difficulty.saturating_sub(change)
    } else {
        parent.difficulty.saturating_add(change)
    };
    let difficulty = difficulty.max(U256::from(MINIMUM));
    difficulty.saturating_add(bomb(number.saturating_sub(bomb_delay(config, number))))
}

fn steps(most: i64, late: u64) -> i64 {
    most.saturating_sub(i64::try_from(late).unwrap_or(i64::MAX)).max(-99)
}

fn bomb(number: u64) -> U256 {
    match number / BOMB_PERIOD {
        0 | 1 => U256::ZERO,
        periods => U256::ONE
            .checked_shl((periods - 2).try_into().unwrap_or(usize::MAX))
            .unwrap_or(U256::MAX),
    }
}

/// How many blocks the bomb pretends have not been (EIP-649, 1234, 2384, 3554, 4345, 5133).
fn bomb_delay(config: &ChainConfig, number: u64) -> u64 {
    let active = |fork: Option<u64>| fork.is_some_and(|fork| fork <= number);
    let delays = [
        (config.gray_glacier_block, 11_400_000),
        (config.arrow_glacier_block, 10_700_000),
        (config.london_block, 9_700_000),
        (config.muir_glacier_block, 9_000_000),
        (config.constantinople_block, 5_000_000),
        (config.byzantium_block, 3_000_000),
    ];
    delays.iter().find(|(fork, _)| active(*fork)).map_or(0, |(_, delay)| *delay)
}

#[cfg(test)]
mod tests;
