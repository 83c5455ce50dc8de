//! The genesis of a new network of proof of authority.

use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_eips::eip7002::{
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE,
};
use alloy_eips::eip7251::{
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE,
};
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256};

use super::{DevNetwork, dev_clique};

/// The newest fork that a new network has, from its first block on, together with all before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastFork {
    /// Fees of EIP-1559. As far as go-ethereum's clique goes.
    #[default]
    London,
    /// `PUSH0`.
    Shanghai,
    /// Transient storage, blobs.
    Cancun,
    /// Code for accounts, hashes of older blocks. What current compilers make code for.
    Prague,
}

/// What a new network is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliqueNetwork {
    /// Chain id, by which transactions of one network cannot be replayed on another.
    pub chain_id: u64,
    /// Seconds between two blocks; 0 for a block whenever there are transactions.
    pub period: u64,
    /// Blocks between two checkpoints.
    pub epoch: u64,
    /// Gas limit of the first block.
    pub gas_limit: u64,
    /// Timestamp of the genesis block, seconds since 1970.
    pub timestamp: u64,
    /// The newest fork.
    pub last_fork: LastFork,
    /// Who may seal blocks; the order does not matter.
    pub signers: Vec<Address>,
    /// Who owns what at the start, wei.
    pub balances: Vec<(Address, U256)>,
}

impl CliqueNetwork {
    /// Its genesis. go-ethereum up to v1.13 reads its JSON and runs it when it ends with London.
    #[must_use]
    pub fn genesis(&self) -> Genesis {
        let mut genesis = dev_clique(&DevNetwork {
            chain_id: self.chain_id,
            period: self.period,
            timestamp: self.timestamp,
            signers: self.signers.clone(),
            balances: self.balances.clone(),
        });
        genesis.gas_limit = self.gas_limit;
        if let Some(clique) = &mut genesis.config.clique {
            clique.epoch = Some(self.epoch);
        }
        let at_start = |fork| (self.last_fork >= fork).then_some(0);
        genesis.config.shanghai_time = at_start(LastFork::Shanghai);
        genesis.config.cancun_time = at_start(LastFork::Cancun);
        genesis.config.prague_time = at_start(LastFork::Prague);
        for (fork, address, code) in system_contracts() {
            if self.last_fork >= fork {
                let contract = GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code));
                genesis.alloc.insert(address, contract);
            }
        }
        genesis
    }
}

/// The contracts that blocks call by themselves, and the fork that asks for them. Mainnet had them
/// deployed by transactions before.
fn system_contracts() -> [(LastFork, Address, Bytes); 4] {
    [
        (LastFork::Cancun, BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
        (LastFork::Prague, HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
        (
            LastFork::Prague,
            WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone(),
        ),
        (
            LastFork::Prague,
            CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
        ),
    ]
}
