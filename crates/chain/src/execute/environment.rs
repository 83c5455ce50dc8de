//! What a block is to the EVM: the rules of its fork, and what its opcodes see.

use alloy_consensus::Header;
use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, U256};
use revm::context::{BlockEnv, CfgEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;

use super::ExecutionError;
use crate::clique::{self, CliqueError};
use crate::{ChainSpec, Consensus};

/// The rules of a fork, and what the opcodes of a block see.
pub type Environment = EvmEnv<SpecId>;

/// Who is paid for a block, which is what the `COINBASE` opcode says: under clique whoever sealed
/// it (the field of the header is a vote), else the beneficiary of its header.
///
/// # Errors
/// Under clique, when the seal is none.
pub fn beneficiary_of(consensus: Consensus, header: &Header) -> Result<Address, CliqueError> {
    match consensus {
        Consensus::Clique { .. } => clique::signer(header),
        Consensus::ProofOfStake | Consensus::UnsealedProofOfWork => Ok(header.beneficiary),
    }
}

/// The rules of the EVM in the block with this number and time.
///
/// # Errors
/// [`ExecutionError::UnknownFork`] from Amsterdam on, and for Constantinople without Petersburg
/// (its EIP-1283 was taken back before it reached the mainnet, and revm does not know it).
pub fn spec_id(
    spec: &ChainSpec,
    consensus: Consensus,
    number: u64,
    timestamp: u64,
) -> Result<SpecId, ExecutionError> {
    let config = spec.config();
    let active = |fork: Option<u64>| fork.is_some_and(|fork| fork <= number);
    if spec.is_amsterdam(number, timestamp) {
        return Err(ExecutionError::UnknownFork("Amsterdam"));
    }
    // As go-ethereum: without a block of its own, Petersburg comes with Constantinople.
    let petersburg = config.petersburg_block.or(config.constantinople_block);
    let proof_of_stake = consensus == Consensus::ProofOfStake;
    let forks = [
        (SpecId::OSAKA, spec.is_osaka(number, timestamp)),
        (SpecId::PRAGUE, spec.is_prague(number, timestamp)),
        (SpecId::CANCUN, spec.is_cancun(number, timestamp)),
        (SpecId::SHANGHAI, spec.is_shanghai(number, timestamp)),
        (SpecId::MERGE, proof_of_stake && spec.is_london(number)),
        (SpecId::LONDON, spec.is_london(number)),
        (SpecId::BERLIN, active(config.berlin_block)),
        (SpecId::ISTANBUL, active(config.istanbul_block)),
        (SpecId::PETERSBURG, active(petersburg)),
    ];
    if let Some((id, _)) = forks.into_iter().find(|(_, active)| *active) {
        return Ok(id);
    }
    if active(config.constantinople_block) {
        return Err(ExecutionError::UnknownFork("Constantinople without Petersburg"));
    }
    let forks = [
        (SpecId::BYZANTIUM, active(config.byzantium_block)),
        // EIP-155 and EIP-158 are one fork, with two fields.
        (SpecId::SPURIOUS_DRAGON, active(config.eip158_block)),
        (SpecId::TANGERINE, active(config.eip150_block)),
        (SpecId::HOMESTEAD, active(config.homestead_block)),
    ];
    let found = forks.into_iter().find(|(_, active)| *active);
    Ok(found.map_or(SpecId::FRONTIER, |(id, _)| id))
}

/// The environment of the block with this header. `consensus` is how this block was agreed upon
/// ([`ChainSpec::consensus_after`] its parent), `beneficiary` is who is paid for it
/// ([`beneficiary_of`]).
///
/// Opcode 0x44 says the difficulty unless the block is one of proof of stake: also in networks
/// that have Shanghai and later forks with clique.
///
/// # Errors
/// See [`spec_id`].
pub fn environment(
    spec: &ChainSpec,
    consensus: Consensus,
    header: &Header,
    beneficiary: Address,
) -> Result<Environment, ExecutionError> {
    let (number, timestamp) = (header.number, header.timestamp);
    let id = spec_id(spec, consensus, number, timestamp)?;
    let mut cfg = CfgEnv::new_with_spec(id).with_chain_id(spec.config().chain_id);
    let params = spec.blob_params(number, timestamp);
    if id.is_enabled_in(SpecId::CANCUN) {
        cfg.set_max_blobs_per_tx(params.max_blobs_per_tx);
    }
    if id.is_enabled_in(SpecId::OSAKA) {
        cfg.tx_gas_limit_cap = Some(MAX_TX_GAS_LIMIT_OSAKA);
    }
    let blob = header.excess_blob_gas.map(|excess_blob_gas| BlobExcessGasAndPrice {
        excess_blob_gas,
        blob_gasprice: params.calc_blob_fee(excess_blob_gas),
    });
    // revm reads opcode 0x44 from `prevrandao` from the merge on, and wants one there.
    let seen = match consensus {
        Consensus::ProofOfStake => header.mix_hash,
        _ => B256::from(header.difficulty),
    };
    let block = BlockEnv {
        number: U256::from(number),
        beneficiary,
        timestamp: U256::from(timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or(0),
        difficulty: header.difficulty,
        prevrandao: id.is_enabled_in(SpecId::MERGE).then_some(seen),
        blob_excess_gas_and_price: blob,
        ..BlockEnv::default()
    };
    Ok(EvmEnv::new(cfg, block))
}
