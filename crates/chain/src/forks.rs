//! The fork id of a network: a checksum over its genesis and the forks it has passed, and the
//! next fork that it knows of (EIP-2124, with time stamps EIP-6122).
//!
//! Which fields of the configuration count is go-ethereum's choice (`core/forkid`): each
//! `…Block` and `…Time` field. Forks at block 0 and not after the genesis block are skipped, and
//! forks at the same point count once.

use alloy_eip2124::{ForkFilter, ForkFilterKey, ForkId, Head};
use alloy_genesis::ChainConfig;
use chainmesh_proto::eth::chain::ChainHead;

use crate::ChainSpec;

/// All forks of a configuration, in the order of its fields.
#[must_use]
pub fn forks(config: &ChainConfig) -> Vec<ForkFilterKey> {
    let blocks = [
        config.homestead_block,
        config.dao_fork_block,
        config.eip150_block,
        config.eip155_block,
        config.eip158_block,
        config.byzantium_block,
        config.constantinople_block,
        config.petersburg_block,
        config.istanbul_block,
        config.muir_glacier_block,
        config.berlin_block,
        config.london_block,
        config.arrow_glacier_block,
        config.gray_glacier_block,
        config.merge_netsplit_block,
    ];
    let times = [
        config.shanghai_time,
        config.cancun_time,
        config.prague_time,
        config.osaka_time,
        config.bpo1_time,
        config.bpo2_time,
        config.bpo3_time,
        config.bpo4_time,
        config.bpo5_time,
        config.amsterdam_time,
        config.bogota_time,
    ];
    let blocks = blocks.into_iter().flatten().map(ForkFilterKey::Block);
    blocks.chain(times.into_iter().flatten().map(ForkFilterKey::Time)).collect()
}

/// The filter that judges the fork ids of others, when our head is at `number` and `timestamp`.
/// When the head moves, [`ForkFilter::set_head`] follows it.
#[must_use]
pub fn fork_filter(spec: &ChainSpec, number: u64, timestamp: u64) -> ForkFilter {
    let head = Head { number, timestamp, ..Head::default() };
    let genesis_time = spec.genesis_header().timestamp;
    ForkFilter::new(head, spec.genesis_hash(), genesis_time, forks(spec.config()))
}

/// Our own fork id, when our head is at `number` and `timestamp`.
#[must_use]
pub fn fork_id(spec: &ChainSpec, number: u64, timestamp: u64) -> ForkId {
    fork_filter(spec, number, timestamp).current()
}

/// A head as [`ForkFilter::set_head`] wants it; its difficulty is not looked at.
#[must_use]
pub fn fork_head(head: &ChainHead) -> Head {
    Head {
        number: head.number,
        hash: head.hash,
        timestamp: head.timestamp,
        total_difficulty: head.total_difficulty,
        ..Head::default()
    }
}

#[cfg(test)]
mod tests;
